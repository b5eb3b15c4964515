"""What a published number may claim to know: what the pulls saw, less what was pulled but is not counted yet."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

import orjson

from renku_metrics.assets.pulls import PEOPLE, coverage_state
from renku_metrics.deployments import Deployment
from renku_metrics.metrics import coverage
from renku_metrics.metrics.definition import SourceKind
from renku_metrics.periods import Period
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

# The raw table whose days a kind of event comes from.
RAW_OF: dict[SourceKind, Table] = {
    "logins": RAW_KEYCLOAK_LOGINS,
    "commits": RAW_GITLAB_COMMITS,
    "sessions": RAW_AMALTHEA_SESSIONS,
}


def counted_coverage(
    store: Store, deployment: Deployment, kind: PeriodKind, metrics: Sequence[Table]
) -> coverage.Coverage:
    """The time of each kind of event that is in the weekly or monthly numbers; None where there is no such source."""
    sources = {"logins": deployment.keycloak, "commits": deployment.gitlab, "sessions": deployment.amalthea}
    everywhere = _not_counted(store, deployment.name, kind, metrics)
    events = freshness.read(store, deployment.name, EVENTS.name)
    # Who an event belongs to concerns the commits: the users of the others stand in the raw rows.
    relinked = freshness.stale(freshness.read(store, deployment.name, PEOPLE), events)
    found: dict[SourceKind, list[coverage.Span] | None] = {}
    for of, table in RAW_OF.items():
        if not sources[of]:
            found[of] = None
            continue
        pulled = freshness.stale(freshness.read(store, deployment.name, table.name), events)
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
