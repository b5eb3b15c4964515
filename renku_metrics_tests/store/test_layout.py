"""Where the store keeps what, as the design promises it, and what it makes of files that are not its own."""

from __future__ import annotations

import datetime as dt
import io
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from renku_metrics.errors import StoreError
from renku_metrics.store.files import WHOLE, partitions_of
from renku_metrics.store.ledger import Ledger
from renku_metrics.store.store import Store
from renku_metrics.tables import (
    EVENTS,
    RAW_GITLAB_USERS,
    RAW_KEYCLOAK_LOGINS,
    USER_DAYS,
    active_users_table,
    published_table,
)
from renku_metrics_tests.object_storage.put import put
from renku_metrics_tests.plain_rows import plain
from renku_metrics_tests.store.rows import (
    DAY,
    LATER_DAY,
    MONTH,
    NEXT_DAY,
    NEXT_MONTH,
    at,
    event,
    login,
    login_key,
    user,
)

FILE = "events/deployment=lab/month=2026-11-01/data.parquet"


def objects(store: Store) -> list[str]:
    return [info.key for info in store.storage.list()]


def parquet(columns: dict[str, list[Any]]) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(pa.table(columns), buffer)
    return buffer.getvalue()


def test_the_paths_are_those_of_the_design(store: Store, storage_address: str) -> None:
    store.ensure(RAW_GITLAB_USERS, [("renkulab-io",)])
    store.ensure(RAW_KEYCLOAK_LOGINS, [("renkulab-io", MONTH)])
    store.ensure(EVENTS, [("renkulab-io", MONTH)])
    store.ensure(USER_DAYS, [("renkulab-io", MONTH)])
    store.ensure(active_users_table("week"), [("renkulab-io",)])
    store.ensure(active_users_table("month"), [("renkulab-io",)])
    store.ensure(published_table("week"), [WHOLE])
    store.ensure(published_table("month"), [WHOLE])
    Ledger(store, "renkulab-io").change_built(lambda built: built.nameless.update(amalthea={MONTH: [DAY]}))

    assert objects(store) == [
        "events/deployment=renkulab-io/month=2026-11-01/data.parquet",
        "metrics/active_users_monthly/deployment=renkulab-io/data.parquet",
        "metrics/active_users_weekly/deployment=renkulab-io/data.parquet",
        "published/monthly.parquet",
        "published/weekly.parquet",
        "raw/raw_gitlab_users/deployment=renkulab-io/data.parquet",
        "raw/raw_keycloak_logins/deployment=renkulab-io/month=2026-11-01/data.parquet",
        "state/deployment=renkulab-io/built.json",
        "user_days/deployment=renkulab-io/month=2026-11-01/data.parquet",
        "version.json",
    ]
    assert store.address(EVENTS, ("renkulab-io", MONTH)) == (
        f"{storage_address}/events/deployment=renkulab-io/month=2026-11-01/data.parquet"
    )
    assert store.address(published_table("week"), WHOLE) == f"{storage_address}/published/weekly.parquet"


def test_a_file_holds_the_columns_that_its_path_does_not(store: Store) -> None:
    store.write(EVENTS, EVENTS.frame([event("0", NEXT_DAY), event("2"), event("1")]), [("lab", MONTH)])

    content = store.storage.read("events/deployment=lab/month=2026-11-01/data.parquet")
    file = pq.ParquetFile(io.BytesIO(content))

    assert [(field.name, str(field.type), field.nullable) for field in file.schema_arrow] == [
        ("event_day", "string", False),
        ("event_type", "string", False),
        ("occurred_at", "timestamp[ms, tz=UTC]", False),
        ("user_id", "string", True),
        ("user_link", "string", True),
        ("project_id", "string", True),
        ("source", "string", False),
        ("event_key", "string", False),
    ]
    # Sorted by day, then by key.
    assert file.read(["event_day", "event_key"]).to_pylist() == [
        {"event_day": day, "event_key": login_key(key)} for day, key in [(DAY, "1"), (DAY, "2"), (NEXT_DAY, "0")]
    ]
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
        "definition": "running_a_workflow 1; active_users 1",
        "computed_at": at(NEXT_DAY),
    }
    store.write(table, table.frame([row]), [WHOLE])

    assert plain(store.read(table, [WHOLE])) == [row]
    content = store.storage.read("published/weekly.parquet")
    assert pq.ParquetFile(io.BytesIO(content)).schema_arrow.names == table.schema.names


def test_partitions_are_those_ever_written(store: Store) -> None:
    week = active_users_table("week")
    store.ensure(EVENTS, [("lab", NEXT_MONTH), ("alps", MONTH), ("lab", MONTH)])
    store.ensure(week, [("lab",)])
    store.ensure(RAW_GITLAB_USERS, [("lab",)])
    # What somebody else put there.
    for key in (
        "events/README.md",
        "events/deployment=lab/data.parquet",
        "events/deployment=lab/month=2026-10-01/copy.parquet",
        "events_old/deployment=x/month=y/data.parquet",
    ):
        put(store.storage, key, b"")

    assert store.partitions(EVENTS, "lab") == [("lab", MONTH), ("lab", NEXT_MONTH)]
    assert store.partitions(EVENTS, "alps") == [("alps", MONTH)]
    assert store.partitions(EVENTS, "la") == []
    assert store.partitions(week, "lab") == [("lab",)]
    assert store.partitions(RAW_GITLAB_USERS, "lab") == [("lab",)]
    assert store.partitions(USER_DAYS, "lab") == []


