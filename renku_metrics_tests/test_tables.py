"""Tables: their columns as promised to the outside, their types, and what they refuse."""

from __future__ import annotations

import datetime as dt
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from renku_metrics.tables import (
    EVENTS,
    RAW_GITLAB_USERS,
    RAW_TABLES,
    REVISIONS,
    STRINGS,
    TIMESTAMP,
    USER_DAYS,
    Table,
    active_users_table,
    core_action_table,
    published_table,
)
from renku_metrics_tests.plain_rows import THINGS, plain, user

ALL = [
    *RAW_TABLES,
    EVENTS,
    USER_DAYS,
    REVISIONS,
    *(active_users_table(kind) for kind in ("week", "month")),
    *(core_action_table("running_a_workflow", "Ran one.", kind) for kind in ("week", "month")),
    *(published_table(kind) for kind in ("week", "month")),
]


@pytest.mark.parametrize("table", ALL, ids=lambda table: table.name)
def test_a_table_is_well_formed(table: Table) -> None:
    names = [column.name for column in table.columns]
    required = {column.name for column in table.columns if column.required}

    assert len(set(names)) == len(names)
    assert set(table.partitioned_by) <= required & set(table.key) <= set(names)
    assert all(column.description.endswith(".") for column in table.columns)
    assert all(table.schema.field(name).type == pa.string() for name in table.partitioned_by)
    assert table.file_schema.names == [name for name in names if name not in table.partitioned_by]
    assert {field.type for field in table.schema if pa.types.is_timestamp(field.type)} <= {TIMESTAMP}


@pytest.mark.parametrize("table", ALL, ids=lambda table: table.name)
def test_empty_frames_have_the_types_of_full_ones(table: Table) -> None:
    kinds = {
        pa.string(): "x",
        pa.int64(): 1,
        pa.bool_(): True,
        pa.float64(): 0.5,
        pa.date32(): dt.date(2026, 11, 16),
        TIMESTAMP: dt.datetime(2026, 11, 16, tzinfo=dt.UTC),
        STRINGS: ["x"],
    }
    full = table.frame([{field.name: kinds[field.type] for field in table.schema}])
    empty = table.frame()

    assert full.dtypes.to_dict() == empty.dtypes.to_dict()
    assert plain(full) == [{field.name: kinds[field.type] for field in table.schema}]
    pd.testing.assert_frame_equal(table.conform(empty), empty)
    pd.testing.assert_frame_equal(table.merge(empty, full), full)
    pd.testing.assert_frame_equal(table.merge(full, empty), full)
    pd.testing.assert_frame_equal(table.merge(full, full), full)


def test_raw_tables_are_those_of_the_design() -> None:
    assert {table.path: table.partitioned_by for table in RAW_TABLES} == {
        "raw/raw_gitlab_projects": ("deployment",),
        "raw/raw_gitlab_users": ("deployment",),
        "raw/raw_keycloak_users": ("deployment",),
        "raw/raw_gitlab_commits": ("deployment", "event_day"),
        "raw/raw_gitlab_pushes": ("deployment", "event_day"),
        "raw/raw_keycloak_logins": ("deployment", "event_day"),
        "raw/raw_amalthea_sessions": ("deployment", "event_day"),
    }


def test_events_have_the_columns_of_the_design() -> None:
    assert EVENTS.schema.names == [
        *("deployment", "event_type", "occurred_at", "event_day", "user_id", "user_link"),
        *("project_id", "source", "event_key"),
    ]
    assert EVENTS.schema.field("occurred_at").type == pa.timestamp("ms", tz="UTC")


@pytest.mark.parametrize(("kind", "name"), [("week", "weekly"), ("month", "monthly")])
def test_published_tables_have_the_columns_of_the_design(kind: Any, name: str) -> None:
    table = published_table(kind)

    assert table.path == f"published/{name}"
    assert [(field.name, str(field.type), field.nullable) for field in table.schema] == [
        ("deployment", "string", False),
        ("period", "string", False),
        ("period_start", "date32[day]", False),
        ("period_end", "date32[day]", False),
        ("core_action", "string", False),
        ("users", "int64", False),
        ("active_users", "int64", False),
        ("share", "double", True),
        ("complete", "bool", False),
        ("missing", "string", False),
        ("unlinked", "double", True),
        ("definition", "string", False),
        ("computed_at", "timestamp[ms, tz=UTC]", False),
    ]


def test_revisions_have_the_columns_of_the_design() -> None:
    assert REVISIONS.path == "published/revisions"
    assert REVISIONS.schema.names == [
        *("deployment", "period", "core_action", "users_before", "users_after"),
        *("active_users_before", "active_users_after", "definition_before", "definition_after"),
        *("changed_at", "reason"),
    ]


