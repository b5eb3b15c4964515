"""What a published number may claim to know: what the pulls saw, less what was pulled but is not counted yet."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

import orjson

from renku_metrics.assets.pulls import PEOPLE, SourceName, coverage_state, read_unreported
from renku_metrics.deployments import Deployment
from renku_metrics.metrics import coverage
from renku_metrics.metrics.definition import SourceKind
from renku_metrics.periods import Period, Span
from renku_metrics.store import freshness
from renku_metrics.store.store import Store
from renku_metrics.tables import (
    EVENTS,
    RAW_AMALTHEA_SESSIONS,
    RAW_GITLAB_COMMITS,
    RAW_KEYCLOAK_LOGINS,
    USER_DAYS,
    PeriodKind,
    Table,
)

# The source and the raw table that a kind of event comes from.
COMES_FROM: dict[SourceKind, tuple[SourceName, Table]] = {
    "logins": ("keycloak", RAW_KEYCLOAK_LOGINS),
    "commits": ("gitlab", RAW_GITLAB_COMMITS),
    "sessions": ("amalthea", RAW_AMALTHEA_SESSIONS),
}


def counted_coverage(
    store: Store, deployment: Deployment, kind: PeriodKind, metrics: Sequence[Table]
) -> coverage.Coverage:
    """The time of each kind of event that is in the weekly or monthly numbers; None where there is no such source."""
    everywhere = _not_counted(store, deployment.name, kind, metrics)
    events = freshness.read(store, deployment.name, EVENTS.name)
    # Who an event belongs to concerns the commits: the users of the others stand in the raw rows.
    relinked = freshness.stale(freshness.read(store, deployment.name, PEOPLE), events)
    found: dict[SourceKind, list[Span] | None] = {}
    for of, (source, table) in COMES_FROM.items():
        if getattr(deployment, source) is None:
            found[of] = None
            continue
        pulled = freshness.stale(freshness.read(store, deployment.name, table.name), events)
        # Of a pull that is under way, or was killed, nobody knows yet which days it changed.
        pulled |= {place[1] for name, place in read_unreported(store, deployment.name, source) if name == table.name}
        seen = coverage.from_json(orjson.loads(store.read_state(coverage_state(deployment.name, of)) or b"[]"))
        open_days = everywhere | pulled | (relinked if of == "commits" else set())
        found[of] = coverage.without(seen, {dt.date.fromisoformat(day) for day in open_days})
    return found


def _not_counted(store: Store, deployment: str, kind: PeriodKind, metrics: Sequence[Table]) -> set[str]:
    """The days that have events of which the user days, or one of the metrics, do not know yet."""
    days = freshness.read(store, deployment, USER_DAYS.name)
    open_days = freshness.stale(freshness.read(store, deployment, EVENTS.name), days)
    periods = {Period.of(kind, dt.date.fromisoformat(day)) for day in days}
    inside = {period.start.isoformat(): [day.isoformat() for day in period.days] for period in periods}
    for table in metrics:
        open_days |= freshness.stale_periods(days, freshness.read(store, deployment, table.name), inside)
    return open_days
