"""What a published number may claim to know: what the pulls saw, less what was pulled but is not counted yet."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from renku_metrics.deployments import Deployment
from renku_metrics.events.union import RULES_VERSION
from renku_metrics.metrics import coverage
from renku_metrics.metrics.definition import Metric
from renku_metrics.periods import Period, Span
from renku_metrics.pipeline.locks import SourceName
from renku_metrics.pipeline.pulling import read_covered, read_unreported
from renku_metrics.pipeline.relinking import PEOPLE
from renku_metrics.pipeline.unlabelled import read_unlabelled
from renku_metrics.store import ledger as freshness
from renku_metrics.store.ledger import Built
from renku_metrics.store.store import Store
from renku_metrics.tables import (
    EVENTS,
    RAW_AMALTHEA_SESSIONS,
    RAW_GITLAB_COMMITS,
    RAW_KEYCLOAK_LOGINS,
    USER_DAYS,
    PeriodKind,
    SourceKind,
    Table,
)

# The source and the raw table that a kind of event comes from.
COMES_FROM: dict[SourceKind, tuple[SourceName, Table]] = {
    "logins": ("keycloak", RAW_KEYCLOAK_LOGINS),
    "commits": ("gitlab", RAW_GITLAB_COMMITS),
    "sessions": ("amalthea", RAW_AMALTHEA_SESSIONS),
}


@dataclass(frozen=True)
class Counted:
    """The rows of each weekly or monthly table of one deployment, by its name, and how they were ``built``.

    What was counted by another version of the definition passes for not built.
    """

    rows: Mapping[str, pd.DataFrame]
    built: Mapping[str, Mapping[str, Built]]


def read_counts(store: Store, deployment: str, kind: PeriodKind, metrics: Sequence[Metric]) -> Counted:
    """Everything that was counted of the deployment; what is counted anew meanwhile passes for not built."""
    tables = [metric.table(kind) for metric in metrics]
    before = {table.name: freshness.read(store, deployment, table.name) for table in tables}
    rows = {table.name: store.read_if_there(table, store.partitions(table, deployment)) for table in tables}
    after = {table.name: freshness.read(store, deployment, table.name) for table in tables}
    built = {}
    for name, version in {metric.table(kind).name: metric.version for metric in metrics}.items():
        same = {time: state for time, state in after[name].items() if before[name].get(time) == state}
        other_rules = freshness.by_other_rules(same, version)
        built[name] = {time: state for time, state in same.items() if time not in other_rules}
    return Counted(rows, built)


def counted_coverage(store: Store, deployment: Deployment, kind: PeriodKind, counted: Counted) -> coverage.Coverage:
    """The time of each kind of event that is in the weekly or monthly numbers; None where there is no such source."""
    # In the order in which a pull writes them: whatever is covered has told by then which days it changed.
    seen = {of: _seen(store, deployment, of) for of in COMES_FROM}
    unreported = {of: read_unreported(store, deployment.name, source) for of, (source, _) in COMES_FROM.items()}
    known = {
        name: freshness.read(store, deployment.name, name)
        for name in (*(table.name for _, table in COMES_FROM.values()), PEOPLE, EVENTS.name, USER_DAYS.name)
    }
    everywhere = freshness.stale(EVENTS.name, known[EVENTS.name], known[USER_DAYS.name])
    everywhere |= freshness.by_other_rules(known[EVENTS.name], RULES_VERSION)
    everywhere |= freshness.by_other_rules(known[USER_DAYS.name], RULES_VERSION)
    everywhere |= _not_counted(kind, known[USER_DAYS.name], counted.built.values())
    found: dict[SourceKind, list[Span] | None] = {}
    for of, (_, table) in COMES_FROM.items():
        spans = seen[of]
        if spans is None:
            found[of] = None
            continue
        open_days = everywhere | freshness.stale(table.name, known[table.name], known[EVENTS.name])
        # Of a pull that is under way, or was killed, nobody knows yet which days it changed.
        open_days |= {place[1] for name, place in unreported[of] if name == table.name}
        if of == "commits":
            # Whose events they are is open for commits alone: the raw rows of the others name their user.
            open_days |= freshness.stale(PEOPLE, known[PEOPLE], known[EVENTS.name])
        if of == "sessions":
            open_days |= read_unlabelled(store, deployment.name)
        found[of] = coverage.without(spans, {dt.date.fromisoformat(day) for day in open_days})
    return found


def counted_events(store: Store, deployment: str, kind: PeriodKind, counted: Counted) -> dict[str, Built]:
    """The events that are in all weekly or monthly numbers, by day; days that one of these lacks are left out."""
    events = freshness.read(store, deployment, EVENTS.name)
    days = freshness.read(store, deployment, USER_DAYS.name)
    open_days = freshness.stale(EVENTS.name, events, days) | _not_counted(kind, days, counted.built.values())
    return {day: built for day, built in events.items() if day not in open_days}


def _seen(store: Store, deployment: Deployment, of: SourceKind) -> list[Span] | None:
    source, _ = COMES_FROM[of]
    if getattr(deployment, source) is None:
        return None
    return read_covered(store, deployment.name, of)


def _not_counted(kind: PeriodKind, days: Mapping[str, Built], metrics: Iterable[Mapping[str, Built]]) -> set[str]:
    """The days whose user days one of the metrics does not know yet."""
    periods = {Period.of(kind, dt.date.fromisoformat(day)) for day in days}
    inside = {period.start.isoformat(): [day.isoformat() for day in period.days] for period in periods}
    open_days: set[str] = set()
    for built in metrics:
        open_days |= freshness.stale_periods(days, built, inside)
    return open_days
