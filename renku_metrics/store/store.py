"""The central store: tables as Parquet, one object per partition, and what the pulls remember."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TypeVar
from urllib.parse import unquote

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from renku_metrics.errors import StoreError
from renku_metrics.object_storage import PARALLEL_REQUESTS, ObjectStorage, open_storage
from renku_metrics.tables import Table, to_pandas

# The values of the columns a table is partitioned by, such as ("renkulab-io", "2026-11-16").
Partition = tuple[str, ...]
# The one partition of a table that has none.
WHOLE: Partition = ()
# United in one go: the cost of a frame is in its making more than in its rows.
PARTITIONS_AT_ONCE = 256
Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Stored:
    """What stands in the store for one partition; ``version`` is the same for the same bytes."""

    rows: int
    version: str
    changed: bool


class Store:
    """Tables and state below one address."""

    def __init__(self, storage: ObjectStorage) -> None:
        self.storage = storage

    @classmethod
    def at(cls, address: str) -> Store:
        """The store in a directory or at ``s3://bucket/prefix``."""
        return cls(open_storage(address))

    @contextmanager
    def alone(self, *names: str) -> Iterator[Store]:
        """Holds the names, in this order, alone among all processes; the block gets the store as their holder uses it.

        That one changes nothing once a name is lost, but raises StoreError.
        """
        with ExitStack() as held:
            storage = self.storage
            for name in names:
                storage = held.enter_context(storage.alone(f"state/locks/{name}"))
            yield Store(storage)

    def address(self, table: Table, partition: Partition) -> str:
        return self.storage.address(_key(table, partition))

    def read(self, table: Table, partitions: Sequence[Partition]) -> pd.DataFrame:
        """The rows of the partitions, with every column of the table.

        Raises StoreError when a partition was never written.
        """
        found = _in_parallel(lambda partition: self._read(table, partition), partitions)
        absent = [partition for partition, rows in zip(partitions, found, strict=True) if rows is None]
        if absent:
            which = f" of {'|'.join(absent[0])}" if table.partitioned_by else ""
            more = f" and {len(absent) - 1} more" if len(absent) > 1 else ""
            raise StoreError(f"{table.name}{which}{more} is not in the store yet: materialize {table.name} first")
        return _frame(table, found)

    def read_if_there(self, table: Table, partitions: Sequence[Partition]) -> pd.DataFrame:
        """The rows of those partitions that were ever written."""
        return _frame(table, _in_parallel(lambda partition: self._read(table, partition), partitions))

    def write(self, table: Table, frame: pd.DataFrame, partitions: Iterable[Partition]) -> dict[Partition, Stored]:
        """Replaces each of the partitions by its rows of the frame, of which it may have none.

        Raises ValueError when a row belongs to no partition named.
        """
        wanted = list(partitions)
        strays = partitions_of(table, frame) - set(wanted)
        if strays:
            stray = "|".join(map(str, min(strays, key=str)))
            raise ValueError(f"{table.name}: rows of {stray} in a write of other partitions")
        parts = _split(table, table.conform(frame))
        none = table.file_schema.empty_table()
        written = _in_parallel(lambda partition: self._write(table, partition, parts.get(partition, none)), wanted)
        return dict(zip(wanted, written, strict=True))

    def merge(self, table: Table, frame: pd.DataFrame) -> dict[Partition, Stored]:
        """Adds the frame's rows to what is stored, by the table's rules of merging.

        Pulling the same rows again changes no partition.
        """
        places = sorted(partitions_of(table, frame), key=str)
        if len(places) <= PARTITIONS_AT_ONCE:
            return self._merge(table, frame, places)
        merged: dict[Partition, Stored] = {}
        of_row = pd.MultiIndex.from_frame(frame[list(table.partitioned_by)])
        for some in batches(places, PARTITIONS_AT_ONCE):
            merged |= self._merge(table, frame[of_row.isin(some)], some)
        return merged

    def _merge(self, table: Table, pulled: pd.DataFrame, places: Sequence[Partition]) -> dict[Partition, Stored]:
        contents = dict(zip(places, _in_parallel(lambda place: self._content(table, place), places), strict=True))
        before = {
            place: self._rows(table, place, content) for place, content in contents.items() if content is not None
        }
        after = _split(table, table.merge(_frame(table, before.values()), pulled))

        def store(place: Partition) -> Stored:
            content, rows = contents[place], after[place]
            if content is not None and rows.equals(before[place].select(rows.column_names)):
                return Stored(len(rows), _version(content), changed=False)
            return self._write(table, place, rows)

        return dict(zip(places, _in_parallel(store, places), strict=True))

    def ensure(self, table: Table, partitions: Sequence[Partition]) -> dict[Partition, Stored]:
        """What stands in each of the partitions, writing an empty one wherever there is none."""

        def ensure_one(partition: Partition) -> Stored:
            content = self._content(table, partition)
            if content is None:
                return self._write(table, partition, table.file_schema.empty_table())
            try:
                rows = pq.read_metadata(io.BytesIO(content)).num_rows
            except pa.ArrowException:
                raise self._unreadable(table, partition) from None
            return Stored(rows, _version(content), changed=False)

        return dict(zip(partitions, _in_parallel(ensure_one, partitions), strict=True))

    def remove(self, table: Table, partition: Partition) -> None:
        """Takes the partition out of the store."""
        self.storage.delete(_key(table, partition))

    def partitions(self, table: Table, deployment: str) -> list[Partition]:
        """The partitions of the deployment that were ever written, by listing them."""
        return list(self.versions(table, deployment))

    def versions(self, table: Table, deployment: str) -> dict[Partition, str]:
        """The same, each with what changes whenever it is written."""
        found = {}
        for info in self.storage.list(f"{table.path}/deployment={deployment}/"):
            folders = info.key.removeprefix(f"{table.path}/").split("/")[:-1]
            if info.key.endswith("/data.parquet") and len(folders) == len(table.partitioned_by):
                found[tuple(unquote(folder.partition("=")[2]) for folder in folders)] = info.version
        return found

    def read_state(self, name: str) -> bytes | None:
        """What a pull remembered under the name, if it ever did."""
        try:
            return self.storage.read(f"state/{name}")
        except FileNotFoundError:
            return None

    def write_state(self, name: str, content: bytes) -> None:
        self.storage.write(f"state/{name}", content)

    def _read(self, table: Table, partition: Partition) -> pa.Table | None:
        content = self._content(table, partition)
        return None if content is None else self._rows(table, partition, content)

    def _content(self, table: Table, partition: Partition) -> bytes | None:
        try:
            return self.storage.read(_key(table, partition))
        except FileNotFoundError:
            return None

    def _rows(self, table: Table, partition: Partition, content: bytes) -> pa.Table:
        """The rows of a file with every column; one that the file has not is missing in each row."""
        of_path = dict(zip(table.partitioned_by, partition, strict=True))
        try:
            # By far the fastest way into many small files.
            stored = pq.ParquetFile(pa.BufferReader(content)).read(use_threads=False)
            arrays = [
                pa.repeat(pa.scalar(of_path[field.name], field.type), len(stored))
                if field.name in of_path
                else stored.column(field.name).cast(field.type)
                if field.name in stored.column_names
                else pa.nulls(len(stored), field.type)
                for field in table.schema
            ]
        except (pa.ArrowException, OSError):
            raise self._unreadable(table, partition) from None
        return pa.table(arrays, schema=table.schema)

    def _unreadable(self, table: Table, partition: Partition) -> StoreError:
        return StoreError(f"{self.address(table, partition)}: is not a Parquet file of {table.name}")

    def _write(self, table: Table, partition: Partition, rows: pa.Table) -> Stored:
        content = _parquet(rows)
        self.storage.write(_key(table, partition), content)
        return Stored(len(rows), _version(content), changed=True)


def _version(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


def parquet(table: Table, frame: pd.DataFrame) -> bytes:
    """The rows as a Parquet file of the table: the columns of the path left out, sorted by key."""
    return _parquet(_in_file(table, table.conform(frame)))


def _parquet(rows: pa.Table) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(rows, buffer, compression="zstd")
    return buffer.getvalue()


def _in_file(table: Table, frame: pd.DataFrame) -> pa.Table:
    rows = pa.Table.from_pandas(frame, schema=table.schema, preserve_index=False)
    return rows.select(table.file_schema.names).cast(table.file_schema)


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
    """The rows of each partition as they are in its file. The frame is sorted by key, which begins with the path's."""
    rows = _in_file(table, frame)
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


def _in_parallel(work: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
    if len(items) < 2:
        return [work(item) for item in items]
    with ThreadPoolExecutor(min(PARALLEL_REQUESTS, len(items))) as pool:
        return list(pool.map(work, items))
