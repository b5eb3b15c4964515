"""Publishes what was counted: the rows, their coverage, which of them changed since last time, and why."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import orjson
import pandas as pd

from renku_metrics.deployments import Deployment
from renku_metrics.metrics.definition import CoreAction, Metric
from renku_metrics.metrics.dictionary import ACTIVE_USERS
from renku_metrics.metrics.documents import definitions, published_readme
from renku_metrics.metrics.published import cover, publish
from renku_metrics.metrics.revisions import ERASURE, LATE_FACTS, NEW_RULES, PEOPLE_KNOWN, in_effect, revise
from renku_metrics.pipeline.completeness import Standing, counted_coverage, events_in_all_numbers, read_standing
from renku_metrics.pipeline.verifying import Lost, Moved, remember_mark
from renku_metrics.schema import Table, month_of
from renku_metrics.sources.registry import raw_tables, source_of
from renku_metrics.store.files import WHOLE
from renku_metrics.store.ledger import (
    BEFORE,
    BUILDING,
    BUILT_TABLES,
    RULES,
    WHOLE_TABLE,
    Built,
    Entry,
    Ledger,
    Of,
    Published,
    days_of_month,
)
from renku_metrics.store.store import Store
from renku_metrics.store.store_ledger import StoreLedger
from renku_metrics.tables import COVERAGE, KINDS, REVISIONS, PeriodKind, published_table

NEVER = dt.datetime.fromtimestamp(0, dt.UTC)


@dataclass(frozen=True)
class Numbers:
    """The ``rows`` to publish by week or month, their ``coverage`` as in COVERAGE, and one Standing per deployment.

    ``before``: the rows as they were last published.
    """

    rows: pd.DataFrame
    before: pd.DataFrame
    coverage: pd.DataFrame
    standings: Sequence[Standing]


def read_numbers(
    store: Store, deployments: Mapping[str, Deployment], core_actions: Sequence[CoreAction], at: dt.datetime
) -> dict[PeriodKind, Numbers]:
    """What will be published by week and by month, from everything that was counted."""
    metrics: list[Metric] = [ACTIVE_USERS, *core_actions]
    standings = [
        standing
        for deployment in deployments.values()
        for standing in read_standing(store, deployment, dict.fromkeys(KINDS, metrics))
    ]
    return {
        kind: _numbers(store, kind, [known for known in standings if known.kind == kind], core_actions, at)
        for kind in KINDS
    }


def lost_of(numbers: Mapping[PeriodKind, Numbers]) -> list[str]:
    """One line for each file that is gone from the store or is not what was stored."""
    found: dict[str, None] = {}
    for known in numbers.values():
        for standing in known.standings:
            for missing in standing.lost:
                found[_line(standing.deployment, missing)] = None
    return list(found)


def write_published(
    store: Store, numbers: Mapping[PeriodKind, Numbers], core_actions: Sequence[CoreAction], at: dt.datetime
) -> int:
    """Writes everything below ``published/``; returns how many revisions there are in all.

    Only for the holder of the name PUBLISHING. If two published at once, older numbers could replace newer ones.
    """
    finished = StoreLedger(store).published_at() or NEVER
    before = pd.concat([known.before for known in numbers.values()])
    recorded = in_effect(store.read_if_there(REVISIONS, [WHOLE]), before, finished)
    revised = []
    for known in numbers.values():
        causes = {standing.deployment.name: _causes(standing) for standing in known.standings}
        revised.append(revise(known.before, known.rows, recorded, causes, at))
    # Revisions first: a number that was replaced must never lack its record.
    store.write(REVISIONS, pd.concat([recorded, *revised], ignore_index=True), [WHOLE])
    coverage = COVERAGE.conform(pd.concat([known.coverage for known in numbers.values()], ignore_index=True))
    for table, rows in [
        *((published_table(kind), known.rows) for kind, known in numbers.items()),
        (COVERAGE, coverage),
    ]:
        store.write(table, rows, [WHOLE])
        store.put(f"{table.path}.csv", rows.to_csv(index=False).encode())
    document = orjson.dumps(definitions(core_actions), option=orjson.OPT_INDENT_2)
    store.put("published/definitions.json", document)
    store.put("published/README.md", published_readme(core_actions).encode())
    for name in {known.deployment.name for known in _all(numbers)}:
        _note_published(Ledger(store, name), [known for known in _all(numbers) if known.deployment.name == name])
    StoreLedger(store).record_published(at)
    return len(recorded) + sum(map(len, revised))


def _numbers(
    store: Store, kind: PeriodKind, standings: Sequence[Standing], core_actions: Sequence[CoreAction], at: dt.datetime
) -> Numbers:
    def everything(table: Table) -> pd.DataFrame:
        # If the deployment's start was moved to a later day, periods counted before that are left out.
        parts = [known.rows[table.name] for known in standings]
        since = [
            rows[rows[kind] >= known.deployment.start.isoformat()] for rows, known in zip(parts, standings, strict=True)
        ]
        return pd.concat([table.frame(), *since], ignore_index=True)

    coverage = {known.deployment.name: counted_coverage(known) for known in standings}
    active_users = everything(ACTIVE_USERS.table(kind))
    counts = {action.key: everything(action.table(kind)) for action in core_actions}
    rows = publish(kind, active_users, counts, coverage, at)
    before = store.read_if_there(published_table(kind), [WHOLE])
    return Numbers(rows, before, cover(kind, active_users, coverage), standings)


def _causes(standing: Standing) -> dict[dt.date, set[str]]:
    """For each day that is counted differently since the last publication: why. Days of erasures are always in it."""
    causes: dict[dt.date, set[str]] = {}

    def add(days: set[str], month: str, cause: str) -> None:
        for day in days:
            if month_of(day) == month:
                causes.setdefault(dt.date.fromisoformat(day), set()).add(cause)

    raw = {table.name: _entries(standing, table) for table in raw_tables()}
    for month, entry in standing.events.items():
        all_days = set(days_of_month(month))
        before = standing.published.get(month)
        if before is None:
            # A month that was in no number yet is late with all its days.
            add(all_days, month, LATE_FACTS)
            continue
        if before.get(RULES) != entry.of.get(RULES):
            add(all_days, month, NEW_RULES)
        for table, serial in entry.of.items():
            if table in raw and before.get(table) != serial:
                source = raw[table].get(month) or raw[table].get(WHOLE_TABLE) or Entry("", "", 0)
                changed = source.changed_since(before.get(table, 0))
                add(changed, month, PEOPLE_KNOWN if table in BEFORE else LATE_FACTS)
    for day in standing.erased:
        causes.setdefault(dt.date.fromisoformat(day), set()).add(ERASURE)
    return causes


def _entries(standing: Standing, table: Table) -> Mapping[str, Entry]:
    document = standing.pulled.get(source_of(table).name)
    return document.tables.get(table.name, {}) if document else {}


def _note_published(ledger: Ledger, standings: Sequence[Standing]) -> None:
    _remember_marks(ledger, [found for found in standings[0].verified if isinstance(found, Moved)])
    in_numbers: dict[PeriodKind, dict[str, Of]] = {known.kind: events_in_all_numbers(known) for known in standings}

    def change(document: Published) -> None:
        for kind, months in in_numbers.items():
            document.events[kind] = {**document.events.get(kind, {}), **months}

    ledger.change_published(change)


def _remember_marks(ledger: Ledger, moved: Sequence[Moved]) -> None:
    """Of a store that was copied each file is read once to see that it is the same."""
    built = [found for found in moved if found.table in BUILT_TABLES]

    def change(document: Built) -> None:
        for found in built:
            remember_mark(document.tables, found)

    if built:
        with ledger.alone(BUILDING) as held:
            held.change_built(change)


def _all(numbers: Mapping[PeriodKind, Numbers]) -> list[Standing]:
    return [standing for known in numbers.values() for standing in known.standings]


def _line(deployment: Deployment, missing: Lost) -> str:
    return f"{deployment.name}: {missing}: its days are published as not covered; {missing.remedy}"
