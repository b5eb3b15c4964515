"""Whole objects, wherever they are kept: the same promises on a directory and on S3."""

from __future__ import annotations

import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from renku_metrics.errors import StoreError
from renku_metrics.object_storage import PARALLEL_REQUESTS, ObjectStorage, S3Storage, open_storage
from renku_metrics_tests.conftest import PAGE_LENGTH
from renku_metrics_tests.object_storage.put import put

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
with open_storage(sys.argv[1]).alone("writer") as held:
    held.replace("data.parquet", b"n" * SIZE, held.read_versioned("data.parquet")[1])
"""


def keys(storage: ObjectStorage, prefix: str = "") -> list[str]:
    return [info.key for info in storage.list(prefix)]


def test_what_is_written_is_read(storage: ObjectStorage) -> None:
    put(storage, "raw/x/data.parquet", b"\x00\xff new\r\nline")
    put(storage, "empty", b"")

    assert storage.read("raw/x/data.parquet") == b"\x00\xff new\r\nline"
    assert storage.read("empty") == b""


def test_another_program_sees_it_at_once(storage: ObjectStorage, storage_address: str) -> None:
    put(storage, "raw/x", b"1")

    assert open_storage(storage_address).read("raw/x") == b"1"
    assert open_storage(f"{storage_address}/raw/").read("x") == b"1"


def test_a_write_replaces_all_of_it(storage: ObjectStorage) -> None:
    put(storage, "x", b"a long first content")
    put(storage, "x", b"short")

    assert storage.read("x") == b"short"
    assert [info.key for info in storage.list()] == ["x"]


def test_any_key_will_do(storage: ObjectStorage) -> None:
    for key in ODD_KEYS:
        put(storage, key, key.encode())

        assert keys(storage) == [key]
        assert keys(storage, key[:-3]) == [key]
        assert storage.read(key) == key.encode()
        storage.delete(key)
        assert keys(storage) == []


def test_what_was_never_written_is_not_found(storage: ObjectStorage) -> None:
    put(storage, "raw/x", b"1")

    for absent in ("raw", "raw/y", "raw/x/y", "some/prefix/raw/x"):
        with pytest.raises(FileNotFoundError, match=storage.address(absent)):
            storage.read(absent)


def test_a_deleted_object_is_gone_and_may_be_deleted_again(storage: ObjectStorage) -> None:
    put(storage, "x", b"1")
    put(storage, "xy", b"2")
    storage.delete("x")
    storage.delete("x")
    storage.delete("never/written")

    assert keys(storage) == ["xy"]
    with pytest.raises(FileNotFoundError):
        storage.read("x")


def test_a_list_holds_what_begins_with_the_prefix_in_the_order_of_keys(storage: ObjectStorage) -> None:
    for key in ("b/2", "b/10", "b-1", "b/1/deep/er", "a", "bc/1", "é", "B"):
        put(storage, key, key.encode())

    assert keys(storage) == ["B", "a", "b-1", "b/1/deep/er", "b/10", "b/2", "bc/1", "é"]
    assert keys(storage, "b/") == ["b/1/deep/er", "b/10", "b/2"]
    assert keys(storage, "b") == ["b-1", "b/1/deep/er", "b/10", "b/2", "bc/1"]
    assert keys(storage, "b/1") == ["b/1/deep/er", "b/10"]
    assert keys(storage, "nothing/") == []


def test_nothing_is_listed_before_anything_is_written(storage: ObjectStorage) -> None:
    assert keys(storage) == []
    assert keys(storage, "events/") == []


def test_neighbours_of_the_prefix_are_not_ours(bucket: str) -> None:
    storage = open_storage(f"s3://{bucket}")
    storage.replace("renku-old/x", b"1", None)
    storage.replace("renku/x", b"2", None)

    assert keys(open_storage(f"s3://{bucket}/renku")) == ["x"]
    assert keys(open_storage(f"s3://{bucket}/")) == ["renku-old/x", "renku/x"]


def test_long_lists_come_whole(bucket: str) -> None:
    storage = open_storage(f"s3://{bucket}/p")
    assert isinstance(storage, S3Storage)
    numbers = [f"{number:03}" for number in range(2 * PAGE_LENGTH + 1)]
    with ThreadPoolExecutor(PARALLEL_REQUESTS) as pool:
        list(pool.map(lambda number: put(storage, number, b""), numbers))
    pages = []
    events = storage._client.meta.events
    events.register("after-call.s3.ListObjectsV2", lambda **_: pages.append(1))
    # Ceph's pages are as long as AWS's for those who do not say how many keys they want.
    events.register("before-parameter-build.s3.ListObjectsV2", lambda params, **_: params.update(MaxKeys=PAGE_LENGTH))

    assert keys(storage) == numbers
    assert len(pages) == 3


def test_the_version_changes_with_the_content_and_only_then(storage: ObjectStorage) -> None:
    put(storage, "x", b"a")
    put(storage, "y", b"a")
    first = {info.key: info.version for info in storage.list()}
    put(storage, "x", b"b")
    second = {info.key: info.version for info in storage.list()}

    assert second["x"] != first["x"]
    assert second["y"] == first["y"]


def test_a_writer_killed_half_way_leaves_the_object_as_it_was(storage: ObjectStorage, storage_address: str) -> None:
    put(storage, "data.parquet", b"old")
    writer = subprocess.Popen([sys.executable, "-c", WRITER, storage_address], stdout=subprocess.PIPE)
    assert writer.stdout is not None
    assert writer.stdout.readline() == b"half way\n"
    writer.send_signal(signal.SIGKILL)
    writer.communicate()

    assert storage.read("data.parquet") == b"old"
    assert keys(storage) == ["data.parquet"]
    put(storage, "data.parquet", b"new")
    assert storage.read("data.parquet") == b"new"


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
    put(storage, "x", b"1")

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
