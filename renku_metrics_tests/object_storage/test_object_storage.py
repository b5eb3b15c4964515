"""Whole objects, wherever they are kept: the same promises on a directory and on S3."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from renku_metrics.errors import StoreError
from renku_metrics.object_storage import PARALLEL_REQUESTS, DirectoryStorage, ObjectStorage, S3Storage, open_storage
from renku_metrics_tests.conftest import PAGE_LENGTH

WORKS = ["read", "write", "delete", "list", "alone"]
ODD_KEYS = [
    "events/deployment=renkulab-io/event_day=2026-11-16/data.parquet",
    "amalthea_audit_log_20261116_010000+0000.txt",
    "a folder/with spaces and %20/é+ü=ß.txt",
    "state/ends with a dot./x",
    "tilde~/(brackets)/[0]/quote'&amp;.json",
]

# Writes one object over another and stops half way, to be killed there.
WRITER = """
import io, os, sys, threading
from renku_metrics.object_storage import open_storage, s3_requests

SIZE = 20 * 1024**2
sent = 0

def stop():
    print("half way", flush=True)
    threading.Event().wait()

def half(body, size=-1):
    # The larger blocks are read to be signed, the smaller ones to be sent.
    global sent
    sent += size if size < 1024**2 else 0
    return stop() if sent > SIZE / 2 else io.BytesIO.read(body, size)

