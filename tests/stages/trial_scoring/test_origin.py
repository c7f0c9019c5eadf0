"""The metadata of score files: typed, and on disk as they always were."""

import json

import pyarrow.parquet as pq
import pytest

from reseed.stages.trial_scoring.files import METADATA_KEY, SCORES_SCHEMA, read_origin, scores_schema
from reseed.stages.trial_scoring.origin import CalibrationRecord, Origin, Provenance
from reseed.store import ScoringError

# As `score` and `calibrate` have written them since 0.1.
SCORED = (
    '{"space": "ge2e:1a2b+vire:3c4d", "fingerprint": "ffff", "conditions": {"clean": {}, "noise_5db": {"noise": 5.0}}, '
    '"enrolment_view": "clean", "crops": 2, "crop_s": 1.6, "method": "vire", "config": {"shrinkage": 0.5}, '
    '"left_out": 3, "scorings": {"cosine": {}, "as_norm": {"cohort": {"store": "stores/train", "utterances": 90, '
    '"speakers": 30, "vectors": 30, "per": "speaker", "views": ["clean"], "top": 10}}, "plda": {"plda": '
    '{"store": "stores/train", "vectors": 180, "speakers": 30, "views": ["clean", "noise"], "dimensions": 8}}}}'
)
FUSED = (
    '{"space": "ge2e:1a2b+fusion:9f8e7d6c", "fingerprint": "eeee", "conditions": {"clean": {}}, '
    '"enrolment_view": "clean", "crops": 2, "crop_s": null, "method": "fusion", '
    '"config": {"of": ["ge2e:1a2b", "ge2e:1a2b+vire:3c4d"]}, "left_out": 0, "scorings": {"as_norm+calibrated": '
    '{"members": {"ge2e:1a2b": {"cohort": {"top": 10}}, "ge2e:1a2b+vire:3c4d": {"cohort": {"top": 20}}}, '
    '"calibration": {"features": ["score of raw", "score of vire"], "weight_F": [1.5, -0.25], "offset": -2.0, '
    '"p_target": 0.05, "held_out": ["held/raw.parquet", "held/vire.parquet"]}}}}'
)


@pytest.mark.parametrize("text", [SCORED, FUSED], ids=["scored", "fused"])
def test_what_is_read_is_written_again_to_the_letter(text, tmp_path):
    origin = Origin.parse(json.loads(text))
    assert json.dumps(origin.to_json()) == text
    pq.write_table(
        SCORES_SCHEMA.with_metadata({METADATA_KEY: text.encode()}).empty_table(), tmp_path / "scores.parquet"
    )
    assert read_origin(tmp_path / "scores.parquet") == origin
    assert scores_schema(origin).metadata == {METADATA_KEY: text.encode()}


def test_cohort_members_and_calibration_are_told_apart():
    assert Origin.parse(json.loads(SCORED)).scorings["cosine"] == Provenance()
    assert Origin.parse(json.loads(SCORED)).scorings["as_norm"].inputs["cohort"]["top"] == 10
    fused = Origin.parse(json.loads(FUSED))
    assert fused.fused == ("ge2e:1a2b", "ge2e:1a2b+vire:3c4d")
    made_by = fused.scorings["as_norm+calibrated"]
    assert made_by.inputs == {}
    assert made_by.members["ge2e:1a2b"] == {"cohort": {"top": 10}}
    assert made_by.calibration == CalibrationRecord(
        ("score of raw", "score of vire"), (1.5, -0.25), -2.0, 0.05, ("held/raw.parquet", "held/vire.parquet")
    )


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        "[]",
        "not JSON",
        json.dumps(json.loads(SCORED) | {"colour": "red"}),
        json.dumps(json.loads(SCORED) | {"scorings": {"cosine": {"calibration": {"p_target": 0.05}}}}),
    ],
)
def test_metadata_of_another_form_are_an_error_in_one_line(text, tmp_path):
    pq.write_table(
        SCORES_SCHEMA.with_metadata({METADATA_KEY: text.encode()}).empty_table(), tmp_path / "scores.parquet"
    )
    with pytest.raises(ScoringError, match="does not say what it was scored from; write it with `reseed score`"):
        read_origin(tmp_path / "scores.parquet")
