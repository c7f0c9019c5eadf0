import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from reseed.pipeline.settings import validated
from reseed.stages.audio.manifest import read_manifest
from reseed.stages.audio.recipe import CropSettings, ExtractSettings, View, WindowSettings
from reseed.stages.backbones.base import Backbone
from reseed.stages.backbones.ge2e import GE2EConfig
from reseed.stages.backbones.table import BACKBONES
from reseed.stages.drop import drop as drop_stage
from reseed.stages.extract import Job, extract
from reseed.stages.extraction.embedder import Embedder
from reseed.stages.extraction.extraction import Extraction, plan_shards
from reseed.stages.extraction.order import ExtractOrder
from reseed.stages.extraction.replayer import Replayer
from reseed.store import ConfigError, EmbeddingStore, ManifestError, StoreError, compact, drop, read_rejects
from reseed.store.atomic import sha256_file
from reseed.store.lock import only_writer
from tests.corpus import prepared, write_corpus, write_manifest, write_wave
from tests.store.stores import assert_same_files

VIEWS = {"clean": View(), "noise": View(noise=(0, 15)), "both": View(reverb=True, babble=10)}
SETTINGS = ExtractSettings(views=VIEWS, crops=CropSettings(count=2, duration_s=0.4), batch=7)


class Levels(Backbone):
    """A backbone that is quick to compute and tells waveforms apart: the energy in eight stretches."""

    name = "levels"
    Config = GE2EConfig  # it has no settings
    sample_rate_hz = 16_000
    embedding_dim = 8

    def __init__(self, config):
        super().__init__()

    def identity(self):
        return {"backbone": self.name}

    def forward(self, waveform_BT):
        return waveform_BT.square().unflatten(1, (8, -1)).mean(dim=-1).sqrt()


@pytest.fixture(autouse=True)
def levels(monkeypatch):
    monkeypatch.setitem(BACKBONES, "levels", Levels)