os.fsync = lambda _: stop()
s3_requests.Body.read = half
open_storage(sys.argv[1]).write("data.parquet", b"n" * SIZE)
"""


@pytest.fixture
def storage(storage_address: str) -> ObjectStorage:
    return open_storage(storage_address)


def keys(storage: ObjectStorage, prefix: str = "") -> list[str]:
    return [info.key for info in storage.list(prefix)]


def test_what_is_written_is_read(storage: ObjectStorage) -> None:
    storage.write("raw/x/data.parquet", b"\x00\xff new\r\nline")
    storage.write("empty", b"")

    assert storage.read("raw/x/data.parquet") == b"\x00\xff new\r\nline"
    assert storage.read("empty") == b""


def test_another_program_sees_it_at_once(storage: ObjectStorage, storage_address: str) -> None:
    storage.write("raw/x", b"1")

    assert open_storage(storage_address).read("raw/x") == b"1"
    assert open_storage(f"{storage_address}/raw/").read("x") == b"1"


def test_a_write_replaces_all_of_it(storage: ObjectStorage) -> None:
    storage.write("x", b"a long first content")
    storage.write("x", b"short")

    assert storage.read("x") == b"short"
    assert [(info.key, info.size) for info in storage.list()] == [("x", 5)]


def test_any_key_will_do(storage: ObjectStorage) -> None:
    for key in ODD_KEYS:
        storage.write(key, key.encode())

        assert keys(storage) == [key]
        assert keys(storage, key[:-3]) == [key]
        assert storage.read(key) == key.encode()
        storage.delete(key)
        assert keys(storage) == []


def test_what_was_never_written_is_not_found(storage: ObjectStorage) -> None:
    storage.write("raw/x", b"1")

    for absent in ("raw", "raw/y", "raw/x/y", "some/prefix/raw/x"):
        with pytest.raises(FileNotFoundError, match=storage.address(absent)):
            storage.read(absent)


def test_a_deleted_object_is_gone_and_may_be_deleted_again(storage: ObjectStorage) -> None:
    storage.write("x", b"1")
    storage.write("xy", b"2")
    storage.delete("x")
    storage.delete("x")
    storage.delete("never/written")

    assert keys(storage) == ["xy"]
    with pytest.raises(FileNotFoundError):
        storage.read("x")


def test_a_list_holds_what_begins_with_the_prefix_in_the_order_of_keys(storage: ObjectStorage) -> None:
    for key in ("b/2", "b/10", "b-1", "b/1/deep/er", "a", "bc/1", "é", "B"):
        storage.write(key, key.encode())

    assert keys(storage) == ["B", "a", "b-1", "b/1/deep/er", "b/10", "b/2", "bc/1", "é"]
    assert keys(storage, "b/") == ["b/1/deep/er", "b/10", "b/2"]
    assert keys(storage, "b") == ["b-1", "b/1/deep/er", "b/10", "b/2", "bc/1"]
    assert keys(storage, "b/1") == ["b/1/deep/er", "b/10"]
    assert keys(storage, "nothing/") == []


def test_nothing_is_listed_before_anything_is_written(storage: ObjectStorage) -> None:
    assert keys(storage) == []
    assert keys(storage, "events/") == []


def test_neighbours_of_the_prefix_are_not_ours(bucket: str) -> None:
    open_storage(f"s3://{bucket}/renku-old").write("x", b"1")
    open_storage(f"s3://{bucket}").write("renku/x", b"2")

    assert keys(open_storage(f"s3://{bucket}/renku")) == ["x"]
    assert keys(open_storage(f"s3://{bucket}/")) == ["renku-old/x", "renku/x"]


def test_long_lists_come_whole(bucket: str) -> None:
    storage = open_storage(f"s3://{bucket}/p")
    assert isinstance(storage, S3Storage)
    numbers = [f"{number:03}" for number in range(2 * PAGE_LENGTH + 1)]
    with ThreadPoolExecutor(PARALLEL_REQUESTS) as pool:
        list(pool.map(lambda number: storage.write(number, b""), numbers))
    pages = []
    events = storage._client.meta.events
    events.register("after-call.s3.ListObjectsV2", lambda **_: pages.append(1))
    # Ceph's pages are as long as AWS's for those who do not say how many keys they want.
    events.register("before-parameter-build.s3.ListObjectsV2", lambda params, **_: params.update(MaxKeys=PAGE_LENGTH))

    assert keys(storage) == numbers
    assert len(pages) == 3


def test_the_version_changes_with_the_content_and_only_then(storage: ObjectStorage) -> None:
    storage.write("x", b"a")
    storage.write("y", b"a")
    first = {info.key: info.version for info in storage.list()}
    storage.write("x", b"b")
    second = {info.key: info.version for info in storage.list()}

    assert second["x"] != first["x"]
    assert second["y"] == first["y"]


def test_writes_within_one_tick_of_the_clock_have_their_own_versions(tmp_path: Path) -> None:
    storage = DirectoryStorage(tmp_path)
    versions = set()
    for content in (b"a", b"b"):
        storage.write("x", content)
        os.utime(tmp_path / "x", ns=(0, 0))
        versions |= {info.version for info in storage.list()}

    assert len(versions) == 2


def test_a_writer_killed_half_way_leaves_the_object_as_it_was(storage: ObjectStorage, storage_address: str) -> None:
    storage.write("data.parquet", b"old")
    writer = subprocess.Popen([sys.executable, "-c", WRITER, storage_address], stdout=subprocess.PIPE)
    assert writer.stdout is not None
    assert writer.stdout.readline() == b"half way\n"
    writer.send_signal(signal.SIGKILL)
    writer.communicate()

    assert storage.read("data.parquet") == b"old"
    assert keys(storage) == ["data.parquet"]
    storage.write("data.parquet", b"new")
    assert storage.read("data.parquet") == b"new"


def test_a_writer_that_fails_leaves_nothing_in_the_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    storage = DirectoryStorage(tmp_path)
    storage.write("x", b"old")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(
        StoreError, match=rf"^{tmp_path}/x: cannot be written: No space left on device; make room there$"
    ):
        storage.write("x", b"new")

    assert storage.read("x") == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


def test_a_folder_that_cannot_be_read_is_no_empty_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    storage = DirectoryStorage(tmp_path)
    storage.write("raw/x", b"1")

    def refuse(path: str) -> None:
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr("os.scandir", refuse)
    with pytest.raises(
        StoreError,
        match=rf"^{tmp_path}/raw: cannot be listed: Permission denied; let this user read and write there, .*$",
    ):
        list(storage.list("raw/"))


def test_a_directory_that_cannot_be_written_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")

    with pytest.raises(
        StoreError, match=rf"^{tmp_path}/file/raw/x: cannot be written: Not a directory; choose another directory$"
    ):
        DirectoryStorage(tmp_path / "file").write("raw/x", b"1")
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
            f"s3://no-such-bucket/p/{'' if work == 'list' else 'x'}: "
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
        assert str(error.value) == f"s3://bucket/p/{'' if work == 'list' else 'x'}: {advice}"


def test_missing_credentials_are_one_clear_line(s3_environment: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")

    with pytest.raises(StoreError, match=r"^s3://bucket/x: no credentials; set AWS_ACCESS_KEY_ID and .*$"):
        open_storage("s3://bucket").read("x")


def test_a_server_that_is_not_there_is_one_clear_line(s3_environment: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda _: None)

    with pytest.raises(StoreError, match=r"^s3://bucket/x: Could not connect .*127.0.0.1:1/.*; start that server, .*$"):
        open_storage("s3://bucket", "http://127.0.0.1:1").read("x")


def test_the_region_is_that_of_the_environment(s3_environment: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_REGION", "eu-central-2")
    storage = open_storage("s3://bucket")

    assert isinstance(storage, S3Storage)
    assert storage._client.meta.region_name == "eu-central-2"


@pytest.mark.parametrize("endpoint", ["https://s3.example.org", None])
def test_servers_other_than_aws_find_the_bucket_in_the_path(
    s3_environment: str, monkeypatch: pytest.MonkeyPatch, endpoint: str | None
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "https://other.example.org")
    storage = open_storage("s3://bucket/p", endpoint)

    assert isinstance(storage, S3Storage)
    url = storage._client.generate_presigned_url("get_object", Params={"Bucket": "bucket", "Key": "p/x"})
    assert url.split("?")[0] == f"{endpoint or 'https://other.example.org'}/bucket/p/x"


def test_addresses_are_what_a_person_would_open(s3_environment: str, tmp_path: Path) -> None:
    assert open_storage("s3://bucket/a/b/").address("raw/x") == "s3://bucket/a/b/raw/x"
    assert open_storage("s3://bucket").address("raw/x") == "s3://bucket/raw/x"
    assert open_storage("s3://bucket/a#b?c").address("x") == "s3://bucket/a#b?c/x"
    assert open_storage(str(tmp_path)).address("raw/x") == f"{tmp_path}/raw/x"


def test_relative_directories_stay_what_they_were(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    storage = open_storage("data")
    monkeypatch.chdir("/")
    storage.write("x", b"1")

    assert (tmp_path / "data" / "x").read_bytes() == b"1"


@pytest.mark.parametrize("address", ["gs://bucket/p", "https://user:hunter2@s3.example.org/b", "s3://", "s3:///p"])
def test_any_other_address_is_refused_without_repeating_it(address: str) -> None:
    with pytest.raises(StoreError) as error:
        open_storage(address)

    assert str(error.value) == f"{address.split(':')[0]}://…: must be a directory or s3://bucket/prefix"


def test_keys_in_the_address_are_refused_without_repeating_them() -> None:
    with pytest.raises(StoreError) as error:
        open_storage("s3://AKIAX:hunter2@bucket/p")

    assert "hunter2" not in str(error.value)


def attempt(storage: ObjectStorage, work: str, key: str = "x") -> None:
    match work:
        case "read":
            storage.read(key)
        case "write":
            storage.write(key, b"1")
        case "delete":
            storage.delete(key)
        case "list":
            list(storage.list())
        case "alone":
            with storage.alone(key):
                pass
