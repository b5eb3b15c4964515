"""Holding a name alone: among threads, among processes, and past the death of a holder."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from renku_metrics.errors import StoreError
from renku_metrics.object_storage import ObjectStorage, S3Storage, lease, open_storage
from renku_metrics_tests.object_storage.holding_names import NAME, count_one_more, grow_older

pytestmark = pytest.mark.usefixtures("quick")
HOLDER = f"""
import sys, threading
from renku_metrics.object_storage import open_storage
with open_storage(sys.argv[1]).alone("{NAME}"):
    print("held", flush=True)
    threading.Event().wait()
"""
SETTLE_SECONDS = lease.SETTLE_SECONDS
HELD_TOO_LONG = "another run has held this for over an hour; wait for it, or end it$"


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


@pytest.mark.usefixtures("nobody_waits")
def test_who_waits_too_long_is_told_so(storage: ObjectStorage) -> None:
    with (
        storage.alone(NAME),
        pytest.raises(StoreError, match=rf"{NAME}\S*: {HELD_TOO_LONG}"),
        storage.alone(NAME),
    ):
        pytest.fail("two hold the same name")


@pytest.mark.usefixtures("nobody_waits")
def test_other_names_are_free(storage: ObjectStorage) -> None:
    with storage.alone(NAME), storage.alone(f"{NAME}2"), storage.alone("state/locks/renkulab-io-keycloak"):
        pass


@pytest.mark.usefixtures("nobody_waits")
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


@pytest.mark.usefixtures("nobody_waits")
def test_a_holder_that_is_killed_gives_way(storage: ObjectStorage, storage_address: str) -> None:
    with held_elsewhere(storage_address) as holder:
        with pytest.raises(StoreError, match="another run"), storage.alone(NAME):
            pytest.fail("held in two processes")
        holder.send_signal(signal.SIGKILL)
        holder.wait()
        if isinstance(storage, S3Storage):
            with pytest.raises(StoreError, match="another run"), storage.alone(NAME):
                pytest.fail("taken over before it can be known that the holder is dead")
            grow_older(storage, lease.STALE_AFTER_SECONDS + 2)
        with storage.alone(NAME):
            pass


def test_a_directory_is_held_until_the_end(tmp_path: Path) -> None:
    storage = open_storage(str(tmp_path))
    with storage.alone(NAME) as held:
        held.replace("count", b"1", None)
        held.delete("count")
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