@pytest.fixture(scope="module")
def manifests(tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("corpus")
    corpus = write_corpus(folder / "audio", splits=("train",), speakers=4, takes=2)
    return prepared(corpus, folder, ("speech", "noise", "rir"))


def run(manifests: dict[str, Path], store: Path, **changes) -> str:
    running = {key: changes.pop(key) for key in ("shards", "job", "shared", "execute") if key in changes}
    return extract(order=order(manifests, **changes), store=store, **{"shards": 3, **running})


def order(manifests: dict[str, Path], **changes) -> ExtractOrder:
    sources = {kind: manifests[kind] for kind in ("noise", "rir") if kind in manifests}
    plain = {"utterances": manifests.get("speech"), "backbone": "levels", "settings": SETTINGS, "seed": 3}
    return ExtractOrder(**{**plain, "sources": sources, **changes})


def by_key(store: EmbeddingStore) -> dict[tuple, np.ndarray]:
    rows = store.rows(["utterance_id", "view", "crop"]).to_pylist()
    return dict(zip([tuple(row.values()) for row in rows], store.vectors(), strict=True))


def test_every_utterance_crop_and_view_has_a_row_in_order(manifests, tmp_path):
    message = run(manifests, tmp_path)
    store = EmbeddingStore(tmp_path)
    assert message == f"{tmp_path}: 8 utterances stored, 0 rejected, 3 shards written"
    assert (len(store), store.dim, store.space) == (8 * 2 * 3, 8, Levels(None).space)
    rows = store.rows().to_pylist()
    assert [(row["crop"], row["view"]) for row in rows[:6]] == [(c, v) for c in range(2) for v in VIEWS]
    assert all((row["snr_db"] is None) == (row["view"] == "clean") for row in rows)
    assert all(row["rir_id"] for row in rows if row["view"] == "both")
    assert store.recipes == {"clean": {}, "noise": {"noise": [0, 15]}, "both": {"reverb": True, "babble": 10}}


def test_the_same_vectors_come_from_any_shard_count_order_and_batch(manifests, tmp_path):
    run(manifests, tmp_path / "a")
    reversed_manifest = tmp_path / "reversed.parquet"
    write_manifest(reversed_manifest, read_manifest(manifests["speech"])[::-1])
    settings = SETTINGS.model_copy(update={"batch": 2})
    run(manifests, tmp_path / "b", utterances=reversed_manifest, shards=1, settings=settings)
    first, second = (by_key(EmbeddingStore(tmp_path / name)) for name in "ab")
    assert first.keys() == second.keys()
    for key, vector in first.items():
        np.testing.assert_allclose(vector, second[key], atol=1e-6)


def test_a_vector_is_the_same_to_the_last_bit_whichever_views_are_extracted_beside_it(manifests, tmp_path):
    settings = SETTINGS.model_copy(update={"crops": CropSettings(count=3, duration_s=1.6)})
    alone = settings.model_copy(update={"views": {"noise": VIEWS["noise"]}})
    run(manifests, tmp_path / "all", backbone="ge2e", settings=settings, shards=1)
    run(manifests, tmp_path / "one", backbone="ge2e", settings=alone, shards=1)
    every, one = EmbeddingStore(tmp_path / "all"), EmbeddingStore(tmp_path / "one")
    np.testing.assert_array_equal(every.vectors("noise"), one.vectors())


def test_jobs_in_any_order_give_the_bytes_of_one_process(manifests, tmp_path):
    run(manifests, tmp_path / "one")
    for job in ("2/3", "0/3", "1/3"):
        assert f"1 shards written by job {job}" in run(manifests, tmp_path / "many", job=Job.parse(job))
    assert "0 shards written" in run(manifests, tmp_path / "many")
    assert_same_files(tmp_path / "one", tmp_path / "many")


def test_a_lost_shard_alone_is_made_again_with_the_same_bytes(manifests, tmp_path):
    run(manifests, tmp_path / "whole")
    run(manifests, tmp_path / "lost")
    kept, lost, _ = sorted((tmp_path / "lost" / "shards").glob("*.h5"))
    lost.unlink()
    before = kept.stat().st_mtime_ns
    assert "1 shards written" in run(manifests, tmp_path / "lost")
    assert kept.stat().st_mtime_ns == before
    assert_same_files(tmp_path / "whole", tmp_path / "lost")
    assert "nothing to do" in run(manifests, tmp_path / "lost")


@pytest.mark.parametrize("shards", [2, 5])
def test_shards_of_an_unfinished_store_are_never_taken_for_ones_cut_otherwise(manifests, tmp_path, shards):
    run(manifests, tmp_path / "a")
    (tmp_path / "a" / "store.json").unlink()
    run(manifests, tmp_path / "a", shards=shards)
    run(manifests, tmp_path / "fresh", shards=shards)
    assert_same_files(tmp_path / "a", tmp_path / "fresh")


def test_a_finished_store_is_left_alone_however_it_is_cut(manifests, tmp_path):
    run(manifests, tmp_path)
    assert "nothing to do" in run(manifests, tmp_path, shards=7)
    compact(tmp_path, rows_per_shard=1_000)
    assert "nothing to do" in run(manifests, tmp_path)


def test_stores_that_are_shared_are_extracted_once_whoever_comes_first(manifests, tmp_path, monkeypatch):
    rendered = []
    write = Extraction._write
    monkeypatch.setattr(Extraction, "_write", lambda self, *given: rendered.append(given[1]) or write(self, *given))
    pool, stores = tmp_path / "pool", [tmp_path / name / "train" for name in "abc"]
    ways = [[None], [Job(0, 2), Job(1, 2), None], [Job(1, 3), Job(0, 3), Job(2, 3), None]]

    def make(store: Path, jobs: list[Job | None]) -> None:
        for number, job in enumerate(jobs):  # extract.shards differ as well
            run(manifests, store, shards=3 + number, job=job, shared=pool)

    with ThreadPoolExecutor() as threads:
        list(threads.map(make, stores, ways))
    assert sorted(rendered) == list(range(8))
    (shared,) = pool.iterdir()
    assert shared.name == EmbeddingStore(shared).fingerprint
    for store in stores:
        assert_same_files(store, shared)
        assert EmbeddingStore(store).verify() is None
        assert all(path.samefile(shared / "shards" / path.name) for path in (store / "shards").iterdir())

    other = order(manifests, seed=9)
    extract(order=other, store=stores[0], shared=pool)
    assert len([*pool.iterdir()]) == 2
    assert EmbeddingStore(stores[0]).fingerprint != shared.name
    for store in (shared, *stores[1:]):
        EmbeddingStore(store).verify()
    assert "nothing to do" in run(manifests, stores[1], shared=pool)


def test_who_drops_from_a_store_with_shared_files_is_told_and_the_others_keep_theirs(manifests, tmp_path):
    for name in "ab":
        run(manifests, tmp_path / name, shared=tmp_path / "pool")
    before = {path: path.read_bytes() for path in (tmp_path / "b").rglob("*") if path.is_file()}
    speaker = next(iter(EmbeddingStore(tmp_path / "a").speaker_ids()))
    said = drop_stage(store=tmp_path / "a", speakers=[speaker])
    assert said.endswith("other stores share its files and still hold what was dropped: drop it there too")
    assert {path: path.read_bytes() for path in before} == before
    with pytest.raises(StoreError, match="was edited"):
        run(manifests, tmp_path / "a", shared=tmp_path / "pool")


def test_an_edited_store_is_not_extracted_over(manifests, tmp_path):
    run(manifests, tmp_path)
    drop(tmp_path, speakers=["toy/s1"])
    with pytest.raises(StoreError, match=r"was edited \(drop\), which extracting would undo"):
        run(manifests, tmp_path)


def test_a_recording_that_changed_since_it_was_prepared_is_a_reject(manifests, tmp_path):
    rows = read_manifest(manifests["speech"])
    changed = replace(rows[1], sha256="0" * 64)
    write_manifest(tmp_path / "speech.parquet", [changed if row is rows[1] else row for row in rows])
    run(manifests, tmp_path / "s", utterances=tmp_path / "speech.parquet")
    (reject,) = read_rejects(tmp_path / "s" / "rejects.parquet")
    assert "has changed since it was prepared" in reject.reason


def test_a_vector_that_is_not_finite_is_a_reject_and_the_rest_goes_on(manifests, tmp_path, monkeypatch):
    class Fragile(Levels):
        def forward(self, waveform_BT):
            embedding_BD = super().forward(waveform_BT)
            return torch.where(embedding_BD[:, :1] == embedding_BD[:, :1].max(), torch.nan, embedding_BD)

    monkeypatch.setitem(BACKBONES, "levels", Fragile)
    whole = SETTINGS.model_copy(update={"batch": 1000, "views": {"clean": View()}})
    assert "7 utterances stored, 1 rejected" in run(manifests, tmp_path, settings=whole, shards=1)
    (reject,) = read_rejects(tmp_path / "rejects.parquet")
    assert reject.reason == "gives a vector that is not finite in float32"


def test_another_seed_view_or_backbone_makes_every_shard_again(manifests, tmp_path):
    run(manifests, tmp_path)
    fingerprints = {EmbeddingStore(tmp_path).fingerprint}
    louder = SETTINGS.model_copy(update={"views": {**VIEWS, "noise": View(noise=0)}})
    for change in ({"seed": 4}, {"settings": louder}, {"backbone": "ge2e"}):
        assert "3 shards written" in run(manifests, tmp_path, **change)
        fingerprints.add(EmbeddingStore(tmp_path).fingerprint)
    assert len(fingerprints) == 4


def test_a_recording_gone_bad_is_a_reject_and_the_rest_goes_on(manifests, tmp_path):
    rows = read_manifest(manifests["speech"])
    lost = replace(rows[2], path=str(tmp_path / "gone.flac"))
    write_manifest(tmp_path / "speech.parquet", [lost if row is rows[2] else row for row in rows])
    assert "7 utterances stored, 1 rejected" in run(manifests, tmp_path / "s", utterances=tmp_path / "speech.parquet")
    (reject,) = read_rejects(tmp_path / "s" / "rejects.parquet")
    assert reject.utterance_id == rows[2].utterance_id
    assert reject.reason.endswith("gone.flac does not exist")


def test_a_view_without_its_recordings_is_refused_before_any_work(manifests, tmp_path):
    with pytest.raises(ConfigError, match="the views ask for rir; give the manifest with --rir"):
        run(manifests, tmp_path / "s", sources={"noise": manifests["noise"]})
    with pytest.raises(ManifestError, match="does not exist; make it with `reseed prepare`"):
        run(manifests, tmp_path / "s", utterances=tmp_path / "nowhere.parquet")
    assert not (tmp_path / "s").exists()


def test_long_recordings_give_the_crops_that_short_ones_do(manifests, tmp_path, monkeypatch):
    run(manifests, tmp_path / "whole")
    monkeypatch.setattr("reseed.stages.extraction.utterance.WHOLE_S", 0.0)
    run(manifests, tmp_path / "parts")
    assert_same_files(tmp_path / "whole", tmp_path / "parts")


@pytest.mark.parametrize("threads", [1, 3])
def test_any_number_of_decoding_threads_gives_the_same_bytes(manifests, tmp_path, threads):
    run(manifests, tmp_path / "one", settings=SETTINGS.model_copy(update={"decoders": threads}))
    run(manifests, tmp_path / "default")
    assert_same_files(tmp_path / "one", tmp_path / "default")


def test_a_batch_that_does_not_fit_is_halved_and_stays_so(manifests, tmp_path, monkeypatch, capsys):
    class Narrow(Levels):
        def forward(self, waveform_BT):
            if len(waveform_BT) > 4:
                raise torch.OutOfMemoryError
            return super().forward(waveform_BT)

    run(manifests, tmp_path / "wide")
    monkeypatch.setitem(BACKBONES, "levels", Narrow)
    run(manifests, tmp_path / "narrow", settings=SETTINGS.model_copy(update={"batch": 16}), shards=1)
    first, second = (by_key(EmbeddingStore(tmp_path / name)) for name in ("wide", "narrow"))
    for key, vector in first.items():
        np.testing.assert_allclose(vector, second[key], atol=1e-6)
    said = capsys.readouterr().err
    assert said.count("out of memory") == 2, "16 and 8 rows are tried, once each"
    assert "out of memory with 8 waveforms; going on with 4 at a time" in said


def test_a_batch_is_embedded_some_at_a_time_on_a_cpu_and_its_vectors_stay():
    backbone = BACKBONES["ge2e"](GE2EConfig())
    passes = []
    backbone.register_forward_pre_hook(lambda _, given: passes.append(len(given[0])))
    generator = torch.Generator().manual_seed(0)
    waveform_BT = 0.1 * torch.randn(25, 32_000, generator=generator)
    with torch.inference_mode():
        cut_BD = Embedder(backbone, "cpu").forward(waveform_BT)
        at_once_BD = backbone(waveform_BT)
        Embedder(backbone, "cpu").forward(waveform_BT[:1].repeat(2, 12))
    assert passes == [9, 9, 7, 25, 1, 1], "20 s at a time, in even parts; what is longer goes alone"
    torch.testing.assert_close(cut_BD, at_once_BD, rtol=0, atol=1e-6)


def test_bfloat16_says_how_far_it_moves_the_vectors_and_is_declared(manifests, tmp_path, capsys):
    settings = SETTINGS.model_copy(
        update={"precision": "bfloat16", "crops": CropSettings(count=1, duration_s=1.6), "views": {"clean": View()}}
    )
    run(manifests, tmp_path / "a", backbone="ge2e", settings=settings)
    run(manifests, tmp_path / "b", backbone="ge2e", settings=settings.model_copy(update={"precision": "float32"}))
    assert "ge2e in bfloat16: cosine with float32: 0.9" in capsys.readouterr().err
    reduced, exact = EmbeddingStore(tmp_path / "a"), EmbeddingStore(tmp_path / "b")
    assert reduced.fingerprint != exact.fingerprint
    assert (np.sum(reduced.vectors() * exact.vectors(), axis=1) > 0.99).all()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_gives_the_vectors_of_the_cpu(manifests, tmp_path):
    settings = SETTINGS.model_copy(update={"crops": CropSettings(count=1, duration_s=1.6)})
    for name in ("cpu", "cuda"):
        run(manifests, tmp_path / name, backbone="ge2e", settings=settings, device=name)
    first, second = (EmbeddingStore(tmp_path / name).vectors() for name in ("cpu", "cuda"))
    assert np.sum(first * second, axis=1).min() > 0.9999


@pytest.mark.parametrize("recipe", ["seed", "broad"])
def test_published_recipes_are_extracted_by_name(manifests, tmp_path, recipe):
    settings = ExtractSettings(recipe=recipe, batch=8)
    run(
        manifests,
        tmp_path,
        settings=settings,
        sources={**{k: manifests[k] for k in ("noise", "rir")}, "music": manifests["noise"]},
    )
    store = EmbeddingStore(tmp_path)
    assert store.views == list(settings.views)
    assert store.header.stored == 8


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"recipe": "sead"}, "recipe: must be seed, broad or grid, not 'sead'; did you mean 'seed'?"),
        ({"recipe": ["seed"]}, "recipe: must be seed, broad or grid, not [seed]"),
        (
            {"recipe": "grid", "views": {"clean": {}}},
            "the recipe grid has views of its own; give either recipe or views",
        ),
        ({"views": {"noise": {"noise": [15, 0]}}}, "views.noise.noise: a range goes from low to high; write [0, 15]"),
    ],
)
def test_a_wrong_recipe_is_one_clear_line(settings, message):
    with pytest.raises(ConfigError) as caught:
        validated(ExtractSettings, settings)
    assert str(caught.value) == message


