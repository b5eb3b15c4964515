"""The store as analysts read it: with pandas, polars, DuckDB and pyarrow, from a directory and from S3."""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Callable
from pathlib import Path

import duckdb
import pandas as pd
import polars as pl
import pyarrow.dataset as ds
import pytest
import s3fs
from pyarrow.fs import S3FileSystem

from renku_metrics.store.store import Store
from renku_metrics.tables import EVENTS

ROWS = [
    ("alps", "2026-11-16", "a1"),
    ("lab", "2026-11-16", "l1"),
    ("lab", "2026-11-16", "l2"),
    ("lab", "2026-11-17", "l3"),
]
NINE = dt.datetime(2026, 11, 16, 9, 0, 0, 250000, dt.UTC)


@pytest.fixture
def events(storage_address: str) -> str:
    """Where the events are; one day is empty."""
    frame = EVENTS.frame(
        {
            "deployment": deployment,
            "event_type": "login",
            "occurred_at": NINE,
            "event_day": day,
            "user_id": "ada",
            "source": "keycloak",
            "event_key": key,
        }
        for deployment, day, key in ROWS
    )
    places = [("alps", "2026-11-16"), ("alps", "2026-11-17"), ("lab", "2026-11-16"), ("lab", "2026-11-17")]
    Store.at(storage_address).write(EVENTS, frame, places)
    if not storage_address.startswith("s3://"):
        # As a writer that was killed leaves it.
        Path(storage_address, "events/deployment=lab/event_day=2026-11-16/.abc.partial").write_bytes(b"PAR1")
    return f"{storage_address}/events"


def with_pandas(address: str) -> pd.DataFrame:
    return pd.read_parquet(address)


def with_polars(address: str) -> pd.DataFrame:
    return pl.read_parquet(f"{address}/**/*.parquet", hive_partitioning=True).to_pandas()


def with_duckdb(address: str) -> pd.DataFrame:
    with duckdb.connect() as connection:
        if address.startswith("s3://"):
            connection.register_filesystem(s3fs.S3FileSystem(endpoint_url=os.environ["AWS_ENDPOINT_URL"]))
        found = connection.sql(f"from read_parquet('{address}/*/*/*.parquet', hive_partitioning=true)")
        frame: pd.DataFrame = found.df()
        return frame


def with_pyarrow(address: str) -> pd.DataFrame:
    if address.startswith("s3://"):
        scheme, endpoint = os.environ["AWS_ENDPOINT_URL"].split("://")
        files = S3FileSystem(endpoint_override=endpoint, scheme=scheme, region=os.environ["AWS_REGION"])
        found = ds.dataset(address.removeprefix("s3://"), partitioning="hive", filesystem=files)
    else:
        found = ds.dataset(address, partitioning="hive")
    frame: pd.DataFrame = found.to_table().to_pandas()
    return frame


@pytest.mark.filterwarnings("ignore:The inplace keyword:DeprecationWarning")
@pytest.mark.parametrize("read", [with_pandas, with_polars, with_duckdb, with_pyarrow])
def test_events_are_read_as_a_hive_partitioned_set(events: str, read: Callable[[str], pd.DataFrame]) -> None:
    frame = read(events)

    assert set(frame.columns) == set(EVENTS.schema.names)
    rows = frame[["deployment", "event_day", "event_key"]].astype(str).sort_values("event_key")
    assert [(row[0], row[1][:10], row[2]) for row in rows.itertuples(index=False)] == ROWS
    assert set(pd.to_datetime(frame["occurred_at"], utc=True)) == {pd.Timestamp(NINE)}
