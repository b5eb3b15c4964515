"""The central store: tables as Parquet, one object per partition. It is replaced only if it is still what was read."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from typing import TypeVar
from urllib.parse import unquote

import pandas as pd
import pyarrow as pa

from renku_metrics.errors import StoreError
from renku_metrics.merging import unite
from renku_metrics.object_storage import PARALLEL_REQUESTS, ChangedError, ObjectStorage, open_storage
from renku_metrics.schema import Table, to_pandas
from renku_metrics.store.files import (
    Partition,
    changed_days,
    content_of,
    key_of,
    row_count,
    rows_of,
    split,
    version_of,
)
from renku_metrics.store.version import begin, has_version

# How many months are worked on in one go: enough to keep the connections busy, few enough for a small memory.
MONTHS_AT_ONCE = 6
# If another writer was faster, a write reads and merges again, at most so often.
TRIES = 20
Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Stored:
    """One partition in the store. ``version`` follows from its bytes. The storage gives the object its ``mark``.

    ``before``: the version that this write found there; empty if there was none. ``days``: the days whose rows it
    changed since then, in tables by month.
    """

    rows: int
    version: str
    mark: str
    changed: bool
    before: str
    days: frozenset[str] = frozenset()


class Store:
    """Tables and what is remembered, below one address."""

    def __init__(self, storage: ObjectStorage, *, begun: bool = False) -> None:
        self.storage = storage
        self._begun = begun

    @classmethod
    def at(cls, address: str) -> Store:
        """The store in a directory or at ``s3://bucket/prefix``.

        Raises StoreError if this version of the program cannot read the store.
        """
        storage = open_storage(address)
        return cls(storage, begun=has_version(storage))

    @contextmanager
    def alone(self, *names: str) -> Iterator[Store]:
        """Holds the names, in this order, alone among all processes. The block gets a store for their holder.

        Once a name is lost, that store changes nothing more and raises StoreError.
        """
        with ExitStack() as held:
            storage = self.storage
            for name in names:
                storage = held.enter_context(storage.alone(f"state/{name}"))
            store = Store(storage, begun=self._begun)
            yield store
            self._begun = store._begun

    def address(self, table: Table, partition: Partition) -> str:
        return self.storage.address(key_of(table, partition))

    def read(self, table: Table, partitions: Sequence[Partition]) -> pd.DataFrame:
        """The rows of the partitions, with every column of the table.

        Raises StoreError if a partition was never written.
        """
        rows, versions = self.read_versioned(table, partitions)
        self.check_written(table, partitions, versions)
        return rows

    def check_written(self, table: Table, partitions: Sequence[Partition], found: Container[Partition]) -> None:
        """Raises StoreError if one of the partitions was not found."""
        if absent := [partition for partition in partitions if partition not in found]:
            which = f" of {'|'.join(absent[0])}" if table.partitioned_by else ""
            more = f" and {len(absent) - 1} more" if len(absent) > 1 else ""
            raise StoreError(f"{table.name}{which}{more} is not in the store yet: materialize {table.name} first")

    def read_if_there(self, table: Table, partitions: Sequence[Partition]) -> pd.DataFrame:
        """The rows of those partitions that were ever written."""
        return self.read_versioned(table, partitions)[0]

    def read_versioned(
        self, table: Table, partitions: Sequence[Partition]
    ) -> tuple[pd.DataFrame, dict[Partition, str]]:
        """The rows of those partitions that were ever written, and the version of each as in Stored."""

        def read(partition: Partition) -> tuple[pa.Table, str] | None:
            content, _ = self._content(table, partition)
            return None if content is None else (self._rows(table, partition, content), version_of(content))

        found = dict(zip(partitions, in_parallel(read, partitions), strict=True))
        there = {partition: of for partition, of in found.items() if of is not None}
        rows = pa.concat_tables([table.schema.empty_table(), *(rows for rows, _ in there.values())])
        return to_pandas(rows), {partition: version for partition, (_, version) in there.items()}

    def read_columns(self, table: Table, partitions: Sequence[Partition], columns: Sequence[str]) -> pa.Table:
        """A few columns of those partitions that were ever written. It is cheap even if there are many rows."""

        def read(partition: Partition) -> pa.Table | None:
            content, _ = self._content(table, partition)
            return None if content is None else self._rows(table, partition, content, columns)

        schema = pa.schema([table.schema.field(name) for name in columns])
        found = in_parallel(read, partitions)
        return pa.concat_tables([schema.empty_table(), *(rows for rows in found if rows is not None)])

    def write(self, table: Table, frame: pd.DataFrame, partitions: Iterable[Partition]) -> dict[Partition, Stored]:
        """Replaces each of the partitions by its rows in the frame. A partition without rows becomes empty.

        Raises ValueError if a row belongs to another partition, or if a text does not have the shape of its column;
        ChangedError if another process writes the same partition at the same time.
        """
        wanted = list(partitions)
        rows = table.conformed(frame)
        parts = split(table, rows)
        if strays := parts.keys() - set(wanted):
            raise ValueError(f"{table.name}: rows of {'|'.join(min(strays))} in a write of other partitions")
        table.check_shapes(rows)
        none = table.schema.empty_table()

        def write(partition: Partition) -> Stored:
            content, mark = self._content(table, partition)
            known = None if content is None else self._rows(table, partition, content)
            return self._replace(table, partition, parts.get(partition, none), known, content, mark)

        return dict(zip(wanted, in_parallel(write, wanted), strict=True))

    def merge(self, table: Table, frame: pd.DataFrame) -> dict[Partition, Stored]:
        """Adds the rows of the frame to the stored ones. The table says how they are merged.

        Pulling the same rows again changes no partition. Raises ValueError as ``write`` does.
        """
        rows = table.sort(table.typed(frame))
        table.check_shapes(rows)
        parts = split(table, rows)
        # Not more at once: the rows of many large months would not fit into memory.
        united = in_parallel(lambda place: self._merge(table, place, parts[place]), list(parts), MONTHS_AT_ONCE)
        return dict(zip(parts, united, strict=True))

    def _merge(self, table: Table, place: Partition, pulled: pa.Table) -> Stored:
        for _ in range(TRIES):
            content, mark = self._content(table, place)
            known = None if content is None else self._rows(table, place, content)
            rows = unite(table, table.schema.empty_table() if known is None else known, pulled)
            with suppress(ChangedError):
                return self._replace(table, place, rows, known, content, mark)
        raise StoreError(f"{self.address(table, place)}: another process keeps writing this; run this again later")

    def ensure(self, table: Table, partitions: Sequence[Partition]) -> dict[Partition, Stored]:
        """Each of the partitions as it is. If there is none, an empty one is written."""

        def ensure_one(partition: Partition) -> Stored:
            content, mark = self._content(table, partition)
            if content is None:
                try:
                    return self._replace(table, partition, table.schema.empty_table(), None, None, None)
                except ChangedError:
                    content, mark = self._content(table, partition)
            assert content is not None
            assert mark is not None
            rows = row_count(table, content, self.address(table, partition))
            return Stored(rows, version_of(content), mark, changed=False, before=version_of(content))

        return dict(zip(partitions, in_parallel(ensure_one, partitions), strict=True))

    def remove(self, table: Table, partition: Partition) -> None:
        """Removes the partition from the store."""
        self.storage.delete(key_of(table, partition))

    def partitions(self, table: Table, deployment: str) -> list[Partition]:
        """The partitions of the deployment that were ever written, by listing them."""
        return list(self.marks(table, deployment))

    def marks(self, table: Table, deployment: str) -> dict[Partition, str]:
        """The same partitions, each with its mark, which changes with every write of the partition."""
        found = {}
        for info in self.storage.list(f"{table.path}/deployment={deployment}/"):
            folders = info.key.removeprefix(f"{table.path}/").split("/")[:-1]
            if info.key.endswith("/data.parquet") and len(folders) == len(table.partitioned_by):
                found[tuple(unquote(folder.partition("=")[2]) for folder in folders)] = info.version
        return found

    def version(self, table: Table, partition: Partition) -> str:
        """The version of the partition as in Stored; empty if there is none. Reads the whole object."""
        content, _ = self._content(table, partition)
        return "" if content is None else version_of(content)

    def replace(self, key: str, content: bytes, mark: str | None) -> str:
        """Writes an object if it still has the mark, or with None if there is no object. Returns its new mark.

        Every write goes through here, so that a store has a version before it has anything else. Raises ChangedError
        if the object changed meanwhile.
        """
        if not self._begun:
            begin(self.storage)
            self._begun = True
        return self.storage.replace(key, content, mark)

    def put(self, key: str, content: bytes) -> None:
        """Writes an object, whatever is there, unless it is already the same. Only for the holder of a name."""
        self.change(key, lambda _: content)

    def change(self, key: str, change: Callable[[bytes | None], bytes]) -> None:
        """Replaces an object by what ``change`` makes of it; of None if there is none.

        If another process was faster, the change is made again to what is there now.
        """
        for _ in range(TRIES):
            try:
                before, mark = self.storage.read_versioned(key)
            except FileNotFoundError:
                before, mark = None, None
            content = change(before)
            if content == before:
                return
            with suppress(ChangedError):
                self.replace(key, content, mark)
                return
        raise StoreError(f"{self.storage.address(key)}: other processes keep writing this; run this again later")

    def _content(self, table: Table, partition: Partition) -> Content:
        try:
            return self.storage.read_versioned(key_of(table, partition))
        except FileNotFoundError:
            return None, None

    def _rows(
        self, table: Table, partition: Partition, content: bytes, columns: Sequence[str] | None = None
    ) -> pa.Table:
        return rows_of(table, partition, content, self.address(table, partition), columns)

    def _replace(
        self,
        table: Table,
        partition: Partition,
        rows: pa.Table,
        known: pa.Table | None,
        before: bytes | None,
        mark: str | None,
    ) -> Stored:
        """Writes the rows, unless they are the same as the known ones. Raises ChangedError if another process wrote."""
        if before is not None and mark is not None and rows.equals(known):
            return Stored(len(rows), version_of(before), mark, changed=False, before=version_of(before))
        content = content_of(table, rows)
        written = self.replace(key_of(table, partition), content, mark)
        days = changed_days(known, rows) if table.by_month else frozenset[str]()
        found = "" if before is None else version_of(before)
        return Stored(len(rows), version_of(content), written, changed=True, before=found, days=days)


# The bytes of an object and its mark; neither if there is no object.
Content = tuple[bytes | None, str | None]


def batches(items: Sequence[Item], size: int) -> Iterator[Sequence[Item]]:
    """The items in groups of ``size``, because all partitions of a store would not fit into memory at once."""
    for first in range(0, len(items), size):
        yield items[first : first + size]


def in_parallel(
    work: Callable[[Item], Result], items: Sequence[Item], at_once: int = PARALLEL_REQUESTS
) -> list[Result]:
    """The result of the work for each item, in their order. By default as many run at once as the storage takes."""
    if len(items) < 2:
        return [work(item) for item in items]
    with ThreadPoolExecutor(min(at_once, len(items))) as pool:
        return list(pool.map(work, items))
