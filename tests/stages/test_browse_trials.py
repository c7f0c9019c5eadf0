"""The trials of a run in the browser: a real server over real scores."""

import html
import os
import re
import shutil
from itertools import combinations
from urllib.parse import urlencode

import pyarrow.parquet as pq
import pytest

from reseed.stages.score import score
from reseed.stages.trial_scoring.order import ScoreOrder
from reseed.stages.trial_scoring.settings import ScoreSettings
from reseed.store import EmbeddingStore
from tests.browser import launched, needs_browser, opened
from tests.stages.auditing.faults import altered, renamed
from tests.stages.scoring.example import make_example, write_manifest, write_trials
from tests.stages.test_browse import HOSTILE, ask, served, write_run


def scored(run, system, store, keep=lambda is_target: True):
    """Score all pairs of a store's utterances."""
    opened_store = EmbeddingStore(store)
    speakers = dict(zip(opened_store.utterance_ids(), opened_store.speaker_ids(), strict=True))
    pairs = [(one, other, speakers[one] == speakers[other], None) for one, other in combinations(speakers, 2)]
    folder = run / "lists" / system
    folder.mkdir(parents=True)
    order = ScoreOrder(
        system=system,
        store=store,
        trials=write_trials(folder / "trials.parquet", [pair for pair in pairs if keep(pair[2])]),
        utterances=write_manifest(folder / "utterances.parquet", list(speakers), list(speakers.values())),
        settings=ScoreSettings(),
        scores=run / "scores" / f"{system}.parquet",
        identification=run / "scores" / f"{system}.identification.parquet",
    )
    order.scores.parent.mkdir(exist_ok=True)
    score(order)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run with the scores of all pairs and of targets alone."""
    root = tmp_path_factory.mktemp("run")
    raw = write_run(root, "test", noise_db=-5, shards=1)
    scored(root, "raw", raw)
    scored(root, "targets", raw, keep=bool)
    return root


@pytest.fixture(scope="module")
def server(run):
    with served(run) as running:
        yield running


def trials(server, **query):
    answer, body = ask(server, f"/trials?{urlencode({'scores': 'scores/raw', **query})}")
    assert answer.status == 200
    return body.decode()


def shown(page):
    """Scores and ids of the trials of a page."""
    items = page.split('<li class="card">')[1:]
    ids = [tuple(map(html.unescape, re.findall(r'<a href="/utterance[^>]*>([^<]*)</a>', item))) for item in items]
    return [
        (float(re.search(r"<strong>(.*?)</strong>", item)[1]), *pair) for item, pair in zip(items, ids, strict=True)
    ]


def rows_of(run, *, is_target, condition):
    rows = pq.read_table(run / "scores" / "raw.parquet").to_pylist()
    return [row for row in rows if row["is_target"] == is_target and row["condition"] == condition]


@pytest.mark.parametrize("error", ["accepts", "rejects"])
def test_errors_of_a_condition_are_listed_worst_first(server, run, error):
    page = trials(server, condition="noise", error=error)
    threshold = float(re.search(r"EER of these trials, ([-0-9.]+):", page)[1])
    accepted = error == "accepts"
    rows = rows_of(run, is_target=not accepted, condition="noise")
    wrong = [row for row in rows if (row["score"] >= threshold - 5e-5) == accepted]
    wrong.sort(key=lambda row: row["score"], reverse=accepted)
    assert wrong
    assert shown(page) == [(round(row["score"], 4), row["enrolment_id"], row["test_id"]) for row in wrong]
    assert f"{len(wrong)} of {len(rows)} {'non-targets are accepted' if accepted else 'targets rejected'}" in page


def test_both_sides_of_a_trial_are_linked_and_heard_as_they_were_compared(server):
    page = trials(server, condition="noise")
    item = page.split('<li class="card">')[1]
    links, sounds = (list(map(html.unescape, re.findall(rf'{name}="(/[^"]*)"', item))) for name in ("href", "src"))
    assert [link.rpartition("&view=")[2] for link in sounds] == ["clean", "noise"]
    assert [ask(server, link)[0].getheader("Content-Type") for link in sounds] == ["audio/wav"] * 2
    for link in links:
        answer, body = ask(server, link)
        assert answer.status == 200
        assert b"/utterance?store=stores/ge2e/test" in body.partition(b"<h2>Scores</h2>")[2]  # trials of either link on


def test_pages_follow_one_another_through_all_trials(server):
    link, seen, pages = "/trials?scores=scores/raw", [], 0
    while link:
        page = ask(server, link)[1].decode()
        seen, pages = seen + shown(page), pages + 1
        following = re.search(r'rel="next" href="([^"]*)"', page)
        link = following and html.unescape(following[1])
    assert (len(seen), pages) == (2 * 66, 3)
    assert len(set(seen)) == len(seen)
    assert shown(trials(server, page=999_999_999)) == seen[100:]
    assert 'rel="prev"' in page
    assert 'rel="prev"' not in trials(server)


def test_the_first_page_of_a_run_leads_to_its_score_files_and_not_to_its_ranks(server):
    assert b'<a href="/trials">' in ask(server, "/")[1]
    page = ask(server, "/trials")[1].decode()
    assert re.findall(r"<option[^>]*>(scores/[^<]*)", page) == ["scores/raw", "scores/targets"]


def test_without_both_classes_nothing_is_decided_and_the_trials_are_shown(server):
    page = trials(server, scores="scores/targets")
    assert "Nothing can be decided here" in page
    found = [score for score, *_ in shown(page)]
    assert len(found) == 24
    assert found == sorted(found)
    assert "No such trials." in trials(server, scores="scores/targets", error="rejects")


def test_names_with_markup_are_shown_and_not_obeyed(run, tmp_path):
    store = tmp_path / "stores" / "hostile"
    altered(run / "stores" / "ge2e" / "test", store, lambda _, v, rows: (v, renamed(rows, lambda name: name + HOSTILE)))
    scored(tmp_path, HOSTILE.replace("/", ""), store)
    with served(tmp_path) as server:
        asked = urlencode({"condition": HOSTILE, "error": HOSTILE, "scoring": HOSTILE})
        page = ask(server, f"/trials?{asked}")[1].decode()
    assert "<img src=x" not in page
    assert page.count("&lt;img src=x") > 200  # the file, and both sides of 50 trials, as texts and as labels
    assert all(name.endswith(HOSTILE) for name in shown(page)[0][1:])


@pytest.mark.parametrize("query", ["scores=../../etc/passwd", "scores=/etc/passwd", "scores=nix", "page=-1", "page=x"])
def test_what_is_not_there_has_a_page_that_says_so(server, query):
    answer, body = ask(server, f"/trials?{query}")
    assert (answer.status, b"<h1>Not found</h1>" in body) == (404, True)


def test_scores_that_are_damaged_or_without_a_store_are_told(tmp_path):
    example = make_example(tmp_path, speakers=4, trials=40, systems=("raw", "wccn"))
    shutil.rmtree(example.stores[1])
    with served(tmp_path) as server:
        assert "nothing can be heard" not in trials(server)
        page = trials(server, scores="scores/wccn")
        assert "nothing can be heard" in page
        assert "<audio" not in page
        os.truncate(example.scores[0], example.scores[0].stat().st_size - 1)
        answer, body = ask(server, "/trials?scores=scores/raw")
        assert (answer.status, b"raw.parquet is damaged" in body) == (404, True)
        shutil.rmtree(tmp_path / "scores")
        assert b"no scores lie in this run" in ask(server, "/trials")[1]
        assert b'<a href="/trials">' not in ask(server, "/")[1]


@needs_browser
def test_in_a_browser_trials_are_filtered_by_keyboard_on_a_narrow_screen(server):
    with launched() as browser, opened(browser, f"{server.url}trials?scores=scores/raw") as seen:
        page = seen.page
        page.set_viewport_size({"width": 390, "height": 844})
        page.focus("select[name=condition]")
        page.keyboard.type("noise")
        page.keyboard.press("Tab")
        page.keyboard.type("false r")
        page.keyboard.press("Tab")
        with page.expect_navigation():
            page.keyboard.press("Enter")
        assert page.locator("select[name=condition]").input_value() == "noise"
        assert page.locator("select[name=error]").input_value() == "rejects"
        assert page.locator("li.card audio").count() == 2 * page.locator("li.card").count() > 0
        assert page.evaluate("document.documentElement.scrollWidth") == 390
        assert seen.messages == []