def test_a_recipe_keeps_its_crops_where_only_a_part_of_them_is_given_and_is_written_down_in_full():
    settings = ExtractSettings.model_validate({"recipe": "seed", "crops": {"count": 3}})
    assert (settings.crops.count, settings.crops.duration_s) == (3, 2.015)
    assert ExtractSettings.model_validate(settings.model_dump(mode="json")) == settings


def test_a_recording_that_cannot_be_read_is_a_reject(manifests, tmp_path, monkeypatch):
    lost = read_manifest(manifests["speech"])[3].path

    def refuse(path):
        if str(path) == lost:
            raise PermissionError(13, "Permission denied")
        return sha256_file(path)

    monkeypatch.setattr("reseed.stages.audio.opener.sha256_once", refuse)
    run(manifests, tmp_path)
    (reject,) = read_rejects(tmp_path / "rejects.parquet")
    assert reject.reason.endswith("cannot be read (Permission denied)")


def test_planning_and_sealing_claim_no_device(manifests, tmp_path, monkeypatch):
    run(manifests, tmp_path, job=Job(0, 1))
    monkeypatch.setattr("reseed.stages.extraction.extraction.claimed", None)
    assert "0 shards written" in run(manifests, tmp_path)
    assert "nothing to do" in run(manifests, tmp_path)


