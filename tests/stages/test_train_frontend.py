"""Front ends trained, put before a backbone and listened to, on files of generated voices."""

import json
import tarfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile
import torch

from reseed.stages.audio.recipe import ExtractSettings
from reseed.stages.backbones.base import require_stages
from reseed.stages.backbones.ge2e import GE2E
from reseed.stages.backbones.table import backbone_class
from reseed.stages.denoise import denoise, enhanced, gains
from reseed.stages.extract import extract
from reseed.stages.extraction.order import ExtractOrder
from reseed.stages.frontends.folder import load_frontend
from reseed.stages.frontends.settings import FrontendTraining
from reseed.stages.replay import replay
from reseed.stages.train_frontend import FrontendOrder, train_frontend
from reseed.store import AudioError, ConfigError, EmbeddingStore, ManifestError, ModelError, ReseedError, StoreError
from tests.corpus import prepared, write_corpus
from tests.stages.test_train_backbone import SMALL, kill_at_first_checkpoint
from tests.stages.test_train_backbone import run as train_backbone

NOISY = {"noise": {"noise": [-10, 0]}}
QUICK = {"epochs": 2, "width": 2, "batch": 8, "views": NOISY}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    folder = tmp_path_factory.mktemp("corpus")
    write_corpus(folder / "audio", speakers=4, takes=4)
    return prepared(folder / "audio", folder, ("speech", "noise"))


def extracted(corpus, folder, frontend=None, views=None, **crops):
    recipe = ExtractSettings(
        views=views or {"clean": {}, "noise": {"noise": -5}}, crops={"count": 2, "duration_s": 1.6, **crops}
    )
    order = ExtractOrder(corpus["speech"], "ge2e", recipe, 0, {"noise": corpus["noise"]}, frontend=frontend)
    extract(order=order, store=folder, shards=2)
    return folder


@pytest.fixture(scope="module")
def store(corpus, tmp_path_factory):
    return extracted(corpus, tmp_path_factory.mktemp("store") / "clean")


def train(corpus, store, model, backbone="ge2e", weights=None, **settings):
    options = {"utterances": corpus["speech"], "sources": {"noise": corpus["noise"]}, "seed": 0}
    options |= {"backbone": backbone, "backbone_settings": {"weights": weights}}
    settings = FrontendTraining(**QUICK | settings)
    return train_frontend(FrontendOrder(**options, store=store, model=model, settings=settings))


@pytest.fixture(scope="module")
def frontend(corpus, store, tmp_path_factory):
    folder = tmp_path_factory.mktemp("frontend") / "gradw"
    said = train(corpus, store, folder, epochs=6)
    assert "gradw before ge2e:" in said
    return folder


def test_a_killed_training_goes_on_to_the_very_same_mask(corpus, store, tmp_path, capfd):
    settings = QUICK | {"loss": "equal_w", "seed": 3}
    script = (
        "import torch; from pathlib import Path\n"
        "from reseed.stages.frontends.settings import FrontendTraining\n"
        "from reseed.stages.train_frontend import FrontendOrder, train_frontend\n"
        f"torch.set_num_threads({torch.get_num_threads()})\n"
        f"noise = {{'noise': Path({str(corpus['noise'])!r})}}\n"
        f"order = FrontendOrder(utterances=Path({str(corpus['speech'])!r}), sources=noise, seed=0,\n"
        f"    store=Path({str(store)!r}), model=Path({str(tmp_path / 'cut')!r}), backbone='ge2e',\n"
        f"    checkpoint_every_s=0.0, settings=FrontendTraining(**{settings!r}))\n"
        "train_frontend(order)"
    )
    kill_at_first_checkpoint(script, tmp_path / ".cut.checkpoint")
    for name in ("whole", "cut"):
        train(corpus, store, tmp_path / name, **settings)
    assert "resuming from" in capfd.readouterr().err
    masks = [load_frontend(tmp_path / name, GE2E())[1].weights_sha256 for name in ("whole", "cut")]
    assert masks[0] == masks[1]


