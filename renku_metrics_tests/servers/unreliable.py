"""What stands between a client and a server, and fails when it is told to."""

from __future__ import annotations

import http.client
import threading
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Literal
from urllib.parse import urlsplit

# ``busy``: the server answers 503. ``slow down``: with S3's own reason. ``unheard``: the connection ends before the
# request is passed on. ``unanswered``: afterwards. ``cut off``: within the body of the answer.
Fault = Literal["busy", "slow down", "unheard", "unanswered", "cut off"]
REFUSALS = {
    "busy": b"",
    "slow down": b"<Error><Code>SlowDown</Code><Message>Reduce your request rate.</Message></Error>",
}
# Of one connection only, and there are two.
HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length", "expect"}


class Unreliable:
    """An address that stands for the server's; the next requests of the ``method`` meet ``faults``, one each."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.method = ""
        self.faults: deque[Fault] = deque()
        self.requests: list[str] = []

    def fail(self, method: str, *faults: Fault) -> None:
        self.method = method
        self.faults.extend(faults)

    def next_for(self, method: str) -> Fault | None:
        self.requests.append(method)
        return self.faults.popleft() if self.faults and method == self.method else None


@contextmanager
def unreliable(server: str) -> Iterator[Unreliable]:
    """The server at the address, reached through a connection that fails."""
    listener = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    _Handler.host = urlsplit(server).netloc
    _Handler.between = between = Unreliable(f"http://127.0.0.1:{listener.server_port}")
    thread = threading.Thread(target=listener.serve_forever, args=[0.01])
    thread.start()
    try:
        yield between
    finally:
        listener.shutdown()
        thread.join()
        listener.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    host: str
    between: Unreliable

    def handle(self) -> None:
        # A client that needs a connection no more ends it without a farewell.
        with suppress(ConnectionResetError):
            super().handle()

    def pass_on(self) -> None:
        content = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        fault = self.between.next_for(self.command)
        if fault in REFUSALS:
            self.answer(503, {}, REFUSALS[fault])
        elif fault == "unheard":
            self.close_connection = True
        else:
            self.ask(content, fault)

    def ask(self, content: bytes, fault: Fault | None) -> None:
        with closing(http.client.HTTPConnection(self.host, timeout=60)) as connection:
            # With the host that the client knows: its signature covers it.
            connection.request(self.command, self.path, content, _end_to_end(self.headers))
            answer = connection.getresponse()
            body = answer.read()
        self.close_connection = fault is not None
        if fault == "unanswered":
            return
        headers = _end_to_end(answer.headers)
        self.answer(answer.status, headers, body, len(body) // 2 if fault == "cut off" else len(body))

    def answer(self, status: int, headers: Mapping[str, str], body: bytes, sent: int | None = None) -> None:
        self.send_response_only(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[:sent])

    do_GET = do_PUT = do_HEAD = do_DELETE = do_POST = pass_on  # noqa: N815

    def log_message(self, *_: object) -> None:
        """Says nothing."""


def _end_to_end(headers: Message) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name.lower() not in HOP_BY_HOP}
