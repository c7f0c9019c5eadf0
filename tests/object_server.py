"""A server of this machine for files in a folder: by HTTP with ranges and pages that list folders, and as S3 does it.

Faults are switched on by the test: the next requests fail, connections break off, or something is done to the files.
"""

import html
import json
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path
from threading import Thread
from urllib.parse import parse_qs, quote, unquote, urlsplit

import pytest
from fsspec.config import conf

from reseed.stages.audio import opener, streams
from reseed.store import atomic, remote, remote_file
from reseed.store.url import Url

# What the tests of stores need and an environment without the extras lacks.
needs_s3 = pytest.mark.skipif(find_spec("s3fs") is None, reason="s3fs is not installed (the extra s3)")
needs_http = pytest.mark.skipif(find_spec("aiohttp") is None, reason="aiohttp is not installed (the extra http)")
EITHER = [pytest.param("s3", marks=needs_s3), pytest.param("http", marks=needs_http)]

Fault = Callable[["Handler"], bool]  # does what it does; true: the request has been answered by that


@dataclass
class ObjectServer:
    """What is served, and how.

    Attributes:
        root: of its folders each is a bucket.
        faults: taken one by one by requests for the contents of files; none: all goes well.
        listing_faults: by requests for the lists of S3.
        put_faults: by requests that write or remove.
        requests: all so far: "GET /bucket/a.wav bytes=0-99".
    """

    root: Path
    port: int = 0
    has_ranges: bool = True
    page: int = 1000
    delay_s: float = 0.0
    faults: list[Fault] = field(default_factory=list)
    listing_faults: list[Fault] = field(default_factory=list)
    put_faults: list[Fault] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        """What HTTP URLs begin with."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def environment(self) -> dict[str, str]:
        """What makes boto3 and fsspec ask this server for s3://, with credentials that nobody checks."""
        return {
            "FSSPEC_S3": json.dumps({"endpoint_url": self.url}),
            "AWS_ACCESS_KEY_ID": "none",
            "AWS_SECRET_ACCESS_KEY": "secret-of-the-test",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
            "NO_PROXY": "127.0.0.1",
        }

    def place(self, protocol: str, path: str) -> Url:
        """Return the URL of a file or folder below the root: "s3" or "http", "bucket/folder"."""
        return Url(f"s3://{path}" if protocol == "s3" else f"{self.url}/{quote(path)}")

    def contents(self) -> list[str]:
        """Return the requests for the contents of files."""
        return [each for each in self.requests if each.startswith("GET") and "bytes=" in each]


@contextmanager
def serving(root: Path, **options: object) -> Iterator[ObjectServer]:
    """Serve a folder as long as the context lasts."""
    given = ObjectServer(root, **options)  # type: ignore[arg-type]
    server = _Server(("127.0.0.1", 0), type("Handler", (Handler,), {"served": given}))
    given.port = server.server_port
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield given
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    """A server that all tests share: a client of S3 for another one takes a second to make."""
    with serving(tmp_path_factory.mktemp("served")) as found:
        yield found


