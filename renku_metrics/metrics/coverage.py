"""Coverage: what the pulls of a deployment saw, and which of a period's days are missing from it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping

import pandas as pd

from renku_metrics.periods import ONE_DAY, Period, Span, midnight, ranges_of_days
from renku_metrics.tables import SOURCES, SourceKind

NOT_OVER = "period not over"
NOT_CONFIGURED = "not configured"
# Of a day's sessions that no anonymous visitor started, so many may lack their user before the day counts as not known.
NAMELESS_AT_MOST = 0.05

# For each source of a deployment the time its pulls saw; None where the deployment has no such source.
Coverage = Mapping[SourceKind, list[Span] | None]


def add(spans: Iterable[Span], new: Span) -> list[Span]:
    """The union, as the fewest spans, sorted; spans that touch are one."""
    united: list[Span] = []
    for span in sorted([*spans, new]):
        if span.start >= span.end:
            continue
        if united and span.start <= united[-1].end:
            united[-1] = Span(united[-1].start, max(united[-1].end, span.end))
        else:
            united.append(span)
    return united


def without(spans: Iterable[Span], days: Iterable[dt.date]) -> list[Span]:
    """The spans less some whole days, UTC."""
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
    """Whether one span holds the whole day, UTC. Spans as ``add`` leaves them."""
    return any(span.start <= midnight(day) and midnight(day + ONE_DAY) <= span.end for span in spans)


def days_without_users(sessions: pd.DataFrame) -> set[str]:
    """The days on which it is not known who started more than NAMELESS_AT_MOST of the sessions.

    ``sessions`` is a frame of RAW_AMALTHEA_SESSIONS of whole days. By default Amalthea labels no session at all, and
    nobody would be counted.
    """
    created_today = sessions["created_at"].dt.strftime("%Y-%m-%d") == sessions["event_day"]
    lines = sessions[created_today & ~sessions["anonymous"].astype(bool)]
    # Any line of a session may name its user.
    nameless = lines.groupby(["event_day", "namespace", "session_uid"], dropna=False)["keycloak_id"].count() == 0
    share = nameless.groupby("event_day").mean()
    return set(share.index[share > NAMELESS_AT_MOST])


def missing(period: Period, coverage: Coverage, now: dt.datetime) -> str:
    """Why the period is not complete, as in the published column ``missing``; empty when it is.

    Of a period that is not over, only days that are over can be missing.
    """
    over = [day for day in period.days if midnight(day + ONE_DAY) <= now]
    reasons = []
    for source in SOURCES:
        spans = coverage.get(source)
        if spans is None:
            reasons.append(f"{source}:{NOT_CONFIGURED}")
        else:
            gaps = ranges_of_days([day for day in over if not covers(spans, day)])
            reasons += [f"{source}:{first}..{last}" for first, last in gaps]
    if len(over) < len(period.days):
        reasons.append(NOT_OVER)
    return "; ".join(reasons)


def to_json(spans: Iterable[Span]) -> list[list[str]]:
    """Start and end of each span, ISO 8601 UTC."""
    return [[span.start.astimezone(dt.UTC).isoformat(), span.end.astimezone(dt.UTC).isoformat()] for span in spans]


def from_json(content: Iterable[Iterable[str]]) -> list[Span]:
    """The spans that ``to_json`` wrote."""
    return [Span(*(dt.datetime.fromisoformat(time) for time in pair)) for pair in content]
