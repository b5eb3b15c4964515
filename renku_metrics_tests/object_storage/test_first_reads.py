"""Threads that read what is not there with a client that nobody has used before."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from renku_metrics.object_storage import open_storage

THREADS = 16


@pytest.fixture
def impatient_switches() -> Iterator[None]:
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(usual)


def test_what_is_not_there_is_not_there_for_every_thread(storage_address: str, impatient_switches: None) -> None:
    together = Barrier(THREADS)

    def missing(number: int) -> bool:
        together.wait()
        try:
            storage.read(f"nothing/{number}")
        except FileNotFoundError:
            return True
        return False

    # botocore makes the classes of its errors when they are first needed, without a lock.
    for _ in range(10):
        storage = open_storage(storage_address)
        with ThreadPoolExecutor(THREADS) as pool:
            assert all(pool.map(missing, range(THREADS)))
