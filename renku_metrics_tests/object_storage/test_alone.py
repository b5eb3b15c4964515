"""Holding a name alone: among threads, among processes, and past the death of a holder."""

from __future__ import annotations

import datetime as dt
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from renku_metrics.errors import StoreError
from renku_metrics.object_storage import ObjectStorage, S3Storage, file_lock, interface, lease, open_storage

SETTLE_SECONDS = lease.SETTLE_SECONDS
OUT_OF_TOUCH = r"out of touch for so long that another may have begun; run it again$"
NAME = "state/locks/renkulab-io-gitlab"
HOLDER = f"""
import sys, threading
from renku_metrics.object_storage import open_storage
with open_storage(sys.argv[1]).alone("{NAME}"):
    print("held", flush=True)
    threading.Event().wait()
"""


@pytest.fixture
def storage(storage_address: str) -> ObjectStorage:
    return open_storage(storage_address)


@pytest.fixture
def lease_storage(bucket: str) -> S3Storage:
    storage = open_storage(f"s3://{bucket}")
    assert isinstance(storage, S3Storage)
    return storage


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_lock, "POLL_SECONDS", 0.001)
    monkeypatch.setattr(lease, "POLL_SECONDS", 0.001)
    monkeypatch.setattr(lease, "SETTLE_SECONDS", 0.001)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits: a name that is held is an error at once."""
    monkeypatch.setattr(interface, "LONGEST_WAIT_SECONDS", -1.0)


@contextmanager
def held_elsewhere(address: str) -> Iterator[subprocess.Popen[bytes]]:
    """Another process holds the name."""
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, address], stdout=subprocess.PIPE)
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        yield holder
    finally:
        holder.send_signal(signal.SIGKILL)
        holder.communicate()


def grow_older(storage: ObjectStorage, seconds: float) -> None:
    """Makes the lease look as if it had been refreshed that much earlier, until it is refreshed."""
    assert isinstance(storage, S3Storage)
    key = f"{storage._prefix}{NAME}.lease"
    before = storage._client.head_object(Bucket=storage._bucket, Key=key)

    def set_back(parsed: dict[str, Any], **_: object) -> None:
        if (parsed.get("ETag"), parsed.get("LastModified")) == (before["ETag"], before["LastModified"]):
            parsed["LastModified"] -= dt.timedelta(seconds=seconds)

    storage._client.meta.events.register("after-call.s3.HeadObject", set_back)


def age(storage: S3Storage) -> float:
    address = storage.address(NAME)
    seconds = lease._Lease(storage._client, storage._bucket, f"{storage._prefix}{NAME}.lease", address).age()
    assert seconds is not None
    return seconds


def lose_to_an_heir(storage: S3Storage) -> None:
    """Returns once the holder of the lease has seen that another took it over."""
    heir = open_storage(storage.address())
    # The first to be taken is the first to be listed.
    refresher = next(thread for thread in threading.enumerate() if thread.name == "lease")
    storage._client.meta.events.register("before-call.s3.GetObject", lambda **_: write_lease(heir, b"the heir"))
    refresher.join(timeout=10)


def stored(storage: S3Storage) -> list[str]:
    """All that is in the bucket, what is not listed too."""
    return [item["Key"] for item in storage._client.list_objects_v2(Bucket=storage._bucket).get("Contents", [])]


def write_lease(storage: ObjectStorage, holder: bytes) -> None:
    """As another holder does."""
    assert isinstance(storage, S3Storage)
    storage._client.put_object(Bucket=storage._bucket, Key=f"{storage._prefix}{NAME}.lease", Body=holder)


def count_one_more(held: ObjectStorage) -> None:
    content, version = held.read_versioned("count")
    held.replace("count", str(int(content) + 1).encode(), version)


def lease_in(storage: S3Storage) -> bytes:
    return storage.read(f"{NAME}.lease")


def test_one_at_a_time(storage_address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # Longer than a request takes, as in earnest.
    monkeypatch.setattr(lease, "SETTLE_SECONDS", SETTLE_SECONDS)
    storage = open_storage(storage_address)
    storage.replace("count", b"0", None)
    inside: list[int] = []

    def count_up(_: int) -> None:
        # Each opens its own, as each run does.
        own = open_storage(storage_address)
        with own.alone(NAME) as held:
            inside.append(1)
            most.append(len(inside))
            count_one_more(held)
            inside.pop()

    most: list[int] = []
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(count_up, range(6)))

    assert storage.read("count") == b"6"
    assert max(most) == 1


@pytest.mark.usefixtures("impatient")
def test_who_waits_too_long_is_told_so(storage: ObjectStorage) -> None:
    with (
        storage.alone(NAME),
        pytest.raises(StoreError, match=rf"{NAME}\S*: another pull has held this for over an hour$"),
        storage.alone(NAME),
    ):
        pytest.fail("two hold the same name")


@pytest.mark.usefixtures("impatient")
def test_other_names_are_free(storage: ObjectStorage) -> None:
    with storage.alone(NAME), storage.alone(f"{NAME}2"), storage.alone("state/locks/renkulab-io-keycloak"):
        pass


@pytest.mark.usefixtures("impatient")
def test_it_is_free_again_after_a_failure(storage: ObjectStorage) -> None:
    with pytest.raises(ZeroDivisionError), storage.alone(NAME):
        raise ZeroDivisionError
    with storage.alone(NAME):
        pass


def test_who_waits_goes_on_when_the_holder_is_done(storage_address: str) -> None:
    order = []

    def second() -> None:
        with open_storage(storage_address).alone(NAME):
            order.append("second")

    with ThreadPoolExecutor(1) as pool:
        with open_storage(storage_address).alone(NAME):
            waiting = pool.submit(second)
            order.append("first")
        waiting.result(timeout=10)

    assert order == ["first", "second"]


@pytest.mark.usefixtures("impatient")
def test_a_holder_that_is_killed_gives_way(storage: ObjectStorage, storage_address: str) -> None:
    with held_elsewhere(storage_address) as holder:
        with pytest.raises(StoreError, match="another pull"), storage.alone(NAME):
            pytest.fail("held in two processes")
        holder.send_signal(signal.SIGKILL)
        holder.wait()
        if isinstance(storage, S3Storage):
            with pytest.raises(StoreError, match="another pull"), storage.alone(NAME):
                pytest.fail("taken over before it can be known that the holder is dead")
            grow_older(storage, lease.STALE_AFTER_SECONDS + 2)
        with storage.alone(NAME):
            pass


@pytest.mark.usefixtures("impatient")
def test_a_lease_is_stale_only_after_several_refreshes_were_missed(lease_storage: S3Storage) -> None:
    write_lease(lease_storage, b"someone else")
    grow_older(lease_storage, 3 * lease.REFRESH_SECONDS)

    with pytest.raises(StoreError, match="another pull"), lease_storage.alone(NAME):
        pytest.fail("taken over too early")
    assert lease_in(lease_storage) == b"someone else"


def test_of_several_that_take_over_one_gets_in_at_a_time(lease_storage: S3Storage) -> None:
    lease_storage.replace("count", b"0", None)
    write_lease(lease_storage, b"someone dead")
    grow_older(lease_storage, 2 * lease.STALE_AFTER_SECONDS)

    def count_up(_: int) -> None:
        with lease_storage.alone(NAME) as held:
            count_one_more(held)

    with pytest.MonkeyPatch.context() as patch:
        # Longer than a request takes, as in earnest.
        patch.setattr(lease, "POLL_SECONDS", 0.3)
        with ThreadPoolExecutor(3) as pool:
            list(pool.map(count_up, range(3)))

    assert lease_storage.read("count") == b"3"


def test_a_holder_keeps_its_lease_fresh(lease_storage: S3Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "REFRESH_SECONDS", 0.01)
    refreshed = threading.Semaphore(0)

    with lease_storage.alone(NAME):
        grow_older(lease_storage, 80)
        lease_storage._client.meta.events.register("after-call.s3.PutObject", lambda **_: refreshed.release())
        # The server's clock may take a second to show it.
        while age(lease_storage) > 5:
            assert refreshed.acquire(timeout=10)


def test_nothing_is_left_of_a_lease(lease_storage: S3Storage) -> None:
    with lease_storage.alone(NAME):
        assert stored(lease_storage) == [f"{NAME}.lease"]
        assert list(lease_storage.list()) == []

    assert stored(lease_storage) == []


def test_a_holder_that_was_suspended_leaves_the_lease_to_its_heir(
    lease_storage: S3Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "REFRESH_SECONDS", 0.01)
    looked = threading.Semaphore(0)

    heir = open_storage(lease_storage.address())

    def sleep_through_it() -> None:
        with lease_storage.alone(NAME):
            events = lease_storage._client.meta.events
            events.register("before-call.s3.GetObject", lambda **_: write_lease(heir, b"the heir"))
            events.register("after-call.s3.GetObject", lambda **_: looked.release())
            assert looked.acquire(timeout=10)

    with pytest.raises(StoreError, match=r"out of touch for so long that another may have begun; run it again$"):
        sleep_through_it()
    assert lease_in(lease_storage) == b"the heir"


def test_a_holder_out_of_reach_for_too_long_is_told_so(
    lease_storage: S3Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed = threading.Semaphore(0)

    def unreachable(**_: object) -> None:
        failed.release()
        raise EndpointConnectionError(endpoint_url="http://127.0.0.1:1")

    monkeypatch.setattr(lease, "REFRESH_SECONDS", 0.01)
    monkeypatch.setattr(lease, "STALE_AFTER_SECONDS", -1.0)

    def work_on() -> None:
        with lease_storage.alone(NAME):
            lease_storage._client.meta.events.register("before-call.s3.GetObject", unreachable)
            assert failed.acquire(timeout=10)
            assert failed.acquire(timeout=10)

    with pytest.raises(StoreError, match="out of touch"):
        work_on()


def test_a_short_interruption_does_no_harm(lease_storage: S3Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    failed = threading.Semaphore(0)

    def unreachable(**_: object) -> None:
        failed.release()
        raise EndpointConnectionError(endpoint_url="http://127.0.0.1:1")

    monkeypatch.setattr(lease, "REFRESH_SECONDS", 0.01)
    with lease_storage.alone(NAME):
        lease_storage._client.meta.events.register("before-call.s3.PutObject", unreachable)
        lease_storage._client.meta.events.register("before-call.s3.DeleteObject", unreachable)
        assert failed.acquire(timeout=10)

    # It could not be deleted; its age will free it.
    assert lease_in(lease_storage)


@pytest.mark.usefixtures("impatient")
def test_of_two_that_take_a_free_lease_the_last_to_write_has_it(lease_storage: S3Storage) -> None:
    rival = open_storage(lease_storage.address())
    looks = []

    def be_late(**_: object) -> None:
        looks.append(1)
        if len(looks) == 2:
            write_lease(rival, b"the rival")

    # A server that does not make conditional writes atomic lets the rival's through.
    lease_storage._client.meta.events.register("before-call.s3.GetObject", be_late)
    with pytest.raises(StoreError, match="another pull"), lease_storage.alone(NAME):
        pytest.fail("two hold the same name")
    assert lease_in(lease_storage) == b"the rival"


@pytest.mark.usefixtures("impatient")
def test_a_lease_is_ours_though_the_answer_to_taking_it_was_lost(lease_storage: S3Storage) -> None:
    def lose(**_: object) -> None:
        # What botocore's next try is answered when the one before was heard.
        refusal: Any = {"Error": {"Code": "PreconditionFailed"}, "ResponseMetadata": {"HTTPStatusCode": 412}}
        raise ClientError(refusal, "PutObject")

    events = lease_storage._client.meta.events
    events.register("after-call.s3.PutObject", lose)
    with lease_storage.alone(NAME):
        events.unregister("after-call.s3.PutObject", lose)


def test_a_holder_that_lost_its_lease_changes_nothing_any_more(
    lease_storage: S3Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "REFRESH_SECONDS", 0.01)

    def work_on() -> None:
        with lease_storage.alone(NAME) as held:
            version = held.replace("count", b"1", None)
            lose_to_an_heir(lease_storage)
            with pytest.raises(StoreError, match=OUT_OF_TOUCH):
                held.replace("count", b"2", version)
            with pytest.raises(StoreError, match=OUT_OF_TOUCH):
                held.delete("count")
            assert held.read("count") == b"1"

    with pytest.raises(StoreError, match=OUT_OF_TOUCH):
        work_on()
    assert lease_in(lease_storage) == b"the heir"


def test_a_holder_that_was_suspended_is_stopped_before_it_looks_again(
    lease_storage: S3Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def sleep_through_it() -> None:
        with lease_storage.alone(NAME) as held:
            monkeypatch.setattr(lease, "STALE_AFTER_SECONDS", -1.0)
            held.replace("count", b"1", None)

    with pytest.raises(StoreError, match=OUT_OF_TOUCH):
        sleep_through_it()
    with pytest.raises(FileNotFoundError):
        lease_storage.read("count")


def test_who_holds_two_names_needs_both(lease_storage: S3Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "REFRESH_SECONDS", 0.01)

    def lose_the_first() -> None:
        with lease_storage.alone(NAME) as first, first.alone(f"{NAME}2") as both:
            version = both.replace("count", b"1", None)
            lose_to_an_heir(lease_storage)
            both.replace("count", b"2", version)

    with pytest.raises(StoreError, match=OUT_OF_TOUCH):
        lose_the_first()
    assert lease_storage.read("count") == b"1"


def test_a_directory_is_held_until_the_end(tmp_path: Path) -> None:
    storage = open_storage(str(tmp_path))
    with storage.alone(NAME) as held:
        held.replace("count", b"1", None)
        held.delete("count")
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
