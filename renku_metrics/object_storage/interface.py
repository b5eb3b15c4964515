"""What a set of whole objects can do, wherever it is kept."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from renku_metrics.errors import StoreError

PARALLEL_REQUESTS = 16
# How long one who wants a name waits for its holder.
LONGEST_WAIT_SECONDS = 3600.0


class ChangedError(StoreError):
    """Another has changed the object since it was read; who gets this reads it again and merges again."""

    def __init__(self, address: str) -> None:
        super().__init__(f"{address}: another has changed this meanwhile; run it again")


class HeldTooLongError(StoreError):
    """Another has not let go of a name for as long as anybody waits."""

    def __init__(self, address: str) -> None:
        super().__init__(f"{address}: another pull has held this for over an hour")


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

    def read_versioned(self, key: str) -> tuple[bytes, str]:
        """The object's bytes and their version, the same as in a listing. Raises as ``read`` does."""
        ...

    def replace(self, key: str, content: bytes, version: str | None) -> str:
        """Replaces the object whole if it still has this version, or creates it if there is none and none is given.

        Returns the new version. Raises ChangedError when another has replaced, created or deleted the object meanwhile,
        StoreError when it cannot be written. After either the content may have been stored all the same, if an answer
        was lost on the way; so it must do no harm to merge it twice.
        """
        ...

    def delete(self, key: str) -> None:
        """Removes the object; that it is not there is no error."""
        ...

    def clear_unfinished(self, prefix: str = "") -> None:
        """Removes what killed writers have left of objects below the prefix, which ends with a slash or is empty."""
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
