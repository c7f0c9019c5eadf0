import pytest

from reseed.stages.audio.demographics import Demographics, read_demographics
from reseed.store import ManifestError

VOXCELEB = "VoxCeleb1 ID\tVGGFace1 ID\tGender\tNationality\tSet\nid10001\tA.J._Buckley\tm\tIreland\tdev\n"
LIBRI = """;Some pipes were removed
;ID  |SEX| SUBSET           |MINUTES| NAME
14   | F | train-clean-360  | 25.03 | Kristin LeMoine
16   | M | train-clean-360  | 25.11 | Alys AtteWater
"""
CLIPS = (
    "client_id\tpath\tsentence\tage\tgender\n"
    'c1\ta.mp3\t"It never closes\ttwenties\tmale_masculine\n'
    "c2\tb.mp3\tYes\t\tdo_not_wish_to_say\nc2\tc.mp3\tNo\tfourties\tfemale_feminine\n"
)
OURS = "path,source,speaker_id,gender,age\na.flac,ocean,1,m,\nb.flac,ocean,1,f,7\nc.flac,,2,F,31.5\nd.flac,,,,\n"


@pytest.mark.parametrize(
    ("text", "people"),
    [
        (VOXCELEB, {"id10001": Demographics("male", None)}),
        (LIBRI, {"14": Demographics("female", None), "16": Demographics("male", None)}),
        (CLIPS, {"c1": Demographics("male", 25.0), "c2": Demographics("female", 45.0)}),
        (OURS, {"ocean/1": Demographics("male", 7.0), "2": Demographics("female", 31.5)}),
    ],
)
def test_tables_as_data_sets_ship_them(tmp_path, text, people):
    (tmp_path / "speakers").write_text(text)
    assert read_demographics(tmp_path / "speakers") == people


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("speaker_id,colour\na,red\n", "needs speaker_id and one of gender or age; it has speaker_id, colour"),
        ("speaker_id,age\na,old\n", "line 2: the age 'old' is no number"),
    ],
)
def test_what_cannot_be_used_is_named(tmp_path, text, message):
    (tmp_path / "speakers.csv").write_text(text)
    with pytest.raises(ManifestError, match=message):
        read_demographics(tmp_path / "speakers.csv")
