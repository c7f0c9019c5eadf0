"""Calibration end to end: speakers held out, quality measured, scores turned into likelihood ratios, systems fused."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from reseed.stages.calibrate import calibrate
from reseed.stages.divide import divide
from reseed.stages.quality import quality
from reseed.stages.score import score
from reseed.stages.scoring.metrics import actual_dcf, cllr, eer, min_cllr, min_dcf
from reseed.stages.trial_scoring.files import read_scores
from reseed.stages.trial_scoring.inputs.lists import ENROLMENTS_SCHEMA
from reseed.stages.trial_scoring.order import ScoreOrder
from reseed.stages.trial_scoring.settings import CalibrationSettings, ScoreSettings
from reseed.store import Declaration, ManifestError, ScoringError, finalise, write_shard
from reseed.store.inputs import DeclaredInputs
from tests.stages.scoring.example import simulate, write_manifest, write_store, write_trials

VIEWS = {"clean": {}, "noise_5db": {"noise": 5.0}, "noise_0db": {"noise": 0.0}}


class World:
    """Thirty speakers, half of them for the fit; two systems, whose noise is drawn apart."""

    def __init__(self, root: Path) -> None:
        self.root = root
        people = [f"s{number:02d}" for number in range(30) for _ in range(5)]
        ids = [f"{who}-{number % 5}" for number, who in enumerate(people)]
        self.utterances = write_manifest(root / "utterances.parquet", ids, people)
        self.stores = {}
        self.trials = {}
        for half, rows in (("held", range(75)), ("test", range(75, 150))):
            pairs = [(a, b) for a in rows for b in rows if a < b]
            listed = [(ids[a], ids[b], people[a] == people[b], None) for a, b in pairs]
            self.trials[half] = write_trials(root / f"{half}.trials.parquet", listed)
        for system in ("raw", "wccn"):
            vectors = simulate(people, VIEWS, dim=16, crops=2, system=system)
            space = "toy:1" if system == "raw" else "toy:1+wccn:2"
            self.stores[system] = write_store(root / system, ids, people, vectors, VIEWS, space)
            for half in ("held", "test"):
                self.score(half, system)

    def score(self, half: str, system: str, **options: Any) -> Path:
        score(
            ScoreOrder(
                store=self.stores[system],
                utterances=self.utterances,
                scores=self.scores(half, system),
                identification=self.root / "identification.parquet",
                system=system,
                **{
                    "trials": self.trials[half],
                    "settings": ScoreSettings(scorings=("cosine", "crop_distance")),
                    **options,
                },
            )
        )
        return self.scores(half, system)

    def scores(self, half: str, system: str) -> Path:
        return self.root / f"{half}.{system}.parquet"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(tmp_path_factory.mktemp("world"))


def both(path: Path, scoring: str, view: str | None = None) -> tuple[np.ndarray, np.ndarray]:
    rows = [r for r in pq.read_table(path).to_pylist() if r["scoring"] == scoring and view in (None, r["condition"])]
    values, same = np.array([r["score"] for r in rows]), np.array([r["is_target"] for r in rows])
    return values[same], values[~same]


def run(world: World, out: Path, systems: tuple[str, ...] = ("raw",), **options: Any) -> Path:
    settings = CalibrationSettings(**options.pop("settings", {}))
    files = {
        "held_out": [world.scores("held", s) for s in systems],
        "scores": [world.scores("test", s) for s in systems],
    }
    calibrate(**{**files, "calibrated": out, "settings": settings, **options})
    return out


def test_scores_become_likelihood_ratios_that_other_speakers_confirm(world, tmp_path):
    out = run(world, tmp_path / "raw.parquet")
    before, after = both(world.scores("test", "raw"), "cosine"), both(out, "cosine+calibrated")
    assert cllr(*after) < min_cllr(*after) + 0.05 < cllr(*before)
    assert actual_dcf(*after) < min_dcf(*after) + 0.1
    assert eer(*after) == pytest.approx(eer(*before), abs=1e-12)
    table, origin = read_scores(out)
    assert set(table["scoring"].to_pylist()) == {"cosine+calibrated", "crop_distance+calibrated"}
    assert set(table["system"].to_pylist()) == {"raw"}
    fit = origin.scorings["cosine+calibrated"].calibration
    assert fit.features == ("score of raw",)
    assert fit.p_target == 0.05
    assert fit.weight_F[0] > 0


def test_gaussian_classes_calibrate_and_fuse_too_and_the_file_says_so(world, tmp_path):
    out = run(world, tmp_path / "raw.parquet", settings={"method": "gaussian"})
    before, after = both(world.scores("test", "raw"), "cosine"), both(out, "cosine+calibrated")
    assert cllr(*after) < min_cllr(*after) + 0.05 < cllr(*before)
    assert eer(*after) == pytest.approx(eer(*before), abs=1e-12)
    assert read_scores(out)[1].scorings["cosine+calibrated"].calibration.method == "gaussian"
    fused = run(world, tmp_path / "fused.parquet", ("raw", "wccn"), settings={"method": "gaussian"})
    by_regression = run(world, tmp_path / "regression.parquet", ("raw", "wccn"))
    rates = [eer(*both(path, "cosine+calibrated")) for path in (fused, by_regression)]
    assert rates[0] == pytest.approx(rates[1], abs=0.01)


def test_fusion_of_two_systems_is_no_worse_than_the_better_one(world, tmp_path):
    fused = run(world, tmp_path / "fused.parquet", ("raw", "wccn"))
    alone = [run(world, tmp_path / f"{s}.parquet", (s,)) for s in ("raw", "wccn")]
    rates = [eer(*both(path, "cosine+calibrated")) for path in (*alone, fused)]
    assert rates[2] < min(rates[:2]) + 0.002
    table, origin = read_scores(fused)
    assert set(table["system"].to_pylist()) == {"raw+wccn"}
    assert origin.method == "fusion"
    assert origin.space.startswith("toy:1+fusion:")
    assert origin.config == {"of": ["toy:1", "toy:1+wccn:2"]}
    assert origin.fused == ("toy:1", "toy:1+wccn:2")


def test_quality_measures_join_in_and_bring_conditions_to_one_scale(world, tmp_path):
    reference = with_snr(world, tmp_path / "reference")
    made = tmp_path / "quality.parquet"
    said = quality(store=world.stores["raw"], reference=reference, utterances=world.utterances, quality=made)
    table = pq.read_table(made).to_pandas()
    mean = table.groupby("condition", observed=True).snr_db.mean()
    assert mean["clean"] > mean["noise_5db"] + 3 > mean["noise_0db"] + 4
    assert "150 utterances in 3 views; SNR estimated to" in said
    assert set(table.duration_s) == {2.0}
    assert table.norm.std() > 0
    plain = run(world, tmp_path / "plain.parquet")
    with pytest.raises(ScoringError, match="snr: give --quality and --held-out-quality"):
        run(world, tmp_path / "q.parquet", settings={"quality": ("snr",)})
    measured = run(
        world,
        tmp_path / "q.parquet",
        settings={"quality": ("snr", "duration", "norm")},
        quality=made,
        held_out_quality=made,
    )
    # All conditions under one threshold: what a measure of quality is for.
    assert cllr(*both(measured, "cosine+calibrated")) < cllr(*both(plain, "cosine+calibrated"))
    features = read_scores(measured)[1].scorings["cosine+calibrated"].calibration.features
    assert features[:3] == ("score of raw", "snr, the lower", "snr, difference")


def test_a_model_of_several_utterances_has_the_mean_of_their_quality(world, tmp_path):
    rows = [("model", "s20-0"), ("model", "s20-1")]
    columns = dict(zip(ENROLMENTS_SCHEMA.names, map(list, zip(*rows, strict=True)), strict=True))
    enrolments = tmp_path / "enrolments.parquet"
    pq.write_table(pa.table(columns, schema=ENROLMENTS_SCHEMA), enrolments)
    listed = [("model", "s20-2", True, None), ("model", "s21-2", False, None)]
    trials = write_trials(tmp_path / "trials.parquet", listed)
    settings = ScoreSettings()
    scores = tmp_path / "scores.parquet"
    score(
        ScoreOrder(
            store=world.stores["raw"],
            trials=trials,
            utterances=world.utterances,
            scores=scores,
            identification=tmp_path / "i.parquet",
            system="raw",
            settings=settings,
            enrolments=enrolments,
        )
    )
    made = tmp_path / "quality.parquet"
    reference = with_snr(world, tmp_path / "reference")
    quality(store=world.stores["raw"], reference=reference, utterances=world.utterances, quality=made)
    options = {
        "scores": [scores],
        "quality": made,
        "held_out_quality": made,
        "settings": {"quality": ("norm",)},
    }
    with pytest.raises(ScoringError, match="no measures of model in view clean .* --enrolments"):
        run(world, tmp_path / "out.parquet", **options)
    out = run(world, tmp_path / "out.parquet", enrolments=enrolments, **options)
    assert both(out, "cosine+calibrated", "clean")[0][0] > both(out, "cosine+calibrated", "clean")[1][0]


def test_files_that_do_not_belong_together_are_named(world, tmp_path):
    with pytest.raises(ScoringError, match="1 score files but 2 held-out ones"):
        run(world, tmp_path / "x", held_out=[world.scores("held", "raw")] * 2)
    with pytest.raises(ScoringError, match=r"held.wccn.parquet scores toy:1\+wccn:2, .*test.raw.parquet scores toy:1"):
        run(world, tmp_path / "x", held_out=[world.scores("held", "wccn")])
    with pytest.raises(ScoringError, match="score other trials, or in another order"):
        run(world, tmp_path / "x", ("raw", "raw"), scores=[world.scores("test", "raw"), world.scores("held", "raw")])
    with pytest.raises(ScoringError, match="nothere.parquet does not exist"):
        run(world, tmp_path / "x", scores=[tmp_path / "nothere.parquet"])
    assert not (tmp_path / "x").exists()


def rewritten(source: Path, path: Path, change: Any, **options: Any) -> Path:
    """A score file with its table changed, its metadata kept."""
    table = pq.read_table(source)
    metadata = table.schema.metadata
    pq.write_table(change(table).replace_schema_metadata(metadata), path, **options)
    return path


def test_files_of_other_row_groups_are_fused_all_the_same(world, tmp_path):
    cut = rewritten(world.scores("test", "wccn"), tmp_path / "cut.parquet", lambda table: table, row_group_size=777)
    whole = run(world, tmp_path / "whole.parquet", ("raw", "wccn"))
    other = run(world, tmp_path / "other.parquet", ("raw", "wccn"), scores=[world.scores("test", "raw"), cut])
    assert both(whole, "cosine+calibrated")[0] == pytest.approx(both(other, "cosine+calibrated")[0])
    short = rewritten(world.scores("test", "wccn"), tmp_path / "short.parquet", lambda table: table.slice(0, 5000))
    with pytest.raises(ScoringError, match="score other trials, or in another order"):
        run(world, tmp_path / "x", ("raw", "wccn"), scores=[world.scores("test", "raw"), short])


def test_what_would_flatter_or_make_no_sense_is_refused(world, tmp_path):
    raw = world.scores("test", "raw")
    with pytest.raises(ScoringError, match=r"15 speakers are in the trials of .*, e\.g\. s15, s16, s17: such a calib"):
        run(world, tmp_path / "x", held_out=[raw])
    calibrated = [run(world, tmp_path / f"{half}.p", scores=[world.scores("test", "raw")]) for half in ("a", "b")]
    with pytest.raises(ScoringError, match="calibrated, which is calibrated already"):
        run(world, tmp_path / "x", held_out=calibrated[:1], scores=calibrated[1:])
    nan = pa.array(np.full(pq.read_metadata(raw).num_rows, np.nan))
    broken = rewritten(raw, tmp_path / "nan.p", lambda table: table.set_column(8, "score", nan))
    with pytest.raises(ScoringError, match="trials of cosine have a score that is not finite"):
        run(world, tmp_path / "x", scores=[broken])
    empty = rewritten(raw, tmp_path / "empty.p", lambda table: table.slice(0, 0))
    with pytest.raises(ScoringError, match="empty.p holds no scores"):
        run(world, tmp_path / "x", scores=[empty])
    noisy = world.score("test", "raw", settings=ScoreSettings(enrolment_view="noise_5db"))
    with pytest.raises(ScoringError, match="enrols from the view clean, .* from noise_5db"):
        run(world, tmp_path / "x", scores=[noisy])
    world.score("test", "raw")
    assert not (tmp_path / "x").exists()


def test_a_large_held_out_file_is_thinned_evenly(world, tmp_path, monkeypatch):
    whole = run(world, tmp_path / "whole.parquet")
    monkeypatch.setattr("reseed.stages.calibrate._FITTED_P", 4000)
    thin = run(world, tmp_path / "thin.parquet")
    facts = [read_scores(path)[1].scorings["cosine+calibrated"].calibration for path in (whole, thin)]
    assert facts[0].weight_F != facts[1].weight_F
    assert facts[1].weight_F == pytest.approx(facts[0].weight_F, rel=0.3)


def test_snr_is_learnt_from_rows_at_random_whatever_the_number_of_views(world, tmp_path, monkeypatch):
    monkeypatch.setattr("reseed.stages.quality._FITTED_N", 300)  # a third: every third row would be of one view
    reference = with_snr(world, tmp_path / "reference")
    made = tmp_path / "quality.parquet"
    quality(store=world.stores["raw"], reference=reference, utterances=world.utterances, quality=made)
    mean = pq.read_table(made).to_pandas().groupby("condition", observed=True).snr_db.mean()
    assert mean["clean"] > mean["noise_5db"] > mean["noise_0db"]


def test_held_out_trials_without_labels_or_of_one_class_are_refused(world, tmp_path):
    for label, message in (
        (None, "holds no labelled trial"),
        (False, "cosine: calibration needs target and non-target"),
    ):
        trials = write_trials(tmp_path / "trials.parquet", [("s01-0", "s02-0", label, None)])
        scores = tmp_path / "held.parquet"
        score(
            ScoreOrder(
                store=world.stores["raw"],
                trials=trials,
                utterances=world.utterances,
                scores=scores,
                identification=tmp_path / "i.parquet",
                system="raw",
                settings=ScoreSettings(),
            )
        )
        with pytest.raises(ScoringError, match=message):
            run(world, tmp_path / "x", held_out=[scores])


def test_speakers_are_divided_whole_reproducibly_and_singles_stay(tmp_path):
    people = ["a", "a", "b", "b", "c", "c", "d", "d", "single", None]
    ids = [f"u{number}" for number in range(10)]
    utterances = with_every_column(write_manifest(tmp_path / "u.parquet", ids, people))
    paths = {"held_out": tmp_path / "held.parquet", "rest": tmp_path / "rest.parquet"}
    said = divide(utterances=utterances, share=0.5, seed=0, **paths)
    held, rest = (pq.read_table(path) for path in paths.values())
    assert "2 of 4 speakers" in said
    assert (held.num_rows, rest.num_rows) == (4, 6)
    assert set(held["speaker_id"].to_pylist()).isdisjoint(rest["speaker_id"].to_pylist())
    assert {"single", None} <= set(rest["speaker_id"].to_pylist())
    divide(utterances=utterances, share=0.5, seed=0, **paths)
    assert pq.read_table(paths["held_out"]).equals(held)
    with pytest.raises(
        ManifestError, match=r"4 speakers have two or more utterances; 0.1 of them held out leaves fewer"
    ):
        divide(utterances=utterances, share=0.1, seed=0, **paths)


def with_every_column(path: Path) -> Path:
    table = pq.read_table(path)
    count = table.num_rows
    extra = {
        "start_s": pa.array([0.0] * count),
        "sample_rate_hz": pa.array([16000] * count, pa.int32()),
        "channels": pa.array([1] * count, pa.int32()),
        "split": pa.nulls(count, pa.string()),
        "sha256": pa.array(["0"] * count),
    }
    for name, column in extra.items():
        table = table.append_column(name, column)
    pq.write_table(table, path)
    return path


def with_snr(world: World, path: Path) -> Path:
    """The raw store once more, with the SNR in its catalogue."""
    from reseed.store import EmbeddingStore

    source = EmbeddingStore(world.stores["raw"])
    declaration = Declaration(
        source.dim, "float32", source.recipes, source.crops, source.space, DeclaredInputs(further={"toy": 2})
    )
    rows = source.rows()
    snr = {"clean": None, "noise_5db": 5.0, "noise_0db": 0.0}
    column = pa.array([snr[view] for view in rows["view"].to_pylist()], pa.float32())
    vectors = np.concatenate([source.shard(position).vectors() for position in range(len(source.shards))])
    written = write_shard(path, 0, vectors, rows.append_column("snr_db", column), declaration)
    finalise(path, declaration, [written], 150)
    return path
