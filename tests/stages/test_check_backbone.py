"""What a generated waveform says of a backbone: published weights are known by it, a wrong front end shows."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from reseed.cli import main
from reseed.stages.backbones import golden
from reseed.stages.backbones.golden import GOLDEN, Golden, generated_waveform, golden_vector
from reseed.stages.backbones.kaldi import KaldiFbank
from reseed.stages.backbones.table import load_backbone
from reseed.stages.check_backbone import check_backbone
from reseed.store import ModelError
from reseed.store.atomic import sha256_file
from tests.corpus import REAL
from tests.stages.backbones import checkpoints

ROOT = Path(__file__).resolve().parents[2]
WEIGHTS = REAL.parent / "weights"
PUBLISHED = {
    "campplus": {"weights": WEIGHTS / "campplus_cn_en_common.pt"},
    "resnet34_wespeaker": {"weights": WEIGHTS / "wespeaker-resnet34-256.onnx"},
    "onnx": {"model": WEIGHTS / "wespeaker-resnet34-256.onnx"},
}

needs_weights = pytest.mark.skipif(not WEIGHTS.is_dir(), reason=f"the published weights are not at {WEIGHTS}")


def test_the_waveform_is_the_same_everywhere_and_holds_sound_and_near_silence():
    wave_T = generated_waveform(16_000)
    digest = hashlib.sha256((wave_T * 2**15).astype("<i2").tobytes()).hexdigest()
    assert digest == "844606c361f95ed4d59dadd0529a7e721c82c77864987ac663060fdf886740c1"
    loud, quiet = np.abs(wave_T[:32_000]).max(), np.abs(wave_T[32_000:]).max()
    assert 0.3 < loud < 1
    assert quiet < 2e-3 * loud
    assert len(generated_waveform(8_000)) == 24_000


def test_published_ge2e_agrees_and_other_weights_are_known_by_nothing(tmp_path):
    assert CliRunner().invoke(main, ["check-backbone", "ge2e"]).output.endswith("\nagrees with resemblyzer's GE2E\n")
    weights = checkpoints.save(checkpoints.campplus(), tmp_path / "mine.pt")
    lines = list(check_backbone(backbone="campplus", settings={"weights": weights}))
    assert f"weights_sha256: {sha256_file(weights)}" in lines
    assert lines[-1] == "these weights are none that a vector is known of"
    numbers = golden_vector(load_backbone("campplus", {"weights": weights}).frozen())[:8]
    assert lines[-2] == f"generated waveform: {' '.join(f'{number:.4f}' for number in numbers)} ..."


@needs_weights
@pytest.mark.parametrize("name", PUBLISHED)
def test_published_weights_agree_whichever_network_runs_them(name):
    *_, last = check_backbone(backbone=name, settings=PUBLISHED[name])
    assert last.startswith("agrees with ")


@needs_weights
def test_a_wrong_window_before_published_weights_is_an_error_that_says_both_vectors():
    with pytest.raises(ModelError, match=r"onnx gives 0\.0144 .* 0\.0092 .*: features or settings are others than"):
        list(check_backbone(backbone="onnx", settings=PUBLISHED["onnx"] | {"window": "povey"}))


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        *(("random weights", fault) for fault in ("window", "scale", "mean", "bands from 0 Hz", "pre-emphasis")),
        pytest.param("campplus", "window", marks=needs_weights),
    ],
)
def test_every_fault_of_a_front_end_shows(name, fault, tmp_path, monkeypatch):
    settings = PUBLISHED.get(name)
    if settings is None:
        settings = {"weights": checkpoints.save(checkpoints.resnet34_wespeaker(), tmp_path / "weights.pt")}
        name = "resnet34_wespeaker"
    backbone = load_backbone(name, settings).frozen()
    numbers = tuple(float(number) for number in golden_vector(backbone)[:8])
    monkeypatch.setitem(GOLDEN, sha256_file(settings["weights"]), Golden("these weights", numbers))
    assert list(check_backbone(backbone=name, settings=settings))[-1] == "agrees with these weights"
    kind = type(backbone)
    if fault == "window":
        monkeypatch.setattr(kind, "window", "povey" if kind.window == "hamming" else "hamming")
    elif fault == "scale":
        monkeypatch.setattr(kind, "scale", 32_768.0 if kind.scale == 1 else 1.0)
    elif fault == "mean":
        monkeypatch.setattr(kind, "features_of", lambda self, spectrum: (spectrum * self.scale**2 + 1e-7).log())
    else:
        constant = "LOW_HZ" if fault == "bands from 0 Hz" else "PRE_EMPHASIS"
        monkeypatch.setattr(f"{KaldiFbank.__module__}.{constant}", 0.0)
    with pytest.raises(ModelError, match="features or settings are others than"):
        list(check_backbone(backbone=name, settings=settings))


def test_every_known_vector_has_eight_numbers_that_are_not_all_zero_and_stands_in_the_guide():
    for digest, known in GOLDEN.items():
        assert len(digest) == 64
        assert len(known.numbers) == golden.NUMBERS
        assert np.linalg.norm(known.numbers) > 10 * golden.TOLERANCE
        assert digest[:12] in (ROOT / "docs" / "backbones.md").read_text(encoding="utf-8")
