"""A run in the browser, asked by clients of every kind: slow, broken, hostile, and those that ask for parts."""

import io
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
from contextlib import ExitStack
from http import HTTPStatus
from urllib.parse import quote, urlencode

import pytest
import soundfile
from click.testing import CliRunner

from reseed.cli import main
from reseed.stages.audio.recipe import ExtractSettings
from reseed.stages.extract import extract
from reseed.stages.extraction.order import ExtractOrder
from reseed.store import EmbeddingStore
from tests.browser import launched, needs_browser, opened
from tests.corpus import prepared, voice
from tests.stages.auditing.faults import altered, renamed
from tests.stages.test_browse import ask, served

LONG_S = 180.0
EVIL = "\x1b]0;owned\x07\u202egnp.<script>alert(1)</script>"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A folder of stores of recordings that last three minutes: a sound is more than a socket holds."""
    root = tmp_path_factory.mktemp("long")
    path = root / "recordings" / "speech" / "train" / "s0" / "0.flac"
    path.parent.mkdir(parents=True)
    soundfile.write(path, voice(0, 0, LONG_S), 16_000)
    manifests = prepared(root / "recordings", root / "corpus", ("speech",))
    settings = ExtractSettings(views={"clean": {}}, crops={"count": 1, "duration_s": LONG_S})
    extract(order=ExtractOrder(manifests["speech"], "ge2e", settings, seed=0), store=root / "run" / "a", shards=1)
    altered(root / "run" / "a", root / "run" / "evil", lambda _, v, rows: (v, renamed(rows, lambda name: name + EVIL)))
    return root / "run"


@pytest.fixture(scope="module")
def server(run):
    with served(run, [run.parent]) as running:
        yield running


@pytest.fixture(scope="module")
def sound(run):
    name = EmbeddingStore(run / "a").utterance_ids()[0]
    return f"/audio?{urlencode({'store': 'a', 'id': name, 'view': 'clean'})}"


@pytest.mark.parametrize(
    ("asked", "part"),
    [
        ("bytes=0-0", slice(0, 1)),
        ("bytes=100-199", slice(100, 200)),
        ("bytes=1000-", slice(1000, None)),
        ("bytes=-100", slice(-100, None)),
        ("bytes=-99999999999", slice(None)),
        ("bytes=0-99999999999", slice(None)),
        (" bytes=5-6 ", slice(5, 7)),
    ],
)
def test_a_part_of_a_sound_is_given_to_who_asks_for_it(server, sound, asked, part):
    _, whole = ask(server, sound)
    answer, body = ask(server, sound, headers={"Range": asked})
    start, stop, _ = part.indices(len(whole))
    assert (answer.status, body) == (206, whole[part])
    assert answer.getheader("Content-Range") == f"bytes {start}-{stop - 1}/{len(whole)}"
    assert answer.getheader("Content-Length") == str(stop - start)


@pytest.mark.parametrize(
    "asked", ["bytes=9-5", "bytes=-", "bytes=a-b", "bytes=0-1,5-6", "items=0-1", "bytes", f"bytes=0-{'9' * 5000}", ""]
)
def test_who_asks_for_what_cannot_be_understood_is_given_the_whole(server, sound, asked):
    answer, body = ask(server, sound, headers={"Range": asked})
    assert (answer.status, answer.getheader("Content-Range")) == (200, None)
    assert (answer.getheader("Accept-Ranges"), len(body)) == ("bytes", int(answer.getheader("Content-Length")))


@pytest.mark.parametrize("asked", ["bytes=99999999999-", "bytes=99999999999-999999999999", "bytes=-0"])
def test_what_lies_beyond_the_end_is_refused_with_the_length(server, sound, asked):
    whole, _ = ask(server, sound, method="HEAD")
    answer, body = ask(server, sound, headers={"Range": asked})
    assert (answer.status, body) == (416, b"")
    assert answer.getheader("Content-Range") == f"bytes */{whole.getheader('Content-Length')}"


def test_a_part_is_given_only_of_the_sound_that_the_client_has_the_rest_of(server, sound):
    head, body = ask(server, sound, method="HEAD", headers={"Range": "bytes=0-9"})
    assert (head.status, head.getheader("Accept-Ranges"), body) == (200, "bytes", b"")
    tag = head.getheader("ETag")
    assert ask(server, sound, headers={"Range": "bytes=0-9", "If-Range": tag})[0].status == 206
    assert ask(server, sound, headers={"Range": "bytes=0-9", "If-Range": '"another"'})[0].status == 200
    assert ask(server, "/", headers={"Range": "bytes=0-9"})[0].status == 200  # a page is given whole


@needs_browser
def test_in_a_browser_one_jumps_to_the_end_of_a_long_sound(server, run):
    name = EmbeddingStore(run / "a").utterance_ids()[0]
    with launched() as browser, opened(browser, f"{server.url}utterance?store=a&id={quote(name)}") as shown:
        statuses = []
        shown.page.on("response", lambda answer: statuses.append(answer.status))
        heard = shown.page.evaluate(
            """async () => {
                const sound = document.querySelector("audio");
                const loaded = new Promise((done, failed) => {
                    sound.onloadedmetadata = done;
                    sound.onerror = () => failed(sound.error.message);
                });
                sound.preload = "metadata";
                sound.load();
                await loaded;
                const sought = new Promise((done) => { sound.onseeked = done; });
                sound.currentTime = 170;
                await sought;
                return [sound.duration, sound.currentTime, sound.seekable.end(0)];
            }"""
        )
        assert 206 in statuses
        assert heard == pytest.approx([LONG_S, 170, LONG_S], abs=0.1)


def connected(server):
    return socket.create_connection(server.server_address)


def answered(client) -> bytes:
    with client.makefile("rb") as answer:
        return answer.read()


def test_clients_that_ask_slowly_or_never_are_left_and_do_not_keep_others_out(run):
    with ExitStack() as stack, served(run, [run.parent], patience_s=0.5) as server:
        slow = [stack.enter_context(connected(server)) for _ in range(80)]
        for client in slow[::2]:
            client.sendall(b"GET / HTT")
        assert ask(server, "/")[0].status == 200
        for client in slow:
            assert client.recv(1) == b""  # it was hung up on


def test_a_client_that_sends_a_byte_now_and_then_is_left(run):
    with served(run, [run.parent], patience_s=0.5) as server, connected(server) as client:
        client.settimeout(0.05)
        while True:
            try:
                client.sendall(b"x")
                if client.recv(1) == b"":
                    break
            except TimeoutError:
                continue
            except ConnectionError:
                break


def test_a_client_that_never_takes_its_answer_is_left(run, sound):
    with served(run, [run.parent], patience_s=0.5) as server, ExitStack() as stack:
        for _ in range(40):  # more than are answered at a time
            client = stack.enter_context(connected(server))
            client.sendall(f"GET {sound} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        assert ask(server, "/")[0].status == 200


STRANGE = {
    "nothing": b"",
    "an empty line": b"\r\n\r\n",
    "noise": bytes(range(256)) * 8,
    "another protocol": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "an old protocol": b"GET /\r\n\r\n",
    "a new protocol": b"GET / HTTP/9.9\r\n\r\n",
    "no number": b"GET / HTTP/x.y\r\n\r\n",
    "a long address": b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\n\r\n",
    "a long header": b"GET / HTTP/1.1\r\nHost: " + b"a" * 100_000 + b"\r\n\r\n",
    "many headers": b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 1000 + b"\r\n",
    "no header": b"GET / HTTP/1.1\r\n\r\n",
    "a strange header": b"GET / HTTP/1.1\r\nHost: localhost\r\n:\r\n \xff\x00\r\n\r\n",
    "a strange host": b"GET / HTTP/1.1\r\nHost: [::1:\x1b\r\n\r\n",
    "bytes": b"GET /\xff\xfe\x1b[31m HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "escaped bytes": b"GET /store?name=%ff%fe%00%1b&q=%ed%a0%80 HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "half an address": b"GET http://[ HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "a strange verb": b"\x1b[31m / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "a verb with a body": b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nhello",
    "a body without end": b"PUT / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nffffffff\r\n",
    "two lengths": b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\nContent-Length: 9\r\n\r\n",
    "an expectation": b"GET / HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\n\r\n",
    "many parts": b"GET / HTTP/1.1\r\nHost: localhost\r\nRange: bytes=" + b"0-1," * 9000 + b"\r\n\r\n",
}


@pytest.fixture
def process(run):
    """`reseed browse` in a process of its own."""
    command = [sys.executable, "-m", "reseed.cli", "browse", str(run), "--port", "0", "--recordings", str(run.parent)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        port = int(running.stdout.readline().split()[0].rstrip("/").rpartition(":")[2])
        running.server_address = ("127.0.0.1", port)
        yield running
        running.kill()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_whatever_clients_do_nothing_is_printed_and_a_signal_ends_it_at_once(process, sound, number):
    for request in STRANGE.values() if number == signal.SIGINT else ():
        for leaves in ("at once", "when answered", "by a reset"):
            with connected(process) as client:
                if leaves == "by a reset":
                    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                try:
                    client.sendall(request)
                    if leaves == "when answered":
                        client.shutdown(socket.SHUT_WR)
                        assert b"Traceback" not in answered(client)
                except ConnectionError:
                    pass
    with connected(process) as client:  # leaves in the middle of an answer
        client.sendall(f"GET {sound} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        client.recv(100)
    assert ask(process, "/")[0].status == HTTPStatus.OK
    with connected(process) as slow, connected(process) as deaf:
        slow.sendall(b"GET / HTT")
        deaf.sendall(f"GET {sound} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        deaf.recv(1)
        process.send_signal(number)
        _, said = process.communicate()
    assert process.returncode == 128 + number, said
    assert said == f"reseed: {'interrupted' if number == signal.SIGINT else 'terminated'}; nothing is served any more\n"


def test_a_port_that_is_taken_is_one_line(server, run):
    port = server.server_address[1]
    done = CliRunner().invoke(main, ["browse", str(run), "--port", str(port)])
    assert (done.exit_code, done.output.count("\n")) == (1, 1)
    assert f"127.0.0.1:{port} cannot be listened on (Address already in use); give another --port" in done.output


def test_only_addresses_and_names_of_this_machine_are_answered_to(server):
    for host in ("localhost", "localhost:9000", "127.0.0.1:1", "[::1]:8000", socket.gethostname(), "10.0.0.7:80"):
        assert ask(server, "/", host=host)[0].status == 200, host
    for host in (
        "evil.example",
        "evil.example:80",
        "localhost.evil.example",
        "",
        "[::1",
        "127.0.0.1.evil.example",
        "a b",
    ):
        assert ask(server, "/", host=host or " ")[0].status == 403, host


def test_what_a_page_shows_of_names_is_neither_obeyed_nor_hidden(server, run):
    name = EmbeddingStore(run / "evil").utterance_ids()[0]
    for path in (
        "/store?name=evil",
        f"/utterance?{urlencode({'store': 'evil', 'id': name})}",
        f"/store?{urlencode({'name': 'evil', 'q': EVIL})}",
        f"/utterance?{urlencode({'store': 'evil', 'id': EVIL})}",
        f"/{quote(EVIL)}",
    ):
        text = ask(server, path)[1].decode()
        assert all(line.isprintable() for line in text.split("\n")), path
        assert "<script" not in text
    assert r"\x1b]0;owned\x07\u202egnp.&lt;script" in text or "%1B" in text


@pytest.mark.parametrize("damage", ["vanished", "cut", "header", "catalogue", "emptied"])
def test_a_store_that_is_lost_while_it_is_looked_at_has_a_page_that_says_so(run, tmp_path, damage):
    store = shutil.copytree(run / "a", tmp_path / "run" / "a")
    shutil.copytree(run / "evil", tmp_path / "run" / "b")
    name = quote(EmbeddingStore(store).utterance_ids()[0])
    vectors, catalogue = (next(store.glob(f"shards/*{suffix}")) for suffix in (".h5", ".parquet"))
    with served(tmp_path / "run") as server:
        assert ask(server, f"/utterance?store=a&id={name}")[0].status == 200
        match damage:
            case "vanished":
                shutil.rmtree(store)
            case "cut":
                os.truncate(vectors, vectors.stat().st_size - 1)
            case "emptied":
                os.truncate(catalogue, 0)
            case "header":
                (store / "store.json").write_text("[[[")
            case "catalogue":
                catalogue.write_bytes(b"x" * catalogue.stat().st_size)
                os.utime(store / "store.json")  # opened anew
        for page in (f"/utterance?store=a&id={name}", "/store?name=a", f"/audio?store=a&id={name}&view=clean"):
            answer, body = ask(server, page)
            assert answer.status == 404, page
            assert b"<h1>Not found</h1>" in body
        assert ask(server, "/")[0].status == 200
        assert ask(server, "/store?name=b")[0].status == 200


def test_a_sound_is_what_was_rendered(server, sound):
    wave, rate = soundfile.read(io.BytesIO(ask(server, sound)[1]))
    assert (rate, len(wave)) == (16_000, 16_000 * LONG_S)
