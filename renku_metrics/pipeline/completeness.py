"""What a published number may claim to know: what the pulls saw, less what was pulled but is not counted yet."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from renku_metrics.deployments import Deployment
from renku_metrics.events import union
from renku_metrics.metrics import coverage
from renku_metrics.metrics.definition import Metric
from renku_metrics.periods import Period, Span
from renku_metrics.pipeline.verifying import Lost, lost
from renku_metrics.schema import Table, month_of
from renku_metrics.sources.registry import SOURCES, source_of, sources_of
from renku_metrics.sources.source import Source
from renku_metrics.store.ledger import RULES, WHOLE_TABLE, Built, Count, Entries, Ledger, Of, Pulled
from renku_metrics.store.store import Store
from renku_metrics.tables import ACTIVITIES, EVENTS, USER_DAYS, Activity, PeriodKind


@dataclass(frozen=True)
class Standing:
    """All that is known of one deployment at one time, for its weekly or its monthly numbers.

    ``rows``: what was counted, by table. ``counts``: what these rows were counted from; what was counted by another
    version of the definition, or is being counted right now, is not among them.
    """

    deployment: Deployment
    kind: PeriodKind
    rows: Mapping[str, pd.DataFrame]
    counts: Mapping[str, Mapping[str, Of]]
    built: Built
    pulled: Mapping[str, Pulled]
    lost: Sequence[Lost]

    @property
    def events(self) -> Entries:
        return self.built.tables.get(EVENTS.name, {})

    @property
    def user_days(self) -> Entries:
        return self.built.tables.get(USER_DAYS.name, {})


def read_standing(store: Store, deployment: Deployment, kinds: Mapping[PeriodKind, Sequence[Metric]]) -> list[Standing]:
    """What is known of the deployment, for each kind of period.

    Read from the end of the pipeline to its beginning: whatever changes meanwhile is then newer in what was read later,
    and its days pass for not counted yet.
    """
    ledger = Ledger(store, deployment.name)
    place = (deployment.name,)
    tables = {kind: [metric.table(kind) for metric in metrics] for kind, metrics in kinds.items()}
    read = {table.name: store.read_versioned(table, place) for of_kind in tables.values() for table in of_kind}
    counted = ledger.counted()
    built = ledger.built()
    pulled = {source.name: ledger.pulled(source.name) for source in SOURCES}
    missing = _lost(ledger, built, pulled)
    standings = []
    for kind, metrics in kinds.items():
        counts = {}
        for metric in metrics:
            name = metric.table(kind).name
            count = counted.metrics.get(name, Count(""))
            same = {start: of for start, of in count.of.items() if of.get(RULES) == metric.version}
            counts[name] = same if count.version == read[name][1] else {}
        rows = {table.name: read[table.name][0] for table in tables[kind]}
        standings.append(Standing(deployment, kind, rows, counts, built, pulled, missing))
    return standings


def counted_coverage(standing: Standing) -> coverage.Coverage:
    """The time of each activity that is in the numbers; None where the deployment has no source that tells of it."""
    everywhere = _not_in_user_days(standing) | _not_counted(standing)
    found: dict[Activity, list[Span] | None] = dict.fromkeys(ACTIVITIES)
    for source in sources_of(standing.deployment):
        open_days = everywhere | _not_in_events(standing, source) | _nameless(standing.built, source)
        open_days |= {day.isoformat() for missing in standing.lost for day in missing.days}
        covered = standing.pulled[source.name].covered
        if any(not missing.days and missing.table in source.events_from for missing in standing.lost):
            covered = []
        spans = coverage.without(covered, {dt.date.fromisoformat(day) for day in open_days})
        known = found[source.activity]
        # Of two sources that tell of the same, both must have seen a day.
        found[source.activity] = spans if known is None else coverage.both(known, spans)
    return found


def events_in_all_numbers(standing: Standing) -> dict[str, Of]:
    """What the events of each month are built of, where all numbers are counted from these events."""
    behind = {month_of(day) for day in _not_in_user_days(standing) | _not_counted(standing)}
    return {month: dict(entry.of) for month, entry in standing.events.items() if month not in behind}


def _lost(ledger: Ledger, built: Built, pulled: Mapping[str, Pulled]) -> list[Lost]:
    """What is lost of raw tables, events and user days."""
    checked: list[tuple[Table, Entries, Iterable[str]]] = [
        (table, document.tables.get(table.name, {}), document.untold.get(table.name, {}))
        for source in SOURCES
        for document in [pulled[source.name]]
        for table in source.tables
    ]
    checked += [(table, built.tables.get(table.name, {}), ()) for table in (EVENTS, USER_DAYS)]
    return [
        found
        for table, entries, untold in checked
        if entries
        for found in lost(ledger, table, entries, untold)
        if isinstance(found, Lost)
    ]


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
                # Of a pull that is under way, or was killed, nobody knows yet which days it changed.
                open_days |= {day for days in known.untold.get(table.name, {}).values() for day in days}
        elif WHOLE_TABLE in entries:
            # Somebody else is counted on these days since users were pulled.
            entry = entries[WHOLE_TABLE]
            open_days |= {
                day for day, serial in entry.days.items() if serial > _number(_built_of(standing, month_of(day), table))
            }
    return open_days


def _built_of(standing: Standing, month: str, table: Table) -> int | str | None:
    entry = standing.events.get(month)
    return None if entry is None else entry.of.get(table.name)


def _not_in_user_days(standing: Standing) -> set[str]:
    """The days of events that changed since user days were made of them, or that other rules built."""
    open_days: set[str] = set()
    for month, entry in standing.events.items():
        made = standing.user_days.get(month)
        if made is None or entry.of.get(RULES) != union.RULES_VERSION or made.of.get(RULES) != union.RULES_VERSION:
            open_days |= _days_of(month)
        else:
            open_days |= entry.changed_since(made.of.get(EVENTS.name))
    return open_days


def _not_counted(standing: Standing) -> set[str]:
    """The days whose user days one of the metrics does not know yet."""
    open_days: set[str] = set()
    for month, entry in standing.user_days.items():
        for day, serial in entry.days.items():
            start = Period.of(standing.kind, dt.date.fromisoformat(day)).start.isoformat()
            if start < standing.deployment.start.isoformat():
                # Of a week or month that begins before the deployment does nothing is counted.
                continue
            if any(serial > _number(of.get(start, {}).get(month)) for of in standing.counts.values()):
                open_days.add(day)
    return open_days


def _nameless(built: Built, source: Source) -> set[str]:
    return {day for days in built.nameless.get(source.name, {}).values() for day in days}


def _days_of(month: str) -> set[str]:
    return {day.isoformat() for day in Period.of("month", dt.date.fromisoformat(month)).days}


def _number(serial: int | str | None) -> int:
    return serial if isinstance(serial, int) else 0
