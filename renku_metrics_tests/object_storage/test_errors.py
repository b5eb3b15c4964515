"""What a person is told when a directory or a server does not do what is asked of it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from renku_metrics.errors import StoreError
from renku_metrics.object_storage import DirectoryStorage, ObjectStorage, open_storage

WORKS = ["read", "replace", "delete", "list", "alone"]
# The first replacement tries whether the server writes on condition.
ASKED_OF = {"list": "", "replace": "conditional-writes.probe"}


def attempt(storage: ObjectStorage, work: str, key: str = "x") -> None:
    match work:
        case "read":
            storage.read(key)
        case "replace":
            storage.replace(key, b"1", None)
        case "delete":
            storage.delete(key)
        case "list":
            list(storage.list())
        case "alone":
            with storage.alone(key):
                pass


def test_a_directory_that_cannot_be_written_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")

    with pytest.raises(
        StoreError, match=rf"^{tmp_path}/file/raw/x: cannot be written: Not a directory; choose another directory$"
    ):
        DirectoryStorage(tmp_path / "file").replace("raw/x", b"1", None)
    with pytest.raises(
        StoreError,
        match=rf"^{tmp_path}/file/locks/x: cannot be held: Not a directory; choose another directory$",
    ):
        attempt(DirectoryStorage(tmp_path / "file"), "alone", "locks/x")


def test_a_missing_bucket_is_one_clear_line(s3_environment: str) -> None:
    storage = open_storage("s3://no-such-bucket/p")

    for work in WORKS:
        with pytest.raises(StoreError) as error:
            attempt(storage, work)
        assert str(error.value) == (
            f"s3://no-such-bucket/p/{ASKED_OF.get(work, 'x')}: "
            "there is no bucket no-such-bucket; create it, or correct the address"
        )


REFUSALS = {
    "AccessDenied": "access denied; let these credentials read, write and list this bucket",
    "InvalidAccessKeyId": "the server does not know AWS_ACCESS_KEY_ID; set one that it knows",
    "SignatureDoesNotMatch": "AWS_SECRET_ACCESS_KEY does not fit AWS_ACCESS_KEY_ID; set the one that does",
}


class Refusing(BaseHTTPRequestHandler):
    """An S3 server that refuses everything with the code that its address names."""

    protocol_version = "HTTP/1.1"

    def handle(self) -> None:
        # A client that needs a connection no more ends it without a farewell.
        with suppress(ConnectionResetError):
            super().handle()

    def refuse(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        code = self.path.split("/")[1]
        body = b"" if self.command == "HEAD" else f"<Error><Code>{code}</Code><Message>No.</Message></Error>".encode()
        self.send_response(403)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_PUT = do_HEAD = do_DELETE = do_POST = refuse  # noqa: N815

    def log_message(self, *_: object) -> None:
        """Says nothing."""


@pytest.fixture(scope="module")
def refusing_server() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Refusing)
    thread = threading.Thread(target=server.serve_forever, args=[0.01])
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize("code", REFUSALS)
def test_refused_credentials_are_one_clear_line(s3_environment: str, refusing_server: str, code: str) -> None:
    storage = open_storage("s3://bucket/p", f"{refusing_server}/{code}")

    for work in WORKS:
        with pytest.raises(StoreError) as error:
            attempt(storage, work)
        # The first thing that holding alone asks is a HEAD, whose answer has no body to name the code.
        advice = REFUSALS["AccessDenied" if work == "alone" else code]
        assert str(error.value) == f"s3://bucket/p/{ASKED_OF.get(work, 'x')}: {advice}"


def test_missing_credentials_are_one_clear_line(s3_environment: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")

    with pytest.raises(StoreError, match=r"^s3://bucket/x: no credentials; set AWS_ACCESS_KEY_ID and .*$"):
        open_storage("s3://bucket").read("x")


def test_a_server_that_is_not_there_is_one_clear_line(s3_environment: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda _: None)

    with pytest.raises(StoreError, match=r"^s3://bucket/x: Could not connect .*127.0.0.1:1/.*; start that server, .*$"):
        open_storage("s3://bucket", "http://127.0.0.1:1").read("x")
