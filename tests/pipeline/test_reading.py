import pytest

from reseed.pipeline.reading import SettingsFile
from reseed.store import ConfigError


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a:\n\tb: 1\n", "line 2: a tab; indent with spaces"),
        ("a: 1\nb: [1\nc: 2\n", "line 2: a bracket that is not closed, or a comma that is missing"),
        ("a: {b: 1\n", "line 1: a bracket that is not closed, or a comma that is missing"),
        ('a: "x\nb: 1\n', "line 1: a quotation mark that is not closed"),
        ("a:\n  b: 1\n c: 2\n", "line 3: indented otherwise than the lines before it, or a bracket too many"),
        ("a: x: y\n", "line 1: a colon where there can be none; check the indentation, or put text in quotes"),
        ("a: %x\n", "line 1: a text that begins with a special character; put it in quotes"),
        ("a: *there\n", "line 1: found undefined alias 'there'"),
        ("a: !!python/tuple [1]\n", "line 1: a tag that settings do not know"),
        ("a: 1\n---\nb: 1\n", "line 2: a second document; settings are one"),
        ("? [a]\n: 1\n", "line 1: a key that is no text"),
    ],
)
def test_what_is_no_yaml_is_said_in_plain_words_with_its_line(tmp_path, text, said):
    path = tmp_path / "run.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        SettingsFile.read(path)
    assert str(caught.value) == f"{path}, {said}"


@pytest.mark.parametrize("content", [b"a: \xff\n", b"a: \x01\n"])
def test_what_is_no_text_is_said(tmp_path, content):
    path = tmp_path / "run.yaml"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"run\.yaml is not plain text in UTF-8"):
        SettingsFile.read(path)


@pytest.mark.parametrize("text", ["", "- a\n", "demo\n"])
def test_a_file_without_settings_is_said_to_have_none(tmp_path, text):
    path = tmp_path / "run.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match="holds no settings"):
        SettingsFile.read(path)


def test_keys_that_yaml_reads_as_something_else_or_has_twice_are_mistakes_with_their_line(tmp_path):
    path = tmp_path / "run.yaml"
    path.write_text("no: 1\ntrain:\n  3: {}\n  mse: {}\n  mse: {epochs: 2}\n")
    file = SettingsFile.read(path)
    assert file.mistakes == [
        "no: the key in line 1 is no text to YAML; put no in quotes",
        "train.3: the key in line 3 is no text to YAML; put 3 in quotes",
        "train.mse: given twice, in lines 4 and 5",
    ]
    assert file.tree == {"no": 1, "train": {"3": {}, "mse": {"epochs": 2}}}


def test_what_an_alias_repeats_can_be_changed_alone(tmp_path):
    path = tmp_path / "run.yaml"
    path.write_text("a: &x {views: {noise: 1}}\nb: *x\nc: {<<: *x, d: 1}\ne: {<<: *x, views: 2}\n")
    file = SettingsFile.read(path)
    assert file.mistakes == []
    file.tree["b"]["views"]["noise"] = 5
    assert file.tree["a"] == {"views": {"noise": 1}}
    assert file.tree["c"] == {"views": {"noise": 1}, "d": 1}
