from __future__ import annotations

import datetime as dt
import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from renku_metrics.metrics.coverage import Coverage, add, both, covers, missing, without
from renku_metrics.periods import ONE_DAY, Period, Span
from renku_metrics.tables import ACTIVITIES, Activity
from renku_metrics_tests.metrics.rows import ALWAYS, EVERYTHING, covered, day, periods, span

[WEEK] = periods("week", "2026-11-16")
LATER = dt.datetime(2026, 12, 24, tzinfo=dt.UTC)


def at(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(text).replace(tzinfo=dt.UTC)


def test_spans_that_touch_or_overlap_are_one() -> None:
    spans = add([span("2026-11-16", "2026-11-17")], span("2026-11-17", "2026-11-18"))
    assert spans == [span("2026-11-16", "2026-11-18")]
    assert add(spans, span("2026-11-20", "2026-11-21")) == [*spans, span("2026-11-20", "2026-11-21")]
    assert add(spans, span("2026-11-15T12:00", "2026-11-17T12:00")) == [span("2026-11-15T12:00", "2026-11-18")]


def test_a_span_of_no_time_covers_nothing() -> None:
    assert add([], span("2026-11-16", "2026-11-16")) == []


@pytest.mark.parametrize(
    ("until", "whole"), [("2026-11-17T00:00", True), ("2026-11-16T23:59:59.999", False), ("2026-11-16T12:00", False)]
)
def test_a_day_is_covered_when_all_of_it_is(until: str, whole: bool) -> None:
    assert covers([span("2026-11-16", until)], day("2026-11-16")) is whole


def test_nothing_is_missing_from_a_week_that_is_over_and_covered() -> None:
    assert missing(WEEK, EVERYTHING, LATER) == ""


def test_each_gap_is_named_with_its_first_and_last_day() -> None:
    logins = [span("2026-11-01", "2026-11-16"), span("2026-11-19", "2026-11-21"), span("2026-11-22", "2026-12-01")]
    coverage = covered(logins, ALWAYS, [span("2026-11-01", "2026-11-22T12:00")])
    assert missing(WEEK, coverage, LATER) == (
        "logins:2026-11-16..2026-11-18; logins:2026-11-21..2026-11-21; sessions:2026-11-22..2026-11-22"
    )


def test_an_activity_that_is_not_configured_is_named() -> None:
    coverage: Coverage = {"logins": ALWAYS, "commits": None, "sessions": []}
    assert missing(WEEK, coverage, LATER) == "commits:not configured; sessions:2026-11-16..2026-11-22"


def test_the_running_period_is_not_over_and_its_coming_days_are_not_missing() -> None:
    until_noon = [span("2026-11-01", "2026-11-18T12:00")]
    coverage = covered(until_noon, until_noon, [span("2026-11-01", "2026-11-17")])
    assert missing(WEEK, coverage, at("2026-11-18T12:00")) == "sessions:2026-11-17..2026-11-17; period not over"


def test_a_period_is_over_at_the_midnight_after_its_last_day() -> None:
    assert missing(WEEK, EVERYTHING, at("2026-11-22T23:59:59.999")) == "period not over"
    assert missing(WEEK, EVERYTHING, at("2026-11-23")) == ""


def test_a_week_whose_last_day_was_pulled_at_noon_is_not_complete() -> None:
    until_noon = [span("2026-11-01", "2026-11-22T12:00")]
    assert missing(WEEK, covered(until_noon, ALWAYS, ALWAYS), LATER) == "logins:2026-11-22..2026-11-22"


Pairs = list[list[int]]
HOURS = st.integers(0, 24 * 14)
PAIRS = st.lists(st.tuples(HOURS, HOURS).map(sorted), max_size=8)
START = at("2026-11-09")


def hours(first: int, last: int) -> Span:
    return Span(START + dt.timedelta(hours=first), START + dt.timedelta(hours=last))


def spans_of(pairs: Pairs) -> list[Span]:
    spans: list[Span] = []
    for first, last in pairs:
        spans = add(spans, hours(first, last))
    return spans


def held_by(spans: list[Span]) -> set[int]:
    """The hours that begin within one of the spans."""
    moments = {hour: START + dt.timedelta(hours=hour) for hour in range(24 * 14)}
    return {hour for hour, moment in moments.items() if any(one.start <= moment < one.end for one in spans)}


@settings(deadline=None)
@given(PAIRS)
def test_spans_hold_exactly_the_hours_that_were_added(pairs: Pairs) -> None:
    spans = spans_of(pairs)
    seen = {hour for first, last in pairs for hour in range(first, last)}
    assert held_by(spans) == seen
    assert all(one.end < other.start for one, other in itertools.pairwise(spans))
    for number in range(14):
        assert covers(spans, START.date() + number * ONE_DAY) is seen.issuperset(range(24 * number, 24 * number + 24))


class World:
    """Something of each activity happens each hour; a pull sees what is left of it."""

    def __init__(self) -> None:
        self.seen: dict[Activity, set[int]] = {"logins": set(), "commits": set(), "sessions": set()}
        self.spans: dict[Activity, list[Span]] = {"logins": [], "commits": [], "sessions": []}

    def pull(self, activity: Activity, now: int, memory: int) -> None:
        first = max(0, now - memory)
        self.seen[activity] |= set(range(first, now))
        self.spans[activity] = add(self.spans[activity], hours(first, now))


PULLS = st.lists(
    st.tuples(st.sampled_from(ACTIVITIES), HOURS, st.sampled_from([12, 24, 200, 24 * 14])),
    max_size=12,
)


@settings(deadline=None)
@given(PULLS, HOURS)
def test_complete_only_if_whatever_happened_was_seen(pulls: list[tuple[Activity, int, int]], now: int) -> None:
    world = World()
    for activity, when, memory in sorted(pulls, key=lambda pull: pull[1]):
        if when <= now:
            world.pull(activity, when, memory)
    coverage: Coverage = {activity: world.spans[activity] for activity in ACTIVITIES}
    for week in (Period.of("week", START.date()), Period.of("week", START.date() + 7 * ONE_DAY)):
        first = (week.start - START.date()).days * 24
        happened = set(range(first, first + 24 * 7))
        oracle = first + 24 * 7 <= now and all(happened <= seen for seen in world.seen.values())
        assert (missing(week, coverage, START + dt.timedelta(hours=now)) == "") is oracle


def test_whole_days_are_taken_out_of_a_span() -> None:
    spans = [span("2026-11-16", "2026-11-20"), span("2026-11-22T06:00", "2026-11-23T06:00")]
    assert without(spans, [day("2026-11-17"), day("2026-11-22"), day("2026-12-01")]) == [
        span("2026-11-16", "2026-11-17"),
        span("2026-11-18", "2026-11-20"),
        span("2026-11-23", "2026-11-23T06:00"),
    ]
    assert without(spans, []) == spans
    assert without([span("2026-11-16", "2026-11-17")], [day("2026-11-16")]) == []


@settings(deadline=None)
@given(PAIRS, st.sets(st.integers(0, 13), max_size=6))
def test_less_some_days_the_spans_hold_exactly_the_other_hours(pairs: Pairs, numbers: set[int]) -> None:
    spans = spans_of(pairs)
    left = without(spans, {(START + number * ONE_DAY).date() for number in numbers})

    assert held_by(left) == {hour for hour in held_by(spans) if hour // 24 not in numbers}
    assert left == sorted(left)


@settings(deadline=None)
@given(PAIRS, PAIRS)
def test_the_time_of_both_holds_exactly_the_hours_of_each(some: Pairs, others: Pairs) -> None:
    one, other = spans_of(some), spans_of(others)

    assert both(one, other) == both(other, one) == sorted(both(one, other))
    assert held_by(both(one, other)) == held_by(one) & held_by(other)
    assert all(span.start < span.end for span in both(one, other))