def test_half_precision_halves_the_file_and_keeps_the_vectors(manifests, tmp_path):
    run(manifests, tmp_path / "full")
    run(manifests, tmp_path / "half", settings=SETTINGS.model_copy(update={"dtype": "float16"}))
    full, half = EmbeddingStore(tmp_path / "full"), EmbeddingStore(tmp_path / "half")
    assert half.vectors().dtype == np.float16
    np.testing.assert_allclose(half.vectors(), full.vectors(), atol=1e-3)


def test_ge2e_goes_through_the_whole_path(manifests, tmp_path):
    settings = SETTINGS.model_copy(update={"crops": CropSettings(count=1, duration_s=1.6)})
    run(manifests, tmp_path, backbone="ge2e", settings=settings)
    store = EmbeddingStore(tmp_path)
    norms = np.linalg.norm(store.vectors(), axis=1)
    np.testing.assert_allclose(norms, 1.0, atol=1e-5)
    clean, noisy = (torch.from_numpy(np.array(side)) for side in store.pairs("clean", "noise"))
    assert 0.3 < torch.cosine_similarity(clean, noisy).mean() < 0.999


@pytest.mark.parametrize("text", ["4/4", "1", "a/b", "-1/2"])
def test_a_job_of_no_known_form_is_refused(text):
    with pytest.raises(ConfigError, match="is not INDEX/COUNT"):
        Job.parse(text)


