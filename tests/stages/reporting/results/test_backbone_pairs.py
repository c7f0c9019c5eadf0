from pathlib import Path

import pytest

from reseed.stages.reporting.results.backbone_pairs import compare_pairs, other_seeds
from reseed.stages.reporting.results.files import BackbonePair, RunFiles
from reseed.stages.reporting.results.summary import summarise
from reseed.stages.reporting.tables import pair_table
from tests.stages.reporting.example import results_of
from tests.stages.reporting.results.test_summary import measured

PAIRS = {f"old~new:nessa-{seed}": BackbonePair("old~new", "nessa", "old", "new") for seed in (0, 1)}


def compared(*measurements, pairs=PAIRS):
    run = RunFiles("", [], [], [], Path("utterances.parquet"), pairs)
    return list(compare_pairs(summarise(measurements), [run]))


def test_the_gain_ratio_is_the_share_of_the_gain_of_updating_both():
    old, new = measured("old", "clean", 0.20), measured("new", "clean", 0.10, backbone="small")
    seeds = [measured(name, "clean", eer) for name, eer in zip(PAIRS, (0.12, 0.14), strict=True)]
    [comparison] = compared(old, new, *seeds)
    clean = comparison.parts["clean"]
    assert (clean.enrolment, clean.test, clean.mean) == pytest.approx((0.2, 0.1, 0.13))
    assert clean.gain_ratio == pytest.approx(0.7)
    assert clean.deviation == pytest.approx(0.02 / 2**0.5)
    assert "noisy" not in comparison.parts
    assert comparison.row()["clean_gain_ratio"] == pytest.approx(0.7)
    assert comparison.row()["noisy_gain_ratio"] is None
    table = pair_table(results_of(backbone_pairs=[comparison]))
    assert [cell.text for cell in table.rows[0].cells] == ["20.00", "10.00", "13.00", "0.70"]
    assert table.rows[0].cells[2].small_print == "± 1.41, 2 seeds"


def test_whichever_side_is_the_better_one_counts_as_updated():
    new, old = measured("old", "clean", 0.10), measured("new", "clean", 0.20)
    [comparison] = compared(new, old, measured("old~new:nessa-0", "clean", 0.25))
    assert comparison.parts["clean"].gain_ratio == pytest.approx(-0.5)
    assert comparison.parts["clean"].deviation is None


def test_sides_that_are_equal_have_no_gain_to_keep():
    same = [measured(name, "clean", 0.1) for name in ("old", "new", "old~new:nessa-0")]
    [comparison] = compared(*same)
    assert comparison.parts["clean"].gain_ratio is None
    assert pair_table(results_of(backbone_pairs=[comparison])).rows[0].cells[3].text == "–"


def test_an_alignment_under_other_seeds_is_shown_once():
    systems = [measured(name, "clean", 0.1).system for name in ("old", *PAIRS)]
    run = RunFiles("", [], [], [], Path("utterances.parquet"), PAIRS)
    assert other_seeds(systems, [run]) == {systems[2]}


def test_no_pairs_make_no_table():
    assert compared(measured("raw", "clean", 0.1), pairs={}) == []
    assert pair_table(results_of()) is None
