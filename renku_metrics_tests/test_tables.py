"""The declared tables: their columns as promised to the outside, and the shape of each text."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

from renku_metrics.merging import merge
from renku_metrics.schema import STRINGS, TIMESTAMP, Table
from renku_metrics.sources.registry import all_sources, raw_tables
from renku_metrics.tables import (
    EVENTS,
    REVISIONS,
    USER_DAYS,
    active_users_table,
    core_action_table,
    published_table,
)
from renku_metrics_tests.every_table import TABLES, TEXTS, row_of
from renku_metrics_tests.plain_rows import plain

TEXT_TYPES = (pa.string(), STRINGS)


def test_no_two_tables_have_the_same_name_or_place() -> None:
    assert len({table.name for table in TABLES}) == len({table.path for table in TABLES}) == len(TABLES)


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_a_table_is_well_formed(table: Table) -> None:
    names = [column.name for column in table.columns]
    required = {column.name for column in table.columns if column.required}

    assert len(set(names)) == len(names)
    assert set(table.partitioned_by) <= required
    assert set(table.key) <= set(names)
    # Rows that are sorted by key are sorted by partition: the month follows from the day.
    assert table.key[: 2 if table.by_month else 1] == (
        ("deployment", "event_day") if table.by_month else ("deployment",)
    )
    assert table.partitioned_by in ((), ("deployment",), ("deployment", "month"))
    assert set(table.one_thing) <= set(table.key)
    assert all(column.description.endswith(".") for column in table.columns)
    assert all(table.schema.field(name).type == pa.string() for name in table.partitioned_by)
    assert table.file_schema.names == [name for name in names if name not in table.partitioned_by]
    assert {field.type for field in table.schema if pa.types.is_timestamp(field.type)} <= {TIMESTAMP}


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_every_text_has_a_shape_and_nothing_else_has_one(table: Table) -> None:
    with_shape = [column.name for column in table.columns if column.shape]
    assert with_shape == [column.name for column in table.columns if column.type in TEXT_TYPES]


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_whoever_names_a_person_is_well_formed(table: Table) -> None:
    names = {column.name for column in table.columns}
    emptied = {column.name for column in table.columns if column.emptied}

    for column in table.columns:
        assert not (column.emptied and column.required) or column.type == STRINGS
        assert not column.emptied_with or (column.emptied_with in emptied and not column.required)
        assert column.unless is None or column.unless[0] in names


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_empty_frames_have_the_types_of_full_ones(table: Table) -> None:
    full, empty = table.frame([row_of(table)]), table.frame()

    assert full.dtypes.to_dict() == empty.dtypes.to_dict()
    assert plain(full) == [row_of(table)]
    pd.testing.assert_frame_equal(table.conform(empty), empty)
    pd.testing.assert_frame_equal(table.conform(full), full)
    pd.testing.assert_frame_equal(merge(table, empty, full), full)
    pd.testing.assert_frame_equal(merge(table, full, empty), full)
    pd.testing.assert_frame_equal(merge(table, full, full), full)


# What somebody wrote, or a name, in each shape that it could come in.
PERSONAL = [
    "ada@university.example",
    "Ada Lovelace",
    "ada lovelace",
    "ada-lovelace writes",
    "secret password of ada",
    "--ada",
    "ada.lovelace",
    "ada_lovelace@",
    "192.0.2.7",
    "2001:db8::7",
    "https://renkulab.io/ada",
    "a remark\nof two lines",
    "registry.renkulab.io/ada/flights:8f1a2b3",
    "Ada",
    "é",
]


@pytest.mark.parametrize("shape", TEXTS, ids=lambda shape: shape.meaning)
def test_no_shape_takes_an_address_or_what_somebody_wrote(shape: Any) -> None:
    assert shape.fits(TEXTS[shape])
    assert shape.strays(pa.array([TEXTS[shape]])) == 0
    # The id of a client may be any plain word: it is a program's, as its administrator named it.
    personal = [text for text in PERSONAL if not (shape.meaning == "the id of an OAuth client" and text in CLIENTS)]
    assert [text for text in personal if shape.fits(text)] == []
    assert shape.strays(pa.array(personal)) == len(personal)


CLIENTS = ("Ada", "ada.lovelace", "192.0.2.7", "2001:db8::7", "https://renkulab.io/ada", PERSONAL[8])


def test_raw_tables_are_those_of_the_design() -> None:
    by_deployment, by_month = ("deployment",), ("deployment", "month")
    assert {table.path: table.partitioned_by for table in raw_tables()} == {
        "raw/raw_gitlab_projects": by_deployment,
        "raw/raw_gitlab_users": by_deployment,
        "raw/raw_keycloak_users": by_deployment,
        "raw/raw_gitlab_commits": by_month,
        "raw/raw_gitlab_pushes": by_month,
        "raw/raw_keycloak_logins": by_month,
        "raw/raw_amalthea_sessions": by_month,
    }
    assert {source.name for source in all_sources()} == {"gitlab", "keycloak", "amalthea"}


def test_events_have_the_columns_of_the_design() -> None:
    assert EVENTS.schema.names == [
        *("deployment", "month", "event_day", "event_type", "occurred_at", "user_id", "user_link"),
        *("project_id", "source", "event_key"),
    ]
    assert EVENTS.schema.field("occurred_at").type == pa.timestamp("ms", tz="UTC")
    assert (EVENTS.path, EVENTS.partitioned_by) == ("events", ("deployment", "month"))
    assert (USER_DAYS.path, USER_DAYS.partitioned_by) == ("user_days", ("deployment", "month"))


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


def test_metric_tables_have_one_file_a_deployment_and_a_row_a_period() -> None:
    weekly, monthly = active_users_table("week"), core_action_table("running_a_workflow", "Ran one.", "month")

    assert (weekly.path, weekly.partitioned_by) == ("metrics/active_users_weekly", ("deployment",))
    assert (monthly.path, monthly.partitioned_by) == ("metrics/running_a_workflow_monthly", ("deployment",))
    assert (weekly.key, monthly.key) == (("deployment", "week"), ("deployment", "month"))
    assert {"week", "month"} & set(weekly.file_schema.names) == {"week"}
    assert {"week", "month"} & set(monthly.file_schema.names) == {"month"}
    assert not weekly.by_month
    assert not monthly.by_month


def test_columns_carry_their_description() -> None:
    assert EVENTS.schema.field("event_key").metadata == {b"description": b"Unique within the deployment."}
