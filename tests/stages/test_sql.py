"""SQL over a store: answers, errors that say what there is, and nothing beyond it within reach."""

import json

import pytest
from click.testing import CliRunner

from reseed.cli import main
from reseed.stages.sql import sql
from reseed.store import ConfigError, Reject
from tests.stages.auditing.generated import make_store
from tests.stages.scoring.example import make_example


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    path = tmp_path_factory.mktemp("sql") / "stores" / "ge2e" / "train"
    make_store(path, rejects=(Reject("bad", "extract", "is silent"),))
    return path


def test_the_catalogue_is_one_table_over_all_shards(store):
    answer = sql(store=store, query="select view, count(*) as n from catalogue group by view order by view")
    assert answer.columns == ["view", "n"]
    assert answer.rows == [("clean", 384), ("music", 384), ("noise", 384)]


def test_lists_unnest_and_rejects_join(store):
    noisy = sql(
        store=store,
        query="select noise, count(*) from (select unnest(noise_ids) as noise from catalogue) group by noise",
    )
    assert len(noisy.rows) == 16
    assert sql(store=store, query="select * from rejects").rows == [("bad", "extract", "is silent")]


def test_scores_of_the_store_are_found_beside_it(tmp_path):
    example = make_example(tmp_path, views={"clean": {}, "noise_5db": {"noise": 5.0}}, systems=("raw",))
    answer = sql(store=example.stores[0], query="select condition, max(score) from scores where is_target group by all")
    assert {row[0] for row in answer.rows} == {"clean", "noise_5db"}


@pytest.mark.parametrize(
    "query",
    [
        "select * from read_csv('/etc/passwd')",
        "select * from '/etc/passwd'",
        "copy (select 1) to '/tmp/stolen.csv'",
        "attach '/tmp/other.db'",
        "install httpfs",
        "set enable_external_access = true",
        "select * from answer",  # a variable of the program
    ],
)
def test_nothing_else_can_be_read_or_written(store, query):
    with pytest.raises(ConfigError):
        sql(store=store, query=query)


def test_an_error_says_what_there_is(store):
    with pytest.raises(ConfigError, match=r"there is catalogue \(utterance_id, speaker_id, .*; rejects \(utterance_id"):
        sql(store=store, query="select nothing from nowhere")


def test_the_command_prints_a_table_or_json(store):
    query = "select utterance_id, snr_db from catalogue where view = 'clean' order by 1 limit 2"
    told = CliRunner().invoke(main, ["sql", str(store), query])
    assert told.output == "utterance_id  snr_db\n------------  ------\ns0000-0\ns0000-0\n"
    rows = json.loads(CliRunner().invoke(main, ["sql", str(store), query, "--json"]).output)
    assert rows == [{"utterance_id": "s0000-0", "snr_db": None}] * 2