def test_the_loss_falls_and_the_backbone_behind_it_has_a_space_of_its_own(corpus, store, frontend, tmp_path):
    rows = [json.loads(line) for line in (frontend / "train.jsonl").read_text().splitlines()]
    assert rows[-1]["loss"] < rows[0]["loss"]
    for theme in ("light", "dark"):
        assert "<svg" in (frontend / f"spectrograms.{theme}.svg").read_text()
    assert "# A front end: gradw" in (frontend / "README.md").read_text()
    masked = EmbeddingStore(extracted(corpus, tmp_path / "masked", frontend))
    raw = EmbeddingStore(store)
    assert masked.space.startswith("ge2e-gradw:")
    assert masked.fingerprint != raw.fingerprint
    assert np.abs(masked.vectors("noise")[:] - raw.vectors("noise")[:]).max() > 1e-4
    network, _ = load_frontend(frontend, GE2E())
    rendered = replay(
        store=tmp_path / "masked", utterance=masked.utterance_ids()[0], view="noise", recordings=[tmp_path.parent]
    )
    assert network.space == masked.space
    assert rendered.cosine > 0.999


def test_a_published_mask_is_put_on_in_extraction_as_it_was_in_training(corpus, store, tmp_path):
    train(corpus, store, tmp_path / "m", published=True)
    masked, _ = load_frontend(tmp_path / "m", GE2E())
    assert masked.identity()["masking"] == "published"
    heard_BT = 0.1 * torch.randn(1, 25_600)
    spectrum_BMF = masked.backbone.spectrum(heard_BT)
    seen_BMF = (spectrum_BMF + 1e-6) * (masked.mask(spectrum_BMF) + 1e-6)
    expected = masked.backbone.pool(masked.backbone.activations(seen_BMF))
    assert torch.allclose(masked(heard_BT), expected, atol=1e-6)
    rows = [json.loads(line) for line in (tmp_path / "m" / "train.jsonl").read_text().splitlines()]
    assert rows[0]["lr"] < rows[1]["lr"] < 5e-4  # still within the warm-up of five epochs


@pytest.mark.parametrize("settings", [{"loss": "equal_w"}, {"loss": "spectral"}, {"score": "anchor", "sharpness": 1}])
def test_rivals_and_the_variant_without_labels_are_trained(corpus, store, tmp_path, settings):
    manifest = pq.read_table(corpus["speech"])
    place = manifest.schema.get_field_index("speaker_id")
    unlabelled = tmp_path / "unlabelled.parquet"
    pq.write_table(manifest.set_column(place, "speaker_id", pa.nulls(len(manifest), pa.string())), unlabelled)
    train({**corpus, "speech": unlabelled}, store, tmp_path / "m", **settings)
    with pytest.raises(ManifestError, match="16 of 16 utterances have no speaker; set score: anchor"):
        train({**corpus, "speech": unlabelled}, store, tmp_path / "n")


def test_what_does_not_fit_is_refused(corpus, store, frontend, tmp_path):
    train_backbone(corpus, tmp_path / "small", settings={"epochs": 1})
    kind = backbone_class("ecapa_tdnn")
    small = kind(kind.Config(weights=tmp_path / "small" / "weights.safetensors"))
    with pytest.raises(ModelError, match=r"gradw was trained for ge2e \(mel 40.*this is ecapa_tdnn \(MFCC"):
        load_frontend(frontend, small)
    with pytest.raises(StoreError, match="clean holds anchors of ge2e:.*the training starts from ecapa_tdnn"):
        train(corpus, store, tmp_path / "m", "ecapa_tdnn", tmp_path / "small" / "weights.safetensors")
    with pytest.raises(StoreError, match=r"crops of 1\.6 s, the training hears 2 s"):
        train(corpus, store, tmp_path / "m", crop_s=2.0)
    with pytest.raises(ConfigError, match="the views ask for music; give the manifest with --music"):
        train(corpus, store, tmp_path / "m", views={"music": {"music": 0}})

    class Closed(torch.nn.Module):
        name = "closed"

    with pytest.raises(ModelError, match="closed does not open its spectrum and its activation map"):
        require_stages(Closed(), "a front end")
    (tmp_path / "broken").mkdir()
    for name in ("frontend.json", "weights.safetensors"):
        (tmp_path / "broken" / name).write_bytes((frontend / name).read_bytes())
    (tmp_path / "broken" / "weights.safetensors").write_bytes(b"damaged")
    with pytest.raises(ModelError, match="was exchanged: .* make a front end again with `reseed train-frontend`"):
        load_frontend(tmp_path / "broken", GE2E())
    assert SMALL["crop_s"] == 0.4


