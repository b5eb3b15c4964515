"""Days, ISO weeks and calendar months, all in UTC."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from renku_metrics.tables import PeriodKind

ONE_DAY = dt.timedelta(days=1)


@dataclass(frozen=True, order=True)
class Period:
    """An ISO week or a calendar month. ``start`` and ``end`` are its first and last day."""

    start: dt.date
    kind: PeriodKind

    @classmethod
    def of(cls, kind: PeriodKind, day: dt.date) -> Period:
        """The week or month that holds the day."""
        start = day - dt.timedelta(days=day.weekday()) if kind == "week" else day.replace(day=1)
        return cls(start, kind)

    @property
    def end(self) -> dt.date:
        if self.kind == "week":
            return self.start + dt.timedelta(days=6)
        return (self.start + dt.timedelta(days=31)).replace(day=1) - ONE_DAY

    @property
    def label(self) -> str:
        """2026-W47 (ISO 8601) or 2026-11."""
        return self.start.strftime("%G-W%V" if self.kind == "week" else "%Y-%m")

    @property
    def days(self) -> list[dt.date]:
        return list(days_between(self.start, self.end))


def days_between(first: dt.date, last: dt.date) -> Iterator[dt.date]:
    """Every day from the first to the last, both included."""
    day = first
    while day <= last:
        yield day
        day += ONE_DAY


def ranges_of_days(days: Iterable[dt.date]) -> list[tuple[dt.date, dt.date]]:
    """First and last day of each run of days without a break, sorted."""
    ranges: list[tuple[dt.date, dt.date]] = []
    for day in sorted(days):
        if ranges and day - ranges[-1][1] == ONE_DAY:
            ranges[-1] = (ranges[-1][0], day)
        else:
            ranges.append((day, day))
    return ranges


def now() -> dt.datetime:
    """The present time, UTC, in whole milliseconds, as the tables keep times."""
    present = dt.datetime.now(dt.UTC)
    return present.replace(microsecond=present.microsecond // 1000 * 1000)


def midnight(day: dt.date) -> dt.datetime:
    """The instant the day begins, UTC."""
    return dt.datetime.combine(day, dt.time(), tzinfo=dt.UTC)


@dataclass(frozen=True, order=True)
class Span:
    """The time from ``start`` to ``end``, both UTC. ``end`` itself is not part of it."""

    start: dt.datetime
    end: dt.datetime