def test_shards_share_the_utterances_evenly():
    assert [piece.stop - piece.start for piece in plan_shards(10, 4)] == [2, 3, 2, 3]
    assert [piece.stop - piece.start for piece in plan_shards(1, 3)] == [0, 0, 1]


def test_a_disk_without_room_is_known_before_the_first_recording_is_read(manifests, tmp_path, monkeypatch):
    monkeypatch.setattr("reseed.stages.common.space.free_bytes_at", lambda path: 1000)
    with pytest.raises(StoreError, match=r"store will take about 2.64 kB more, and its disk has 1 kB left"):
        run(manifests, tmp_path / "store")
    assert not (tmp_path / "store").exists()


def test_a_job_removes_the_lock_of_a_shard_that_was_sealed_when_its_writer_was_killed(manifests, tmp_path):
    store, job = tmp_path / "store", Job(0, 2)
    run(manifests, store, job=job)
    before = sorted((store / "shards").iterdir())
    left, held = (path.with_name(f".{path.stem}.lock") for path in before if path.suffix == ".h5")
    left.touch()
    with only_writer(store, held.stem.removeprefix(".")):
        run(manifests, store, job=job)
        assert (left.exists(), held.exists()) == (False, True)
    assert sorted((store / "shards").iterdir()) == before


