"""Builds events, user days and counts from the store, and notes what each was built from."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from functools import partial

import pandas as pd

from renku_metrics.deployments import Deployment
from renku_metrics.errors import NotConservedError
from renku_metrics.events import union
from renku_metrics.events.union import EventsBuilt, Frames, unite, user_days
from renku_metrics.metrics.counting import count
from renku_metrics.metrics.definition import Metric
from renku_metrics.periods import Period
from renku_metrics.pipeline.reading import read_known
from renku_metrics.schema import DAY, Table, month_of
from renku_metrics.sources.registry import source_of, sources_of
from renku_metrics.store.files import Partition
from renku_metrics.store.ledger import (
    BEFORE,
    BUILDING,
    RULES,
    WHOLE_TABLE,
    Built,
    Count,
    Counted,
    Ledger,
    Of,
    Pulled,
)
from renku_metrics.store.store import Store, Stored
from renku_metrics.tables import EVENTS, USER_DAYS, PeriodKind


def store_events(
    store: Store, deployment: Deployment, months: Sequence[str]
) -> tuple[EventsBuilt, dict[Partition, Stored]]:
    """The events of some months of a deployment, built from its raw tables and stored.

    Raises StoreError if a raw table was not pulled yet, NotConservedError if a raw row is neither an event nor dropped
    for a reason. Nothing is stored then.
    """
    places: list[Partition] = [(deployment.name, month) for month in months]
    with Ledger(store, deployment.name).alone(BUILDING) as ledger:
        while True:
            pulled = _pulled(ledger, deployment)
            frames = read_raw(ledger, deployment, months, pulled)
            parts = {source.name: source.events(frames) for source in sources_of(deployment)}
            built = unite(deployment.name, list(parts.values()))
            _check_conserved(built, deployment.name, months)
            written = ledger.store.write(EVENTS, built.events, places)
            of = {month: _serials(pulled, deployment, month) | {RULES: union.RULES_VERSION} for month in months}
            nameless = {name: part.nameless_days for name, part in parts.items()}

            def note(
                known: Built,
                written: Mapping[Partition, Stored] = written,
                of: Mapping[str, Of] = of,
                nameless: Mapping[str, frozenset[str]] = nameless,
            ) -> None:
                ledger.record(known.tables.setdefault(EVENTS.name, {}), EVENTS, written, of)
                for name, days in nameless.items():
                    by_month = known.nameless.setdefault(name, {})
                    for month in months:
                        by_month[month] = sorted(day for day in days if month_of(day) == month)

            ledger.change_built(note)
            # A pull of users may have come in between. It could not see these events, so they are built again.
            if _people(_pulled(ledger, deployment)) == _people(pulled):
                return built, written


def store_user_days(
    store: Store, deployment: Deployment, months: Sequence[str]
) -> tuple[pd.DataFrame, dict[Partition, Stored]]:
    """The user days of some months of a deployment, from its events. Raises StoreError if these were not built."""
    places: list[Partition] = [(deployment.name, month) for month in months]
    with Ledger(store, deployment.name).alone(BUILDING) as ledger:
        built = ledger.built()
        events = built.tables.get(EVENTS.name, {})
        of: dict[str, Of] = {
            month: {RULES: union.RULES_VERSION} | ({EVENTS.name: events[month].serial} if month in events else {})
            for month in months
        }
        found = user_days(read_known(ledger, EVENTS, places, built, ledger.built))
        written = ledger.store.write(USER_DAYS, found, places)

        def note(known: Built) -> None:
            ledger.record(known.tables.setdefault(USER_DAYS.name, {}), USER_DAYS, written, of)

        ledger.change_built(note)
        return found, written


def store_counts(
    store: Store,
    deployment: Deployment,
    kind: PeriodKind,
    metrics: Sequence[Metric],
    starts: Sequence[str],
    at: dt.datetime,
) -> dict[str, tuple[pd.DataFrame, Stored]]:
    """The rows of some weeks or months of each metric, by table, and how they are stored. User days are read once.

    A period that begins before the deployment's start is not counted. Raises StoreError if one of the months of user
    days is not there.
    """
    periods = [Period(dt.date.fromisoformat(start), kind) for start in starts]
    counted = [period for period in periods if period.start >= deployment.start]
    months = sorted({month for period in counted for month in months_of(period, at)})
    with Ledger(store, deployment.name).alone(BUILDING) as ledger:
        built = ledger.built()
        known = built.tables.get(USER_DAYS.name, {})
        days = read_known(ledger, USER_DAYS, [(deployment.name, month) for month in months], built, ledger.built)
        results = {}
        for metric in metrics:
            table = metric.table(kind)
            numbers = count(metric, days, deployment.name, counted, at) if counted else table.frame()
            results[table.name] = _store_numbers(ledger, table, kind, starts, numbers)
        of: dict[str, Of] = {
            period.start.isoformat(): {month: known[month].serial for month in months_of(period, at) if month in known}
            for period in counted
        }

        def note(document: Counted) -> None:
            for metric in metrics:
                name = metric.table(kind).name
                before = document.metrics.get(name, Count(""))
                kept = {start: built for start, built in before.of.items() if start not in starts}
                now = {start: {**built, RULES: metric.version} for start, built in of.items()}
                document.metrics[name] = Count(results[name][1].version, dict(sorted((kept | now).items())))

        ledger.change_counted(note)
        return results


def read_raw(ledger: Ledger, deployment: Deployment, months: Sequence[str], pulled: Mapping[str, Pulled]) -> Frames:
    """The raw tables that events come from: some months of the tables by month, the others whole.

    Days before the deployment's start are empty, and so is every table of a source that the deployment does not have.
    Raises StoreError if a table was not pulled yet, or if a file is not what was stored.
    """
    began = month_of(deployment.start.isoformat())
    places: list[Partition] = [(deployment.name, month) for month in months if month >= began]
    frames: dict[str, pd.DataFrame] = {}
    for table in _events_come_from(deployment):
        source = source_of(table)
        if not source.is_in(deployment):
            frames[table.name] = table.frame()
            continue
        some = places if table.by_month else [(deployment.name,)]
        rows = read_known(ledger, table, some, pulled[source.name], partial(ledger.pulled, source.name))
        frames[table.name] = rows[rows[DAY] >= deployment.start.isoformat()] if table.by_month else rows
    return frames


def months_of(period: Period, at: dt.datetime) -> list[str]:
    """The months that the period is in, without those that have not begun."""
    months = sorted({month_of(day.isoformat()) for day in (period.start, period.end)})
    return [month for month in months if month <= at.date().isoformat()]


def _check_conserved(built: EventsBuilt, deployment: str, months: Sequence[str]) -> None:
    for month in months:
        if not (of_month := built.of_month(month)).conserved:
            raise NotConservedError(
                f"{deployment}: events of {month[:7]}: of {of_month.rows} raw rows {of_month.origins} became events "
                f"and {sum(of_month.dropped.values())} were dropped; report this as a fault of renku-metrics"
            )


def _store_numbers(
    ledger: Ledger, table: Table, kind: PeriodKind, starts: Sequence[str], numbers: pd.DataFrame
) -> tuple[pd.DataFrame, Stored]:
    """Replaces the stored rows of these periods. A row whose numbers did not change keeps its ``computed_at``."""
    place: Partition = (ledger.deployment,)
    before = ledger.store.read_if_there(table, [place])
    same = [column.name for column in table.columns if column.name != "computed_at"]
    known = numbers.merge(before, on=same, how="left", suffixes=("", "_before"))
    rows = numbers.assign(computed_at=known["computed_at_before"].fillna(known["computed_at"]).to_numpy())
    together = pd.concat([before[~before[kind].isin(starts)], rows], ignore_index=True)
    return rows, ledger.store.write(table, table.conform(together), [place])[place]


def _events_come_from(deployment: Deployment) -> list[Table]:
    return list(dict.fromkeys(table for source in sources_of(deployment) for table in source.events_from))


def _pulled(ledger: Ledger, deployment: Deployment) -> dict[str, Pulled]:
    return {source.name: ledger.pulled(source.name) for source in sources_of(deployment)}


def _serials(pulled: Mapping[str, Pulled], deployment: Deployment, month: str) -> Of:
    """The serial of each raw table that events of the month come from; 0 for one that was never pulled."""
    serials: Of = {}
    for table in _events_come_from(deployment):
        entries = pulled[source_of(table).name].tables.get(table.name, {}) if source_of(table).name in pulled else {}
        entry = entries.get(month if table.by_month else WHOLE_TABLE)
        serials[table.name] = entry.serial if entry else 0
    return serials


def _people(pulled: Mapping[str, Pulled]) -> dict[str, int]:
    """The serials of the tables of users."""
    return {
        name: document.tables[name][WHOLE_TABLE].serial
        for document in pulled.values()
        for name in BEFORE
        if WHOLE_TABLE in document.tables.get(name, {})
    }
