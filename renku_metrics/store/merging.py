"""How rows that are stored and the same rows pulled again unite. Pure: frames in, a frame out."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd

from renku_metrics.schema import READ_BY, Table


def merge(table: Table, stored: pd.DataFrame, pulled: pd.DataFrame) -> pd.DataFrame:
    """What is stored and what was pulled, one row per key, sorted by key; nothing stored is lost.

    The result does not depend on how pulled rows are split into pulls. Pulling the same rows again gives the stored
    rows unchanged. How each column unites is declared with the table.
    """
    both = pd.concat([stored, pulled], ignore_index=True)
    for column in table.columns:
        if column.merge == "union":
            # In one order from the first pull on, so that the second pull finds nothing to change.
            both[column.name] = pd.Series([_union([items]) for items in both[column.name]], dtype=object)
    repeated = both.duplicated(list(table.key), keep=False)
    if not repeated.any():
        return table.conform(both)
    groups = both[repeated].groupby(list(table.key), dropna=False, sort=False)
    readings = [column.name for column in table.columns if column.merge == "reading"]
    kept = [column for column in table.columns if column.name not in {*table.key, *readings}]
    united = groups.agg({c.name: _union if c.merge == "union" else c.merge for c in kept}).reset_index()
    if readings:
        readers = both.loc[repeated, READ_BY].fillna(-1).astype("int64")
        newest = readers.groupby(groups.ngroup()).idxmax()
        united[readings] = both.loc[newest, readings].set_axis(united.index)
    return table.conform(pd.concat([both[~repeated], united], ignore_index=True))


def _union(lists: Iterable[Iterable[str] | None]) -> list[str] | None:
    known = [items for items in lists if items is not None]
    return sorted({item for items in known for item in items}) if known else None
