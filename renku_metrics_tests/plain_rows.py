"""Frames as plain Python, and tables made up for the tests."""

from __future__ import annotations

import datetime as dt
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from renku_metrics.schema import STRINGS, TIMESTAMP, Column, Table

Row = dict[str, Any]
THINGS = Table(
    name="things",
    description="One column of each way of merging.",
    key=("deployment", "thing_id", "part"),
    partitioned_by=("deployment",),
    columns=(
        Column("deployment", pa.string(), "", required=True),
        Column("thing_id", pa.int64(), "", required=True),
        Column("part", pa.string(), ""),
        Column("first_text", pa.string(), ""),
        Column("first_list", STRINGS, ""),
        Column("first_time", TIMESTAMP, ""),
        Column("last_number", pa.int64(), "", merge="last"),
        Column("last_flag", pa.bool_(), "", merge="last"),
        Column("last_share", pa.float64(), "", merge="last"),
        Column("last_day", pa.date32(), "", merge="last"),
        Column("every_list", STRINGS, "", merge="union"),
        Column("read_text", pa.string(), "", merge="reading"),
        Column("read_flag", pa.bool_(), "", merge="reading"),
        Column("read_list", STRINGS, "", merge="reading"),
        Column("read_by", pa.int64(), "", merge="reading"),
    ),
)


def known(value: Any) -> Any:
    """A value of a frame as plain Python, None for any way of missing."""
    if isinstance(value, np.ndarray):
        return list(value)
    if value is None or value is pd.NA or value is pd.NaT or (isinstance(value, float) and np.isnan(value)):
        return None
    return value.to_pydatetime() if isinstance(value, pd.Timestamp) else value


def plain(frame: pd.DataFrame) -> list[Row]:
    return [{str(name): known(value) for name, value in row.items()} for row in frame.to_dict(orient="records")]


def user(**fields: Any) -> Row:
    return {
        "deployment": "lab",
        "gitlab_user_id": 7,
        "address_hashes": ["b", "a"],
        "bot": False,
        "pulled_at": dt.datetime(2026, 11, 1, tzinfo=dt.UTC),
    } | fields
