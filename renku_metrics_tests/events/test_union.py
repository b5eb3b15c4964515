"""Properties of the union: one row, one fate; no order matters; days may be built one by one or together."""

from __future__ import annotations

import random

import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

from renku_metrics.events.user_days import user_days
from renku_metrics_tests.events.random_raw import raw_rows
from renku_metrics_tests.events.raw_rows import Row, build

DAILY = ("commits", "logins", "sessions")


def days_of(rows: dict[str, list[Row]]) -> list[str]:
    return sorted({row["event_day"] for table in DAILY for row in rows[table]})


def of_day(rows: dict[str, list[Row]], day: str) -> dict[str, list[Row]]:
    return rows | {table: [row for row in rows[table] if row["event_day"] == day] for table in DAILY}


@settings(max_examples=40, deadline=None)
@given(raw_rows())
def test_days_built_one_by_one_are_the_days_built_together(rows: dict[str, list[Row]]) -> None:
    together = build(**rows)
    one_by_one = [build(**of_day(rows, day)) for day in days_of(rows)]
    if one_by_one:
        pd.testing.assert_frame_equal(together.events, pd.concat([one.events for one in one_by_one], ignore_index=True))
    assert together.derived == sum(one.derived for one in one_by_one)
    for reason, count in together.dropped.items():
        assert count == sum(one.dropped[reason] for one in one_by_one)


@settings(max_examples=40, deadline=None)
@given(raw_rows(), st.randoms(use_true_random=False))
def test_the_order_of_rows_does_not_matter(rows: dict[str, list[Row]], shuffler: random.Random) -> None:
    shuffled = {table: shuffler.sample(of_table, len(of_table)) for table, of_table in rows.items()}
    one, other = build(**rows), build(**shuffled)
    pd.testing.assert_frame_equal(one.events, other.events)
    assert (one.derived, one.dropped, one.linked) == (other.derived, other.dropped, other.linked)


@settings(max_examples=40, deadline=None)
@given(raw_rows())
def test_event_keys_are_unique_and_every_event_falls_on_its_day(rows: dict[str, list[Row]]) -> None:
    events = build(**rows).events
    assert events["event_key"].is_unique
    assert (events["occurred_at"].dt.strftime("%Y-%m-%d") == events["event_day"]).all()
    assert (events["user_id"].notna() == events["user_link"].notna()).all()


@settings(max_examples=40, deadline=None)
@given(raw_rows())
def test_user_days_are_the_distinct_users_of_events(rows: dict[str, list[Row]]) -> None:
    events = build(**rows).events
    expected = {
        (event["event_day"], event["event_type"], event["user_id"], str(event["project_id"]), event["user_link"])
        for event in events.to_dict("records")
        if isinstance(event["user_id"], str)
    }
    days = user_days(events)
    found = [
        (day["event_day"], day["event_type"], day["user_id"], str(day["project_id"]), day["user_link"])
        for day in days.to_dict("records")
    ]
    assert len(found) == len(set(found))
    assert set(found) == expected


def test_no_rows_make_no_events() -> None:
    built = build()
    assert built.events.empty
    assert user_days(built.events).empty
    assert sum(built.dropped.values()) == 0
