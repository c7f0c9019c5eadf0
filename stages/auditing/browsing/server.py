"""A small web server over a shelf: reads only, answers to its own address only, and knows no paths but its five."""

from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from socket import AF_INET, AF_INET6
from typing import Any
from urllib.parse import parse_qs, urlsplit

from reseed.stages.auditing.browsing.shelf import Shelf
from reseed.stages.common.pages import render
from reseed.store import ReseedError

_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; media-src 'self'; form-action 'self'; "
    "img-src data:",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}

_DIGITS = 9  # of the number of a crop

Query = dict[str, str]


class Server(ThreadingHTTPServer):
    """Serves a shelf.

    Args:
        address: host and port; port 0 takes any that is free.
    """

    daemon_threads = True

    def __init__(self, address: tuple[str, int], shelf: Shelf) -> None:
        self.shelf = shelf
        self.address_family = AF_INET6 if ":" in address[0] else AF_INET
        super().__init__(address, _Handler)

    @property
    def host(self) -> str:
        return str(self.server_address[0])

    @property
    def url(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.server_address[1]}/"

    def answers_to(self, host: str) -> bool:
        """Whether a request's Host is this server's own: another name that leads here is somebody else's page."""
        if not ip_address(self.host).is_loopback:
            return True
        name, _, port = host.rpartition(":")
        return name in {"localhost", "127.0.0.1", "[::1]", self.host} and port == str(self.server_address[1])


class _Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Answer, with what was asked for or with why not."""
        if not self.server.answers_to(self.headers.get("Host", "")):
            self._send(HTTPStatus.FORBIDDEN, "text/plain; charset=utf-8", b"This address is not served here.\n")
            return
        asked = urlsplit(self.path)
        route = _ROUTES.get(asked.path)
        try:
            if route is None:
                raise _NotFoundError(f"there is no page {asked.path}")
            query = {name: values[0] for name, values in parse_qs(asked.query).items()}
            self._send(HTTPStatus.OK, *route(self.server, query))
        except (_NotFoundError, ReseedError, OSError) as error:
            self._send(HTTPStatus.NOT_FOUND, *_page("not_found.html.j2", title="Not found", reason=str(error)))

    do_HEAD = do_GET

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing of requests."""

    def _send(self, status: HTTPStatus, kind: str, body: bytes) -> None:
        self.send_response(status)
        for name, value in {**_HEADERS, "Content-Type": kind, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


class _NotFoundError(Exception):
    """A page that is not there, or a question that leaves something out."""


def _home(server: Server, query: Query) -> tuple[str, bytes]:
    shelf = server.shelf
    stores = []
    for name in shelf.names:
        try:
            stores.append((name, repr(shelf.shown(name).store).partition(": ")[2].rstrip(")"), ""))
        except (ReseedError, OSError) as error:
            stores.append((name, "", str(error)))
    return _page("home.html.j2", title=str(shelf.run), stores=stores)


def _store(server: Server, query: Query) -> tuple[str, bytes]:
    name, text = _given(query, "name"), query.get("q", "")
    shown = server.shelf.shown(name)
    count, found = shown.search(text)
    return _page("store.html.j2", title=name, name=name, text=text, count=count, found=found, shown=shown)


def _utterance(server: Server, query: Query) -> tuple[str, bytes]:
    name, utterance = _given(query, "store"), _given(query, "id")
    shown = server.shelf.shown(name)
    return _page(
        "utterance.html.j2",
        title=utterance,
        name=name,
        speaker=shown.speakers.get(utterance),
        rows=shown.rows(utterance),
        neighbours=shown.neighbours(utterance),
        scores=shown.scores(utterance),
    )


def _audio(server: Server, query: Query) -> tuple[str, bytes]:
    shown = server.shelf.shown(_given(query, "store"))
    crop = query.get("crop", "0")
    if not crop.isdecimal() or len(crop) > _DIGITS:
        raise _NotFoundError(f"crop {crop!r} is not a number")
    return "audio/wav", shown.audio(_given(query, "id"), _given(query, "view"), int(crop))


def _style(server: Server, query: Query) -> tuple[str, bytes]:
    sheets = map(render, ("common/page.css", "auditing/browsing/browse.css"))
    return "text/css; charset=utf-8", "\n".join(sheets).encode()


_ROUTES: dict[str, Callable[[Server, Query], tuple[str, bytes]]] = {
    "/": _home,
    "/store": _store,
    "/utterance": _utterance,
    "/audio": _audio,
    "/style.css": _style,
}


def _given(query: Query, name: str) -> str:
    if name not in query:
        raise _NotFoundError(f"the address leaves out {name}")
    return query[name]


def _page(template: str, **values: Any) -> tuple[str, bytes]:
    return "text/html; charset=utf-8", render(f"auditing/browsing/{template}", **values).encode()
