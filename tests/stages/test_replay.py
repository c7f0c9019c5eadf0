import json
import os
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import soundfile

from reseed.stages.audio.manifest import read_manifest
from reseed.stages.audio.recipe import CropSettings, ExtractSettings, View
from reseed.stages.extraction.allowed import Allowed
from reseed.stages.extraction.replayer import Replayer as StrictReplayer
from reseed.stages.replay import replay as replay_stage
from reseed.store import EmbeddingStore, ManifestError, ModelError, StoreError
from tests.corpus import write_manifest
from tests.stages.backbones.checkpoints import waves_network
from tests.stages.test_extract import levels, manifests, run

__all__ = ["levels", "manifests"]

EVERYTHING = View(reverb=True, noise=(0, 15), babble=10, volume=(-6, 6), telephony=True, codec=("mp3",), chance=0.7)
SETTINGS = ExtractSettings(
    views={"clean": View(), "all": EVERYTHING, "noise": View(noise=(0, 15))},
    crops=CropSettings(count=3, duration_s=1.6),
    batch=7,
)


ANYWHERE = [Path("/")]
Replayer = partial(StrictReplayer, recordings=ANYWHERE)
replay = partial(replay_stage, recordings=ANYWHERE)


@pytest.fixture(scope="module")
def store(manifests, tmp_path_factory):
    path = tmp_path_factory.mktemp("replay") / "store"
    run(manifests, path, backbone="ge2e", settings=SETTINGS)
    return path


def test_every_stored_vector_can_be_made_again(store):
    replayer = Replayer(store)
    rows = replayer.store.rows(["utterance_id", "view", "crop"]).to_pylist()
    assert len(rows) == 8 * 3 * 3
    for row in rows:
        replayed = replayer.replay(row["utterance_id"], row["view"], row["crop"])
        assert replayed.cosine > 0.99999
        assert replayed.row["view"] == row["view"]


def test_the_audio_is_written_and_the_command_says_how_well_it_agrees(store, tmp_path):
    replayer = Replayer(store)
    name = replayer.store.utterance_ids()[0]
    out = tmp_path / "heard.wav"
    command = [
        sys.executable,
        "-m",
        "reseed.cli",
        "replay",
        store,
        name,
        "--view",
        "all",
        "--crop",
        "2",
        "--out",
        out,
        "--recordings",
        "/",
    ]
    done = subprocess.run([*command, "--json"], capture_output=True, text=True, check=True)
    facts = json.loads(done.stdout)
    assert facts["cosine"] > 0.99999
    assert (facts["crop"], facts["out"]) == (2, str(out))
    heard, rate = soundfile.read(out)
    assert (len(heard), rate) == (25_600, 16_000)
    summary = replay(store=store, utterance=name, view="noise").summary()
    assert f"{name}: cosine 1.0000" in summary.replace("0.9999999", "1.0000")
    assert "noise_ids: hiss/n" in summary


def test_what_cannot_be_replayed_says_why(manifests, store, tmp_path):
    with pytest.raises(StoreError, match="no utterance 'nobody'"):
        replay(store=store, utterance="nobody", view="clean")
    fewer = tmp_path / "noise.parquet"
    write_manifest(fewer, read_manifest(manifests["noise"])[:1])
    with pytest.raises(ManifestError, match="the noise manifest is another one .* --from noise=PATH"):
        replay(store=store, utterance="x", view="clean", moved={"noise": fewer})


def test_a_changed_backbone_or_recording_is_not_taken_for_the_old_one(manifests, store, tmp_path, monkeypatch):
    name = Replayer(store).store.utterance_ids()[0]
    monkeypatch.setattr("reseed.stages.extraction.declaration.RENDERING", {"version": 0})
    with pytest.raises(StoreError, match="was made with rendering"):
        replay(store=store, utterance=name, view="clean")


def test_float16_stores_replay_too(manifests, tmp_path):
    run(manifests, tmp_path, backbone="ge2e", settings=SETTINGS.model_copy(update={"dtype": "float16"}))
    replayer = Replayer(tmp_path)
    cosines = [replayer.replay(name, "noise", 1).cosine for name in replayer.store.utterance_ids()]
    assert np.min(cosines) > 0.99999


def test_a_network_that_was_moved_is_found_by_its_role_whatever_its_setting_is_called(manifests, tmp_path):
    model = waves_network(tmp_path / "net.onnx", ["B", "T"])
    settings = SETTINGS.model_copy(update={"views": {"clean": View()}})
    run(manifests, tmp_path / "store", backbone="onnx", backbone_settings={"model": str(model)}, settings=settings)
    assert EmbeddingStore(tmp_path / "store").header.declaration.parent("backbone").path == str(model)
    moved = model.rename(tmp_path / "moved.onnx")
    with pytest.raises(ModelError, match=r"net\.onnx cannot be read"):
        Replayer(tmp_path / "store")
    replayer = Replayer(tmp_path / "store", moved={"backbone": moved})
    assert replayer.replay(replayer.store.utterance_ids()[0], "clean").cosine > 0.99999


def test_recordings_are_opened_in_the_run_of_the_store_and_where_the_user_says_alone(manifests, store, tmp_path):
    name = EmbeddingStore(store).utterance_ids()[0]
    with pytest.raises(ManifestError, match=r"outside of its run; .* --recordings "):
        StrictReplayer(store)
    folder = Path(read_manifest(manifests["speech"])[0].path).parent
    for recordings in (list(manifests.values()), [folder]):  # the manifests alone, one folder of recordings alone
        with pytest.raises(ManifestError, match="outside of its run"):
            StrictReplayer(store, recordings=recordings).replay(name, "noise")
    run = tmp_path / "run"
    shutil.copytree(store, run / "stores" / "s")
    with pytest.raises(ManifestError, match="outside of its run"):
        StrictReplayer(run / "stores" / "s", recordings=[run])
    (run / "config.yaml").touch()
    (run / "link").symlink_to("/")
    with pytest.raises(ManifestError, match="outside of its run"):  # a link in the run does not lead out of it
        Allowed(run / "stores" / "s").check("noise", run / "link" / "etc" / "passwd")
    Allowed(run / "stores" / "s").check("noise", run / "corpus" / "n.wav")


@pytest.mark.parametrize("kind", ["pipe", "device", "loop", "folder", "nul"])
def test_what_a_store_names_and_is_no_file_is_never_opened(tmp_path, kind):
    path = tmp_path / "named"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind != "nul":
        path.symlink_to({"device": "/dev/zero", "loop": path}[kind])
    named = str(path) + ("\0" if kind == "nul" else "")
    with pytest.raises(ManifestError, match="cannot be opened|outside of its run"):
        Allowed(tmp_path, [tmp_path]).check("utterances", named)
