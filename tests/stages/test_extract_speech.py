"""Stores of speech alone: crops of it, from every kind of source, made again from what the catalogue says."""

import pickle
import re
from pathlib import Path

import numpy as np
import onnx
import pytest
import soundfile
import torch

from reseed.pipeline.settings import validated
from reseed.stages.aligners.shared import shared_rows
from reseed.stages.append import append
from reseed.stages.audio.manifest import Manifest, manifest_digest, read_manifest
from reseed.stages.audio.recipe import CropSettings, ExtractSettings, View
from reseed.stages.audio.vad.speech import Stretch, cut_out
from reseed.stages.backbones.training.anchors import Anchors
from reseed.stages.extract import Job, ShardTask
from reseed.stages.extraction.extraction import Extraction
from reseed.stages.extraction.replayer import Replayer
from reseed.stages.prepare import PrepareSettings, prepare
from reseed.store import ConfigError, EmbeddingStore, StoreError
from reseed.store.atomic import sha256_file
from tests.corpus import RATE_HZ, prepared, write_corpus, write_manifest, write_wave
from tests.stages.audio.lists.test_archives import tar
from tests.stages.audio.vad.test_silero import install, loud_windows
from tests.stages.test_extract import Levels, levels, order, run
from tests.store.stores import assert_same_files

__all__ = ["levels"]

VIEWS = {"clean": View(), "noise": View(noise=(0, 15))}
SPOKEN_S = {  # where somebody speaks in each recording, in seconds, and how long that is
    "a/a": ([(0.3, 1.2), (1.9, 2.4)], 3.0),
    "b/b": ([(0.0, 0.5), (1.0, 1.6), (2.5, 3.0)], 3.0),
    "c/c": ([(0.8, 1.1)], 2.0),
    "d/d": ([], 1.0),
}
NEAR_S = 0.04  # two frames, and the 15 ms that one is longer than the next is late


def recording(name: str) -> np.ndarray:
    """Return a recording in whose pauses a little is to be heard."""
    stretches, duration_s = SPOKEN_S[name]
    wave_T = np.random.default_rng(ord(name[0])).normal(size=round(duration_s * RATE_HZ)).astype(np.float32)
    is_spoken_T = np.zeros(len(wave_T), bool)
    for start_s, end_s in stretches:
        is_spoken_T[round(start_s * RATE_HZ) : round(end_s * RATE_HZ)] = True
    return wave_T * np.where(is_spoken_T, np.float32(0.1), np.float32(1e-4))


def speech_only(**crops: object) -> ExtractSettings:
    return ExtractSettings(views=VIEWS, crops=CropSettings.model_validate({"vad": "energy", **crops}), batch=3)


WHOLE = {"duration_s": None, "placement": "even"}


