"""A storage as the holder of a name sees it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from renku_metrics.object_storage.interface import ObjectInfo, ObjectStorage


class HeldStorage:
    """A storage that changes nothing once ``check``, asked before each change, raises StoreError."""

    def __init__(self, storage: ObjectStorage, check: Callable[[], None]) -> None:
        self._storage = storage
        self._check = check

    def address(self, key: str = "") -> str:
        return self._storage.address(key)

    def read(self, key: str) -> bytes:
        return self._storage.read(key)

    def write(self, key: str, content: bytes) -> None:
        self._check()
        self._storage.write(key, content)

    def delete(self, key: str) -> None:
        self._check()
        self._storage.delete(key)

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        return self._storage.list(prefix)

    @contextmanager
    def alone(self, name: str) -> Iterator[ObjectStorage]:
        with self._storage.alone(name) as held:
            # Whoever holds two names must hold both to the end.
            yield HeldStorage(held, self._check)
