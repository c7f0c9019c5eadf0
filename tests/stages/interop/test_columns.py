from pathlib import Path

import pyarrow as pa
import pytest

from reseed.stages.interop.columns import Columns
from reseed.store import StoreError

WHERE = Path("faces.parquet")


def test_an_id_is_enough():
    rows = Columns("name").catalogue(pa.table({"name": [7, 8]}), WHERE)
    assert rows.to_pylist() == [{"utterance_id": str(i), "view": "clean", "crop": 0} for i in (7, 8)]


def test_named_columns_are_renamed_and_the_rest_is_kept():
    raw = pa.table({"age": [3], "who": ["ann"], "face": ["f1"], "light": ["dim"], "shot": [1.0]})
    rows = Columns("face", speaker_id="who", view="light", crop="shot").catalogue(raw, WHERE)
    assert rows.to_pylist() == [{"utterance_id": "f1", "speaker_id": "ann", "view": "dim", "crop": 1, "age": 3}]


def test_one_column_may_be_id_and_label_at_once():
    rows = Columns("face", speaker_id="face").catalogue(pa.table({"face": ["f1"]}), WHERE)
    assert rows["speaker_id"].to_pylist() == ["f1"]


def test_rows_without_view_or_crop_take_the_default():
    raw = pa.table({"utterance_id": ["a", "b"], "view": [None, "noise"], "crop": pa.array([None, None])})
    rows = Columns().catalogue(raw, WHERE)
    assert (rows["view"].to_pylist(), rows["crop"].to_pylist()) == (["clean", "noise"], [0, 0])


def test_columns_of_categories_become_text():
    raw = pa.table(
        {"utterance_id": pa.array(["a", "b"]).dictionary_encode(), "mood": pa.array("xy").dictionary_encode()}
    )
    assert Columns().catalogue(raw, WHERE).schema.types[:2] == [pa.string()] * 2


@pytest.mark.parametrize(
    ("columns", "raw", "message"),
    [
        (
            Columns(),
            {"id": ["a"]},
            "faces.parquet has no column 'utterance_id' for the utterance_id; name the right one of id",
        ),
        (Columns(view="cond"), {"utterance_id": ["a"]}, "no column 'cond' for the view"),
        (Columns("id"), {"id": ["a"], "utterance_id": ["b"]}, "column 'utterance_id' cannot be kept"),
        (Columns(), {"utterance_id": ["a"], "embedding": [1]}, "column 'embedding' cannot be kept"),
        (Columns(), {"utterance_id": ["a"], "crop": ["left"]}, "column 'crop' holds string where int32 is wanted"),
        (Columns(), {"utterance_id": ["a"], "crop": [0.5]}, "column 'crop' holds double where int32 is wanted"),
        (Columns(), {"utterance_id": [["a"]]}, "column 'utterance_id' holds list<.*> where string is wanted"),
        (Columns(), {"utterance_id": ["a"], "snr_db": ["loud"]}, "column 'snr_db' holds string where float is wanted"),
    ],
)
def test_columns_that_cannot_be_used_are_named(columns, raw, message):
    with pytest.raises(StoreError, match=message):
        columns.catalogue(pa.table(raw), WHERE)
