"""Whole objects, wherever they are kept: the same promises on a directory and on S3."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from renku_metrics.errors import StoreError
from renku_metrics.object_storage import DirectoryStorage, ObjectStorage, S3Storage, open_storage

ODD_KEYS = [
    "events/deployment=renkulab-io/event_day=2026-11-16/data.parquet",
    "amalthea_audit_log_20261116_010000+0000.txt",
    "a folder/with spaces and %20/é+ü=ß.txt",
    "state/ends with a dot./x",
    "tilde~/(brackets)/[0]/quote'&amp;.json",
]

# Writes one object over another and stops half way, to be killed there.
WRITER = """
import os, sys, threading
from renku_metrics.object_storage import open_storage, s3

def stop(**_):
    print("half way", flush=True)
    threading.Event().wait()

storage = open_storage(sys.argv[1])
os.fsync = lambda _: stop()
s3.MULTIPART_FROM_BYTES = 5 * 1024**2
if isinstance(storage, s3.S3Storage):
    storage._client.meta.events.register("after-call.s3.UploadPart", stop)
storage.write("data.parquet", b"n" * 20 * 1024**2)
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


@pytest.mark.parametrize("key", ODD_KEYS)
def test_any_key_will_do(storage: ObjectStorage, key: str) -> None:
    storage.write(key, key.encode())

    assert keys(storage) == [key]
    assert keys(storage, key[:-3]) == [key]
    assert storage.read(key) == key.encode()
    storage.delete(key)
    assert keys(storage) == []


def test_what_was_never_written_is_not_found(storage: ObjectStorage) -> None:
    storage.write("raw/x", b"1")

    for absent in ("raw", "raw/", "raw/y", "raw/x/y", "some/prefix/raw/x"):
        if absent.startswith("raw") and isinstance(storage, DirectoryStorage) and absent in ("raw", "raw/"):
            continue
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
    # One short of this and the server's first page would hold them all.
    for number in range(1001):
        storage._client.put_object(Bucket=bucket, Key=f"p/{number:04}", Body=b"")

    assert keys(storage) == [f"{number:04}" for number in range(1001)]


def test_the_version_changes_with_the_content_and_only_then(storage: ObjectStorage) -> None:
    storage.write("x", b"a")
    storage.write("y", b"a")
    first = {info.key: info.version for info in storage.list()}
    storage.write("x", b"b")
    second = {info.key: info.version for info in storage.list()}

    assert second["x"] != first["x"]
    assert second["y"] == first["y"]


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


def test_a_large_object_is_sent_in_parts(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("renku_metrics.object_storage.s3.MULTIPART_FROM_BYTES", 5 * 1024**2)
    storage = open_storage(f"s3://{bucket}")
    content = bytes(range(256)) * 4096 * 9

    storage.write("large", content)
    storage.write("small", content[: 5 * 1024**2 - 1])

    assert storage.read("large") == content
    versions = {info.key: info.version for info in storage.list()}
    # The ETag of an object sent in parts ends with their number.
    assert versions["large"].endswith("-2")
    assert "-" not in versions["small"]


def test_parts_of_a_write_that_failed_are_not_left_behind(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("renku_metrics.object_storage.s3.MULTIPART_FROM_BYTES", 5 * 1024**2)
    storage = open_storage(f"s3://{bucket}")
    assert isinstance(storage, S3Storage)
    storage.write("large", b"old")

    def refuse(params: dict[str, object], **_: object) -> None:
        if params["query_string"]["partNumber"] == 2:  # type: ignore[index]
            raise InterruptedError

    storage._client.meta.events.register("before-call.s3.UploadPart", refuse)
    with pytest.raises(InterruptedError):
        storage.write("large", b"n" * 20 * 1024**2)

    assert storage.read("large") == b"old"
    assert not storage._client.list_multipart_uploads(Bucket=bucket).get("Uploads")


def test_a_writer_that_fails_leaves_nothing_in_the_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    storage = DirectoryStorage(tmp_path)
    storage.write("x", b"old")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(StoreError, match=rf"^{tmp_path}/x: cannot be written: No space left on device$"):
        storage.write("x", b"new")

    assert storage.read("x") == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


@pytest.mark.parametrize("work", ["read", "write", "delete", "list", "alone"])
def test_a_missing_bucket_is_one_clear_line(s3_environment: str, work: str) -> None:
    storage = open_storage("s3://no-such-bucket/p")

    with pytest.raises(StoreError) as error:
        attempt(storage, work)

    assert str(error.value) == (
        f"s3://no-such-bucket/p/{'' if work == 'list' else 'x'}: "
        "there is no bucket no-such-bucket; create it, or correct the address"
    )


@pytest.mark.parametrize("work", ["read", "write", "delete", "list", "alone"])
@pytest.mark.parametrize(
    ("status", "code", "advice"),
    [
        (403, "AccessDenied", "access denied; the credentials need to read, write and list this bucket"),
        (403, "InvalidAccessKeyId", "the server does not know AWS_ACCESS_KEY_ID"),
        (403, "SignatureDoesNotMatch", "AWS_SECRET_ACCESS_KEY does not fit AWS_ACCESS_KEY_ID"),
    ],
)
def test_a_refused_key_is_one_clear_line(
    refusing_server: Refusal, work: str, status: int, code: str, advice: str
) -> None:
    ...


def attempt(storage: ObjectStorage, work: str) -> None:
    match work:
        case "read":
            storage.read("x")
        case "write":
            storage.write("x", b"1")
        case "delete":
            storage.delete("x")
        case "list":
            list(storage.list())
        case "alone":
            with storage.alone("x"):
                pass
