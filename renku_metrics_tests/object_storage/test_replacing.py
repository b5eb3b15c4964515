"""Replacing an object that nobody else has changed: no write of another is lost, whoever writes at once."""

from __future__ import annotations

import os
import random
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from botocore.awsrequest import AWSPreparedRequest

from renku_metrics.errors import StoreError
from renku_metrics.object_storage import ChangedError, DirectoryStorage, ObjectStorage, S3Storage, lease, open_storage
from renku_metrics_tests.servers.unreliable import Fault, Unreliable, unreliable

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
SIZE = 200_000
# Replaces one object again and again, to be killed at any point.
REPLACER = f"""
import sys
from renku_metrics.object_storage import open_storage

storage = open_storage(sys.argv[1])
print("ready", flush=True)
while True:
    content, version = storage.read_versioned("state/x")
    storage.replace("state/x", (b"a" if content[:1] == b"b" else b"b") * {SIZE}, version)
"""


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    # Where the server does not write on condition, each replacement takes a lease.
    monkeypatch.setattr(lease, "POLL_SECONDS", 0.001)
    monkeypatch.setattr(lease, "SETTLE_SECONDS", 0.001)


@pytest.fixture
def storage(storage_address: str) -> ObjectStorage:
    return open_storage(storage_address)


def files(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


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
    storage.write("x", b"1")
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
        held.write("state/x", b"3")
        held.delete("state/x")

    assert list(storage.list()) == []


def test_nothing_but_the_object_is_listed(storage: ObjectStorage) -> None:
    storage.replace("state/x", b"1", None)
    with storage.alone("state/locks/x"):
        assert [info.key for info in storage.list()] == ["state/x"]


def test_no_count_of_two_processes_and_many_threads_is_lost(storage_kind: str, storage_address: str) -> None:
    # Swift needs a lease of the object for each.
    threads, times = (2, 3) if storage_kind == "swift" else (4, 12)
    storage = open_storage(storage_address)
    storage.write("count", b"0")
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


def test_whoever_is_killed_leaves_the_old_object_or_the_new_one(tmp_path: Path) -> None:
    storage = DirectoryStorage(tmp_path)
    storage.write("state/x", b"a" * SIZE)
    moments = random.Random(0)
    for _ in range(15):
        replacer = subprocess.Popen([sys.executable, "-c", REPLACER, str(tmp_path)], stdout=subprocess.PIPE)
        assert replacer.stdout is not None
        assert replacer.stdout.readline() == b"ready\n"
        with pytest.raises(subprocess.TimeoutExpired):
            replacer.wait(timeout=moments.uniform(0.0, 0.03))
        replacer.send_signal(signal.SIGKILL)
        replacer.communicate()

        content, version = storage.read_versioned("state/x")
        assert content in (b"a" * SIZE, b"b" * SIZE)
        assert [info.key for info in storage.list()] == ["state/x"]
        storage.replace("state/x", content, version)
        assert files(tmp_path) == ["state/x"]


@pytest.mark.parametrize("step", ["fsync", "replace", "unlink"])
def test_what_is_left_of_a_killed_replacement_is_gone_after_the_next(tmp_path: Path, step: str) -> None:
    module = {"fsync": "os", "replace": "pathlib.Path", "unlink": "pathlib.Path"}[step]
    die = f"import os, pathlib; {module}.{step} = lambda *_, **__: os._exit(9)"
    command = f"{die}\nfrom renku_metrics.object_storage import open_storage\n"
    storage = DirectoryStorage(tmp_path)
    version = storage.replace("x", b"old", None)
    killed = subprocess.run(
        [sys.executable, "-c", f"{command}open_storage({str(tmp_path)!r}).replace('x', b'new', {version!r})"]
    )
    assert killed.returncode == 9
    assert ".x.lock" in files(tmp_path)

    content, version = storage.read_versioned("x")
    assert content == (b"new" if step == "unlink" else b"old")
    assert [info.key for info in storage.list()] == ["x"]
    storage.replace("x", b"newer", version)
    assert files(tmp_path) == ["x"]


def test_nothing_is_left_of_a_killed_writer_after_a_deletion(tmp_path: Path) -> None:
    storage = DirectoryStorage(tmp_path)
    storage.write("x", b"1")
    (tmp_path / ".x.partial").write_bytes(b"half of what a killed wri")
    storage.delete("x")

    assert files(tmp_path) == []


def test_versions_differ_though_the_clock_has_not_moved_and_the_inode_is_used_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.time_ns", lambda: 1_000_000_000)
    storage = DirectoryStorage(tmp_path)
    versions = [storage.replace("x", b"0", None)]
    for number in range(1, 10):
        versions.append(storage.replace("x", b"%d" % number, versions[-1]))

    assert len(set(versions)) == 10
    # One nanosecond a write, which the disk can tell.
    assert (tmp_path / "x").stat().st_mtime_ns == 1_000_000_009


@contextmanager
def umask(mask: int) -> Iterator[None]:
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


def modes(folder: Path) -> dict[str, str]:
    return {path.name: oct(stat.S_IMODE(path.stat().st_mode)) for path in folder.rglob("*")}


@pytest.mark.parametrize("mask", [0o000, 0o022, 0o077])
def test_files_and_folders_are_private_to_their_owner(tmp_path: Path, mask: int) -> None:
    with umask(mask):
        storage = DirectoryStorage(tmp_path / "store")
        storage.write("raw/a/x", b"1")
        storage.replace("raw/a/x", b"2", storage.read_versioned("raw/a/x")[1])
        with storage.alone("locks/y"):
            assert modes(tmp_path / "store" / "locks") == {".y.held": "0o600"}

    assert modes(tmp_path) == {"store": "0o700", "raw": "0o700", "a": "0o700", "locks": "0o700", "x": "0o600"}


def test_what_the_umask_takes_is_not_given_back(tmp_path: Path) -> None:
    with umask(0o277):
        DirectoryStorage(tmp_path).write("x", b"1")

    assert modes(tmp_path) == {"x": "0o400"}


def test_the_names_of_new_files_and_folders_are_safe_on_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []
    monkeypatch.setattr("os.fsync", lambda handle: synced.append(str(Path(f"/proc/self/fd/{handle}").readlink())))
    DirectoryStorage(tmp_path).replace("raw/a/x", b"1", None)

    raw = tmp_path / "raw"
    assert synced == [str(path) for path in (tmp_path, raw, raw / "a" / ".x.partial", raw / "a")]


ANSWERS: list[Fault] = ["busy", "slow down", "unheard", "unanswered"]


@pytest.fixture
def between(s3_server: str) -> Iterator[Unreliable]:
    with unreliable(s3_server) as between:
        yield between


@pytest.fixture
def held(bucket: str, between: Unreliable, monkeypatch: pytest.MonkeyPatch) -> Iterator[ObjectStorage]:
    """A storage over a bad connection, which knows what the server can do."""
    monkeypatch.setattr("time.sleep", lambda _: None)
    # Held, so that the next PUT is that of the object wherever the server does not write on condition.
    with open_storage(f"s3://{bucket}/p", between.address).alone("name") as held:
        held.replace("before", b"", None)
        yield held


@pytest.mark.parametrize("fault", ANSWERS)
def test_our_own_write_is_no_conflict(held: ObjectStorage, between: Unreliable, fault: Fault) -> None:
    between.fail("PUT", fault, fault)
    first = held.replace("x", b"1", None)
    assert held.read_versioned("x") == (b"1", first)

    between.fail("PUT", fault, fault)
    second = held.replace("x", b"2", first)
    assert held.read_versioned("x") == (b"2", second)
    assert not between.faults


def test_another_write_is_a_conflict_though_it_is_equal_and_an_answer_was_lost(
    held: ObjectStorage, between: Unreliable, bucket: str, storage_kind: str
) -> None:
    if storage_kind == "swift":
        pytest.skip("where conditions are ignored, nobody is quicker than who holds the name")
    version = held.replace("x", b"1", None)
    other = open_storage(f"s3://{bucket}/p")
    assert isinstance(held, S3Storage)

    def be_quicker(request: AWSPreparedRequest, **_: object) -> None:
        if request.method == "PUT" and not between.faults:
            events.unregister("before-send.s3", be_quicker)
            other.write("x", b"2")

    events = held._client.meta.events
    events.register("before-send.s3", be_quicker)
    between.fail("PUT", "unheard")
    with pytest.raises(ChangedError):
        held.replace("x", b"2", version)


def test_what_the_server_can_do_is_asked_once_with_three_requests(bucket: str, between: Unreliable) -> None:
    storage = open_storage(f"s3://{bucket}/p", between.address)
    with storage.alone("name") as held:
        begun = len(between.requests)
        held.replace("x", b"1", None)
        first = between.requests[begun:]
        storage.read("x")
        begun = len(between.requests)
        held.replace("y", b"1", None)
        second = between.requests[begun:]

    assert second in (["PUT"], ["HEAD", "PUT"])
    assert first == ["PUT", "PUT", "PUT", *second]
    with pytest.raises(StoreError, match="there is no bucket"):
        open_storage(f"s3://{bucket}-not", between.address).replace("x", b"1", None)