def test_metric_tables_are_named_and_partitioned_by_their_period() -> None:
    weekly, monthly = active_users_table("week"), core_action_table("running_a_workflow", "Ran one.", "month")

    assert (weekly.path, weekly.partitioned_by) == ("metrics/active_users_weekly", ("deployment", "week"))
    assert (monthly.path, monthly.partitioned_by) == ("metrics/running_a_workflow_monthly", ("deployment", "month"))


def test_columns_carry_their_description() -> None:
    assert EVENTS.schema.field("event_key").metadata == {b"description": b"Unique within the deployment."}


def test_conform_sorts_by_key_and_keeps_only_the_columns_of_the_table() -> None:
    frame = RAW_GITLAB_USERS.frame([user(gitlab_user_id=number) for number in (30, 4, 100)])
    shuffled = frame.assign(email="ada@example.net")[["email", *reversed(frame.columns)]]

    conformed = RAW_GITLAB_USERS.conform(shuffled)

    assert list(conformed.columns) == RAW_GITLAB_USERS.schema.names
    assert list(conformed["gitlab_user_id"]) == [4, 30, 100]
    assert list(conformed.index) == [0, 1, 2]


def test_conform_brings_other_types_into_those_of_the_table() -> None:
    frame = pd.DataFrame([{**dict.fromkeys(RAW_GITLAB_USERS.schema.names), **user(gitlab_user_id=np.int32(7))}])
    frame["pulled_at"] = pd.to_datetime(["2026-11-16T10:00:00+01:00"])

    row = RAW_GITLAB_USERS.conform(frame).iloc[0]

    assert row["gitlab_user_id"] == 7
    assert row["pulled_at"] == pd.Timestamp("2026-11-16T09:00:00Z")


def test_times_are_kept_to_the_millisecond_in_utc() -> None:
    zone = dt.timezone(dt.timedelta(hours=2))
    frame = RAW_GITLAB_USERS.frame([user(created_at=dt.datetime(2026, 11, 16, 1, 0, 0, 123000, zone))])

    assert frame["created_at"][0].isoformat() == "2026-11-15T23:00:00.123000+00:00"
    assert frame["created_at"].dtype == "datetime64[ms, UTC]"


def test_large_ids_and_gaps_stay_whole_numbers() -> None:
    frame = RAW_GITLAB_USERS.frame([user(gitlab_user_id=2**53 + 1), user(gitlab_user_id=None)])

    assert frame["gitlab_user_id"][0] == 2**53 + 1
    assert frame["gitlab_user_id"][1] is pd.NA


def test_a_missing_column_is_refused() -> None:
    frame = RAW_GITLAB_USERS.frame([user()]).drop(columns=["bot", "state"])

    with pytest.raises(ValueError, match=r"^raw_gitlab_users: there is no column bot, state$"):
        RAW_GITLAB_USERS.conform(frame)


@pytest.mark.parametrize("name", ["deployment", "gitlab_user_id", "address_hashes", "bot", "pulled_at"])
def test_a_missing_required_value_is_refused(name: str) -> None:
    frame = RAW_GITLAB_USERS.frame([user(), user(**{"gitlab_user_id": 8, name: None})])

    with pytest.raises(ValueError, match=rf"^raw_gitlab_users: {name} is missing in some rows$"):
        RAW_GITLAB_USERS.conform(frame)


def test_a_key_that_stands_twice_is_refused() -> None:
    expected = r"^raw_gitlab_users: a key \(deployment, gitlab_user_id\) stands twice$"
    with pytest.raises(ValueError, match=expected):
        RAW_GITLAB_USERS.conform(RAW_GITLAB_USERS.frame([user(), user(bot=True)]))
    # A missing part of a key is a value like any other.
    things = [{"deployment": "x", "thing_id": 1, "part": None}] * 2
    with pytest.raises(ValueError, match="stands twice"):
        THINGS.conform(THINGS.frame(things))


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("gitlab_user_id", "ada@example.net"),
        ("gitlab_user_id", 10**20),
        ("keycloak_id", b"\xffada@example.net"),
        ("keycloak_id", "ada@example.net\ud800"),
        ("address_hashes", ["ada@example.net", 7]),
        ("bot", "ada@example.net"),
        ("created_at", "ada@example.net"),
    ],
)
def test_a_value_that_does_not_fit_is_refused_without_repeating_it(column: str, value: Any) -> None:
    with pytest.raises(ValueError, match=rf"^raw_gitlab_users: {column} holds a value that is no \S+") as one:
        RAW_GITLAB_USERS.frame([user(**{column: value})])
    wrong = RAW_GITLAB_USERS.frame([user()]).astype({column: object})
    wrong.at[0, column] = value
    with pytest.raises(ValueError, match=r"^raw_gitlab_users: a value does not fit its column") as other:
        RAW_GITLAB_USERS.conform(wrong)

    for error in (one.value, other.value):
        assert "ada" not in str(error)
        assert "100000" not in str(error)
        assert error.__cause__ is None
        assert error.__suppress_context__
