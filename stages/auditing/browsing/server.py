"""A small web server over the stores of a run: reads only, answers to its own address only, and knows a few paths.

Whatever a client does takes no more than a thread of a few and some seconds of it, and prints nothing.
"""

import re
import socket
import sys
import time
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BufferedReader
from ipaddress import ip_address
from threading import BoundedSemaphore
from typing import Any
from urllib.parse import urlsplit

from reseed.stages.auditing.browsing.addresses import Response, answer
from reseed.stages.auditing.browsing.stores import RunStores
from reseed.stages.common.terminal import log

_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; media-src 'self'; form-action 'self'; "
    "img-src 'self' data:",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
    "Connection": "close",
}

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
            self._send(*answer(self.server.stores, self.path))
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
