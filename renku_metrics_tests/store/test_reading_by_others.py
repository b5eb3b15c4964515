"""The store as docs/reading.md tells analysts to read it, with the very lines of that page."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import s3fs

from renku_metrics.environment import PROJECT
from renku_metrics.store.store import WHOLE, Store
from renku_metrics.tables import EVENTS, USER_DAYS, published_table
from renku_metrics_tests.store.rows import at, event

PAGE = (PROJECT / "docs" / "reading.md").read_text()
LINES = dict(re.findall(r"## (\w+)\n(?:(?!##).)*?```python\n(.*?)```", PAGE, re.DOTALL))
BY_GROUP = re.findall(r"## Numbers by group\n(?:(?!##).)*?```python\n(.*?)```", PAGE, re.DOTALL)
EVENTS_THERE = [
    ("alps", "2026-11-16", "a1"),
    ("lab", "2026-11-15", "l0"),
    ("lab", "2026-11-16", "l1"),
    ("lab", "2026-11-16", "l2"),
    ("lab", "2026-11-17", "l3"),
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
    "definition": "1",
    "computed_at": at("2026-11-24"),
}


@pytest.fixture
def address(storage_address: str) -> str:
    """Address of a store with events, one of whose days is empty, and a number."""
    store = Store.at(storage_address)
    frame = EVENTS.frame(event(key, day, deployment=deployment) for deployment, day, key in EVENTS_THERE)
    places = {(deployment, day) for deployment, day, _ in EVENTS_THERE} | {("alps", "2026-11-17")}
    store.write(EVENTS, frame, sorted(places))
    store.write(WEEKLY, WEEKLY.frame([NUMBER]), [WHOLE])
    if not storage_address.startswith("s3://"):
        # As a writer that was killed leaves it.
        Path(storage_address, "events/deployment=lab/event_day=2026-11-16/.abc.partial").write_bytes(b"PAR1")
    return storage_address


def read(tool: str, address: str) -> dict[str, pd.DataFrame]:
    """What the page's lines give, by name."""
    lines = LINES[tool].replace("s3://bucket/prefix", address)
    if not address.startswith("s3://"):
        lines = "".join(line for line in lines.splitlines(keepends=True) if "s3fs" not in line)
    # Within one process it remembers the server of the test before.
    s3fs.S3FileSystem.clear_instance_cache()
    found: dict[str, Any] = {}
    exec(lines, found)
    return {name: as_pandas(found[name]) for name in ("events", "weekly")}


def as_pandas(rows: Any) -> pd.DataFrame:
    if hasattr(rows, "to_pandas"):
        rows = rows.to_pandas()
    return rows if isinstance(rows, pd.DataFrame) else rows.df()


def test_the_page_has_lines_for_each_tool() -> None:
    assert set(LINES) == {"pandas", "polars", "DuckDB", "pyarrow"}


@pytest.mark.filterwarnings("ignore:The inplace keyword:DeprecationWarning")
@pytest.mark.parametrize("tool", LINES)
def test_the_lines_of_the_page_read_events_and_numbers(address: str, tool: str) -> None:
    found = read(tool, address)

    events = found["events"]
    assert set(events.columns) == set(EVENTS.schema.names)
    rows = events[["deployment", "event_day", "event_key"]].astype(str).sort_values("event_key")
    assert [(row[0], row[1][:10], row[2]) for row in rows.itertuples(index=False)] == [
        row for row in EVENTS_THERE if row[1] >= "2026-11-16"
    ]
    assert set(pd.to_datetime(events["occurred_at"], utc=True)) == {
        pd.Timestamp(at("2026-11-16")),
        pd.Timestamp(at("2026-11-17")),
    }
    assert set(events["user_id"]) == {"ada"}
    [number] = found["weekly"].to_dict(orient="records")
    assert set(number) == set(WEEKLY.schema.names)
    assert (number["period"], number["users"], number["share"], number["complete"]) == ("2026-W47", 1, 0.25, True)


def test_the_lines_of_the_page_count_by_group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store.at(str(tmp_path / "store"))
    days = [
        ("2026-11-15", "session_started", "ada"),
        ("2026-11-16", "session_started", "ada"),
        ("2026-11-16", "login", "bob"),
        ("2026-11-22", "login", "eve"),
        ("2026-11-22", "session_started", "nobody"),
    ]
    rows = [
        {"deployment": "lab", "event_day": day, "event_type": of, "user_id": user, "user_link": "keycloak_id"}
        for day, of, user in days
    ]
    store.write(USER_DAYS, USER_DAYS.frame(rows), sorted({("lab", day) for day, _, _ in days}))
    store.write(WEEKLY, WEEKLY.frame([NUMBER | {"complete": False, "missing": "period not over"}]), [WHOLE])
    (tmp_path / "groups.csv").write_text("user_id,group\nada,epfl\nbob,epfl\neve,ethz\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    found: dict[str, Any] = {}
    exec(BY_GROUP[0].replace("s3://bucket/prefix", "store"), found)
    counted = found["counted"][["period", "group", "core_action", "users", "active_users", "complete", "missing"]]
    assert counted.to_numpy().tolist() == [
        ["2026-W47", "epfl", "starting_a_session", 1, 2, False, "period not over"],
        ["2026-W47", "ethz", "starting_a_session", 0, 1, False, "period not over"],
    ]