LENGTHS = {"a": 24_000, "b": 24_000, "c": 40_008, "d": 16_000}  # samples at 16 kHz


@pytest.fixture(scope="module")
def uneven(tmp_path_factory) -> dict[str, Path]:
    """Manifests of utterances of several lengths, and of noises."""
    folder = tmp_path_factory.mktemp("uneven")
    corpus, generator = write_corpus(folder / "audio", splits=("train",)), np.random.default_rng(0)
    for path in (corpus / "speech").rglob("*.flac"):
        path.unlink()
    for name, samples in LENGTHS.items():
        write_wave(corpus / "speech" / "train" / f"of-{name}" / f"{name}.wav", 0.1 * generator.normal(size=samples))
    return prepared(corpus, folder, ("speech", "noise", "rir"))


def whole(**limits: object) -> ExtractSettings:
    return ExtractSettings(views=VIEWS, crops=CropSettings(duration_s=None, placement="even", **limits), batch=2)


def test_whole_utterances_are_embedded_each_as_it_is(uneven, tmp_path):
    run(uneven, tmp_path / "store", settings=whole(), shards=2)
    store = EmbeddingStore(tmp_path / "store")
    store.verify()
    rows = store.rows(["utterance_id", "view", "start_s", "duration_s"]).to_pylist()
    found = {Path(row["utterance_id"]).name: (row["start_s"], round(row["duration_s"] * 16_000)) for row in rows}
    assert found == {name: (0.0, samples) for name, samples in LENGTHS.items()}
    assert len(rows) == len(LENGTHS) * len(VIEWS)
    for utterance in read_manifest(uneven["speech"]):
        heard = torch.from_numpy(soundfile.read(utterance.path, dtype="float32")[0])
        stored = store.get(utterance.utterance_id, view="clean")
        np.testing.assert_array_equal(stored, Levels(None)(heard[None])[0].numpy())
    replayer = Replayer(tmp_path / "store", recordings=[uneven["speech"].parent])
    assert replayer.replay("of-c/c", "both").largest_difference < 1e-6