def test_an_open_mask_gives_a_recording_back_however_long(frontend):
    masked, _ = load_frontend(frontend, GE2E())
    torch.nn.init.zeros_(masked.mask.leave.weight)
    torch.nn.init.constant_(masked.mask.leave.bias, 30.0)
    generator = np.random.default_rng(0)
    for seconds in (0.02, 1.0, 45.3):
        waveform_T = generator.normal(scale=0.1, size=round(16_000 * seconds)).astype(np.float32)
        found_T = enhanced(waveform_T, masked)
        assert found_T.shape == waveform_T.shape
        assert np.abs(found_T - waveform_T).max() < 1e-4


def test_gains_are_those_of_the_bands_that_hear_a_frequency():
    bank_HM = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.5, 0.5], [0.0, 2.0], [0.0, 0.0]])
    mask_MF = torch.tensor([[1.0], [0.25]])
    assert torch.allclose(gains(mask_MF, bank_HM)[:, 0].square(), torch.tensor([1.0, 1.0, 0.625, 0.25, 0.25]))


def test_recordings_are_denoised_one_by_one_and_by_the_folder(corpus, frontend, tmp_path):
    noise = np.random.default_rng(0).normal(scale=0.1, size=24_000)
    source = tmp_path / "in" / "a" / "noisy.wav"
    source.parent.mkdir(parents=True)
    soundfile.write(source, noise, 16_000)
    (tmp_path / "in" / "bad.wav").write_bytes(b"RIFF")
    denoise(source=source, output=tmp_path / "one.wav", frontend=frontend, backbone=GE2E())
    heard, rate = soundfile.read(tmp_path / "one.wav")
    assert (len(heard), rate) == (24_000, 16_000)
    assert np.square(heard).mean() <= np.square(noise).mean()
    said = denoise(source=tmp_path / "in", output=tmp_path / "out", frontend=frontend, backbone=GE2E())
    assert "1 recordings denoised by ge2e-gradw; 1 left out, e.g. " in said
    assert (tmp_path / "out" / "a" / "noisy.wav.flac").exists()
    with tarfile.open(tmp_path / "in.tar", "w") as archive:
        for name in ("a/noisy.wav", "../outside.wav", "x/a/../../a/noisy.wav"):
            archive.add(source, name)
        archive.add(tmp_path / "in" / "bad.wav", "bad.wav")
    said = denoise(source=tmp_path / "in.tar", output=tmp_path / "of_tar", frontend=frontend, backbone=GE2E())
    assert "2 recordings denoised by ge2e-gradw; 2 left out" in said
    assert (tmp_path / "of_tar" / "outside.flac").exists()
    same = [soundfile.read(path)[0] for path in (tmp_path / "out/a/noisy.wav.flac", tmp_path / "of_tar/a/noisy.flac")]
    np.testing.assert_array_equal(*same)
    with tarfile.open(tmp_path / "in.tar") as archive:
        first = archive.next()
    place = Path(f"{tmp_path / 'in.tar'}:{first.offset_data}+{first.size}")
    denoise(source=place, output=tmp_path / "placed.wav", frontend=frontend, backbone=GE2E())
    np.testing.assert_array_equal(soundfile.read(tmp_path / "placed.wav")[0], heard)
    with pytest.raises(ReseedError, match="is the source itself"):
        denoise(source=source, output=source, frontend=frontend, backbone=GE2E())
    with pytest.raises(ReseedError, match=r"one\.mp3 is neither \.flac nor \.wav"):
        denoise(source=source, output=tmp_path / "one.mp3", frontend=frontend, backbone=GE2E())
    source.unlink()
    with pytest.raises(AudioError, match="none of the 1 recordings of .* can be decoded"):
        denoise(source=tmp_path / "in", output=tmp_path / "out", frontend=frontend, backbone=GE2E())
    with pytest.raises(ReseedError, match="does not exist; give a recording"):
        denoise(source=tmp_path / "none", output=tmp_path / "x", frontend=frontend, backbone=GE2E())
