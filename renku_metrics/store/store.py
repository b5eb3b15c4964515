"""The central store: tables as Parquet, one object per partition, and what the pulls remember."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
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
        return _concatenated(table, found)

    def read_if_there(self, table: Table, partitions: Sequence[Partition]) -> pd.DataFrame:
        """The rows of those partitions that were ever written."""
        return _concatenated(table, _in_parallel(lambda partition: self._read(table, partition), partitions))

    def write(self, table: Table, frame: pd.DataFrame, partitions: Iterable[Partition]) -> dict[Partition, Stored]:
        """Replaces each of the partitions by its rows of the frame, of which it may have none.

        Raises ValueError when a row belongs to no partition named.
        """
        parts = _split(table, frame)
        wanted = list(partitions)
        strays = parts.keys() - set(wanted)
        if strays:
            raise ValueError(f"{table.name}: rows of {'|'.join(min(strays))} in a write of other partitions")
        empty = table.frame()
        written = _in_parallel(lambda partition: self._write(table, partition, parts.get(partition, empty)), wanted)
        return dict(zip(wanted, written, strict=True))

    def merge(self, table: Table, frame: pd.DataFrame) -> dict[Partition, Stored]:
        """Adds the frame's rows to what is stored, by the table's rules of merging.

        Pulling the same rows again changes no partition.
        """
        parts = list(_split(table, frame).items())

        def merge_one(part: tuple[Partition, pd.DataFrame]) -> Stored:
            partition, pulled = part
            content = self._content(table, partition)
            if content is None:
                return self._write(table, partition, table.merge(table.frame(), pulled))
            stored = self._rows(table, partition, content)
            merged = table.merge(stored, pulled)
            if merged.equals(stored):
                return Stored(len(stored), _version(content), changed=False)
            return self._write(table, partition, merged)

        return dict(zip((partition for partition, _ in parts), _in_parallel(merge_one, parts), strict=True))

    def ensure(self, table: Table, partitions: Sequence[Partition]) -> dict[Partition, Stored]:
        """What stands in each of the partitions, writing an empty one wherever there is none."""

        def ensure_one(partition: Partition) -> Stored:
            content = self._content(table, partition)
            if content is None:
                return self._write(table, partition, table.frame())
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

    def _read(self, table: Table, partition: Partition) -> pd.DataFrame | None:
        content = self._content(table, partition)
        return None if content is None else self._rows(table, partition, content)

    def _content(self, table: Table, partition: Partition) -> bytes | None:
        try:
            return self.storage.read(_key(table, partition))
        except FileNotFoundError:
            return None

    def _rows(self, table: Table, partition: Partition, content: bytes) -> pd.DataFrame:
        try:
            stored = pq.read_table(io.BytesIO(content), schema=table.file_schema, partitioning=None)
        except (pa.ArrowException, OSError):
            raise self._unreadable(table, partition) from None
        columns = dict(zip(table.partitioned_by, partition, strict=True))
        arrays = [
            pa.repeat(pa.scalar(columns[field.name], field.type), len(stored))
            if field.name in columns
            else stored.column(field.name)
            for field in table.schema
        ]
        return to_pandas(pa.table(arrays, schema=table.schema))

    def _unreadable(self, table: Table, partition: Partition) -> StoreError:
        return StoreError(f"{self.address(table, partition)}: is not a Parquet file of {table.name}")

    def _write(self, table: Table, partition: Partition, frame: pd.DataFrame) -> Stored:
        content = parquet(table, frame)
        self.storage.write(_key(table, partition), content)
        return Stored(len(frame), _version(content), changed=True)


def _version(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


def parquet(table: Table, frame: pd.DataFrame) -> bytes:
    """The rows as a Parquet file of the table: the columns of the path left out, sorted by key."""
    rows = pa.Table.from_pandas(table.conform(frame), schema=table.schema, preserve_index=False)
    buffer = io.BytesIO()
    pq.write_table(rows.select(table.file_schema.names).cast(table.file_schema), buffer, compression="zstd")
    return buffer.getvalue()


def _key(table: Table, partition: Partition) -> str:
    if not table.partitioned_by:
        return f"{table.path}.parquet"
    folders = [f"{name}={value}" for name, value in zip(table.partitioned_by, partition, strict=True)]
    return "/".join([table.path, *folders, "data.parquet"])


def partitions_of(table: Table, frame: pd.DataFrame) -> set[Partition]:
    """The partitions that the frame's rows belong to."""
    return set(frame[list(table.partitioned_by)].drop_duplicates().itertuples(index=False, name=None))


def _split(table: Table, frame: pd.DataFrame) -> dict[Partition, pd.DataFrame]:
    by = list(table.partitioned_by)
    if not by:
        return {WHOLE: frame}
    # A row without day must be refused where it is written, and not be dropped here.
    return {tuple(map(str, partition)): rows for partition, rows in frame.groupby(by, sort=True, dropna=False)}


def _concatenated(table: Table, frames: Iterable[pd.DataFrame | None]) -> pd.DataFrame:
    present = [frame for frame in frames if frame is not None and len(frame)]
    return pd.concat(present, ignore_index=True) if present else table.frame()


def _in_parallel(work: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
    if len(items) < 2:
        return [work(item) for item in items]
    with ThreadPoolExecutor(min(PARALLEL_REQUESTS, len(items))) as pool:
        return list(pool.map(work, items))
