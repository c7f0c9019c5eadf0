import numpy as np
import pyarrow.parquet as pq
import pytest

from reseed.stages.evaluate import evaluate
from reseed.stages.reporting.results.files import RunFiles
from reseed.stages.reporting.results.load import load
from reseed.stages.reporting.results.run_flips import measure_flips
from reseed.stages.reporting.results.styles import system_labels, system_styles
from reseed.stages.scoring.detection_costs import Costs
from tests.stages.scoring.example import make_example

VIEWS = {"clean": {}, "noise_0db": {"noise": 0.0}}


@pytest.fixture(scope="module")
def example(tmp_path_factory):
    return make_example(tmp_path_factory.mktemp("example"), views=VIEWS, systems=("raw", "wccn", "mse"), trials=600)


def measured(example, scores=None, stores=None, is_audio=True):
    loaded = load([RunFiles("", scores or example.scores, [], stores or [], example.utterances)])
    styles = system_styles(system_labels([scored.system for scored in loaded.systems]))
    found = measure_flips(loaded.systems, styles, Costs(0.05), is_audio=is_audio)
    return {(system.name, system.scoring): flipped for system, flipped in found.items()}


def test_a_run_and_its_score_files_in_evaluate_say_the_same(example):
    found = measured(example)
    assert found.keys() == {("wccn", "cosine"), ("mse", "cosine")}
    expected = evaluate(scores=example.scores, replicates=0).evaluation.found.flipped
    assert expected.worse
    assert [counts for flipped in found.values() for counts in flipped.changed] == expected.changed
    assert worst(found) == {trial for trial in expected.worse if not trial.is_drawn}


def found_worse(found):
    return [trial for flipped in found.values() for trial in flipped.worse]


def worst(found):
    return {trial for trial in found_worse(found) if not trial.is_drawn}


def test_the_order_of_the_trials_in_a_file_does_not_matter(example, tmp_path):
    table = pq.read_table(example.scores[2])
    mixed = tmp_path / "mse.parquet"
    pq.write_table(table.take(np.random.default_rng(0).permutation(table.num_rows)), mixed)
    first, second = (measured(example, [example.scores[0], path]) for path in (example.scores[2], mixed))
    assert first["mse", "cosine"].changed == second["mse", "cosine"].changed
    assert worst(first) == worst(second)


def test_a_system_that_scored_other_trials_is_left_out(example, tmp_path):
    table = pq.read_table(example.scores[2])
    fewer = tmp_path / "mse.parquet"
    pq.write_table(table.slice(1), fewer)
    assert measured(example, [*example.scores[:2], fewer]).keys() == {("wccn", "cosine")}


def test_both_sides_are_heard_in_the_views_that_were_scored(example):
    worse = measured(example, stores=example.stores)["mse", "cosine"].worse
    assert worse
    for trial in worse:
        enrolment, test = (command.split() for command in trial.to_hear)
        assert enrolment[:6] == ["reseed", "replay", str(example.stores[0]), trial.enrolment_id, "--view", "clean"]
        assert test[3:6] == [trial.test_id, "--view", trial.condition]
    assert not any(trial.to_hear for trial in found_worse(measured(example, stores=example.stores, is_audio=False)))
    assert not any(trial.to_hear for trial in found_worse(measured(example)))
