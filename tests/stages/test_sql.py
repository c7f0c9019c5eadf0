"""SQL over a store: answers, errors that say what there is, and nothing beyond it within reach."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

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
    assert [*answer.rows] == [("clean", 384), ("music", 384), ("noise", 384)]


def test_lists_unnest_and_rejects_join(store):
    noisy = sql(
        store=store,
        query="select noise, count(*) from (select unnest(noise_ids) as noise from catalogue) group by noise",
    )
    assert len([*noisy.rows]) == 16
    assert list(sql(store=store, query="select * from rejects").rows) == [("bad", "extract", "is silent")]


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


def test_without_a_question_the_tables_are_listed(store):
    listed = CliRunner().invoke(main, ["sql", str(store)]).output.splitlines()
    assert listed[0].split() == ["table_name", "column_name", "data_type"]
    assert ["catalogue", "snr_db", "FLOAT"] in [line.split() for line in listed]
    assert ["rejects", "reason", "VARCHAR"] in [line.split() for line in listed]


def test_the_command_prints_a_table_or_json(store):
    query = "select utterance_id, snr_db from catalogue where view = 'clean' order by 1 limit 2"
    told = CliRunner().invoke(main, ["sql", str(store), query])
    assert told.output == "utterance_id  snr_db\n------------  ------\ns0000-0\ns0000-0\n"
    rows = json.loads(CliRunner().invoke(main, ["sql", str(store), query, "--json"]).output)
    assert rows == [{"utterance_id": "s0000-0", "snr_db": None}] * 2


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("", "give one query, not none"),
        (" \n\t", "give one query, not none"),
        ("-- nothing", "give one query, not none"),
        ("/* nothing */ ;", "give one query, not none"),
        ("select 1; select 2", "give one query, not 2"),
        ("create table mine as select 1", "CREATE is not a query"),
        ("set threads = 1", "SET is not a query"),
        ("insert into catalogue values (1)", "INSERT is not a query"),
        ("copy catalogue to 'x.csv'", "COPY is not a query"),
        ("explain analyze copy catalogue to 'x.csv'", "file system operations are disabled"),
        ("selec 1", "syntax error at or near"),
        ("select uterance_id from catalogue", 'Candidate bindings: "utterance_id"'),
        ("select * from catalog", 'Did you mean "catalogue"?'),
        ("select 'a'::int", "Could not convert string 'a' to INT32"),
        ("select error('a\nb')", "Invalid Input Error: a b"),
        ("select '\udc80'", "surrogates not allowed"),
    ],
)
def test_what_is_no_question_is_an_error_of_one_line_that_says_what_there_is(store, query, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    asked = CliRunner().invoke(main, ["sql", str(store), query])
    assert asked.exit_code == 1
    assert asked.output.count("\n") == 1
    assert said in asked.output
    assert "; there is catalogue (utterance_id, speaker_id" in asked.output
    assert not [*tmp_path.iterdir()]


def test_a_pivot_and_an_explanation_are_questions(store):
    pivoted = "pivot (select speaker_id, view from catalogue) on view group by speaker_id order by all limit 1"
    assert [*sql(store=store, query=pivoted).rows] == [("s0000", 16, 16, 16)]
    assert "ARROW_SCAN" in str([*sql(store=store, query="explain select view from catalogue").rows])


def test_columns_are_aligned_where_characters_are_wide_or_take_no_room(store):
    query = "select unnest(['李雷', 'e\u0301', 'plain', 'a\nb\x1b']) as name, 1 as n"
    assert [*sql(store=store, query=query).table()] == [
        "name      n",
        "--------  -",
        "李雷      1",
        "e\u0301         1",
        "plain     1",
        "a\\nb\\x1b  1",
    ]


def test_json_holds_whatever_a_value_is(store):
    query = (
        "select [1, 'nan'::double] as l, map {1: 'a'} as m, date '2020-01-02' as d, 1.5::decimal(3, 1) as x, null as n"
    )
    assert json.loads("".join(sql(store=store, query=query).json())) == [
        {"l": [1, None], "m": {"1": "a"}, "d": "2020-01-02", "x": "1.5", "n": None}
    ]
    assert [*sql(store=store, query="select 1 as a where false").json()] == ["[]"]
    with pytest.raises(ConfigError, match="two columns are called 'a'"):
        [*sql(store=store, query="select 1 as a, 2 as a").json()]


def test_a_long_answer_is_given_as_it_is_worked_out_and_a_closed_pipe_is_no_fault(store):
    query = "select range as n from range(10_000_000_000)"
    with asking(store, query) as process:
        assert process.stdout.readline() == b"n\n"
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 1


def test_a_question_without_end_is_interrupted(store):
    query = "select sum(sin(a.range + b.range)) from range(1_000_000_000) a, range(1_000_000_000) b"
    with asking(store, query) as process:
        while cpu_s(process) < 1:  # loading takes half of that
            assert process.poll() is None
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate()
    assert (process.returncode, said.count(b"\n")) == (130, 1), said


def asking(store, query):
    command = [sys.executable, "-m", "reseed.cli", "sql", str(store), query]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def cpu_s(process):
    """Return how long a process has been at work."""
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
