"""Brings a source of a deployment up to date in the store. Knows sources, store and ledger, and nothing of Dagster."""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import pandas as pd

from renku_metrics.deployments import Deployment
from renku_metrics.errors import SourceError
from renku_metrics.metrics import coverage
from renku_metrics.periods import Span, midnight
from renku_metrics.pipeline.erasing import Clearing, erased_people
from renku_metrics.pipeline.hash_key import address_book
from renku_metrics.pipeline.relinking import relinking
from renku_metrics.pipeline.verifying import forget_lost, settle_killed
from renku_metrics.schema import DAY, Table, month_of
from renku_metrics.sources.addresses import AddressBook
from renku_metrics.sources.http import Say
from renku_metrics.sources.registry import SOURCES
from renku_metrics.sources.source import Batch, Fact, Harvest, Request, Source
from renku_metrics.store.ledger import BEFORE, WHOLE_TABLE, Ledger, Pulled, place_of
from renku_metrics.store.store import Partition, Store, Stored, partitions_of
from renku_metrics.tables import RAW_GITLAB_COMMITS


@contextmanager
def pulling(
    store: Store, deployment: Deployment, source: Source, clock: Callable[[], dt.datetime], say: Say
) -> Iterator[Pull]:
    """A pull that holds the deployment's source alone: of two at once, one would do the other's work again.

    Once another may have taken over, whatever this pull would store raises StoreError. What an earlier pull that was
    killed has left is noticed here; what was taken from the store is said, and pulled again where the source still
    has it.
    """
    with Ledger(store, deployment.name).alone(source.lock(deployment)) as ledger:
        # Another pull may have held the name for long: what was done meanwhile is not of the future.
        pull = Pull(ledger, deployment, source, clock(), say)
        settle_killed(ledger, source)
        for line in forget_lost(ledger, source):
            say(line)
        yield pull


