"""What a table is made of: columns, types, keys, the shape of each text, and whose data a column holds.

The tables themselves are in tables.py. store/ writes their rows to files.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

TIMESTAMP = pa.timestamp("ms", tz="UTC")
STRINGS = pa.list_(pa.string())
DAY, MONTH = "event_day", "month"

# How a stored row and the same row pulled again are merged, column by column. `first` keeps the value seen first,
# `last` takes the value seen last, `union` keeps every item that a list ever had. A missing value never replaces a
# known one, so a pull loses nothing.
# `reading` columns are our interpretation. All of them come from the row with the highest READ_BY; on a tie the
# stored row wins. Empty values count there.
Merge = Literal["first", "last", "union", "reading"]
READ_BY = "read_by"

# How a column names a person: by a Keycloak id, a GitLab id, the keyed hash of an address, or a user id of an event.
Person = Literal["keycloak", "gitlab", "address", "user"]


@dataclass(frozen=True)
class Shape:
    """What a text may look like; ``meaning`` says it in words. It must be so narrow that no free text fits it."""

    meaning: str
    pattern: str

    def fits(self, text: object) -> bool:
        return isinstance(text, str) and re.fullmatch(self.pattern, text) is not None

    def strays(self, texts: pa.Array | pa.ChunkedArray) -> int:
        """How many of the texts do not fit. Missing ones are not counted."""
        fitting = pc.match_substring_regex(texts, f"^(?:{self.pattern})$")
        return int(len(texts) - texts.null_count - (pc.sum(fitting).as_py() or 0))


@dataclass(frozen=True)
class Column:
    """``person``: how the column names a person. An erasure removes the row, or with ``emptied`` only the value.

    ``emptied_with``: if that column of a person is emptied, so is this one. ``unless``: another column and a value. In
    rows where that column has that value, this one names nobody.
    """

    name: str
    type: pa.DataType
    description: str
    required: bool = False
    merge: Merge = "first"
    shape: Shape | None = None
    person: Person | None = None
    emptied: bool = False
    emptied_with: str = ""
    unless: tuple[str, str] | None = None


@dataclass(frozen=True)
class Table:
    """A table of the store.

    ``partitioned_by`` names the columns that are in the path (``deployment=…/month=…``) and not in the file; frames in
    memory always have them. The key begins with the deployment, followed by the day if rows have one. So rows that are
    sorted by key are also sorted by partition. ``one_thing``: rows with the same values in these columns belong to one
    thing, and an erasure removes all of them or none.
    """

    name: str
    description: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    partitioned_by: tuple[str, ...] = ()
    folder: str = ""
    one_thing: tuple[str, ...] = ()

    @cached_property
    def schema(self) -> pa.Schema:
        """All columns, also those that are in the path."""
        return pa.schema(
            [
                pa.field(c.name, c.type, nullable=not c.required, metadata={"description": c.description})
                for c in self.columns
            ]
        )

    @cached_property
    def file_schema(self) -> pa.Schema:
        """The columns inside a data file."""
        return pa.schema([field for field in self.schema if field.name not in self.partitioned_by])

    @property
    def path(self) -> str:
        return f"{self.folder}/{self.name}" if self.folder else self.name

    @property
    def by_month(self) -> bool:
        """Whether the table has a file for each month. Its rows have a day then."""
        return MONTH in self.partitioned_by

    @property
    def personal(self) -> tuple[Column, ...]:
        """The columns that name people."""
        return tuple(column for column in self.columns if column.person)

    def frame(self, rows: Iterable[Mapping[str, Any]] = ()) -> pd.DataFrame:
        """One row per mapping, with every column of the table in its type; columns not given are missing.

        The month follows from the day. Raises ValueError if a value does not fit its column.
        """
        given = list(rows)
        return self.frame_of_columns({name: [row.get(name) for row in given] for name in self._given})

    def frame_of_columns(self, columns: Mapping[str, Sequence[Any]]) -> pd.DataFrame:
        """The same from a list of values for each column. It is faster for many rows."""
        if self.by_month and MONTH not in columns:
            columns = {**columns, MONTH: [day and month_of(day) for day in columns[DAY]]}
        arrays = []
        for field in self.schema:
            try:
                arrays.append(pa.array(columns[field.name], field.type))
            except (pa.ArrowException, OverflowError, UnicodeError):
                # The value itself stays out of the message: it may be personal.
                raise ValueError(f"{self.name}: {field.name} holds a value that is no {field.type}") from None
        return to_pandas(pa.table(arrays, schema=self.schema))

    def conform(self, frame: pd.DataFrame) -> pd.DataFrame:
        """The same rows with exactly the table's columns and types, sorted by key. The month follows from the day.

        Raises ValueError if a column or a required value is missing, if a value does not fit its column, or if a key
        is there twice.
        """
        return to_pandas(self.conformed(frame))

    def conformed(self, frame: pd.DataFrame) -> pa.Table:
        """The same as ``conform``, as an Arrow table."""
        rows = self.sort(self.typed(frame))
        if not new_keys(rows, self.key).all():
            raise ValueError(f"{self.name}: a key ({', '.join(self.key)}) is there twice")
        return rows

    def typed(self, frame: pd.DataFrame) -> pa.Table:
        """The same rows, in their order, with exactly the table's columns and types. The month follows from the day.

        Raises ValueError if a column or a required value is missing, or if a value does not fit its column.
        """
        if self.by_month and DAY in frame.columns:
            days = frame[DAY].astype(object)
            frame = frame.assign(**{MONTH: days.map({day: month_of(day) for day in days.dropna().unique()})})
        absent = [column.name for column in self.columns if column.name not in frame.columns]
        if absent:
            raise ValueError(f"{self.name}: there is no column {', '.join(absent)}")
        for column in self.columns:
            if column.required and column.name in self._given and frame[column.name].isna().any():
                raise ValueError(f"{self.name}: {column.name} is missing in some rows")
        try:
            return pa.Table.from_pandas(frame, schema=self.schema, preserve_index=False)
        except (pa.ArrowException, OverflowError, UnicodeError) as error:
            # Arrow's error begins with the value, which may be personal, and ends with the column.
            which = f": {error.args[-1]}" if isinstance(error, pa.ArrowException) and len(error.args) > 1 else ""
            raise ValueError(f"{self.name}: a value does not fit its column{which}") from None

    def sort(self, rows: pa.Table) -> pa.Table:
        """The rows sorted by key, with missing parts of it last. Rows with the same key keep their order."""
        order = pc.sort_indices(rows, [(name, "ascending") for name in self.key])
        return rows.take(order).combine_chunks()

    def check_shapes(self, rows: pa.Table) -> None:
        """Raises ValueError if a text does not have the shape of its column. The text stays out of the message."""
        for column in self.columns:
            if column.shape is None or column.name not in self._given or column.name not in rows.column_names:
                continue
            texts = rows.column(column.name)
            strays = column.shape.strays(pc.list_flatten(texts) if column.type == STRINGS else texts)
            if strays:
                raise ValueError(f"{self.name}: {column.name} holds {strays} texts that are not {column.shape.meaning}")

    def without_strays(self, frame: pd.DataFrame) -> tuple[pd.DataFrame, dict[Column, int]]:
        """The same rows, in which a text that does not have the shape of its column is missing, if it may be missing.

        Also how many texts each column lost so.
        """
        lost: dict[Column, int] = {}
        for column in self.columns:
            if column.shape is None or column.required or column.type == STRINGS:
                continue
            if strays := column.shape.strays(pa.array(frame[column.name], pa.string(), from_pandas=True)):
                fitting = frame[column.name].map(column.shape.fits).astype(bool)
                frame = frame.assign(**{column.name: frame[column.name].where(fitting, None)})
                lost[column] = strays
        return frame, lost

    @cached_property
    def _given(self) -> list[str]:
        """All columns but the month, which follows from the day."""
        return [name for name in self.schema.names if not (self.by_month and name == MONTH)]


def month_of(day: str) -> str:
    """The first day of the month that the day is in, YYYY-MM-DD."""
    return f"{day[:7]}-01"


def new_keys(rows: pa.Table, key: Sequence[str]) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """For each row whether its key differs from that of the row before. Takes rows that are sorted by key."""
    new = np.zeros(len(rows), dtype=bool)
    new[:1] = True
    for name in key:
        values = rows.column(name)
        here, before = values[1:], values[:-1]
        same = pc.if_else(pc.is_null(here), pc.is_null(before), pc.fill_null(pc.equal(here, before), fill_value=False))
        new[1:] |= ~same.to_numpy()
    return new


def to_pandas(table: pa.Table) -> pd.DataFrame:
    """The same table with nullable integers and booleans, and dates as ``datetime.date``."""
    kinds = {pa.int64(): pd.Int64Dtype(), pa.bool_(): pd.BooleanDtype()}
    frame: pd.DataFrame = table.to_pandas(types_mapper=kinds.get)
    return frame