@pytest.fixture(scope="module")
def manifests(tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("pauses")
    corpus = write_corpus(folder / "audio", splits=("train",))
    for path in (corpus / "speech").rglob("*.flac"):
        path.unlink()
    for name in SPOKEN_S:
        write_wave(corpus / "speech" / "train" / f"{name}.wav", recording(name), subtype="FLOAT")
    return prepared(corpus, folder, ("speech", "noise", "rir"))


def rows_of(store: Path) -> list[dict]:
    return EmbeddingStore(store).rows().to_pylist()


def heard(path: str, row: dict) -> np.ndarray:
    """Return what a row says that its crop is made of."""
    wave_T = soundfile.read(path, dtype="float32")[0]
    edges = [round(edge_s * RATE_HZ) for edge_s in row["stretches_s"]]
    return np.concatenate([wave_T[start:stop] for start, stop in zip(edges[::2], edges[1::2], strict=True)])


def test_whole_utterances_are_their_speech_joined(manifests, tmp_path):
    run(manifests, tmp_path / "store", settings=speech_only(**WHOLE), shards=2)
    store, paths = (
        EmbeddingStore(tmp_path / "store"),
        {row.utterance_id: row.path for row in read_manifest(manifests["speech"])},
    )
    store.verify()
    for row in rows_of(tmp_path / "store"):
        expected = [edge for stretch in SPOKEN_S[row["utterance_id"]][0] for edge in stretch]
        assert row["stretches_s"] == pytest.approx(expected, abs=NEAR_S)
        assert row["speech_s"] == row["duration_s"] == pytest.approx(sum(np.diff(row["stretches_s"])[::2]))
        assert row["start_s"] == row["stretches_s"][0]
        if row["view"] == "clean":
            waveform_T = heard(paths[row["utterance_id"]], row)
            waveform_1T = torch.from_numpy(waveform_T[: len(waveform_T) // 8 * 8])[None]
            np.testing.assert_array_equal(
                store.get(row["utterance_id"], view="clean"), Levels(None)(waveform_1T)[0].numpy()
            )
    (reject,) = store.rejects()
    assert reject.reason.endswith("d.wav holds 0.00 s of speech in 1.00 s")


CROPS = [
    {"count": 3, "duration_s": 0.4},
    {"count": 3, "duration_s": 0.4, "placement": "even"},
    {"count": 3, "duration_s": 0.4, "placement": "ends"},
    {"count": 2, "duration_s": 0.4, "windows": {"length_s": 0.2, "hop_s": 0.1}},
    {**WHOLE, "max_s": 0.8},
    {**WHOLE, "windows": {"length_s": 0.2, "hop_s": 0.1}},
]


@pytest.mark.parametrize("crops", CROPS, ids=str)
def test_crops_are_cut_from_what_is_left_and_can_be_made_again(crops, manifests, tmp_path, monkeypatch):
    run(manifests, tmp_path / "store", settings=speech_only(**crops))
    rows = rows_of(tmp_path / "store")
    assert len(rows) == 3 * len(VIEWS) * crops.get("count", 1)
    for row in rows:
        lengths_s = np.diff(row["stretches_s"])[::2]
        assert lengths_s.sum() == pytest.approx(min(row["duration_s"], row["speech_s"]))
        for start_s, end_s in zip(row["stretches_s"][::2], row["stretches_s"][1::2], strict=True):
            assert any(
                first_s - NEAR_S <= start_s < end_s <= last_s + NEAR_S
                for first_s, last_s in SPOKEN_S[row["utterance_id"]][0]
            )

    def unexpected(*args: object) -> None:
        raise AssertionError("speech is looked for again")

    replayer = Replayer(tmp_path / "store", recordings=[Path("/")])
    monkeypatch.setattr("reseed.stages.extraction.utterance.find_speech", unexpected)
    for row in rows:
        replayed = replayer.replay(row["utterance_id"], row["view"], row["crop"])
        assert replayed.largest_difference < 1e-6
        assert replayed.row == {**row, "snr_db": replayed.row["snr_db"]}
        edges_s = ", ".join(f"{edge_s:.7g}" for edge_s in row["stretches_s"])
        assert f"  stretches_s: {edges_s}\n" in replayed.summary() + "\n"


def test_ends_reach_from_the_first_word_to_the_last(manifests, tmp_path):
    run(manifests, tmp_path / "store", settings=speech_only(count=2, duration_s=0.4, placement="ends"))
    first, last = (
        row["stretches_s"]
        for row in rows_of(tmp_path / "store")
        if (row["utterance_id"], row["view"]) == ("b/b", "clean")
    )
    assert first == pytest.approx([0.0, 0.4])
    assert last == pytest.approx([2.6, 3.0], abs=1e-4)


def test_what_holds_less_speech_than_wanted_is_rejected_with_both_figures(manifests, tmp_path):
    run(manifests, tmp_path / "store", settings=speech_only(count=2, duration_s=0.4, min_speech_s=0.5))
    found = {reject.utterance_id: reject.reason for reject in EmbeddingStore(tmp_path / "store").rejects()}
    assert found.keys() == {"c/c", "d/d"}
    assert re.search(
        r"c\.wav holds 0\.3\d s of speech in 2\.00 s, less than crops\.min_speech_s \(0\.5 s\)$", found["c/c"]
    )


def test_long_recordings_give_the_crops_that_short_ones_do(manifests, tmp_path, monkeypatch):
    run(manifests, tmp_path / "short", settings=speech_only(count=2, duration_s=0.9))
    monkeypatch.setattr("reseed.stages.audio.vad.speech.WHOLE_S", 0.0)
    monkeypatch.setattr("reseed.stages.audio.streams._BLOCK_SAMPLES", 3_001)
    run(manifests, tmp_path / "long", settings=speech_only(count=2, duration_s=0.9))
    assert_same_files(tmp_path / "short", tmp_path / "long")


def test_jobs_workers_and_threads_write_the_same_bytes(manifests, tmp_path):
    settings = speech_only(count=2, duration_s=0.4)
    run(manifests, tmp_path / "one", settings=settings)
    for index in (1, 0):
        run(manifests, tmp_path / "jobs", settings=settings, job=Job(index, 2))
    run(manifests, tmp_path / "jobs", settings=settings.model_copy(update={"decoders": 3}))
    assert_same_files(tmp_path / "one", tmp_path / "jobs")
    extraction = Extraction.open(order(manifests, settings=settings))
    task = ShardTask.of(extraction, tmp_path / "worker", extraction.plan(3))
    assert [pickle.loads(pickle.dumps(task))(index) for index in range(3)] == extraction.names(extraction.plan(3))
    assert {path.name: path.read_bytes() for path in (tmp_path / "worker" / "shards").iterdir()} == {
        path.name: path.read_bytes() for path in (tmp_path / "one" / "shards").iterdir()
    }


def test_silero_marks_the_store_by_its_network(manifests, tmp_path, monkeypatch):
    path = install(monkeypatch, tmp_path / "site", loud_windows())
    vad = {"method": "silero", "silero": {"threshold": 0.2, "padding_s": 0.0}}
    run(manifests, tmp_path / "store", settings=speech_only(**WHOLE, vad=vad))
    for row in rows_of(tmp_path / "store"):
        expected = [edge for stretch in SPOKEN_S[row["utterance_id"]][0] for edge in stretch]
        assert row["stretches_s"] == pytest.approx(expected, abs=0.07)  # two windows
    replayer = Replayer(tmp_path / "store", recordings=[Path("/")])
    assert replayer.replay("b/b", "noise").largest_difference < 1e-6
    rendering = EmbeddingStore(tmp_path / "store").header.declaration.inputs.rendering
    assert rendering["silero_sha256"] == sha256_file(path)
    onnx.save(loud_windows(louder=2.0), path)
    with pytest.raises(StoreError, match="was made with rendering .*silero_sha256"):
        Replayer(tmp_path / "store", recordings=[Path("/")])


def test_stretches_channels_and_archives_give_the_vectors_of_files(manifests, tmp_path):
    settings = speech_only(count=2, duration_s=0.4)
    run(manifests, tmp_path / "files", settings=settings)
    joined = np.concatenate([recording(name) for name in SPOKEN_S])
    stereo = np.stack([np.roll(joined, 5_000), joined], axis=1)
    write_wave(tmp_path / "all" / "tape.wav", stereo, subtype="FLOAT")
    lines, start_s = ["utterance_id,path,speaker_id,start_s,duration_s,channel"], 0.0
    for name, (_, duration_s) in SPOKEN_S.items():
        lines.append(f"{name},tape.wav,{name[0]},{start_s},{duration_s},1")
        start_s += duration_s
    (tmp_path / "all" / "list.csv").write_text("\n".join(lines) + "\n")
    waves = {row.utterance_id + ".wav": Path(row.path).read_bytes() for row in read_manifest(manifests["speech"])}
    sources = {"tape": tmp_path / "all" / "list.csv", "tar": tar(tmp_path / "all.tar", waves)}
    expected = EmbeddingStore(tmp_path / "files")
    for name, source in sources.items():
        paths = {key: tmp_path / f"{name}.{key}.parquet" for key in ("utterances", "rejects")}
        prepare(source=source, settings=PrepareSettings(), **paths)
        run({**manifests, "speech": paths["utterances"]}, tmp_path / name, settings=settings)
        found = EmbeddingStore(tmp_path / name)
        assert found.rows(["stretches_s", "speech_s"]) == expected.rows(["stretches_s", "speech_s"])
        np.testing.assert_array_equal(found.vectors(), expected.vectors())
        replayed = Replayer(tmp_path / name, recordings=[Path("/")]).replay("b/b", "noise", 1)
        assert replayed.largest_difference < 1e-6


def test_what_is_appended_is_cut_alike_and_by_no_other_vad(manifests, tmp_path):
    settings = speech_only(count=2, duration_s=0.4)
    write_manifest(tmp_path / "half.parquet", read_manifest(manifests["speech"])[:1])
    run({**manifests, "speech": tmp_path / "half.parquet"}, tmp_path / "grown", settings=settings)
    run(manifests, tmp_path / "all", settings=settings)
    append(order=order(manifests, settings=settings), store=tmp_path / "grown")
    grown, everything = EmbeddingStore(tmp_path / "grown"), EmbeddingStore(tmp_path / "all")
    assert grown.rows() == everything.rows()
    np.testing.assert_array_equal(grown.vectors(), everything.vectors())
    other = speech_only(count=2, duration_s=0.4, vad={"method": "energy", "energy": {"context": 3}})
    with pytest.raises(StoreError, match="made by another recipe, so nothing can be appended \\(crops: "):
        append(order=order(manifests, settings=other), store=tmp_path / "grown")


def test_a_store_without_vad_is_what_it_was(manifests, tmp_path):
    assert CropSettings.model_validate({"vad": "none"}).model_dump() == CropSettings().model_dump()
    run(manifests, tmp_path, settings=ExtractSettings(views=VIEWS, crops=CropSettings(duration_s=0.4)))
    store = EmbeddingStore(tmp_path)
    assert not {"speech_s", "stretches_s"} & {*store.rows().column_names}
    assert "vad" not in (tmp_path / "store.json").read_text()


def test_a_catalogue_that_cannot_be_is_said_so_in_a_line(manifests, tmp_path, monkeypatch):
    run(manifests, tmp_path / "store", settings=speech_only(**WHOLE))
    replayer = Replayer(tmp_path / "store", recordings=[Path("/")])
    row = replayer._row("a/a")
    for edges_s in ([0.5, 0.2], [0.5, 9.0], [float("nan"), 1.0], [], [-1.0, 0.4]):
        table = replayer.store.rows(["crop", "start_s", "duration_s", "speech_s", "stretches_s"])[:1]
        damaged = table.set_column(4, "stretches_s", [[edges_s]])
        monkeypatch.setattr(type(replayer.store), "rows", lambda *_, damaged=damaged, **__: damaged)
        with pytest.raises(StoreError, match="does not say which speech of 'a/a' it has embedded"):
            replayer._recorded(row)
        monkeypatch.undo()


@pytest.mark.parametrize(
    ("crops", "said"),
    [
        (
            {"vad": "sillero"},
            "crops.vad: must be none, energy, silero or a section (method, energy, silero), not 'sillero'",
        ),
        ({"min_speech_s": 1}, "crops.min_speech_s: needs vad: energy or silero, to tell speech"),
        ({"vad": {"method": "energy", "silero": {"threshold": 0.3}}}, "crops.vad.silero: is for the method silero"),
        ({"vad": {"method": "energy", "energy": {"proportion": 1}}}, "crops.vad.energy.proportion"),
    ],
)
def test_settings_that_cannot_be_are_refused(crops, said):
    with pytest.raises(ConfigError, match=re.escape(said)):
        validated(ExtractSettings, {"views": {"clean": {}}, "crops": crops})


def test_a_part_of_the_speech_is_found_across_pauses():
    speech = [Stretch(1.0, 2.0), Stretch(5.0, 5.5), Stretch(8.0, 9.0)]
    assert cut_out(speech, 0.0, 9.0) == speech
    assert cut_out(speech, 0.25, 0.5) == [(1.25, 1.75)]
    assert cut_out(speech, 0.5, 1.5) == [(1.5, 2.0), (5.0, 5.5), (8.0, 8.5)]
    assert cut_out(speech, 1.0, 0.5) == [(5.0, 5.5)]


def test_prepare_says_how_much_is_speech_and_the_manifest_lists_the_same(manifests, tmp_path):
    plain = tmp_path / "plain.parquet"
    source = Path(read_manifest(manifests["speech"])[0].path).parents[1]
    for path, settings in ((plain, {}), (tmp_path / "u.parquet", {"vad": "energy", "min_speech_s": 0.5})):
        said = prepare(
            source=source,
            utterances=path,
            rejects=tmp_path / "rejects.parquet",
            settings=PrepareSettings.model_validate(settings),
        )
    # 3.3 s of 9, and each of six stretches is longer by three frames at either end that there is
    assert said.endswith("  speech     0.1 of 0.1 min (40%); 0.00 to 1.72 s, median 0.94 s; 2 utterances below 0.5 s")
    table, before = (Manifest(path) for path in (tmp_path / "u.parquet", plain))
    assert [*table.columns] == [*before.columns, "speech_s"]
    assert manifest_digest(table) == manifest_digest(before)
    measured = dict(zip(*(table.table(["utterance_id", "speech_s"])[name].to_pylist() for name in (0, 1)), strict=True))
    run({**manifests, "speech": tmp_path / "u.parquet"}, tmp_path / "store", settings=speech_only(duration_s=0.4))
    for row in rows_of(tmp_path / "store"):
        assert row["speech_s"] == measured[row["utterance_id"]]
    assert measured["d/d"] == 0.0


def test_what_needs_all_that_was_recorded_refuses_stores_of_speech_alone(manifests, tmp_path):
    for name, settings in (("speech", speech_only(duration_s=0.4)), ("all", ExtractSettings(views=VIEWS))):
        run(manifests, tmp_path / name, settings=settings)
    speech, everything = (EmbeddingStore(tmp_path / name) for name in ("speech", "all"))
    with pytest.raises(StoreError, match=r"of speech alone \(crops\.vad\), and the training hears what"):
        Anchors(speech, Levels(None), 0.4)
    with pytest.raises(StoreError, match=r"one is of speech alone \(crops\.vad\); extract both alike"):
        shared_rows(speech, everything, ["clean"], seed=0)
