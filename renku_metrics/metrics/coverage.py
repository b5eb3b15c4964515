"""Coverage: what the pulls of a deployment saw, and which days of a period are missing from it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping

from renku_metrics.periods import ONE_DAY, Period, Span, midnight, ranges_of_days
from renku_metrics.tables import ACTIVITIES, NOT_CONFIGURED, NOT_OVER, Activity

# For each activity the time that the pulls saw; None if the deployment has no source of it.
Coverage = Mapping[Activity, list[Span] | None]


def add(spans: Iterable[Span], new: Span) -> list[Span]:
    """The union as few spans as possible, sorted. Spans that touch become one."""
    united: list[Span] = []
    for span in sorted([*spans, new]):
        if span.start >= span.end:
            continue
        if united and span.start <= united[-1].end:
            united[-1] = Span(united[-1].start, max(united[-1].end, span.end))
        else:
            united.append(span)
    return united


def both(some: Iterable[Span], others: Iterable[Span]) -> list[Span]:
    """The time that is in both, sorted."""
    held = list(others)
    common = (Span(max(one.start, other.start), min(one.end, other.end)) for one in some for other in held)
    return sorted(span for span in common if span.start < span.end)


def without(spans: Iterable[Span], days: Iterable[dt.date]) -> list[Span]:
    """The spans without these days (whole days, UTC)."""
    left = list(spans)
    for day in days:
        start, end = midnight(day), midnight(day + ONE_DAY)
        left = [
            part
            for span in left
            for part in (Span(span.start, min(span.end, start)), Span(max(span.start, end), span.end))
            if part.start < part.end
        ]
    return sorted(left)


def covers(spans: Iterable[Span], day: dt.date) -> bool:
    """Whether one span holds the whole day, UTC. Takes spans as ``add`` returns them."""
    return any(span.start <= midnight(day) and midnight(day + ONE_DAY) <= span.end for span in spans)


def missing(period: Period, coverage: Coverage, now: dt.datetime) -> str:
    """Why the period is not complete, as in the published column ``missing``; empty if it is complete.

    If the period is not over, only its days that are over can be missing.
    """
    over = [day for day in period.days if midnight(day + ONE_DAY) <= now]
    reasons = []
    for activity in ACTIVITIES:
        spans = coverage.get(activity)
        if spans is None:
            reasons.append(f"{activity}:{NOT_CONFIGURED}")
        else:
            gaps = ranges_of_days([day for day in over if not covers(spans, day)])
            reasons += [f"{activity}:{first}..{last}" for first, last in gaps]
    if len(over) < len(period.days):
        reasons.append(NOT_OVER)
    return "; ".join(reasons)
