"""The folder of a trained backbone."""

import json
from pathlib import Path

import pytest

from reseed.stages.backbones.folder import BackboneInfo, read_trained, save_backbone
from reseed.stages.backbones.ge2e import GE2E
from reseed.store import ModelError
from reseed.store.sealed import write_record


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    info = BackboneInfo(
        backbone="ge2e",
        settings={"epochs": 1},
        seed=0,
        started_from="untrained",
        utterances="speech.parquet",
        utterances_digest="0" * 64,
        anchors=None,
        speakers=["a", "b"],
    )
    save_backbone(tmp_path / "trained", GE2E(), info, [{"epoch": 1, "loss": 0.5, "validation_eer": 0.25}])
    return tmp_path / "trained"


def test_a_trained_backbone_is_loaded_by_the_path_of_its_weights(folder):
    name, settings = read_trained(folder)
    assert name == "ge2e"
    assert GE2E(GE2E.Config.model_validate(settings)).space != ""
    assert "| epochs | 1 |" in (folder / "README.md").read_text()
    assert "Lowest EER on held-out speakers: 25.00 %" in (folder / "README.md").read_text()


def test_weights_that_are_not_those_of_its_json_are_refused(folder):
    (folder / "weights.safetensors").write_bytes(b"damaged")
    with pytest.raises(ModelError, match=r"weights\.safetensors is damaged .*make a trained backbone again with"):
        read_trained(folder)


def test_json_that_does_not_fit_is_named(folder):
    content = json.loads((folder / "backbone.json").read_text())
    write_record(folder / "backbone.json", content | {"speakers": 2})
    with pytest.raises(ModelError, match=r"backbone\.json is damaged \(speakers: Input should be a valid array\)"):
        read_trained(folder)
    (folder / "backbone.json").unlink()
    with pytest.raises(ModelError, match="is not a trained backbone: it has no backbone.json"):
        read_trained(folder)
