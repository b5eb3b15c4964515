"""Where the store keeps what, as the design promises it, and what it makes of files that are not its own."""

from __future__ import annotations

import datetime as dt
import io

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from renku_metrics.errors import StoreError
from renku_metrics.store.store import WHOLE, Store, partitions_of
from renku_metrics.tables import (
    EVENTS,
    RAW_GITLAB_USERS,
    RAW_KEYCLOAK_LOGINS,
    USER_DAYS,
    active_users_table,
    published_table,
)
from renku_metrics_tests.plain_rows import plain
from renku_metrics_tests.store.rows import DAY, NEXT_DAY, at, event, login, user


def objects(store: Store) -> list[str]:
    return [info.key for info in store.storage.list()]


def test_the_paths_are_those_of_the_design(store: Store, storage_address: str) -> None:
    now = at(DAY)
    store.ensure(RAW_GITLAB_USERS, [("renkulab-io",)])
    store.ensure(RAW_KEYCLOAK_LOGINS, [("renkulab-io", DAY)])
    store.ensure(EVENTS, [("renkulab-io", DAY)])
    store.ensure(USER_DAYS, [("renkulab-io", DAY)])
    store.ensure(active_users_table("week"), [("renkulab-io", DAY)])
    store.ensure(active_users_table("month"), [("renkulab-io", "2026-11-01")])
    store.ensure(published_table("week"), [WHOLE])
    store.ensure(published_table("month"), [WHOLE])
    store.write_state("coverage/deployment=renkulab-io/logins.json", now.isoformat().encode())

    assert objects(store) == [
        "events/deployment=renkulab-io/event_day=2026-11-16/data.parquet",
        "metrics/active_users_monthly/deployment=renkulab-io/month=2026-11-01/data.parquet",
        "metrics/active_users_weekly/deployment=renkulab-io/week=2026-11-16/data.parquet",
        "published/monthly.parquet",
        "published/weekly.parquet",
        "raw/raw_gitlab_users/deployment=renkulab-io/data.parquet",
        "raw/raw_keycloak_logins/deployment=renkulab-io/event_day=2026-11-16/data.parquet",
        "state/coverage/deployment=renkulab-io/logins.json",
        "user_days/deployment=renkulab-io/event_day=2026-11-16/data.parquet",
    ]
    assert store.address(EVENTS, ("renkulab-io", DAY)) == (
        f"{storage_address}/events/deployment=renkulab-io/event_day=2026-11-16/data.parquet"
    )
    assert store.address(published_table("week"), WHOLE) == f"{storage_address}/published/weekly.parquet"


def test_a_file_holds_the_columns_that_its_path_does_not(store: Store) -> None:
    store.write(EVENTS, EVENTS.frame([event("2"), event("1")]), [("lab", DAY)])

    content = store.storage.read("events/deployment=lab/event_day=2026-11-16/data.parquet")
    file = pq.ParquetFile(io.BytesIO(content))

    assert [(field.name, str(field.type), field.nullable) for field in file.schema_arrow] == [
        ("event_type", "string", False),
        ("occurred_at", "timestamp[ms, tz=UTC]", False),
        ("user_id", "string", True),
        ("user_link", "string", True),
        ("project_id", "string", True),
        ("source", "string", False),
        ("event_key", "string", False),
    ]
    assert file.read().column("event_key").to_pylist() == ["1", "2"]
    assert file.schema_arrow.field("event_key").metadata[b"description"] == b"Unique within the deployment."


def test_a_whole_table_is_one_file(store: Store) -> None:
    table = published_table("week")
    row = {
        "deployment": "lab",
        "period": "2026-W47",
        "period_start": dt.date(2026, 11, 16),
        "period_end": dt.date(2026, 11, 22),
        "core_action": "running_a_workflow",
        "users": 1,
        "active_users": 0,
        "share": None,
        "complete": False,
        "missing": "period not over",
        "unlinked": 0.25,
        "definition": "1",
        "computed_at": at(NEXT_DAY),
    }
    store.write(table, table.frame([row]), [WHOLE])

    assert plain(store.read(table, [WHOLE])) == [row]
    content = store.storage.read("published/weekly.parquet")
    assert pq.ParquetFile(io.BytesIO(content)).schema_arrow.names == table.schema.names


def test_partitions_are_those_ever_written(store: Store) -> None:
    week = active_users_table("week")
    store.ensure(EVENTS, [("lab", NEXT_DAY), ("alps", DAY), ("lab", DAY)])
    store.ensure(week, [("lab", DAY)])
    store.ensure(RAW_GITLAB_USERS, [("lab",)])
    # What somebody else put there.
    for key in (
        "events/README.md",
        "events/deployment=lab/data.parquet",
        "events_old/deployment=x/event_day=y/data.parquet",
    ):
        store.storage.write(key, b"")

    assert store.partitions(EVENTS, "lab") == [("lab", DAY), ("lab", NEXT_DAY)]
    assert store.partitions(EVENTS, "alps") == [("alps", DAY)]
    assert store.partitions(EVENTS, "la") == []
    assert store.partitions(week, "lab") == [("lab", DAY)]
    assert store.partitions(RAW_GITLAB_USERS, "lab") == [("lab",)]
    assert store.partitions(USER_DAYS, "lab") == []


@pytest.mark.parametrize("content", [b"", b"not Parquet", b"PAR1 cut short"])
def test_a_file_that_is_no_table_is_one_clear_line(store: Store, content: bytes) -> None:
    place = ("lab", DAY)
    store.storage.write("raw/raw_keycloak_logins/deployment=lab/event_day=2026-11-16/data.parquet", content)
    line = f"{store.address(RAW_KEYCLOAK_LOGINS, place)}: is not a Parquet file of raw_keycloak_logins"

    for work in (
        lambda: store.read(RAW_KEYCLOAK_LOGINS, [place]),
        lambda: store.read_if_there(RAW_KEYCLOAK_LOGINS, [place]),
        lambda: store.merge(RAW_KEYCLOAK_LOGINS, RAW_KEYCLOAK_LOGINS.frame([login("1")])),
        lambda: store.ensure(RAW_KEYCLOAK_LOGINS, [place]),
    ):
        with pytest.raises(StoreError) as error:
            work()
        assert str(error.value) == line
    # What could still be mended by hand was not written over.
    assert store.storage.read("raw/raw_keycloak_logins/deployment=lab/event_day=2026-11-16/data.parquet") == content


def test_a_file_written_before_a_column_was_added_is_read(store: Store) -> None:
    old = pa.table({"event_type": ["login"], "event_key": ["1"], "occurred_at": [at(DAY)], "source": ["keycloak"]})
    buffer = io.BytesIO()
    pq.write_table(old, buffer)
    store.storage.write("events/deployment=lab/event_day=2026-11-16/data.parquet", buffer.getvalue())

    read = plain(store.read(EVENTS, [("lab", DAY)]))

    assert read == [event("1", user_id=None, user_link=None)]


def test_partitions_of_a_frame_are_those_of_its_rows() -> None:
    frame = EVENTS.frame([event("1"), event("2"), event("3", NEXT_DAY)])

    assert partitions_of(EVENTS, frame) == {("lab", DAY), ("lab", NEXT_DAY)}
    assert partitions_of(RAW_GITLAB_USERS, RAW_GITLAB_USERS.frame([user(1)])) == {("lab",)}
    assert partitions_of(EVENTS, EVENTS.frame()) == set()
