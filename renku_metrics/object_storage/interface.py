"""What a set of whole objects can do, wherever it is kept."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

PARALLEL_REQUESTS = 16


@dataclass(frozen=True)
class ObjectInfo:
    """One object of a listing; ``version`` changes whenever its content does."""

    key: str
    size: int
    version: str


class ObjectStorage(Protocol):
    """A set of objects by key, such as ``raw/x/data.parquet``."""

    def address(self, key: str = "") -> str:
        """Where a person finds the object: a path or an s3:// address."""
        ...

    def read(self, key: str) -> bytes:
        """The object's bytes. Raises FileNotFoundError when there is none, StoreError when it cannot be read."""
        ...

    def write(self, key: str, content: bytes) -> None:
        """Replaces the object whole. Raises StoreError when it cannot be written."""
        ...

    def delete(self, key: str) -> None:
        """Removes the object; that it is not there is no error."""
        ...

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        """The objects whose key begins with the prefix, sorted by key."""
        ...

    def alone(self, name: str) -> AbstractContextManager[ObjectStorage]:
        """Holds the name alone among all processes that use this storage, waiting for it where need be.

        The block gets this storage as its holder is to use it: it changes nothing once the name is lost, but raises
        StoreError. A holder that died gives way by itself. Raises StoreError when the wait was too long.
        """
        ...
