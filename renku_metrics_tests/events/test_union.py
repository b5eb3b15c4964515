"""Properties of the union: one row, one fate; no order matters; days and months may be built one by one or together."""

from __future__ import annotations

import random
from collections.abc import Collection

import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

from renku_metrics.events.union import user_days
from renku_metrics.schema import month_of
from renku_metrics_tests.events import oracle
from renku_metrics_tests.events.random_raw import raw_rows
from renku_metrics_tests.events.raw_rows import Row, build

DAILY = ("commits", "logins", "sessions")


def days_of(rows: dict[str, list[Row]]) -> list[str]:
    return sorted({row["event_day"] for table in DAILY for row in rows[table]})


def of_days(rows: dict[str, list[Row]], days: Collection[str]) -> dict[str, list[Row]]:
    return rows | {table: [row for row in rows[table] if row["event_day"] in days] for table in DAILY}


@settings(max_examples=10, deadline=None)
@given(raw_rows())
def test_days_built_one_by_one_are_the_days_built_together(rows: dict[str, list[Row]]) -> None:
    together = build(**rows)
    one_by_one = [build(**of_days(rows, [day])) for day in days_of(rows)]
    if one_by_one:
        pd.testing.assert_frame_equal(together.events, pd.concat([one.events for one in one_by_one], ignore_index=True))
        pd.testing.assert_frame_equal(together.account, pd.concat([one.account for one in one_by_one]))
    for month in sorted({month_of(day) for day in days_of(rows)}):
        one = build(**of_days(rows, [day for day in days_of(rows) if month_of(day) == month]))
        of_that_month = together.of_month(month)
        assert of_that_month.conserved
        pd.testing.assert_frame_equal(of_that_month.events.reset_index(drop=True), one.events)
        assert (of_that_month.rows, of_that_month.derived) == (one.rows, one.derived)
        assert (of_that_month.dropped, of_that_month.corrected) == (one.dropped, one.corrected)
        assert of_that_month.linked == one.linked


@settings(max_examples=10, deadline=None)
@given(raw_rows(), st.randoms(use_true_random=False))
def test_the_order_of_rows_does_not_matter(rows: dict[str, list[Row]], shuffler: random.Random) -> None:
    shuffled = {table: shuffler.sample(of_table, len(of_table)) for table, of_table in rows.items()}
    one, other = build(**rows), build(**shuffled)
    pd.testing.assert_frame_equal(one.events, other.events)
    assert (one.derived, one.dropped, one.linked) == (other.derived, other.dropped, other.linked)


@settings(max_examples=30, deadline=None)
@given(raw_rows())
def test_events_are_those_of_the_rules_applied_row_by_row(rows: dict[str, list[Row]]) -> None:
    events = build(**rows).events
    assert events["event_key"].is_unique
    assert (events["occurred_at"].dt.strftime("%Y-%m-%d") == events["event_day"]).all()
    assert told(events, "event_key", "user_id", "user_link", "project_id") == oracle.events(rows)

    columns = ("event_day", "event_type", "user_id", "project_id", "user_link")
    days = told(user_days(events), *columns)
    assert len(days) == len(set(days))
    assert set(days) == set(told(events[events["user_id"].notna()], *columns))


def told(frame: pd.DataFrame, *columns: str) -> list[tuple[str | None, ...]]:
    """The rows as plain values, sorted by the first column."""
    plain = frame.sort_values(columns[0]).astype(object)
    plain = plain.where(plain.notna(), None)
    return list(zip(*(plain[column] for column in columns), strict=True))


def test_no_rows_make_no_events() -> None:
    built = build()
    assert built.events.empty
    assert user_days(built.events).empty
    assert sum(built.dropped.values()) == 0
