"""A small web server over the stores of a run: reads only, answers to its own address only, and knows five paths."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from socket import AF_INET, AF_INET6
from urllib.parse import parse_qs, urlsplit

from reseed.stages.auditing.browsing.stores import BrowsedStore, RunStores
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


class Server(ThreadingHTTPServer):
    """Serves the stores of a run.

    Args:
        address: host and port; port 0 takes any that is free.
    """

    daemon_threads = True

    def __init__(self, address: tuple[str, int], stores: RunStores) -> None:
        self.stores = stores
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

    @property
    def crop(self) -> int:
        crop = self.query.get("crop", "0")
        if not crop.isdecimal() or len(crop) > _DIGITS:
            raise _NotFoundError(f"crop {crop!r} is not a number")
        return int(crop)


@dataclass(frozen=True)
class Response:
    """What is answered, and its media type."""

    kind: str
    body: bytes


class _Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Answer, with what was asked for or with why not."""
        if not self.server.answers_to(self.headers.get("Host", "")):
            refusal = Response("text/plain; charset=utf-8", b"This address is not served here.\n")
            self._send(HTTPStatus.FORBIDDEN, refusal)
            return
        address = urlsplit(self.path)
        route = _ROUTES.get(address.path)
        try:
            if route is None:
                raise _NotFoundError(f"there is no page {address.path}")
            query = {name: values[0] for name, values in parse_qs(address.query).items()}
            self._send(HTTPStatus.OK, route(Request(self.server.stores, query)))
        except (_NotFoundError, ReseedError, OSError) as error:
            self._send(HTTPStatus.NOT_FOUND, _page("not_found", title="Not found", reason=str(error)))

    do_HEAD = do_GET

    def log_message(self, format: str, *args: object) -> None:
        """Log no requests."""

    def _send(self, status: HTTPStatus, response: Response) -> None:
        self.send_response(status)
        content = {"Content-Type": response.kind, "Content-Length": str(len(response.body))}
        for name, value in {**_HEADERS, **content}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(response.body)


class _NotFoundError(Exception):
    """A page that is not there, or an address that leaves something out."""


def _home(request: Request) -> Response:
    stores = []
    for name in request.stores.paths:
        try:
            stores.append((name, repr(request.stores.open(name).store).partition(": ")[2].rstrip(")"), ""))
        except (ReseedError, OSError) as error:
            stores.append((name, "", str(error)))
    return _page("home", title=str(request.stores.run), stores=stores)


def _store(request: Request) -> Response:
    name, text = request.given("name"), request.query.get("q", "")
    browsed = request.stores.open(name)
    count, found = browsed.search(text)
    return _page("store", title=name, name=name, text=text, count=count, found=found, store=browsed.store)


def _utterance(request: Request) -> Response:
    store, utterance = request.store, request.given("id")
    return _page(
        "utterance",
        title=utterance,
        name=request.given("store"),
        speaker=store.speakers.get(utterance),
        rows=store.rows(utterance),
        neighbours=store.neighbours(utterance),
        scores=store.scores(utterance),
    )


def _audio(request: Request) -> Response:
    sound = request.store.audio(request.given("id"), request.given("view"), request.crop)
    return Response("audio/wav", sound)


def _style(request: Request) -> Response:
    sheets = map(render, ("common/page.css", "auditing/browsing/browse.css"))
    return Response("text/css; charset=utf-8", "\n".join(sheets).encode())


_ROUTES: dict[str, Callable[[Request], Response]] = {
    "/": _home,
    "/store": _store,
    "/utterance": _utterance,
    "/audio": _audio,
    "/style.css": _style,
}


def _page(template: str, **values: object) -> Response:
    return Response("text/html; charset=utf-8", render(f"auditing/browsing/{template}.html.j2", **values).encode())
