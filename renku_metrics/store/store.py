"""The central store: tables as Parquet, one object per partition, each replaced only if it still is what was read."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from typing import TypeVar
from urllib.parse import unquote

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from renku_metrics.errors import StoreError
from renku_metrics.object_storage import PARALLEL_REQUESTS, ChangedError, ObjectStorage, open_storage
from renku_metrics.schema import DAY, Table, to_pandas
from renku_metrics.store.merging import merge
from renku_metrics.store.version import begin, has_version

# The values of the columns a table is partitioned by, such as ("renkulab-io", "2026-11-01").
Partition = tuple[str, ...]
# The one partition of a table that has none.
WHOLE: Partition = ()
# Months united in one go: fewer goes cost less, and the rows of too many would not fit into the memory.
PARTITIONS_AT_ONCE = 8
# Whoever loses against another writer reads again, and unites again.
TRIES = 20
Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Stored:
    """One partition in the store. ``version`` follows from its bytes, ``mark`` is the storage's own for this object.

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

        Raises StoreError for a store that this version of the program cannot read.
        """
        storage = open_storage(address)
        return cls(storage, begun=has_version(storage))

    @contextmanager
    def alone(self, *names: str) -> Iterator[Store]:
        """Holds the names, in this order, alone among all processes; the block gets the store as their holder uses it.

        It changes nothing once a name is lost, but raises StoreError.
        """
        with ExitStack() as held:
            storage = self.storage
            for name in names:
                storage = held.enter_context(storage.alone(f"state/{name}"))
            yield Store(storage, begun=self._begun)

    def address(self, table: Table, partition: Partition) -> str:
        return self.storage.address(_key(table, partition))

    def read(self, table: Table, partitions: Sequence[Partition]) -> pd.DataFrame:
        """The rows of the partitions, with every column of the table.

        Raises StoreError when a partition was never written.
        """
        found = in_parallel(lambda partition: self._read(table, partition), partitions)
        absent = [partition for partition, rows in zip(partitions, found, strict=True) if rows is None]
        if absent:
            which = f" of {'|'.join(absent[0])}" if table.partitioned_by else ""
            more = f" and {len(absent) - 1} more" if len(absent) > 1 else ""
            raise StoreError(f"{table.name}{which}{more} is not in the store yet: materialize {table.name} first")
        return _frame(table, found)

    def read_if_there(self, table: Table, partitions: Sequence[Partition]) -> pd.DataFrame:
        """The rows of those partitions that were ever written."""
        return _frame(table, in_parallel(lambda partition: self._read(table, partition), partitions))

    def read_versioned(self, table: Table, partition: Partition) -> tuple[pd.DataFrame, str]:
        """The rows of one partition and their version as in Stored; no rows and an empty version if there is none."""
        content, _ = self._content(table, partition)
        if content is None:
            return table.frame(), ""
        return to_pandas(self._rows(table, partition, content)), _version(content)

    def read_columns(self, table: Table, partitions: Sequence[Partition], columns: Sequence[str]) -> pa.Table:
        """A few columns of those partitions that were ever written; cheap where rows are many."""

        def read(partition: Partition) -> pa.Table | None:
            content, _ = self._content(table, partition)
            return None if content is None else self._rows(table, partition, content, columns)

        schema = pa.schema([table.schema.field(name) for name in columns])
        return pa.concat_tables(
            [schema.empty_table(), *(rows for rows in in_parallel(read, partitions) if rows is not None)]
        )

    def write(self, table: Table, frame: pd.DataFrame, partitions: Iterable[Partition]) -> dict[Partition, Stored]:
        """Replaces each of the partitions by its rows of the frame, of which it may have none.

        Raises ValueError when a row belongs to no partition named, or a text does not have the shape of its column;
        ChangedError when another writes the same partition at the same time.
        """
        wanted = list(partitions)
        rows = table.conform(frame)
        strays = partitions_of(table, rows) - set(wanted)
        if strays:
            stray = "|".join(map(str, min(strays, key=str)))
            raise ValueError(f"{table.name}: rows of {stray} in a write of other partitions")
        parts = _split(table, rows)
        none = table.file_schema.empty_table()

        def write(partition: Partition) -> Stored:
            part = parts.get(partition, none)
            table.check_shapes(part)
            return self._replace(table, partition, part, *self._content(table, partition))

        return dict(zip(wanted, in_parallel(write, wanted), strict=True))

    def merge(self, table: Table, frame: pd.DataFrame) -> dict[Partition, Stored]:
        """Adds the frame's rows to what is stored, by the table's rules of merging.

        Pulling the same rows again changes no partition. Raises ValueError as ``write`` does.
        """
        table.check_shapes(pa.Table.from_pandas(frame, schema=table.schema, preserve_index=False))
        merged: dict[Partition, Stored] = {}
        of_row = pd.MultiIndex.from_frame(frame[list(table.partitioned_by)])
        for some in batches(sorted(partitions_of(table, frame), key=str), PARTITIONS_AT_ONCE):
            merged |= self._merge(table, frame[of_row.isin(some)], list(some))
        return merged

    def _merge(self, table: Table, pulled: pd.DataFrame, places: Sequence[Partition]) -> dict[Partition, Stored]:
        merged: dict[Partition, Stored] = {}
        for _ in range(TRIES):
            left = [place for place in places if place not in merged]
            contents = dict(zip(left, in_parallel(lambda place: self._content(table, place), left), strict=True))
            stored = [
                self._rows(table, place, content) for place, (content, _) in contents.items() if content is not None
            ]
            rows = pulled[pd.MultiIndex.from_frame(pulled[list(table.partitioned_by)]).isin(left)] if merged else pulled
            parts = _split(table, merge(table, _frame(table, stored), rows))

            def replace(
                place: Partition,
                parts: dict[Partition, pa.Table] = parts,
                contents: dict[Partition, Content] = contents,
            ) -> Stored | None:
                try:
                    return self._replace(table, place, parts[place], *contents[place])
                except ChangedError:
                    return None

            written = zip(left, in_parallel(replace, left), strict=True)
            merged |= {place: standing for place, standing in written if standing is not None}
            if len(merged) == len(places):
                return merged
        raise StoreError(f"{table.name}: another writes the same rows again and again; run this again later")

    def ensure(self, table: Table, partitions: Sequence[Partition]) -> dict[Partition, Stored]:
        """Each of the partitions as it is, writing an empty one wherever there is none."""

        def ensure_one(partition: Partition) -> Stored:
            content, mark = self._content(table, partition)
            if content is None:
                try:
                    return self._replace(table, partition, table.file_schema.empty_table(), None, None)
                except ChangedError:
                    content, mark = self._content(table, partition)
            assert content is not None
            assert mark is not None
            try:
                rows = pq.read_metadata(io.BytesIO(content)).num_rows
            except pa.ArrowException:
                raise self._unreadable(table, partition) from None
            return Stored(rows, _version(content), mark, changed=False, before=_version(content))

        return dict(zip(partitions, in_parallel(ensure_one, partitions), strict=True))

    def remove(self, table: Table, partition: Partition) -> None:
        """Takes the partition out of the store."""
        self.storage.delete(_key(table, partition))

    def partitions(self, table: Table, deployment: str) -> list[Partition]:
        """The partitions of the deployment that were ever written, by listing them."""
        return list(self.marks(table, deployment))

    def marks(self, table: Table, deployment: str) -> dict[Partition, str]:
        """The same, each with the storage's own mark, which changes whenever the partition is written."""
        found = {}
        for info in self.storage.list(f"{table.path}/deployment={deployment}/"):
            folders = info.key.removeprefix(f"{table.path}/").split("/")[:-1]
            if info.key.endswith("/data.parquet") and len(folders) == len(table.partitioned_by):
                found[tuple(unquote(folder.partition("=")[2]) for folder in folders)] = info.version
        return found

    def version(self, table: Table, partition: Partition) -> str:
        """The version of the partition as in Stored; empty if there is none. Reads the whole object."""
        content, _ = self._content(table, partition)
        return "" if content is None else _version(content)

    def replace(self, key: str, content: bytes, mark: str | None) -> str:
        """Writes an object if it still has the mark (None: if there is none); returns its new mark.

        Every write goes through here, so that a store has a version before it has anything else.
        """
        if not self._begun:
            begin(self.storage)
            self._begun = True
        return self.storage.replace(key, content, mark)

    def put(self, key: str, content: bytes) -> None:
        """Writes an object whatever is there, unless it is the same already: for the holder of a name."""
        for _ in range(TRIES):
            try:
                before, mark = self.storage.read_versioned(key)
            except FileNotFoundError:
                before, mark = None, None
            if before == content:
                return
            with suppress(ChangedError):
                self.replace(key, content, mark)
                return
        raise StoreError(f"{self.storage.address(key)}: others write this again and again; run this again later")

    def _read(self, table: Table, partition: Partition) -> pa.Table | None:
        content, _ = self._content(table, partition)
        return None if content is None else self._rows(table, partition, content)

    def _content(self, table: Table, partition: Partition) -> Content:
        try:
            return self.storage.read_versioned(_key(table, partition))
        except FileNotFoundError:
            return None, None

    def _rows(
        self, table: Table, partition: Partition, content: bytes, columns: Sequence[str] | None = None
    ) -> pa.Table:
        """The rows of a file with every column, or those named; a column that the file lacks is missing in each row."""
        of_path = dict(zip(table.partitioned_by, partition, strict=True))
        schema = table.schema if columns is None else pa.schema([table.schema.field(name) for name in columns])
        try:
            # By far the fastest way into many small files.
            file = pq.ParquetFile(pa.BufferReader(content))
            if unknown := set(file.schema_arrow.names) - set(table.file_schema.names):
                raise StoreError(
                    f"{self.address(table, partition)}: has columns that this version of renku-metrics does not know "
                    f"({', '.join(sorted(unknown))}); install the version that wrote it, or a later one"
                )
            stored = file.read([name for name in schema.names if name not in of_path], use_threads=False)
            arrays = [
                pa.repeat(pa.scalar(of_path[field.name], field.type), len(stored))
                if field.name in of_path
                else stored.column(field.name).cast(field.type)
                if field.name in stored.column_names
                else pa.nulls(len(stored), field.type)
                for field in schema
            ]
        except (pa.ArrowException, OSError):
            raise self._unreadable(table, partition) from None
        return pa.table(arrays, schema=schema)

    def _unreadable(self, table: Table, partition: Partition) -> StoreError:
        return StoreError(f"{self.address(table, partition)}: is not a Parquet file of {table.name}")

    def _replace(
        self, table: Table, partition: Partition, rows: pa.Table, before: bytes | None, mark: str | None
    ) -> Stored:
        """Puts the rows in the place of what was read, unless they are the same. Raises ChangedError."""
        known = None if before is None else self._rows(table, partition, before).select(rows.column_names)
        if before is not None and mark is not None and rows.equals(known):
            return Stored(len(rows), _version(before), mark, changed=False, before=_version(before))
        content = _parquet(rows)
        written = self.replace(_key(table, partition), content, mark)
        days = _changed_days(known, rows) if table.by_month else frozenset[str]()
        found = "" if before is None else _version(before)
        return Stored(len(rows), _version(content), written, changed=True, before=found, days=days)


