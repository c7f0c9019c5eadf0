import pytest

from reseed.stages.interop.keys import escape, key_of, parse_key, unescape
from tests.stages.interop.examples import ODD_IDS, VIEWS


def test_keys_are_printable_ascii_without_spaces_and_can_be_undone():
    keys = {}
    for utterance_id in ODD_IDS:
        for crop in (0, 11):
            for view in VIEWS:
                key = key_of(utterance_id, crop, view, "/.")
                assert key.isascii()
                assert key.isprintable()
                assert " " not in key
                assert parse_key(key) == (utterance_id, crop, view)
                keys[key] = (utterance_id, crop, view)
    assert len(keys) == len(ODD_IDS) * 2 * len(VIEWS)


def test_a_plain_id_stays_readable():
    assert key_of("utt_7", 0, "clean") == "utt_7-crop0-clean"
    assert key_of("id1/v/1.wav", 2, "noise", "/.") == "id1/v/1.wav-crop2-noise"
    assert key_of("id1/v/1.wav", 2, "noise") == "id1%2Fv%2F1%2Ewav-crop2-noise"


@pytest.mark.parametrize("text", ["%", "%41", "a+b", "\0"])
def test_escaping_is_undone_whatever_looks_escaped_already(text):
    assert unescape(escape(text)) == text


def test_another_programs_key_is_refused():
    with pytest.raises(ValueError, match="'utt_7' is not UTTERANCE-cropN-VIEW"):
        parse_key("utt_7")
    with pytest.raises(ValueError, match="utf-8"):
        parse_key("%FF-crop0-clean")