class Pull:
    """One source of one deployment, held alone. ``facts`` are those of what it brought.

    What a pull changes is remembered as untold until Dagster knows of it, so a pull that is killed half way leaves no
    change that nobody counts.
    """

    def __init__(self, ledger: Ledger, deployment: Deployment, source: Source, now: dt.datetime, say: Say) -> None:
        self.ledger = ledger
        self.deployment = deployment
        self.now = now
        self.facts: dict[str, Fact] = {}
        self._source = source
        self._store = ledger.store
        self._say = say
        self._book: AddressBook = address_book(self._store, deployment)

    def bring(self, harvest: Harvest, tables: Iterable[str] = (), *, whole: bool = False) -> None:
        """Pulls the tables of the harvest; of these ``tables`` are wanted, or all. ``whole``: a reconciliation.

        Raises SourceError when the source does not give everything; what it gave is stored then.
        """
        batches = harvest.pull(
            Request(
                deployment=self.deployment,
                book=self._book,
                pulled_at=self.now,
                state=self.ledger.state(self._source.name),
                stored=lambda table: self._store.read_if_there(table, [(self.deployment.name,)]),
                tables=frozenset(tables) or frozenset(table.name for table in harvest.tables),
                whole=whole,
                say=self._say,
            )
        )
        users = [table for table in harvest.tables if table.name in BEFORE]
        missed = 0
        if users:
            self._bring_users(users[0], batches)
        else:
            for batch in batches:
                missed += self._count_missed(batch)
                self._keep(batch)
        if whole:
            self.facts["commits_missed"] = missed
            self._say(f"{self._where}: the pulls before had missed {missed} of what was read again")

    def untold(self, table: Table) -> list[Partition]:
        """The partitions of the table that changed since Dagster was last told."""
        known = self.ledger.pulled(self._source.name).untold.get(table.name, {})
        return sorted((self.deployment.name, place) if table.by_month else (self.deployment.name,) for place in known)

    def ensure(self, table: Table, places: Sequence[Partition]) -> dict[Partition, Stored]:
        """The partitions as they are in the store; empty ones are written where there is none."""
        stored = self._store.ensure(table, places)
        if table not in self._source.tables:
            return stored

        def change(pulled: Pulled) -> None:
            self.ledger.record(pulled.tables.setdefault(table.name, {}), table, stored, {})

        self.ledger.change_pulled(self._source.name, change)
        return stored

    def told(self, table: Table, places: Iterable[Partition]) -> None:
        """Dagster knows of these partitions, as they are now."""
        known = [place_of(table, place) for place in places]

        def change(pulled: Pulled) -> None:
            left = pulled.untold.get(table.name, {})
            for place in known:
                left.pop(place, None)

        self.ledger.change_pulled(self._source.name, change)

    def versions(self, table: Table, stored: Mapping[Partition, Stored]) -> dict[Partition, str]:
        """What automation follows of the partitions: days that are over, and whose days they are.

        What is done today comes in every few hours; that alone starts nothing until the day is over.
        """
        if not table.by_month:
            return {partition: standing.version for partition, standing in stored.items()}
        documents = [self.ledger.pulled(source.name) for source in SOURCES]
        today = self.now.date().isoformat()
        # Whose commits they are is part of what events are made from.
        names = [table.name, *(BEFORE if table is RAW_GITLAB_COMMITS else ())]

        def version(month: str) -> str:
            changes = sorted(
                f"{name} {day} {serial}"
                for document in documents
                for name in names
                for place, entry in document.tables.get(name, {}).items()
                if place in (month, WHOLE_TABLE)
                for day, serial in entry.days.items()
                if day < today and month_of(day) == month
            )
            return hashlib.sha256("\n".join(changes).encode()).hexdigest()[:16]

        return {partition: version(partition[1]) for partition in stored}

    @property
    def _where(self) -> str:
        return f"{self.deployment.name}: {self._source.name}"

    def _bring_users(self, table: Table, batches: Iterable[Batch]) -> None:
        failure: SourceError | None = None
        with relinking(self.ledger, self._source, table):
            try:
                for batch in batches:
                    self._keep(batch)
            except SourceError as error:
                # Whoever was learned of until then is linked by it from now on, so their days are found all the same.
                failure = error
        if failure:
            raise failure

    def _keep(self, batch: Batch) -> None:
        """Stores the rows, then notes them with what they cover, and then what the source remembers."""
        rows = {table: self._admitted(table, batch.rows[table.name]) for table in self._tables(batch)}
        touched = {table: _days_by_place(table, frame) for table, frame in rows.items() if len(frame)}
        before: dict[str, dict[str, list[str]]] = {}

        def about_to_change(pulled: Pulled) -> None:
            for table, places in touched.items():
                before[table.name] = dict(pulled.untold.get(table.name, {}))
                pulled.pending[table.name] = places
                for place, days in places.items():
                    pulled.tell(table.name, place, days)

        if touched:
            self.ledger.change_pulled(self._source.name, about_to_change)
        written = {table: self._store.merge(table, rows[table]) for table in touched}

        def changed(pulled: Pulled) -> None:
            pulled.pending.clear()
            for table, stored in written.items():
                self.ledger.record(pulled.tables.setdefault(table.name, {}), table, stored, {})
                pulled.untold[table.name] = _left_untold(before[table.name], table, stored)
            for span in batch.seen:
                # What was before the start is left out, and would not come again if the start were moved there.
                start = max(span.start, midnight(self.deployment.start))
                pulled.covered = coverage.add(pulled.covered, Span(start, span.end))

        self.ledger.change_pulled(self._source.name, changed)
        if batch.state is not None:
            self.ledger.keep_state(self._source.name, self._without_erased(batch.state))
        for note in batch.notes:
            self._say(f"{self._where}: {note}")
        if batch.notes:
            self.facts["notes"] = "; ".join(batch.notes)
        for name, fact in batch.facts.items():
            known = self.facts.get(name)
            self.facts[name] = known + fact if isinstance(known, int) and isinstance(fact, int) else fact

    def _tables(self, batch: Batch) -> list[Table]:
        return [table for table in self._source.tables if table.name in batch.rows]

    def _admitted(self, table: Table, rows: pd.DataFrame) -> pd.DataFrame:
        """The rows that may be stored: with ids as they are kept, and without people who were erased."""
        if "keycloak_id" in rows and len(rows):
            kept = {told: self._book.keycloak_id(told) for told in rows["keycloak_id"].dropna().unique()}
            rows = rows.assign(keycloak_id=rows["keycloak_id"].map(kept).astype(object))
        erased = erased_people(self.ledger)
        if erased is None or rows.empty:
            return rows
        return Clearing(self.ledger, erased).clear(table, rows.reset_index(drop=True)).rows

    def _without_erased(self, state: bytes) -> bytes:
        erased = erased_people(self.ledger)
        return state if erased is None else self._source.clear_state(state, erased.__contains__)[0]

    def _count_missed(self, batch: Batch) -> int:
        """How many rows that an earlier pull should have brought are not in the store."""
        missed = 0
        for table in self._tables(batch):
            if table.name in batch.overdue:
                found = self._admitted(table, batch.overdue[table.name])
                stored = self._store.read_if_there(table, sorted(partitions_of(table, found)))
                key = list(table.key)
                known = pd.MultiIndex.from_frame(stored[key])
                missed += int((~pd.MultiIndex.from_frame(found[key]).isin(known)).sum())
        return missed


def _days_by_place(table: Table, rows: pd.DataFrame) -> dict[str, list[str]]:
    """The days of the rows by month; no days for a table that has none."""
    if not table.by_month:
        return {place_of(table, place): [] for place in partitions_of(table, rows)}
    days: dict[str, list[str]] = {}
    for day in sorted(rows[DAY].unique()):
        days.setdefault(month_of(day), []).append(day)
    return days


def _left_untold(
    before: Mapping[str, list[str]], table: Table, stored: Mapping[Partition, Stored]
) -> dict[str, list[str]]:
    """What was untold before, and what was really changed since."""
    left = {place: list(days) for place, days in before.items()}
    for partition, standing in stored.items():
        if standing.changed:
            place = place_of(table, partition)
            left[place] = sorted({*left.get(place, []), *standing.days})
    return left
