"""What a set of whole objects can do, wherever it is kept."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from renku_metrics.errors import StoreError

PARALLEL_REQUESTS = 16
# So long a process waits for a name that another holds.
LONGEST_WAIT_SECONDS = 3600.0


class ChangedError(StoreError):
    """Another has changed the object since it was read. Whoever gets this reads it again and merges again."""

    def __init__(self, address: str) -> None:
        super().__init__(f"{address}: another has changed this meanwhile; run it again")


class HeldTooLongError(StoreError):
    """Another has held a name for longer than anybody waits."""

    def __init__(self, address: str) -> None:
        super().__init__(f"{address}: another run has held this for over an hour; wait for it, or end it")


@dataclass(frozen=True)
class ObjectInfo:
    """One object of a listing. ``version`` changes whenever its content does."""

    key: str
    version: str


class ObjectStorage(Protocol):
    """A set of objects by key, such as ``raw/x/data.parquet``."""

    def address(self, key: str = "") -> str:
        """Where a person finds the object: a path or an s3:// address."""
        ...

    def read(self, key: str) -> bytes:
        """The object's bytes. Raises FileNotFoundError if there is no object, StoreError if it cannot be read."""
        ...

    def read_versioned(self, key: str) -> tuple[bytes, str]:
        """The object's bytes and their version, the same as in a listing. Raises as ``read`` does."""
        ...

    def replace(self, key: str, content: bytes, version: str | None) -> str:
        """Replaces the object whole if it still has this version, or creates it if there is none and none is given.

        Returns the new version. Raises ChangedError if another has replaced, created or deleted the object meanwhile,
        StoreError if it cannot be written. Even then the content may have been stored, because the answer may have been
        lost on the way. So it must do no harm to merge it twice.
        """
        ...

    def delete(self, key: str) -> None:
        """Removes the object. It is no error if the object is not there."""
        ...

    def clear_unfinished(self, prefix: str = "") -> None:
        """Removes what killed writers have left of objects below the prefix, which ends with a slash or is empty."""
        ...

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        """The objects whose key begins with the prefix, sorted by key."""
        ...

    def alone(self, name: str) -> AbstractContextManager[ObjectStorage]:
        """Holds the name alone among all processes that use this storage. Waits for it if another holds it.

        The holder must use the storage that the block gets: if the name is lost, it raises StoreError and changes
        nothing more. A holder that died gives way by itself. Raises StoreError if the wait was too long.
        """
        ...