def test_the_mark_of_a_partition_changes_with_every_write_and_only_then(store: Store) -> None:
    places = [("lab", MONTH), ("lab", NEXT_MONTH)]
    rows = EVENTS.frame([event("1"), event("2", LATER_DAY)])
    written = store.write(EVENTS, rows, places)
    marks = store.marks(EVENTS, "lab")
    assert marks == {place: stored.mark for place, stored in written.items()}
    assert {place: store.version(EVENTS, place) for place in places} == {
        place: stored.version for place, stored in written.items()
    }

    same = store.write(EVENTS, rows, places)
    assert store.marks(EVENTS, "lab") == marks == {place: stored.mark for place, stored in same.items()}
    store.write(EVENTS, EVENTS.frame([event("1"), event("3", LATER_DAY)]), places)
    after = store.marks(EVENTS, "lab")
    assert after[places[0]] == marks[places[0]]
    assert after[places[1]] != marks[places[1]]
    assert store.version(EVENTS, ("lab", "2026-01-01")) == ""


def test_what_is_removed_is_gone(store: Store) -> None:
    store.ensure(EVENTS, [("lab", MONTH), ("lab", NEXT_MONTH)])
    store.remove(EVENTS, ("lab", MONTH))
    store.remove(EVENTS, ("lab", MONTH))
    assert store.partitions(EVENTS, "lab") == [("lab", NEXT_MONTH)]


@pytest.mark.parametrize("content", [b"", b"not Parquet", b"PAR1 cut short"])
def test_a_file_that_is_no_table_is_one_clear_line(store: Store, content: bytes) -> None:
    place = ("lab", MONTH)
    put(store.storage, "raw/raw_keycloak_logins/deployment=lab/month=2026-11-01/data.parquet", content)
    line = f"{store.address(RAW_KEYCLOAK_LOGINS, place)}: is not a Parquet file of raw_keycloak_logins"

    for work in (
        lambda: store.read(RAW_KEYCLOAK_LOGINS, [place]),
        lambda: store.read_if_there(RAW_KEYCLOAK_LOGINS, [place]),
        lambda: store.merge(RAW_KEYCLOAK_LOGINS, RAW_KEYCLOAK_LOGINS.frame([login("1")])),
        lambda: store.ensure(RAW_KEYCLOAK_LOGINS, [place]),
        lambda: store.write(RAW_KEYCLOAK_LOGINS, RAW_KEYCLOAK_LOGINS.frame(), [place]),
        lambda: store.read_versioned(RAW_KEYCLOAK_LOGINS, [place]),
        lambda: store.read_columns(RAW_KEYCLOAK_LOGINS, [place], ["event_day"]),
    ):
        with pytest.raises(StoreError) as error:
            work()
        assert str(error.value) == line
    # What could still be mended by hand was not written over.
    assert store.storage.read("raw/raw_keycloak_logins/deployment=lab/month=2026-11-01/data.parquet") == content


def test_a_file_written_before_a_column_was_added_is_read(store: Store) -> None:
    old = {"event_day": [DAY], "event_type": ["login"], "event_key": [login_key("1")], "source": ["keycloak"]}
    put(store.storage, FILE, parquet(old | {"occurred_at": [at(DAY)]}))

    read = plain(store.read(EVENTS, [("lab", MONTH)]))

    assert read == [event("1", month=MONTH, user_id=None, user_link=None)]


def test_a_file_with_a_column_that_a_later_version_added_is_refused_and_stays(store: Store) -> None:
    newer = parquet({"event_day": [DAY], "who": ["somebody"], "mood": ["fine"]})
    put(store.storage, FILE, newer)

    for work in (
        lambda: store.read(EVENTS, [("lab", MONTH)]),
        lambda: store.merge(EVENTS, EVENTS.frame([event("1")])),
        lambda: store.write(EVENTS, EVENTS.frame([event("1")]), [("lab", MONTH)]),
    ):
        with pytest.raises(StoreError) as error:
            work()
        assert str(error.value) == (
            f"{store.address(EVENTS, ('lab', MONTH))}: has columns that this version of renku-metrics does not know "
            "(mood, who); install the version that wrote it, or a later one"
        )
    assert store.storage.read(FILE) == newer


def test_partitions_of_a_frame_are_those_of_its_rows() -> None:
    frame = EVENTS.frame([event("1"), event("2"), event("3", NEXT_DAY), event("4", LATER_DAY)])

    assert partitions_of(EVENTS, frame) == {("lab", MONTH), ("lab", NEXT_MONTH)}
    assert partitions_of(RAW_GITLAB_USERS, RAW_GITLAB_USERS.frame([user(1)])) == {("lab",)}
    assert partitions_of(EVENTS, EVENTS.frame()) == set()
