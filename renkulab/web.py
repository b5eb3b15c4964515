"""The HTTP server under a simulated RenkuLab: keep-alive, a log of what was asked, and faults on demand."""

from __future__ import annotations

import json
import re
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from renkulab.faults import Broken, Faults

JSON = "application/json"


@dataclass(frozen=True)
class Request:
    """``path`` is as it was sent, percent-encoded and without the query. Header names are lower case."""

    method: str
    path: str
    query: Mapping[str, list[str]]
    headers: Mapping[str, str]
    body: bytes = b""

    def first(self, name: str) -> str | None:
        """The last value of a query parameter, as Rack reads a repeated one; None if it is not given."""
        return self.query[name][-1] if name in self.query else None


@dataclass(frozen=True)
class Response:
    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class SeenRequest:
    """What is kept of a request. ``token``: whether it had one; the token itself is never kept."""

    method: str
    path: str
    query: Mapping[str, list[str]]
    token: bool
    status: int | None


class RequestLog(list[SeenRequest]):
    """Every request, in the order of the answers. ``status`` is None if there was no answer."""

    def matching(self, pattern: str) -> list[SeenRequest]:
        """Those whose path holds the regular expression."""
        return [request for request in self if re.search(pattern, request.path)]


def json_response(content: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    body = json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()
    return Response(status, body, {"Content-Type": JSON, **(headers or {})})


class WebServer:
    """Serves ``answer`` on a free port of 127.0.0.1: one request at a time, each after ``latency`` seconds."""

    def __init__(self, answer: Callable[[Request], Response], faults: Faults, latency: float = 0.0) -> None:
        self.requests = RequestLog()
        self.latency = latency
        self._answer = answer
        self._faults = faults
        self._turn = threading.RLock()
        self._stopped = threading.Event()
        self._server = _Server(("127.0.0.1", 0), type("Handler", (_Handler,), {"web": self}))
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        self._server.shutdown()
        self._server.server_close()

    def handle(self, request: Request) -> Response | Broken:
        if self.latency:
            time.sleep(self.latency)
        with self._turn:
            fault = self._faults.next_for(request.method, request.path)
            outcome: Response | Broken
            if isinstance(fault, Broken):
                outcome = fault
            elif fault is not None:
                outcome = Response(fault.status, fault.body, fault.headers)
            else:
                outcome = self._answer(request)
            if isinstance(outcome, Broken) and outcome.kind == "cut off":
                outcome = Broken("cut off", answer=self._answer(request).body)
            token = "private-token" in request.headers or "authorization" in request.headers
            status = None if isinstance(outcome, Broken) else outcome.status
            self.requests.append(SeenRequest(request.method, request.path, request.query, token, status))
            return outcome

    def wait(self, seconds: float) -> bool:
        """Waits, at most until the server stops; returns whether it has stopped."""
        return self._stopped.wait(seconds)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignores clients that went away. Anything else is a fault of the simulator."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    web: WebServer

    def do_GET(self) -> None:
        target = urlsplit(self.path)
        headers = {name.lower(): value for name, value in self.headers.items()}
        body = self.rfile.read(int(headers.get("content-length", 0)))
        query = parse_qs(target.query, keep_blank_values=True)
        outcome = self.web.handle(Request(self.command, target.path, query, headers, body))
        if isinstance(outcome, Broken):
            self._break(outcome)
            return
        self.send_response(outcome.status)
        for name, value in outcome.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(outcome.body)))
        self.end_headers()
        self.wfile.write(outcome.body)

    do_POST = do_GET  # noqa: N815

    def _break(self, broken: Broken) -> None:
        self.close_connection = True
        if broken.kind == "reset":
            # A linger time of zero makes the close a reset.
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
        elif broken.kind == "cut off":
            self.send_response(HTTPStatus.OK)
            self.send_header("Content-Type", JSON)
            self.send_header("Content-Length", str(len(broken.answer)))
            self.end_headers()
            self.wfile.write(broken.answer[: len(broken.answer) // 2])
        elif broken.kind == "drip":
            self.send_response(HTTPStatus.OK)
            self.send_header("Content-Type", JSON)
            self.send_header("Content-Length", str(10**9))
            self.end_headers()
            while not self.web.wait(broken.seconds):
                self.wfile.write(b" ")
                self.wfile.flush()
        else:
            self.web.wait(broken.seconds)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Says nothing, because the requests are in ``WebServer.requests``."""