# The bytes of an object with the storage's mark of it; neither if there is no object.
Content = tuple[bytes | None, str | None]


def _version(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


def _parquet(rows: pa.Table) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(rows, buffer, compression="zstd")
    return buffer.getvalue()


def _changed_days(before: pa.Table | None, after: pa.Table) -> frozenset[str]:
    """The days whose rows are not the same; both are sorted by day."""
    old = {} if before is None else _by_day(before)
    new = _by_day(after)
    return frozenset(day for day in old.keys() | new.keys() if day not in old or not old[day].equals(new.get(day)))


def _by_day(rows: pa.Table) -> dict[str, pa.Table]:
    runs = pc.run_end_encode(rows.column(DAY).combine_chunks()) if len(rows) else None
    found, first = {}, 0
    if runs is not None:
        for day, end in zip(runs.values.to_pylist(), runs.run_ends.to_pylist(), strict=True):
            found[day] = rows.slice(first, end - first)
            first = end
    return found


def _key(table: Table, partition: Partition) -> str:
    if not table.partitioned_by:
        return f"{table.path}.parquet"
    folders = [f"{name}={value}" for name, value in zip(table.partitioned_by, partition, strict=True)]
    return "/".join([table.path, *folders, "data.parquet"])


def batches(items: Sequence[Item], size: int) -> Iterator[Sequence[Item]]:
    """The items, so many at a time: not all of the store's partitions fit into the memory at once."""
    for first in range(0, len(items), size):
        yield items[first : first + size]


def partitions_of(table: Table, frame: pd.DataFrame) -> set[Partition]:
    """The partitions that the frame's rows belong to."""
    if not table.partitioned_by:
        return {WHOLE}
    return set(frame[list(table.partitioned_by)].drop_duplicates().itertuples(index=False, name=None))


def _split(table: Table, frame: pd.DataFrame) -> dict[Partition, pa.Table]:
    """The rows of each partition as they are in its file. The frame is sorted by key, and so by partition."""
    rows = pa.Table.from_pandas(frame, schema=table.schema, preserve_index=False)
    rows = rows.select(table.file_schema.names).cast(table.file_schema)
    if not table.partitioned_by:
        return {WHOLE: rows}
    lengths = frame.groupby(list(table.partitioned_by), sort=False).size().reset_index()
    parts, first = {}, 0
    for *partition, length in lengths.itertuples(index=False, name=None):
        parts[tuple(partition)] = rows.slice(first, length)
        first += length
    return parts


def _frame(table: Table, parts: Iterable[pa.Table | None]) -> pd.DataFrame:
    return to_pandas(pa.concat_tables([table.schema.empty_table(), *(part for part in parts if part is not None)]))


def in_parallel(work: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
    """What the work gives for each of the items, in their order, with as many requests as the storage takes at once."""
    if len(items) < 2:
        return [work(item) for item in items]
    with ThreadPoolExecutor(min(PARALLEL_REQUESTS, len(items))) as pool:
        return list(pool.map(work, items))
