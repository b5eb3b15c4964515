"""What a published number can claim to know: what the pulls saw, without what is not counted yet."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from renku_metrics.deployments import Deployment
from renku_metrics.events import union
from renku_metrics.metrics import coverage
from renku_metrics.metrics.definition import Metric
from renku_metrics.periods import Period, Span
from renku_metrics.pipeline.verifying import Lost, Moved, marks_of, verify
from renku_metrics.schema import Table, month_of
from renku_metrics.sources.registry import all_sources, raw_tables, source_of, sources_of
from renku_metrics.sources.source import Source
from renku_metrics.store.ledger import (
    BUILT_TABLES,
    RULES,
    WHOLE_TABLE,
    Built,
    Count,
    Entries,
    Ledger,
    Of,
    Pulled,
    days_of_month,
)
from renku_metrics.store.store import Store
from renku_metrics.tables import ACTIVITIES, EVENTS, USER_DAYS, Activity, PeriodKind


@dataclass(frozen=True)
class Standing:
    """All that is known about one deployment at one time, for its weekly or its monthly numbers.

    ``rows``: what was counted, by table. ``counts``: what these rows were counted from, without rows that another
    version of the definition counted or that are being counted right now. ``published``: what the events of each month
    were built from when numbers were last published. ``erased``: the days from which an erasure took something.
    """

    deployment: Deployment
    kind: PeriodKind
    rows: Mapping[str, pd.DataFrame]
    counts: Mapping[str, Mapping[str, Of]]
    built: Built
    pulled: Mapping[str, Pulled]
    verified: Sequence[Lost | Moved]
    published: Mapping[str, Of]
    erased: Sequence[str]

    @property
    def lost(self) -> list[Lost]:
        return [found for found in self.verified if isinstance(found, Lost)]

    @property
    def events(self) -> Entries:
        return self.built.tables.get(EVENTS.name, {})

    @property
    def user_days(self) -> Entries:
        return self.built.tables.get(USER_DAYS.name, {})


def read_standing(store: Store, deployment: Deployment, kinds: Mapping[PeriodKind, Sequence[Metric]]) -> list[Standing]:
    """What is known of the deployment, for each kind of period.

    It reads from the end of the pipeline to its beginning. If something changes meanwhile, what is read later is newer,
    and its days count as not counted yet.
    """
    ledger = Ledger(store, deployment.name)
    marks = marks_of(ledger, (*raw_tables(), *BUILT_TABLES))
    place = (deployment.name,)
    tables = {kind: [metric.table(kind) for metric in metrics] for kind, metrics in kinds.items()}
    read = {table.name: store.read_versioned(table, [place]) for of_kind in tables.values() for table in of_kind}
    counted = ledger.counted()
    built = ledger.built()
    pulled = {source.name: ledger.pulled(source.name) for source in all_sources()}
    published = ledger.published()
    erased = ledger.erased().days
    verified = verify(ledger, BUILT_TABLES, built, marks)
    for source in all_sources():
        verified += verify(ledger, source.tables, pulled[source.name], marks)
    standings = []
    for kind, metrics in kinds.items():
        counts = {}
        for metric in metrics:
            name = metric.table(kind).name
            count = counted.metrics.get(name, Count(""))
            same = {start: of for start, of in count.of.items() if of.get(RULES) == metric.version}
            counts[name] = same if count.version == read[name][1].get(place, "") else {}
        rows = {table.name: read[table.name][0] for table in tables[kind]}
        before = published.events.get(kind, {})
        standings.append(Standing(deployment, kind, rows, counts, built, pulled, verified, before, erased))
    return standings


def counted_coverage(standing: Standing) -> coverage.Coverage:
    """The time of each activity that is in the numbers; None if the deployment has no source of it."""
    everywhere = _not_in_user_days(standing) | _not_counted(standing)
    found: dict[Activity, list[Span] | None] = dict.fromkeys(ACTIVITIES)
    for source in sources_of(standing.deployment):
        open_days = everywhere | _not_in_events(standing, source) | _nameless(standing.built, source)
        lost = [missing for missing in standing.lost if _concerns(missing.table, source)]
        open_days |= {day.isoformat() for missing in lost for day in missing.days}
        # Of a table without days nobody knows which days it concerns.
        whole = any(not missing.table.by_month for missing in lost)
        covered = [] if whole else standing.pulled[source.name].covered
        spans = coverage.without(covered, {dt.date.fromisoformat(day) for day in open_days})
        known = found[source.activity]
        # If two sources tell of the same activity, both must have seen a day.
        found[source.activity] = spans if known is None else coverage.both(known, spans)
    return found


def events_in_all_numbers(standing: Standing) -> dict[str, Of]:
    """What the events of each month were built from, for months whose events are in all numbers."""
    behind = {month_of(day) for day in _not_in_user_days(standing) | _not_counted(standing)}
    return {month: dict(entry.of) for month, entry in standing.events.items() if month not in behind}


def _concerns(table: Table, source: Source) -> bool:
    """Whether what the source tells is not whole without the table."""
    own = table.by_month and table in source.tables
    return own or table in (*source.events_from, *BUILT_TABLES)


def _not_in_events(standing: Standing, source: Source) -> set[str]:
    """The days of the source's tables that changed since their events were built, or may have changed."""
    open_days: set[str] = set()
    for table in source.events_from:
        document = standing.pulled.get(source_of(table).name, Pulled())
        entries = document.tables.get(table.name, {})
        if table.by_month:
            for month, entry in entries.items():
                open_days |= entry.changed_since(_built_of(standing, month, table))
            for known in standing.pulled.values():
                # If a pull is running, or was killed, nobody knows yet which of these days it changed.
                open_days |= {day for days in known.untold.get(table.name, {}).values() for day in days}
        elif WHOLE_TABLE in entries:
            # Since users were pulled, some events of these days belong to somebody else.
            entry = entries[WHOLE_TABLE]
            open_days |= {
                day for day in entry.days if entry.day_changed_since(day, _built_of(standing, month_of(day), table))
            }
    return open_days


def _built_of(standing: Standing, month: str, table: Table) -> int | str | None:
    entry = standing.events.get(month)
    return None if entry is None else entry.of.get(table.name)


def _not_in_user_days(standing: Standing) -> set[str]:
    """The days whose events changed after user days were made of them, or were built by other rules."""
    open_days: set[str] = set()
    for month, entry in standing.events.items():
        made = standing.user_days.get(month)
        if made is None or entry.of.get(RULES) != union.RULES_VERSION or made.of.get(RULES) != union.RULES_VERSION:
            open_days |= set(days_of_month(month))
        else:
            open_days |= entry.changed_since(made.of.get(EVENTS.name))
    return open_days


def _not_counted(standing: Standing) -> set[str]:
    """The days with user days that some metric has not counted yet."""
    open_days: set[str] = set()
    for month, entry in standing.user_days.items():
        for day in entry.days:
            period = Period.of(standing.kind, dt.date.fromisoformat(day))
            # A period that begins before the deployment's start is not counted.
            if period.start < standing.deployment.start:
                continue
            start = period.start.isoformat()
            if any(entry.day_changed_since(day, of.get(start, {}).get(month)) for of in standing.counts.values()):
                open_days.add(day)
    return open_days


def _nameless(built: Built, source: Source) -> set[str]:
    return {day for days in built.nameless.get(source.name, {}).values() for day in days}
