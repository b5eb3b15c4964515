"""Days, ISO weeks and calendar months, all in UTC."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from renku_metrics.tables import PeriodKind

ONE_DAY = dt.timedelta(days=1)
ONE_HOUR = dt.timedelta(hours=1)
ONE_MINUTE = dt.timedelta(minutes=1)
ONE_SECOND = dt.timedelta(seconds=1)


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


def in_words(duration: dt.timedelta) -> str:
    """A duration in its two largest units, such as 40 seconds, 1 hour 20 minutes or 3 days. Days begin at two."""
    seconds = round(duration / ONE_SECOND) * ONE_SECOND
    if seconds >= 2 * ONE_DAY:
        whole, part, names = ONE_DAY, ONE_HOUR, ("day", "hour")
    elif seconds >= ONE_HOUR:
        whole, part, names = ONE_HOUR, ONE_MINUTE, ("hour", "minute")
    else:
        whole, part, names = ONE_MINUTE, ONE_SECOND, ("minute", "second")
    # Rounded before it is divided, so that there are never 60 minutes beside an hour.
    numbers = divmod(round(seconds / part), whole // part)
    told = [(number, name) for number, name in zip(numbers, names, strict=True) if number]
    return " ".join(f"{number} {name}{'' if number == 1 else 's'}" for number, name in told) or "0 seconds"


def midnight(day: dt.date) -> dt.datetime:
    """The instant the day begins, UTC."""
    return dt.datetime.combine(day, dt.time(), tzinfo=dt.UTC)


@dataclass(frozen=True, order=True)
class Span:
    """The time from ``start`` to ``end``, both UTC. ``end`` itself is not part of it."""

    start: dt.datetime
    end: dt.datetime
