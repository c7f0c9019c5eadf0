"""Files of stores, fetched from a server of this machine: what fails in passing, for good, or changes under way."""

import os
import threading

import pytest
from fsspec.config import conf

from reseed.store import AudioError, remote_file
from reseed.store.remote_file import RemoteFile
from tests.object_server import EITHER, answers, breaks_off, needs_http, needs_s3, served, server

__all__ = ["served", "server"]

LARGE = 9_000_000  # three blocks


def put(server, name, data):
    path = server.root / "bucket" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("protocol", EITHER)
def test_a_small_file_is_fetched_at_once_and_read_from_memory_after(served, protocol):
    data = os.urandom(70_000)
    put(served, "a b#1/é&%.wav", data)
    with served.place(protocol, "bucket/a b#1/é&%.wav").open() as opened:
        assert opened.read() == data
        opened.seek(-100, os.SEEK_END)
        assert opened.read() == data[-100:]
    assert len(served.contents()) == 1


@pytest.mark.parametrize("protocol", EITHER)
def test_of_a_large_file_only_the_blocks_that_are_read_are_fetched(served, protocol):
    data = os.urandom(LARGE)
    put(served, "a.wav", data)
    remote = RemoteFile(str(served.place(protocol, "bucket/a.wav")))
    assert remote.read_at(LARGE - 50, 100) == data[-50:]
    assert remote.read_at(4_194_000, 1000) == data[4_194_000:4_195_000]
    assert [request.split("bytes=")[1].strip() for request in served.contents()] == [
        "8388608-8999999",
        "0-4194303",
        "4194304-8388607",
    ]


@needs_http
def test_threads_that_want_the_same_block_fetch_it_once(served):
    data = os.urandom(LARGE)
    put(served, "a.wav", data)
    remote = RemoteFile(str(served.place("http", "bucket/a.wav")))
    found = []
    threads = [threading.Thread(target=lambda: found.append(remote.read_at(0, LARGE))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [data] * 8
    assert len(served.contents()) == 3


@needs_http
def test_no_more_is_held_in_memory_than_the_bound(served):
    put(served, "a.wav", bytes(LARGE))
    blocks = remote_file._Blocks(5 << 20)
    for number in range(100):
        blocks.get(number, 1 << 20, lambda: bytes(1 << 20))
        assert blocks._held == min(number + 1, 5) << 20


@pytest.mark.parametrize("protocol", EITHER)
@pytest.mark.parametrize("fault", [answers(503, "SlowDown"), answers(500), answers(429), breaks_off])
def test_what_fails_in_passing_is_tried_again(served, protocol, fault):
    data = os.urandom(200_000)
    put(served, "a.wav", data)
    served.faults += [fault, fault]
    assert served.place(protocol, "bucket/a.wav").open().read() == data
    assert len(served.contents()) == 3


@pytest.mark.parametrize("protocol", EITHER)
@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (answers(503, "SlowDown"), "HTTP 503, 3 times"),
        (breaks_off, "3 times"),
        (answers(403, "AccessDenied"), "says whose credentials count"),
        (answers(404, "NoSuchKey"), "does not exist (HTTP 404)"),
        (answers(400, "InvalidRequest"), "HTTP 400"),
    ],
)
def test_what_fails_for_good_says_why_and_is_tried_again_only_where_that_may_help(served, protocol, fault, reason):
    put(served, "a.wav", bytes(5000))
    served.faults += [fault] * 9
    with pytest.raises(OSError) as caught:  # noqa: PT011
        served.place(protocol, "bucket/a.wav").open().read()
    assert caught.value.strerror.endswith(reason)
    assert len(served.contents()) == (3 if "3 times" in reason else 1)


@pytest.mark.parametrize("protocol", EITHER)
def test_a_file_that_is_missing_is_said_to_be(served, protocol):
    (served.root / "bucket").mkdir()
    place = served.place(protocol, "bucket/none.wav")
    with pytest.raises(FileNotFoundError) as caught:
        place.open()
    assert caught.value.strerror.startswith("does not exist")
    assert not place.exists()
    assert not place.is_file()


@pytest.mark.parametrize("protocol", EITHER)
@pytest.mark.parametrize("size", [LARGE, LARGE - 1])
def test_a_file_that_changes_between_two_blocks_is_named(served, protocol, size):
    path = put(served, "a.wav", os.urandom(LARGE))
    served.faults += [lambda _: False, lambda _: path.write_bytes(os.urandom(size)) < 0]
    remote = RemoteFile(str(served.place(protocol, "bucket/a.wav")))
    with pytest.raises(AudioError, match="has changed while it was read"):  # noqa: PT012
        remote.read_at(0, LARGE)
        remote.check_same(LARGE)


@needs_http
def test_a_server_that_sends_no_parts_sends_a_file_whole_unless_it_is_too_large(served, monkeypatch):
    data = os.urandom(LARGE)
    put(served, "a.wav", data)
    served.has_ranges = False
    place = served.place("http", "bucket/a.wav")
    assert RemoteFile(str(place)).read_at(5_000_000, 10) == data[5_000_000:5_000_010]
    remote_file._forget()
    monkeypatch.setattr(remote_file, "_LARGEST_WHOLE", 5_000_000)
    with pytest.raises(AudioError, match="is of 9,000,000 bytes, of which its server sends no parts"):
        RemoteFile(str(place)).read_at(5_000_000, 10)


@needs_http
def test_a_host_that_does_not_answer_is_asked_only_once_more_for_each_file(served):
    nowhere = "http://127.0.0.1:1/a.wav"
    with pytest.raises(OSError, match="Connect") as first:
        RemoteFile(nowhere)
    with pytest.raises(OSError, match="Connect") as second:
        RemoteFile(nowhere)
    assert first.value.strerror.endswith("3 times")
    assert second.value.strerror.endswith("1 times")


@needs_s3
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_process_that_was_forked_opens_connections_of_its_own(served):
    data = os.urandom(1000)
    put(served, "a.wav", data)
    place = served.place("s3", "bucket/a.wav")
    assert place.open().read() == data
    child = os.fork()
    if not child:
        os._exit(0 if place.open().read() == data else 1)
    assert os.waitpid(child, 0)[1] == 0
    remote_file._forget()
    assert place.open().read() == data
    assert len(served.contents()) == 3


@needs_s3
def test_a_profile_that_is_not_there_is_said_at_once(served, monkeypatch):
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    monkeypatch.setitem(conf, "s3", {"endpoint_url": served.url, "key": None})  # another client than other tests have
    with pytest.raises(OSError, match="ProfileNotFound: .*nobody.* could not be found$"):
        served.place("s3", "bucket/a.wav").open()
    assert served.requests == []


def test_a_protocol_whose_package_is_missing_says_what_to_install(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "gcsfs", None)
    with pytest.raises(OSError, match="needs a package") as caught:
        RemoteFile("gs://bucket/a.wav")
    assert caught.value.strerror == "needs a package for gs://: pip install 'reseed[gcs]'"
