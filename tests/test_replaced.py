"""A command that puts another result in the place of an earlier one says so, in one line."""

import re
import shutil

import pytest
from click.testing import CliRunner

from reseed.cli import main
from reseed.stages.common.replaced import result_at

REPLACED = re.compile(r"^replaced (.+), made \d{4}-\d\d-\d\d \d\d:\d\d(?: from (.+))?$", re.MULTILINE)


def reseed(*arguments: object) -> list[tuple[str, str]]:
    """Run a command; return what it says it replaced, and what that was made from."""
    done = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert done.exit_code == 0, done.output
    return REPLACED.findall(done.stderr)


def test_results_that_are_replaced_by_others_are_named_and_the_same_ones_are_not(finished, tmp_path):
    config = ("--config", finished / "config.yaml")
    utterances = ("--utterances", finished / "corpus" / "dev" / "speech" / "utterances.parquet")
    store = finished / "stores" / "ge2e+wccn" / "dev"
    trials, scores, ranks = (tmp_path / f"{name}.parquet" for name in ("trials", "scores", "ranks"))

    make = ("trials", *config, *utterances, "--trials", trials)
    assert [reseed(*make), reseed(*make), reseed(*make, "--set", "seed=7")] == [[], [], [(str(trials), "")]]

    made = ("--system", "wccn", "--scores", scores, "--identification", ranks)
    score = ("score", *config, *utterances, "--trials", trials, *made, "--store")
    assert [reseed(*score, store), reseed(*score, store)] == [[], []]
    replaced = dict(reseed(*score, finished / "stores" / "ge2e" / "dev"))
    assert {*replaced} == {str(scores), str(ranks)}
    assert re.fullmatch(r"ge2e:\w{8}\+wccn:\w{8}, store \w{8}", replaced[str(scores)])

    report = ("report", *config, *utterances, "--scores", scores, "--identification", ranks, "--out", tmp_path / "r")
    again = ("--set", "report.bootstrap_replicates=25", "--store", finished / "stores" / "ge2e" / "dev")
    report = (*report, *again[2:])
    assert [reseed(*report), reseed(*report), reseed(*report, *again[:2])] == [[], [], [(str(tmp_path / "r"), "")]]

    copy = tmp_path / "store"
    shutil.copytree(store, copy)
    header = result_at(copy)
    enhance = ("enhance", "--model", finished / "models" / "quick", "--enhanced", copy)
    (replaced,) = reseed(*enhance, "--store", finished / "stores" / "ge2e" / "dev")
    assert replaced == (str(copy), header.origin)
    assert reseed(*enhance, "--store", finished / "stores" / "ge2e" / "dev") == []


def test_a_store_that_is_not_sealed_is_no_result(finished, tmp_path):
    shutil.copytree(finished / "stores" / "ge2e" / "dev", tmp_path / "store")
    (tmp_path / "store" / "store.json").unlink()
    assert result_at(tmp_path / "store") is None


@pytest.mark.parametrize("name", sorted(main.commands))
def test_every_option_that_names_what_is_written_is_watched(name):
    written = [
        option for option in main.commands[name].params if "to write" in (getattr(option, "help", "") or "").lower()
    ]
    assert [option.name for option in written if option.callback is None] == []
