"""A small web server over the stores of a run: reads only, answers to its own address only, and knows six paths.

Whatever a client does takes no more than a thread of a few and some seconds of it, and prints nothing.
"""

import re
import socket
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BufferedReader
from ipaddress import ip_address
from threading import BoundedSemaphore
from typing import Any
from urllib.parse import parse_qs, urlsplit

from reseed.stages.auditing.browsing.stores import BrowsedStore, RunStores
from reseed.stages.auditing.browsing.trials import ERRORS
from reseed.stages.common.pages import render
from reseed.stages.common.terminal import log
from reseed.store import ReseedError

_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; media-src 'self'; form-action 'self'; "
    "img-src data:",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
    "Connection": "close",
}

_DIGITS = 9  # of the number of a crop or a page
_MOST = 32  # connections that are answered at a time; the system keeps others waiting
_PATIENCE_S = 10.0  # for a whole request to come, and for each piece of an answer to be taken
_PIECE = 1 << 20  # bytes


class Server(ThreadingHTTPServer):
    """Serves the stores of a run.

    Args:
        address: host and port; port 0 takes any that is free.
        patience_s: how long a client may take to ask, and to take a piece of an answer.
    """

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], stores: RunStores, patience_s: float = _PATIENCE_S) -> None:
        self.stores, self.patience_s = stores, patience_s
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self._free = BoundedSemaphore(_MOST)
        super().__init__(address, _Handler)
        self._names = {name.lower() for name in ("localhost", address[0], self.server_name, socket.gethostname())}

    @property
    def host(self) -> str:
        return str(self.server_address[0])

    @property
    def url(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.server_address[1]}/"

    def answers_to(self, host: str) -> bool:
        """Whether a request's Host is an address or a name of this machine: what another name shows is another's page.

        The port may be another, that of a tunnel.
        """
        try:
            name = urlsplit(f"//{host}").hostname or ""
            return name in self._names or bool(ip_address(name))
        except ValueError:
            return False

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer in a thread, once one is free."""
        self._free.acquire()
        try:
            super().process_request(request, client_address)
        except BaseException:
            self._free.release()
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say in a line what went wrong here; that a client is gone or slow is its own affair."""
        error = sys.exception()
        if not isinstance(error, OSError):
            log(f"browse: unexpected {type(error).__name__}: {error}")


@dataclass(frozen=True)
class Request:
    """What is asked of the stores: the part of an address behind its question mark."""

    stores: RunStores
    query: Mapping[str, str]

    def given(self, name: str) -> str:
        """Return a value that must be there."""
        if name not in self.query:
            raise _NotFoundError(f"the address leaves out {name}")
        return self.query[name]

    @property
    def store(self) -> BrowsedStore:
        return self.stores.open(self.given("store"))

    def number(self, name: str) -> int:
        """Return a number, 0 where none is given."""
        number = self.query.get(name, "0")
        if not number.isdecimal() or len(number) > _DIGITS:
            raise _NotFoundError(f"{name} {number!r} is not a number")
        return int(number)


@dataclass(frozen=True)
class Response:
    """What is answered, its media type, and what tells it from others where it may be asked for in parts."""

    kind: str
    body: bytes
    digest: str = ""


class _Punctual(socket.SocketIO):
    """Reads from a socket until a time, however little comes at once."""

    def __init__(self, connection: socket.socket, patience_s: float) -> None:
        super().__init__(connection, "r")
        self._connection, self._until = connection, time.monotonic() + patience_s

    def readinto(self, buffer: Any) -> int | None:
        self._connection.settimeout(max(self._until - time.monotonic(), 1e-3))
        return super().readinto(buffer)


class _Handler(BaseHTTPRequestHandler):
    """Answers one request of a connection."""

    server: Server
    protocol_version = default_request_version = "HTTP/1.1"

    def setup(self) -> None:
        super().setup()
        self.rfile = BufferedReader(_Punctual(self.connection, self.server.patience_s))

    def do_GET(self) -> None:
        """Answer, with what was asked for or with why not."""
        if self.server.answers_to(self.headers.get("Host", "")):
            self._send(*_answer(self.server.stores, self.path))
        else:
            refusal = Response("text/plain; charset=utf-8", b"This address is not served here.\n")
            self._send(HTTPStatus.FORBIDDEN, refusal)

    do_HEAD = do_GET

    def log_message(self, format: str, *args: object) -> None:
        """Log no requests."""

    def end_headers(self) -> None:
        for name, value in _HEADERS.items():
            self.send_header(name, value)
        super().end_headers()

    def _send(self, status: HTTPStatus, response: Response) -> None:
        body, headers = memoryview(response.body), {"Content-Type": response.kind}
        if response.digest:
            headers |= {"Accept-Ranges": "bytes", "ETag": response.digest}
            wanted = self._range(len(body)) if self.headers.get("If-Range") in (None, response.digest) else None
            if wanted is not None:
                status = HTTPStatus.PARTIAL_CONTENT if wanted else HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE
                span = f"{wanted[0]}-{wanted[-1]}" if wanted else "*"
                headers["Content-Range"] = f"bytes {span}/{len(body)}"
                body = body[wanted.start : wanted.stop]
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.connection.settimeout(self.server.patience_s)
        self.end_headers()
        for start in range(0, len(body) if self.command == "GET" else 0, _PIECE):
            self.wfile.write(body[start : start + _PIECE])

    def _range(self, length: int) -> range | None:
        """Return which bytes are asked for, none of them where there are none; None: all, in one piece.

        RFC 9110, 14.2: only GET asks for parts, and what cannot be understood, or several parts, may be ignored.
        """
        asked = re.fullmatch(r"bytes=([0-9]{0,18})-([0-9]{0,18})", self.headers.get("Range", "").strip())
        if self.command != "GET" or asked is None or asked[0] == "bytes=-":
            return None
        first, last = asked.groups()
        if not first:
            return range(max(length - int(last), 0), length)
        if last and int(last) < int(first):
            return None
        return range(min(int(first), length), min(int(last or length), length - 1) + 1)