@pytest.fixture
def served(server, tmp_path, monkeypatch):
    """That server with an empty folder, which this process asks for s3://, too."""
    server.root = tmp_path / "served"
    server.root.mkdir()
    server.has_ranges, server.page = True, 1000
    for said in (server.faults, server.listing_faults, server.put_faults, server.requests):
        said.clear()
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setitem(conf, "s3", {"endpoint_url": server.url})
    monkeypatch.setenv("RESEED_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("reseed.store.remote._PAUSES_S", (0.01, 0.01))
    forget()
    return server


def forget() -> None:
    """Let this process fetch anew what it holds in memory."""
    remote_file._forget()
    remote._silent.clear()
    opener._RECENT = opener._Recent(opener._HELD_BYTES)
    opener._sha256_of.cache_clear()
    atomic._sha256_of.cache_clear()
    streams._layout.cache_clear()


def answers(status: int, code: str = "InternalError") -> Fault:
    """Return the fault that a request is answered by a status."""

    def fault(handler: "Handler") -> bool:
        handler.answer(status, f"<Error><Code>{code}</Code><Message>{code}</Message></Error>".encode())
        return True

    return fault


def breaks_off(handler: "Handler") -> bool:
    """Send half of what is announced and close the connection."""
    data = handler.data()
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(data)))
    handler.end_headers()
    handler.wfile.write(data[: len(data) // 2])
    handler.close_connection = True
    return True


def version(path: Path) -> str:
    """Return what changes when a file does."""
    found = path.stat()
    return f"{found.st_mtime_ns:x}-{found.st_size:x}"


def unchunked(data: bytes) -> bytes:
    """Return what a body holds that is sent in signed chunks: size in hex, a line each."""
    found = b""
    while data:
        head, _, data = data.partition(b"\r\n")
        size = int(head.partition(b";")[0], 16)
        if not size:
            break
        found, data = found + data[:size], data[size + 2 :]
    return found


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """Say nothing of clients that went away."""


class Handler(BaseHTTPRequestHandler):
    """Answers one connection."""

    protocol_version = "HTTP/1.1"
    served: ObjectServer

    def log_message(self, *_: object) -> None:
        """Be silent."""

    def do_HEAD(self) -> None:
        """Answer as to GET, without the contents."""
        self.do_GET()

    def do_PUT(self) -> None:
        """Write a file, whole or not at all."""
        data = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        if self.has_fault(self.served.put_faults):
            return
        if "aws-chunked" in self.headers.get("Content-Encoding", ""):
            data = unchunked(data)
        self.file.parent.mkdir(parents=True, exist_ok=True)
        part = self.file.with_name(f"{self.file.name}.part-{time.monotonic_ns()}")
        part.write_bytes(data)
        part.replace(self.file)
        self.answer(200, b"", {"ETag": f'"{version(self.file)}"'})

    def do_DELETE(self) -> None:
        """Remove a file."""
        if not self.has_fault(self.served.put_faults):
            self.file.unlink(missing_ok=True)
            self.answer(204, b"")

    def has_fault(self, faults: list[Fault]) -> bool:
        """Note a request, and answer it as the next fault does."""
        self.served.requests.append(f"{self.command} {unquote(self.path)} ")
        self.file = self.served.root / unquote(urlsplit(self.path).path).strip("/")
        return bool(faults) and faults.pop(0)(self)

    def do_GET(self) -> None:
        """Answer."""
        self.served.requests.append(
            f"{self.command} {unquote(self.path)} {self.headers.get('Range', '')}".strip() + " "
        )
        path, query = urlsplit(self.path).path, parse_qs(urlsplit(self.path).query, keep_blank_values=True)
        self.file = self.served.root / unquote(path).strip("/")
        time.sleep(self.served.delay_s)
        if "list-type" in query and self.served.listing_faults and self.served.listing_faults.pop(0)(self):
            return
        if "list-type" in query:
            self.list_objects(**{key.replace("-", "_"): value[0] for key, value in query.items()})
        elif self.file.is_dir() and not self.is_s3:
            self.list_folder()
        elif not self.file.is_file():
            self.answer(404, b"<Error><Code>NoSuchKey</Code><Message>none</Message></Error>")
        elif self.command == "HEAD" or not (self.served.faults and self.served.faults.pop(0)(self)):
            self.send_file()

    @property
    def is_s3(self) -> bool:
        return "AWS4" in self.headers.get("Authorization", "")

    def data(self) -> bytes:
        """Return what is asked for."""
        start, end = self.asked(self.file.stat().st_size)
        with self.file.open("rb") as file:
            file.seek(start)
            return file.read(end - start)

    def asked(self, size: int) -> tuple[int, int]:
        found = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", "")) if self.served.has_ranges else None
        if found is None:
            return 0, size
        return int(found[1]), min(size, int(found[2]) + 1) if found[2] else size

    def send_file(self) -> None:
        size = self.file.stat().st_size
        start, end = self.asked(size)
        is_part = self.served.has_ranges and "Range" in self.headers
        headers = {"ETag": f'"{version(self.file)}"', "Content-Type": "audio/x-any"}
        headers["Last-Modified"] = formatdate(self.file.stat().st_mtime, usegmt=True)
        if is_part:
            headers["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
        self.answer(206 if is_part else 200, self.data(), headers)

    def answer(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def list_folder(self) -> None:
        """Answer as Apache and nginx do, with links to another order and to the folder above."""
        names = [path.name + "/" * path.is_dir() for path in sorted(self.file.iterdir())]
        links = "".join(f'<a href="{html.escape(quote(name))}">{html.escape(name)}</a>\n' for name in names)
        page = f'<a href="?C=N;O=D">Name</a> <a href="../">Parent</a>\n{links}'
        self.answer(200, page.encode(), {"Content-Type": "text/html"})

    def list_objects(
        self, prefix: str = "", continuation_token: str = "", delimiter: str = "", max_keys: str = "", **_: str
    ) -> None:
        """Answer as ListObjectsV2 does, page by page."""
        files = sorted(path for path in self.file.rglob("*") if path.is_file())
        keys = sorted(str(path.relative_to(self.file)) for path in files)
        keys = [key for key in keys if key.startswith(prefix) and key > continuation_token]
        below = {key: key[len(prefix) :].partition("/") for key in keys} if delimiter else {}
        folders = sorted({prefix + head + "/" for head, slash, _ in below.values() if slash})
        keys = [key for key in keys if not (delimiter and below[key][1])]
        most = min(self.served.page, int(max_keys or self.served.page))
        count = len(keys[:most]) + len(folders)
        text = f"<IsTruncated>{str(len(keys) > most).lower()}</IsTruncated><KeyCount>{count}</KeyCount>"
        if len(keys) > most:
            text += f"<NextContinuationToken>{html.escape(keys[most - 1])}</NextContinuationToken>"
        for folder in folders:
            text += f"<CommonPrefixes><Prefix>{html.escape(folder)}</Prefix></CommonPrefixes>"
        for key in keys[:most]:
            size, etag = (self.file / key).stat().st_size, version(self.file / key)
            text += f"<Contents><Key>{html.escape(key)}</Key><Size>{size}</Size><LastModified>2026-01-01T00:00:00Z"
            text += f"</LastModified><ETag>&quot;{etag}&quot;</ETag></Contents>"
        xmlns = "http://s3.amazonaws.com/doc/2006-03-01/"
        self.answer(200, f'<ListBucketResult xmlns="{xmlns}">{text}</ListBucketResult>'.encode())
