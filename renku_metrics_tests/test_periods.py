"""Days, ISO weeks and months, against the calendar of the standard library."""

from __future__ import annotations

import calendar
import datetime as dt

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from renku_metrics.periods import Period, days_between, in_words, midnight
from renku_metrics.tables import PeriodKind

DAYS = st.dates(dt.date(1990, 1, 1), dt.date(2100, 12, 31))


@pytest.mark.parametrize(
    ("day", "label", "first", "last"),
    [
        # The example of the design.
        ("2026-11-16", "2026-W47", "2026-11-16", "2026-11-22"),
        ("2026-11-22", "2026-W47", "2026-11-16", "2026-11-22"),
        ("2026-11-23", "2026-W48", "2026-11-23", "2026-11-29"),
        # 2026 has 53 weeks, the last of which reaches into 2027.
        ("2026-12-31", "2026-W53", "2026-12-28", "2027-01-03"),
        ("2027-01-03", "2026-W53", "2026-12-28", "2027-01-03"),
        ("2027-01-04", "2027-W01", "2027-01-04", "2027-01-10"),
        # The end of 2024 belongs to the first week of 2025.
        ("2024-12-30", "2025-W01", "2024-12-30", "2025-01-05"),
        ("2021-01-01", "2020-W53", "2020-12-28", "2021-01-03"),
        ("2023-01-01", "2022-W52", "2022-12-26", "2023-01-01"),
        ("2024-02-29", "2024-W09", "2024-02-26", "2024-03-03"),
    ],
)
def test_weeks_by_hand(day: str, label: str, first: str, last: str) -> None:
    week = Period.of("week", dt.date.fromisoformat(day))

    assert (week.label, week.start.isoformat(), week.end.isoformat()) == (label, first, last)


@pytest.mark.parametrize(
    ("day", "label", "first", "last"),
    [
        ("2026-11-16", "2026-11", "2026-11-01", "2026-11-30"),
        ("2026-12-31", "2026-12", "2026-12-01", "2026-12-31"),
        ("2027-01-01", "2027-01", "2027-01-01", "2027-01-31"),
        ("2024-02-29", "2024-02", "2024-02-01", "2024-02-29"),
        ("2026-02-01", "2026-02", "2026-02-01", "2026-02-28"),
        ("2100-02-28", "2100-02", "2100-02-01", "2100-02-28"),
    ],
)
def test_months_by_hand(day: str, label: str, first: str, last: str) -> None:
    month = Period.of("month", dt.date.fromisoformat(day))

    assert (month.label, month.start.isoformat(), month.end.isoformat()) == (label, first, last)


@settings(deadline=None)
@given(DAYS)
def test_weeks_are_those_of_iso_8601(day: dt.date) -> None:
    week = Period.of("week", day)
    year, number, _ = day.isocalendar()

    assert week.label == f"{year}-W{number:02}"
    assert week.start == dt.date.fromisocalendar(year, number, 1)
    assert week.end == dt.date.fromisocalendar(year, number, 7)
    assert week.days == [dt.date.fromisocalendar(year, number, weekday) for weekday in range(1, 8)]


@settings(deadline=None)
@given(DAYS)
def test_months_are_those_of_the_calendar(day: dt.date) -> None:
    month = Period.of("month", day)

    assert month.label == day.isoformat()[:7]
    assert month.days == [
        dt.date(day.year, day.month, number) for number in range(1, calendar.monthrange(day.year, day.month)[1] + 1)
    ]


@settings(deadline=None)
@given(DAYS, st.sampled_from(["week", "month"]))
def test_periods_follow_each_other_without_gap(day: dt.date, kind: PeriodKind) -> None:
    period = Period.of(kind, day)
    following = Period.of(kind, period.end + dt.timedelta(days=1))

    assert period.start <= day <= period.end
    assert following.start == period.end + dt.timedelta(days=1)
    assert period < following
    assert period.label < following.label
    assert {Period.of(kind, inside) for inside in period.days} == {period}


def test_days_between_holds_both_ends() -> None:
    first, last = dt.date(2024, 2, 28), dt.date(2024, 3, 1)

    assert list(days_between(first, last)) == [first, dt.date(2024, 2, 29), last]
    assert list(days_between(first, first)) == [first]
    assert list(days_between(last, first)) == []


def test_a_day_begins_at_midnight_utc() -> None:
    assert midnight(dt.date(2026, 3, 29)).isoformat() == "2026-03-29T00:00:00+00:00"


@pytest.mark.parametrize(
    ("duration", "words"),
    [
        (dt.timedelta(), "0 seconds"),
        (dt.timedelta(seconds=1), "1 second"),
        (dt.timedelta(seconds=20), "20 seconds"),
        (dt.timedelta(seconds=59.6), "1 minute"),
        (dt.timedelta(seconds=60), "1 minute"),
        (dt.timedelta(minutes=5, seconds=12), "5 minutes 12 seconds"),
        (dt.timedelta(minutes=59, seconds=59.6), "1 hour"),
        (dt.timedelta(hours=1), "1 hour"),
        (dt.timedelta(hours=3, minutes=20, seconds=29), "3 hours 20 minutes"),
        (dt.timedelta(hours=3, minutes=59, seconds=31), "4 hours"),
        (dt.timedelta(hours=24), "24 hours"),
        (dt.timedelta(hours=47, minutes=59, seconds=40), "48 hours"),
        (dt.timedelta(days=2, hours=1), "2 days 1 hour"),
        (dt.timedelta(days=30), "30 days"),
    ],
)
def test_a_duration_in_words(duration: dt.timedelta, words: str) -> None:
    assert in_words(duration) == words
