"""Bodies are read whole, in every form in which they come, but not for ever."""

from __future__ import annotations

import gzip
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from renku_metrics.sources.http import Connection, NoAnswerError, Patience, content_of
from renkulab.faults import dripping_body
from renkulab.server import RenkuLab

# More than is read at once, and hard to compress.
CONTENT = json.dumps([f"{number * 7919 % 100_003}" for number in range(100_000)]).encode()


class Server(ThreadingHTTPServer):
    daemon_threads = True
    connections = 0

    def process_request(self, request: object, client_address: object) -> None:
        self.connections += 1
        super().process_request(request, client_address)  # type: ignore[arg-type]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        compressed = "gzip" in self.path
        content = gzip.compress(CONTENT) if compressed else CONTENT
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        if compressed:
            self.send_header("Content-Encoding", "gzip")
        if "chunked" in self.path:
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for first in range(0, len(content), 10_000):
                piece = content[first : first + 10_000]
                self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))
            self.wfile.write(b"0\r\n\r\n")
            return
        if "until-the-end" in self.path:
            self.close_connection = True
        else:
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    running = Server(("127.0.0.1", 0), Handler)
    threading.Thread(target=running.serve_forever, args=(0.01,), daemon=True).start()
    yield running
    running.shutdown()
    running.server_close()


@pytest.mark.parametrize("form", ["plain", "gzip", "chunked", "chunked-gzip", "until-the-end", "until-the-end-gzip"])
def test_a_body_is_read_whole_and_its_connection_used_again(server: Server, form: str) -> None:
    session = Connection("lab: gitlab").session()
    for _ in range(3):
        answer = session.get(f"http://127.0.0.1:{server.server_address[1]}/{form}")
        assert answer.content == CONTENT
        assert content_of(answer) == json.loads(CONTENT)
    assert server.connections == (3 if "until-the-end" in form else 1)


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[RenkuLab]:
    with RenkuLab("lab", tmp_path / "audit") as lab:
        yield lab


def test_a_body_that_drips_is_asked_for_again(lab: RenkuLab) -> None:
    lab.faults.add("version", dripping_body(), times=2)
    patience = Patience(longest_body=0.1, sleep=lambda seconds: None)
    session = Connection("lab: gitlab", patience=patience).session()
    answer = session.get(f"{lab.gitlab_url}/api/v4/version", headers={"PRIVATE-TOKEN": lab.gitlab_token})
    assert content_of(answer)["version"] == "16.11.0"
    assert len(lab.requests) == 3


def test_a_body_that_drips_for_good_is_given_up_and_holds_no_slot(lab: RenkuLab) -> None:
    lab.faults.add("version", dripping_body(), times=None)
    connection = Connection("lab: gitlab", patience=Patience(tries=2, longest_body=0.1, sleep=lambda seconds: None))
    with pytest.raises(NoAnswerError, match=r"version gave no whole answer \(Timeout\), 2 times in a row"):
        connection.session().get(f"{lab.gitlab_url}/api/v4/version")
    assert connection.slot().acquire(blocking=False)