def _answer(stores: RunStores, path: str) -> tuple[HTTPStatus, Response]:
    """Return what is at an address, or a page that says why it cannot be shown."""
    try:
        address = urlsplit(path)
        route = _ROUTES.get(address.path)
        if route is None:
            raise _NotFoundError(f"there is no page {address.path}")
        query = {name: values[0] for name, values in parse_qs(address.query).items()}
        return HTTPStatus.OK, route(Request(stores, query))
    except (_NotFoundError, ReseedError, OSError, ValueError) as error:  # Arrow's and unreadable addresses are the last
        return HTTPStatus.NOT_FOUND, _page("not_found", title="Not found", reason=str(error))
    except Exception as error:
        log(f"browse: unexpected {type(error).__name__}: {error}")
        reason = f"unexpected {type(error).__name__}: {error}"
        return HTTPStatus.INTERNAL_SERVER_ERROR, _page("not_found", title="Not shown", reason=reason)


class _NotFoundError(Exception):
    """A page that is not there, or an address that leaves something out."""


def _home(request: Request) -> Response:
    stores = []
    for name in request.stores.paths:
        try:
            stores.append((name, repr(request.stores.open(name).store).partition(": ")[2].rstrip(")"), ""))
        except (ReseedError, OSError, ValueError) as error:
            stores.append((name, "", str(error)))
    scored = bool(request.stores.score_paths)
    return _page("home", title=str(request.stores.run), stores=stores, scored=scored)


def _store(request: Request) -> Response:
    name, text = request.given("name"), request.query.get("q", "")
    browsed = request.stores.open(name)
    count, found = browsed.search(text)
    return _page("store", title=name, name=name, text=text, count=count, found=found, store=browsed.store)


def _utterance(request: Request) -> Response:
    store, name, utterance = request.store, request.given("store"), request.given("id")
    view, related = request.query.get("view", store.clean), request.stores.related(name)
    beside = request.query.get("beside", next(iter(related), ""))
    if view not in store.store.views or (beside and beside not in related):
        raise _NotFoundError(f"there is no view {view!r} of this store, or none like it is called {beside!r}")
    return _page(
        "utterance",
        title=utterance,
        name=name,
        speakers=store.speakers,
        speaker=store.speakers.get(utterance),
        rows=store.rows(utterance),
        views=store.store.views,
        view=view,
        related=related,
        beside=beside,
        neighbourhoods=[request.stores.neighbours(shown, utterance, view) for shown in (name, beside) if shown],
        scores=store.scores(utterance),
    )


def _trials(request: Request) -> Response:
    stores, query = request.stores, request.query
    paths = stores.score_paths
    if not paths:
        raise _NotFoundError("no scores lie in this run; make them with `reseed run` or `reseed score`")
    name = query.get("scores") or next(iter(paths))
    scores = stores.scores(name)
    chosen, error = scores.chosen(query), query.get("error", "")
    judged = scores.judged(chosen)
    return _page(
        "trials",
        title="Trials",
        files=list(paths),
        name=name,
        scores=scores,
        chosen=chosen,
        judged=judged,
        error=error,
        errors=ERRORS,
        page=judged.page(error, request.number("page")),
        stored=stores.holding(scores.origin.fingerprint),
    )


def _audio(request: Request) -> Response:
    sound = request.stores.sound(request.store, request.given("id"), request.given("view"), request.number("crop"))
    return Response("audio/wav", sound.wav, sound.digest)


def _style(request: Request) -> Response:
    sheets = map(render, ("common/page.css", "auditing/browsing/browse.css"))
    return Response("text/css; charset=utf-8", "\n".join(sheets).encode())


_ROUTES: dict[str, Callable[[Request], Response]] = {
    "/": _home,
    "/store": _store,
    "/utterance": _utterance,
    "/trials": _trials,
    "/audio": _audio,
    "/style.css": _style,
}


def _page(template: str, **values: object) -> Response:
    return Response("text/html; charset=utf-8", render(f"auditing/browsing/{template}.html.j2", **values).encode())
