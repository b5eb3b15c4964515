"""A store in memory whose process may be killed between two writes, and whose files others may take away."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from renku_metrics.object_storage import ChangedError
from renku_metrics.object_storage.interface import ObjectInfo


class KilledError(Exception):
    """The process ended here."""


class MortalStorage:
    """Objects in memory, for a process that ends once its writes are used up."""

    def __init__(self) -> None:
        self._objects: dict[str, tuple[bytes, str]] = {}
        self._written = 0
        self._changing = threading.RLock()
        self.writes_left: int | None = None

    def replace(self, key: str, content: bytes, version: str | None) -> str:
        with self._changing:
            _, found = self._objects.get(key, (b"", None))
            if found != version:
                raise ChangedError(self.address(key))
            self._live_on()
            self._written += 1
            self._objects[key] = content, str(self._written)
            return str(self._written)

    def delete(self, key: str) -> None:
        with self._changing:
            self._live_on()
            self._objects.pop(key, None)

    def address(self, key: str = "") -> str:
        return f"memory:{key}"

    def read(self, key: str) -> bytes:
        return self.read_versioned(key)[0]

    def read_versioned(self, key: str) -> tuple[bytes, str]:
        if key not in self._objects:
            raise FileNotFoundError(key)
        return self._objects[key]

    def clear_unfinished(self, prefix: str = "") -> None:
        """Nothing is half written."""

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        with self._changing:
            found = sorted((key, version) for key, (_, version) in self._objects.items())
        for key, version in found:
            if key.startswith(prefix):
                yield ObjectInfo(key, version)

    @contextmanager
    def alone(self, name: str) -> Iterator[MortalStorage]:
        yield self

    def snapshot(self) -> dict[str, bytes]:
        """All objects, as a backup holds them."""
        return {key: content for key, (content, _) in self._objects.items()}

    def restore(self, key: str, backup: Mapping[str, bytes]) -> None:
        """Somebody puts the object of a backup there; or takes it away, where the backup has none."""
        if key in backup:
            self._written += 1
            self._objects[key] = backup[key], str(self._written)
        else:
            self._objects.pop(key, None)

    def _live_on(self) -> None:
        if self.writes_left is not None:
            if self.writes_left <= 0:
                raise KilledError
            self.writes_left -= 1
