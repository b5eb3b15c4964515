"""The store as docs/reading.md tells analysts to read it, with the very lines of that page.

Each tool runs in a process of its own, as an analyst's does: it remembers no server of another test, and its threads
cannot harm the other tests.
"""

from __future__ import annotations

import pickle
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pytest

from renku_metrics.environment import PROJECT
from renku_metrics.store.files import WHOLE, partitions_of
from renku_metrics.store.store import Store
from renku_metrics.tables import EVENTS, USER_DAYS, published_table
from renku_metrics_tests.every_table import TABLES, row_of
from renku_metrics_tests.present import TODAY
from renku_metrics_tests.store.rows import ADA, at, event, name_of

PAGE = (PROJECT / "docs" / "reading.md").read_text()
LINES = dict(re.findall(r"## (\w+)\n(?:(?!##).)*?```python\n(.*?)```", PAGE, re.DOTALL))
BY_GROUP = re.findall(r"## Numbers by group\n(?:(?!##).)*?```python\n(.*?)```", PAGE, re.DOTALL)
EVENTS_THERE = [
    ("alps", "2026-11-16", "a1"),
    ("lab", "2026-10-31", "k9"),
    ("lab", "2026-11-15", "l0"),
    ("lab", "2026-11-16", "l1"),
    ("lab", "2026-11-16", "l2"),
    # Of the month that runs.
    ("lab", TODAY.isoformat(), "l3"),
]
WEEKLY = published_table("week")
NUMBER = {
    "deployment": "lab",
    "period": "2026-W47",
    "period_start": at("2026-11-16").date(),
    "period_end": at("2026-11-22").date(),
    "core_action": "starting_a_session",
    "users": 1,
    "active_users": 4,
    "share": 0.25,
    "complete": True,
    "missing": "",
    "unlinked": 0.0,
    "definition": "starting_a_session 1; active_users 1",
    "computed_at": at("2026-11-24"),
}


@pytest.fixture
def address(storage_address: str) -> str:
    """Address of a store with events, one of whose months is empty, and a number."""
    store = Store.at(storage_address)
    frame = EVENTS.frame(event(key, day, deployment=deployment) for deployment, day, key in EVENTS_THERE)
    store.write(EVENTS, frame, sorted(partitions_of(EVENTS, frame) | {("alps", "2026-10-01")}))
    store.write(WEEKLY, WEEKLY.frame([NUMBER]), [WHOLE])
    if not storage_address.startswith("s3://"):
        # As a writer that was killed leaves it.
        Path(storage_address, "events/deployment=lab/month=2026-11-01/.data.parquet.partial").write_bytes(b"PAR1")
    return storage_address


# Gives what some names stand for, as frames of pandas.
AFTERWARDS = """
def as_pandas(rows):
    rows = rows.to_pandas() if hasattr(rows, "to_pandas") else rows
    return rows if type(rows).__name__ == "DataFrame" else rows.df()

import pickle, sys
frames = {name: as_pandas(eval(name)) for name in sys.argv[2:]}
with open(sys.argv[1], "wb") as file:
    pickle.dump(frames, file)
"""


def run(lines: str, names: Sequence[str], folder: Path) -> dict[str, pd.DataFrame]:
    """What the names stand for after the lines have run in a process of their own, in the folder."""
    found = folder / "found.pickle"
    command = [sys.executable, "-W", "ignore", "-c", f"{lines}\n{AFTERWARDS}", str(found), *names]
    subprocess.run(command, cwd=folder, check=True, timeout=120)
    frames: dict[str, pd.DataFrame] = pickle.loads(found.read_bytes())
    return frames


def read(tool: str, address: str, folder: Path) -> dict[str, pd.DataFrame]:
    """What the page's lines give, by name."""
    lines = LINES[tool].replace("s3://bucket/prefix", address)
    if not address.startswith("s3://"):
        lines = "".join(line for line in lines.splitlines(keepends=True) if "s3fs" not in line)
    return run(lines, ["events", "weekly"], folder)


def test_the_page_has_lines_for_each_tool() -> None:
    assert set(LINES) == {"pandas", "polars", "DuckDB", "pyarrow"}


@pytest.mark.parametrize("tool", LINES)
def test_the_lines_of_the_page_read_events_and_numbers(address: str, tool: str, tmp_path: Path) -> None:
    found = read(tool, address, tmp_path)

    events = found["events"]
    assert set(events.columns) == set(EVENTS.schema.names)
    rows = events[["deployment", "event_day", "event_key", "month"]].astype(str).sort_values("event_key")
    assert [(row[0], row[1], name_of(row[2]), row[3][:10]) for row in rows.itertuples(index=False)] == [
        (*row, "2026-11-01") for row in EVENTS_THERE if row[1] >= "2026-11-16"
    ]
    assert set(pd.to_datetime(events["occurred_at"], utc=True)) == {
        pd.Timestamp(at("2026-11-16")),
        pd.Timestamp(at(TODAY.isoformat())),
    }
    assert set(events["user_id"]) == {ADA}
    [number] = found["weekly"].to_dict(orient="records")
    assert set(number) == set(WEEKLY.schema.names)
    assert (number["period"], number["users"], number["share"], number["complete"]) == ("2026-W47", 1, 0.25, True)


