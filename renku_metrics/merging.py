"""How stored rows and the same rows pulled again are merged. Pure: rows in, rows out."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from renku_metrics.schema import READ_BY, Column, Table, new_keys, to_pandas


def merge(table: Table, stored: pd.DataFrame, pulled: pd.DataFrame) -> pd.DataFrame:
    """What is stored and what was pulled, one row per key, sorted by key; nothing stored is lost.

    The result does not depend on how pulled rows are split into pulls. Pulling the same rows again gives the stored
    rows unchanged. The table declares how each column is merged.
    """
    return to_pandas(unite(table, table.typed(stored), table.typed(pulled)))


def unite(table: Table, stored: pa.Table, pulled: pa.Table) -> pa.Table:
    """The same for Arrow tables, with the types of the table."""
    both = table.sort(pa.concat_tables([stored, _with_sets(table, pulled)]))
    new = new_keys(both, table.key)
    if new.all():
        return both
    # For each row: the number of its key, and how many rows with this key come before it.
    key = np.cumsum(new) - 1
    place = np.arange(len(both)) - np.flatnonzero(new)[key]
    united = both.filter(pa.array(new))
    for number in range(1, int(place.max()) + 1):
        these = np.flatnonzero(place == number)
        later = _unite_pairs(table, united.take(key[these]), both.take(these))
        order = np.arange(len(united))
        order[key[these]] = len(united) + np.arange(len(these))
        united = pa.concat_tables([united, later]).take(order)
    return united.combine_chunks()


def _unite_pairs(table: Table, known: pa.Table, told: pa.Table) -> pa.Table:
    """One row for each pair of rows. Both tables have the same keys in the same order."""
    by_later = None
    if READ_BY in known.column_names:
        by_later = pc.greater(*(pc.fill_null(rows.column(READ_BY), -1) for rows in (told, known)))

    def united(column: Column) -> pa.ChunkedArray:
        before, after = known.column(column.name), told.column(column.name)
        if column.merge == "reading":
            return pc.if_else(by_later, after, before)
        if column.merge == "union":
            pairs = zip(before.to_pylist(), after.to_pylist(), strict=True)
            return pa.chunked_array([[_set_of(*pair) for pair in pairs]], column.type)
        return pc.coalesce(after, before) if column.merge == "last" else pc.coalesce(before, after)

    return pa.table([united(column) for column in table.columns], schema=table.schema)


def _with_sets(table: Table, rows: pa.Table) -> pa.Table:
    """The rows with lists in the form that merging gives them, so that a second pull finds nothing to change."""
    for number, column in enumerate(table.columns):
        if column.merge == "union":
            lists = [_set_of(items) for items in rows.column(column.name).to_pylist()]
            rows = rows.set_column(number, table.schema.field(column.name), pa.array(lists, column.type))
    return rows


def _set_of(*lists: list[str] | None) -> list[str] | None:
    known = [items for items in lists if items is not None]
    return sorted({item for items in known for item in items}) if known else None
