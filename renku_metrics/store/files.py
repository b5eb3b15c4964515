"""A partition of a table as a Parquet file: its key and version, its rows, and how rows fall into partitions."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from renku_metrics.errors import StoreError
from renku_metrics.schema import DAY, Table, new_keys

# The values of the columns a table is partitioned by, such as ("renkulab-io", "2026-11-01").
Partition = tuple[str, ...]
# The one partition of a table that has none.
WHOLE: Partition = ()


def version_of(content: bytes) -> str:
    """The version of a file, which follows from its bytes."""
    return hashlib.sha256(content).hexdigest()[:16]


def rows_of(
    table: Table, partition: Partition, content: bytes, address: str, columns: Sequence[str] | None = None
) -> pa.Table:
    """The rows of a file, with every column or only those named. What the file lacks is missing in each row.

    Raises StoreError, which names the address, if this version of the program cannot read the file.
    """
    of_path = dict(zip(table.partitioned_by, partition, strict=True))
    schema = table.schema if columns is None else pa.schema([table.schema.field(name) for name in columns])
    try:
        # This is by far the fastest way to read many small files.
        file = pq.ParquetFile(pa.BufferReader(content))
        if unknown := set(file.schema_arrow.names) - set(table.file_schema.names):
            raise StoreError(
                f"{address}: has columns that this version of renku-metrics does not know "
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
        raise _unreadable(table, address) from None
    return pa.table(arrays, schema=schema)


def content_of(table: Table, rows: pa.Table) -> bytes:
    """The file that holds the rows."""
    buffer = io.BytesIO()
    pq.write_table(rows.select(table.file_schema.names).cast(table.file_schema), buffer, compression="zstd")
    return buffer.getvalue()


def row_count(table: Table, content: bytes, address: str) -> int:
    """How many rows a file holds. Raises StoreError, which names the address, if it is none."""
    try:
        return int(pq.read_metadata(io.BytesIO(content)).num_rows)
    except pa.ArrowException:
        raise _unreadable(table, address) from None


def _unreadable(table: Table, address: str) -> StoreError:
    return StoreError(f"{address}: is not a Parquet file of {table.name}")


def changed_days(before: pa.Table | None, after: pa.Table) -> frozenset[str]:
    """The days whose rows differ. Both tables are sorted by day."""
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


def key_of(table: Table, partition: Partition) -> str:
    if not table.partitioned_by:
        return f"{table.path}.parquet"
    folders = [f"{name}={value}" for name, value in zip(table.partitioned_by, partition, strict=True)]
    return "/".join([table.path, *folders, "data.parquet"])


def partitions_of(table: Table, frame: pd.DataFrame) -> set[Partition]:
    """The partitions that the frame's rows belong to."""
    if not table.partitioned_by:
        return {WHOLE}
    return set(frame[list(table.partitioned_by)].drop_duplicates().itertuples(index=False, name=None))


def split(table: Table, rows: pa.Table) -> dict[Partition, pa.Table]:
    """The rows of each partition. Rows that are sorted by key are sorted by partition."""
    if not table.partitioned_by:
        return {WHOLE: rows}
    names = list(table.partitioned_by)
    firsts = np.flatnonzero(new_keys(rows, names))
    places = rows.select(names).take(firsts).to_pylist()
    edges = [*firsts.tolist(), len(rows)]
    return {
        tuple(place[name] for name in names): rows.slice(first, end - first)
        for place, (first, end) in zip(places, pairwise(edges), strict=True)
    }
