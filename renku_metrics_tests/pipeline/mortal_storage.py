"""A store in memory whose process may be killed between two writes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from renku_metrics.object_storage.interface import ObjectInfo


class KilledError(Exception):
    """The process ended here."""


class MortalStorage:
    """Objects in memory, for a process that ends once its writes are used up."""

    def __init__(self) -> None:
        self._objects: dict[str, bytes] = {}
        self.writes_left: int | None = None

    def write(self, key: str, content: bytes) -> None:
        self._live_on()
        self._objects[key] = content

    def delete(self, key: str) -> None:
        self._live_on()
        self._objects.pop(key, None)

    def address(self, key: str = "") -> str:
        return f"memory:{key}"

    def read(self, key: str) -> bytes:
        if key not in self._objects:
            raise FileNotFoundError(key)
        return self._objects[key]

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        for key, content in sorted(self._objects.items()):
            if key.startswith(prefix):
                yield ObjectInfo(key, len(content), str(hash(content)))

    @contextmanager
    def alone(self, name: str) -> Iterator[MortalStorage]:
        yield self

    def _live_on(self) -> None:
        if self.writes_left is not None:
            if self.writes_left <= 0:
                raise KilledError
            self.writes_left -= 1