IDS = {name: f"{number:08}-0000-4000-8000-000000000000" for number, name in enumerate(["ada", "bob", "eve", "nobody"])}


def test_the_lines_of_the_page_count_by_group(tmp_path: Path) -> None:
    store = Store.at(str(tmp_path / "store"))
    days = [
        ("2026-11-15", "session_started", "ada"),
        ("2026-11-16", "session_started", "ada"),
        ("2026-11-16", "login", "bob"),
        ("2026-11-22", "login", "eve"),
        ("2026-11-22", "session_started", "nobody"),
    ]
    rows = [
        {"deployment": "lab", "event_day": day, "event_type": of, "user_id": IDS[user], "user_link": "keycloak_id"}
        for day, of, user in days
    ]
    store.write(USER_DAYS, USER_DAYS.frame(rows), [("lab", "2026-11-01")])
    store.write(WEEKLY, WEEKLY.frame([NUMBER | {"complete": False, "missing": "period not over"}]), [WHOLE])
    groups = [("ada", "epfl"), ("bob", "epfl"), ("eve", "ethz")]
    lines = ["user_id,group", *(f"{IDS[user]},{group}" for user, group in groups)]
    (tmp_path / "groups.csv").write_text("\n".join(lines), encoding="utf-8")
    found = run(BY_GROUP[0].replace("s3://bucket/prefix", "store"), ["counted"], tmp_path)
    counted = found["counted"][["period", "group", "core_action", "users", "active_users", "complete", "missing"]]
    assert counted.to_numpy().tolist() == [
        ["2026-W47", "epfl", "starting_a_session", 1, 2, False, "period not over"],
        ["2026-W47", "ethz", "starting_a_session", 0, 1, False, "period not over"],
    ]


IN_FOLDERS = [table for table in TABLES if table.partitioned_by]


# How each tool reads the table at ``path``, whose files are ``files``, of one deployment.
WHOLE_TABLES = {
    "pandas": """
import pandas as pd
def rows_of(path, files):
    return pd.read_parquet(path, filters=[("deployment", "==", "lab")])
""",
    "polars": """
import polars as pl
def rows_of(path, files):
    rows = pl.scan_parquet(f"{path}/**/*.parquet", hive_partitioning=True)
    return rows.filter(pl.col("deployment") == "lab").collect()
""",
    "DuckDB": """
import duckdb, s3fs
store = duckdb.connect()
store.register_filesystem(s3fs.S3FileSystem())
def rows_of(path, files):
    return store.sql(f"FROM read_parquet('{files}', hive_partitioning = true) WHERE deployment = 'lab'").df()
""",
    "pyarrow": """
import pyarrow.dataset as ds
def rows_of(path, files):
    return ds.dataset(path, partitioning="hive").to_table(filter=ds.field("deployment") == "lab")
""",
}


@pytest.mark.parametrize("tool", WHOLE_TABLES)
def test_every_table_is_one_table_to_every_tool(storage_address: str, tool: str, tmp_path: Path) -> None:
    store = Store.at(storage_address)
    months = ["2025-12-01", "2026-10-01", "2026-11-01"]
    for table in IN_FOLDERS:
        some = [row_of(table) | {"deployment": name} for name in ("lab", "alps")]
        if table.by_month:
            some = [row | {"event_day": month[:8] + "17", "month": month} for row in some for month in months[1:]]
        frame = table.frame(some)
        # The first month is empty.
        empty = {("lab", months[0])} if table.by_month else set()
        store.write(table, frame, sorted(partitions_of(table, frame) | empty))

    read_all = {
        table.name: f"{table.name} = rows_of('{folder}', '{folder}/{'*/' * len(table.partitioned_by)}*.parquet')"
        for table in IN_FOLDERS
        for folder in [f"{storage_address}/{table.path}"]
    }
    rows = run("\n".join([WHOLE_TABLES[tool], *read_all.values()]), list(read_all), tmp_path)
    for table in IN_FOLDERS:
        found = rows[table.name]
        assert set(found.columns) == set(table.schema.names)
        assert len(found) == (2 if table.by_month else 1)
        assert set(found["deployment"]) == {"lab"}
        if table.by_month:
            assert sorted(str(month)[:10] for month in found["month"]) == months[1:]
            assert sorted(found["event_day"]) == [month[:8] + "17" for month in months[1:]]
