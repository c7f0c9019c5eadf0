"""What is read of others' text and JSON: so much and no more, from files alone."""

import os

import pytest

from reseed.store import bounded


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("[" * 100 + "]" * 100, "nested deeper"),
        ("[" * 200_000, "nested deeper"),
        ('{"a":' * 100 + "1" + "}" * 100, "nested deeper"),
        ('{"a": "\\ud800"}', "surrogates"),
        ("9" * 10_000, "digits"),
        ("[1,", "Expecting"),
        (b'"\xff"', "utf-8"),
        (b"\xff\xfe\x00", "decode"),
    ],
)
def test_json_that_is_beyond_reason_is_a_value_error(text, fault):
    with pytest.raises(ValueError, match=fault):
        bounded.parse_json(text)


def test_json_within_bounds_is_what_json_says_it_is():
    assert bounded.parse_json("[" * 64 + "]" * 64)
    assert bounded.parse_json('{"a": [1, "\\u00e9", null]}') == {"a": [1, "é", None]}
    assert bounded.parse_json("3") == 3


def test_a_text_is_read_up_to_its_bound(tmp_path, monkeypatch):
    monkeypatch.setattr(bounded, "LONGEST_LINE", 10)
    (tmp_path / "long").write_bytes(b"short\n" + b"x" * 11)
    assert bounded.read_text(tmp_path / "long", 17) == "short\n" + "x" * 11
    with pytest.raises(ValueError, match="more than 16 bytes"):
        bounded.read_text(tmp_path / "long", 16)
    with pytest.raises(ValueError, match="line 2 has more than 10 characters"):
        list(bounded.lines(tmp_path / "long"))


def test_pipes_devices_directories_and_what_no_file_can_be_called_are_refused_without_opening_them(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("/dev/zero")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for name in ("pipe", "link", "loop", "gone", "", "a\0b"):
        for read in (bounded.read_text, bounded.read_json, lambda path: next(bounded.lines(path))):
            with pytest.raises(OSError, match="regular|directory|levels|No such|null|name"):
                read(tmp_path / name)
