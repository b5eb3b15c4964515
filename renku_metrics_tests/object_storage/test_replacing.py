"""Replacing an object that nobody else has changed: no write of another is lost, whoever writes at once."""

from __future__ import annotations

import random
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from renku_metrics.object_storage import ChangedError, ObjectStorage, lease, open_storage

# Where the server does not write on condition, each replacement takes a lease.
pytestmark = pytest.mark.usefixtures("quick")
# Counts up one object so many times in so many threads of one process, as `python -c`, with the address.
COUNTER = """
import sys
from concurrent.futures import ThreadPoolExecutor
from renku_metrics.object_storage import ChangedError, lease, open_storage

address, threads, times = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
lease.POLL_SECONDS = 0.1

def count_up(_):
    own = open_storage(address)
    for _ in range(times):
        while True:
            content, version = own.read_versioned("count")
            try:
                own.replace("count", b"%d" % (int(content) + 1), version)
                break
            except ChangedError:
                pass

with ThreadPoolExecutor(threads) as pool:
    list(pool.map(count_up, range(threads)))
"""


def test_an_object_is_created_once(storage: ObjectStorage) -> None:
    version = storage.replace("state/x", b"first", None)

    with pytest.raises(ChangedError, match=rf"^{storage.address('state/x')}: another has changed this meanwhile; .*$"):
        storage.replace("state/x", b"second", None)
    assert storage.read_versioned("state/x") == (b"first", version)


def test_only_the_version_that_was_read_is_replaced(storage: ObjectStorage) -> None:
    first = storage.replace("x", b"1", None)
    second = storage.replace("x", b"2", first)

    with pytest.raises(ChangedError):
        storage.replace("x", b"3", first)
    assert storage.read_versioned("x") == (b"2", second)
    storage.replace("x", b"4", second)
    assert storage.read("x") == b"4"


def test_a_replacement_does_not_look_like_ours_because_it_is_equal(storage: ObjectStorage) -> None:
    version = storage.replace("x", b"1", None)
    storage.replace("x", b"2", version)

    with pytest.raises(ChangedError):
        storage.replace("x", b"2", version)
    with pytest.raises(ChangedError):
        storage.replace("x", b"2", None)


def test_a_deleted_object_is_no_longer_what_was_read(storage: ObjectStorage) -> None:
    version = storage.replace("x", b"1", None)
    storage.delete("x")

    with pytest.raises(ChangedError):
        storage.replace("x", b"2", version)
    assert list(storage.list()) == []
    with pytest.raises(FileNotFoundError, match=storage.address("x")):
        storage.read_versioned("x")
    storage.replace("x", b"3", None)
    assert storage.read("x") == b"3"


def test_reading_listing_and_writing_tell_the_same_version(storage: ObjectStorage) -> None:
    storage.replace("x", b"1", None)
    content, read = storage.read_versioned("x")
    assert (content, [info.version for info in storage.list()]) == (b"1", [read])

    written = storage.replace("x", b"2", read)
    content, read = storage.read_versioned("x")
    assert (content, [info.version for info in storage.list()]) == (b"2", [read])
    assert written == read


def test_empty_and_large_objects_are_replaced(storage: ObjectStorage) -> None:
    large = random.Random(0).randbytes(9 * 1024**2)
    empty = storage.replace("x", b"", None)
    version = storage.replace("x", large, empty)

    assert storage.read_versioned("x") == (large, version)
    storage.replace("x", b"", version)
    assert storage.read("x") == b""


def test_a_holder_replaces_too(storage: ObjectStorage) -> None:
    with storage.alone("state/locks/x") as held:
        version = held.replace("x", b"1", None)
        assert held.read_versioned("x") == (b"1", version)
        with pytest.raises(ChangedError):
            held.replace("x", b"2", None)
        held.replace("x", b"3", version)

    assert storage.read("x") == b"3"


def test_a_name_and_an_object_of_that_name_are_two_things(storage: ObjectStorage) -> None:
    with storage.alone("state/x") as held:
        version = held.replace("state/x", b"1", None)
        held.replace("state/x", b"2", version)
        held.delete("state/x")

    assert list(storage.list()) == []


def test_nothing_but_the_object_is_listed(storage: ObjectStorage) -> None:
    storage.replace("state/x", b"1", None)
    with storage.alone("state/locks/x"):
        assert [info.key for info in storage.list()] == ["state/x"]


def test_no_count_of_two_processes_and_many_threads_is_lost(storage_kind: str, storage_address: str) -> None:
    if storage_kind == "moto":
        pytest.skip("moto itself loses a write now and then; see s3_conditions.py")
    # Swift needs a lease of the object for each.
    threads, times = (2, 3) if storage_kind == "swift" else (4, 12)
    storage = open_storage(storage_address)
    storage.replace("count", b"0", None)
    command = [sys.executable, "-c", COUNTER, storage_address, str(threads), str(times)]

    counters = [subprocess.Popen(command) for _ in range(2)]
    assert [counter.wait(timeout=120) for counter in counters] == [0, 0]

    assert storage.read("count") == str(2 * threads * times).encode()
    assert [info.key for info in storage.list()] == ["count"]


def test_one_of_many_creates(storage: ObjectStorage, storage_kind: str) -> None:
    # Makes itself known what the server can do.
    storage.replace("before", b"", None)

    def create(number: int) -> bool:
        try:
            storage.replace("x", str(number).encode(), None)
        except ChangedError:
            return False
        return True

    with pytest.MonkeyPatch.context() as patch:
        # Longer than a request takes, as in earnest.
        patch.setattr(lease, "SETTLE_SECONDS", 0.5)
        with ThreadPoolExecutor(8) as pool:
            created = list(pool.map(create, range(3 if storage_kind == "swift" else 8)))

    assert created.count(True) == 1
    assert storage.read("x") == str(created.index(True)).encode()