def test_windows_of_a_whole_utterance_are_averaged_to_its_very_end(uneven, tmp_path):
    settings = whole(windows=WindowSettings(length_s=1.0, hop_s=0.6))
    run(uneven, tmp_path / "store", settings=settings)
    store = EmbeddingStore(tmp_path / "store")
    for utterance in read_manifest(uneven["speech"]):
        heard = torch.from_numpy(soundfile.read(utterance.path, dtype="float32")[0])[None]
        starts = {"a": [0, 8_000], "b": [0, 8_000], "c": [0, 9_600, 19_200, 24_008], "d": [0]}[
            utterance.utterance_id[-1]
        ]
        found = [torch.nn.functional.normalize(Levels(None)(heard[:, start : start + 16_000])) for start in starts]
        wanted = torch.cat(found).mean(dim=0)
        np.testing.assert_allclose(store.get(utterance.utterance_id, view="clean"), wanted, rtol=1e-6)
    replayer = Replayer(tmp_path / "store", recordings=[uneven["speech"].parent])
    assert replayer.replay("of-c/c", "both").largest_difference < 1e-6
    assert store.fingerprint != fingerprint_of(uneven, tmp_path / "other", whole())


def fingerprint_of(manifests: dict[str, Path], store: Path, settings: ExtractSettings) -> str:
    run(manifests, store, settings=settings)
    return EmbeddingStore(store).fingerprint


def test_utterances_outside_the_limits_are_rejected_or_cut_to_their_middle(uneven, tmp_path):
    run(uneven, tmp_path / "store", settings=whole(min_s=1.2, max_s=1.6))
    store = EmbeddingStore(tmp_path / "store")
    found = {row["utterance_id"]: row for row in store.rows(["utterance_id", "start_s", "duration_s"]).to_pylist()}
    assert (found["of-c/c"]["start_s"], found["of-c/c"]["duration_s"]) == (
        pytest.approx((40_008 / 16_000 - 1.6) / 2),
        1.6,
    )
    assert found["of-a/a"]["duration_s"] == 1.5
    (reject,) = store.rejects()
    assert reject.reason.endswith("d.wav is 1.00 s long, shorter than crops.min_s (1.2 s)")


@pytest.mark.parametrize(
    ("crops", "said"),
    [
        ({"duration_s": None, "count": 2}, "crops.count: must be 1 of whole utterances (duration_s is null)"),
        ({"max_s": 3}, "crops.max_s: is for whole utterances, but duration_s is 1.6; leave it out"),
        ({"duration_s": None, "min_s": 3, "max_s": 2}, "crops.min_s: is above max_s (2)"),
    ],
)
def test_crops_that_cannot_be_are_refused(crops, said):
    with pytest.raises(ConfigError, match=re.escape(said)):
        validated(ExtractSettings, {"views": {"clean": {}}, "crops": crops})


def test_limits_of_crops_do_not_change_what_was_declared_before_there_were_any():
    assert CropSettings().model_dump() == {"count": 1, "duration_s": 1.6, "placement": "random"}
    assert CropSettings.model_validate("whole").model_dump() == {"count": 1, "duration_s": None, "placement": "even"}
