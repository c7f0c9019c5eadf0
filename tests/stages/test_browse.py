"""A run in the browser: a real server over real stores, asked by a client and shown in a real browser."""

import http.client
import io
import json
import re
import shutil
import threading
from contextlib import contextmanager
from urllib.parse import quote, urlencode

import numpy as np
import pytest
import soundfile
from matplotlib.image import imread

from reseed.stages.audio.recipe import ExtractSettings
from reseed.stages.audit import audit
from reseed.stages.auditing.browsing.server import Server
from reseed.stages.auditing.browsing.stores import RunStores
from reseed.stages.enhance import enhance
from reseed.stages.enhancers.wccn import WccnConfig
from reseed.stages.extract import extract
from reseed.stages.extraction.order import ExtractOrder
from reseed.stages.train import EnhancerOrder, train
from reseed.store import ConfigError, EmbeddingStore
from tests.browser import launched, needs_browser, opened
from tests.corpus import prepared, write_corpus
from tests.stages.auditing.faults import altered, renamed

HOSTILE = "<img src=x onerror=alert(1)>/../../etc/passwd' or 1=1 --"


def write_run(root, split, noise_db, shards):
    """Write the folder of a run with an extracted store, of two views; returns where that lies."""
    (root / "config.yaml").touch()
    corpus = write_corpus(root / "recordings", splits=("train",), speakers=4, takes=3)
    manifests = prepared(corpus, root / "corpus", ("speech", "noise"))
    settings = ExtractSettings(views={"clean": {}, "noise": {"noise": noise_db}}, crops={"count": 1, "duration_s": 1.6})
    store, sources = root / "stores" / "ge2e" / split, {"noise": manifests["noise"]}
    extract(
        order=ExtractOrder(manifests["speech"], "ge2e", settings, seed=0, sources=sources), store=store, shards=shards
    )
    return store


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The folder of a run: an extracted store, one enhanced from it, one whose ids are markup."""
    root = tmp_path_factory.mktemp("run")
    raw = write_run(root, "train", noise_db=5, shards=2)
    train(EnhancerOrder(enhancer="wccn", settings=WccnConfig(), store=raw, model=root / "models" / "wccn", seed=0))
    enhance(store=raw, model=root / "models" / "wccn", enhanced=root / "stores" / "ge2e+wccn" / "train", seed=0)
    altered(raw, root / "stores" / "hostile", lambda _, v, rows: (v, renamed(rows, lambda name: name + HOSTILE)))
    return root


@contextmanager
def served(run, recordings=(), **options):
    server = Server(("127.0.0.1", 0), RunStores(run, recordings), **options)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(scope="module")
def server(run):
    with served(run) as running:
        yield running


def ask(server, path, host=None, method="GET", headers=()):
    connection = http.client.HTTPConnection("127.0.0.1", server.server_address[1])
    connection.request(method, path, headers={**({"Host": host} if host else {}), **dict(headers)})
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer, body


def test_the_stores_of_a_run_are_listed(server):
    answer, body = ask(server, "/")
    assert answer.status == 200
    assert all(name in body.decode() for name in ("stores/ge2e/train", "stores/ge2e+wccn/train", "stores/hostile"))
    assert "default-src 'none'" in answer.getheader("Content-Security-Policy")
    answer, style = ask(server, "/style.css")
    assert (answer.status, b"--accent" in style) == (200, True)


def test_an_utterance_has_its_views_neighbours_and_sound(server, run):
    name = EmbeddingStore(run / "stores" / "ge2e" / "train").utterance_ids()[0]
    _, found = ask(server, f"/store?{urlencode({'name': 'stores/ge2e/train', 'q': name[:6]})}")
    assert quote(name, safe="/") in found.decode()
    _, body = ask(server, f"/utterance?{urlencode({'store': 'stores/ge2e/train', 'id': name})}")
    text = body.decode()
    assert text.count("<audio") == 2
    assert text.count("/utterance?store=stores/ge2e/train&amp;") == 10  # the nearest
    assert text.count("/utterance?store=stores/ge2e%2Bwccn/train&amp;") == 10  # and those after enhancement
    for view in ("clean", "noise"):
        answer, sound = ask(server, f"/audio?{urlencode({'store': 'stores/ge2e/train', 'id': name, 'view': view})}")
        assert answer.getheader("Content-Type") == "audio/wav"
        wave, rate = soundfile.read(io.BytesIO(sound))
        assert (rate, len(wave)) == (16_000, 25_600)


def test_a_sound_has_its_spectrogram(server, run):
    name = EmbeddingStore(run / "stores" / "ge2e" / "train").utterance_ids()[0]
    asked = {"store": "stores/ge2e/train", "id": name}
    answer, picture = ask(server, f"/spectrogram?{urlencode({**asked, 'view': 'clean'})}")
    assert answer.getheader("Content-Type") == "image/png"
    assert imread(io.BytesIO(picture)).shape[:2] == (201, pytest.approx(1.6 / 0.005, abs=5))
    assert picture != ask(server, f"/spectrogram?{urlencode({**asked, 'view': 'noise'})}")[1]
    assert ask(server, f"/spectrogram?{urlencode({**asked, 'view': 'nix'})}")[0].status == 404


@pytest.mark.parametrize(("store", "beside"), [("ge2e", "ge2e+wccn"), ("ge2e+wccn", "ge2e")])
def test_neighbours_before_and_after_enhancement_stand_side_by_side(server, run, store, beside):
    both = [f"stores/{name}/train" for name in (store, beside)]
    utterance = EmbeddingStore(run / both[0]).utterance_ids()[0]
    _, body = ask(server, f"/utterance?{urlencode({'store': both[0], 'id': utterance, 'view': 'noise'})}")
    tables = [table.partition("</table>")[0] for table in body.decode().split("<caption>")[1:]]
    for name, table in zip(both, tables, strict=False):
        opened_store = EmbeddingStore(run / name)
        clean, noisy = opened_store.vectors("clean"), opened_store.get(utterance, view="noise")
        cosines = clean @ noisy / np.linalg.norm(clean, axis=1) / np.linalg.norm(noisy)
        speakers = dict(zip(opened_store.utterance_ids(), opened_store.speaker_ids(), strict=True))
        nearest = [found for found in np.array(list(speakers))[np.argsort(-cosines)] if found != utterance][:10]
        assert table.startswith(name)
        assert re.findall(r'<a href="/utterance[^>]*>([^<]*)<', table) == nearest
        same = sum(speakers[found] == speakers[utterance] for found in nearest)
        assert f"{same} of 10 by the same speaker" in table


@pytest.mark.parametrize("query", ["beside=stores/hostile", "beside=../..", "view=nix"])
def test_neighbours_of_what_is_not_there_are_refused(server, run, query):
    name = EmbeddingStore(run / "stores" / "ge2e" / "train").utterance_ids()[0]
    assert ask(server, f"/utterance?store=stores/ge2e/train&id={quote(name)}&{query}")[0].status == 404


def test_what_an_enhanced_vector_was_made_from_can_be_heard(server, run):
    name = EmbeddingStore(run / "stores" / "ge2e+wccn" / "train").utterance_ids()[0]
    asked = urlencode({"store": "stores/ge2e+wccn/train", "id": name, "view": "noise"})
    assert ask(server, f"/audio?{asked}")[0].status == 200


@pytest.mark.parametrize(
    "path",
    [
        "/../../etc/passwd",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/store?name=../../../etc",
        "/store?name=/etc",
        "/utterance?store=stores/ge2e/train&id=../../../../etc/passwd",
        "/audio?store=stores/ge2e/train&id=../../../../etc/passwd&view=clean",
        "/audio?store=stores/ge2e/train&id=s0-0&view=../clean",
        "/audio?store=stores/ge2e/train&id=s0-0&view=clean&crop=-1",
        "/utterance?store=stores/ge2e/train",
        "/stores/ge2e/train/store.json",
        "/config.yaml",
    ],
)
def test_nothing_beyond_the_stores_can_be_reached(server, path):
    answer, body = ask(server, path)
    assert answer.status == 404
    assert b"root:" not in body


def test_other_hosts_and_other_verbs_are_refused(server):
    assert ask(server, "/", host="evil.example:80")[0].status == 403
    assert ask(server, "/", host=f"localhost:{server.server_address[1]}")[0].status == 200
    assert ask(server, "/", method="POST")[0].status == 501
    assert ask(server, "/", method="DELETE")[0].status == 501
    answer, body = ask(server, "/", method="HEAD")
    assert (answer.status, body) == (200, b"")


def test_ids_with_markup_are_shown_and_not_obeyed(server, run):
    name = EmbeddingStore(run / "stores" / "hostile").utterance_ids()[0]
    _, body = ask(server, f"/utterance?{urlencode({'store': 'stores/hostile', 'id': name})}")
    assert "<img src=x" not in body.decode()
    assert "&lt;img src=x" in body.decode()


def test_a_damaged_store_is_named_and_the_others_are_shown(run, tmp_path):
    copy = shutil.copytree(run / "stores", tmp_path / "stores")
    next((copy / "ge2e" / "train" / "shards").glob("*.h5")).unlink()
    with served(tmp_path) as server:
        _, body = ask(server, "/")
        assert "is missing" in body.decode()
        assert ask(server, "/store?name=stores/hostile")[0].status == 200


def test_a_folder_without_stores_is_one_clear_error(tmp_path):
    with pytest.raises(ConfigError, match="holds no finished store; give the folder of a run"):
        RunStores(tmp_path)


@pytest.fixture(scope="module")
def browser():
    with launched() as running:
        yield running


@needs_browser
def test_in_a_browser_an_utterance_is_found_and_heard(server, run, browser):
    name = EmbeddingStore(run / "stores" / "ge2e" / "train").utterance_ids()[3]
    with opened(browser, server.url) as shown:
        page, search = shown.page, "input[name=q]:focus"  # the page gives it the focus, once it is drawn
        page.click("text=stores/ge2e/train")
        page.wait_for_selector(search)
        page.fill(search, name)
        page.click("button")
        page.wait_for_selector(search)
        page.click(f"text={name}")
        assert page.locator("h1").inner_text() == name
        heard_s = page.evaluate(
            """async () => {
                const sound = document.querySelectorAll("audio")[1];
                await new Promise((loaded, failed) => {
                    sound.oncanplaythrough = loaded;
                    sound.onerror = () => failed(sound.error.message);
                    sound.load();
                });
                return sound.duration;
            }"""
        )
        assert heard_s == pytest.approx(1.6, abs=0.01)
        assert not any("/spectrogram" in address for address in shown.requests)
        with page.expect_response(lambda answer: "/spectrogram" in answer.url):
            page.locator("summary").nth(1).press("Enter")
        assert (
            page.locator("details img").nth(1).evaluate("async (img) => (await img.decode(), img.naturalHeight)") == 201
        )
        assert sum("/spectrogram" in address for address in shown.requests) == 1  # no other is rendered
        assert shown.messages == []
        assert all(address.startswith((server.url, "data:")) for address in shown.requests)


@needs_browser
def test_in_a_browser_the_page_of_an_audit_tells_and_colours(run, browser, tmp_path):
    audit(store=run / "stores" / "ge2e" / "train", page=tmp_path / "page.html", replay=0)
    with opened(browser, (tmp_path / "page.html").as_uri()) as shown:
        page = shown.page
        dots = page.locator("#space circle")
        assert dots.count() == 24
        dots.nth(5).hover()
        told = page.locator("#tooltip").inner_text()
        points = json.loads(page.locator("#points").text_content())
        assert points[5]["utterance"] in told
        assert points[5]["view"] in told
        inks = {}
        for by in ("view", "speaker", "snr"):
            page.check(f"input[value={by}]")
            inks[by] = [dots.nth(place).get_attribute("fill") for place in range(24)]
        assert [len(set(inks[by])) for by in ("view", "speaker", "snr")] == [2, 4, 2]
        dots.nth(5).click()
        assert page.locator("#space circle.marked").count() == 2  # its two views
        assert shown.messages == []
        assert shown.requests == [(tmp_path / "page.html").as_uri(), "data:,"] or len(shown.requests) == 1
