"""Brings a source of a deployment up to date in the store."""

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
from renku_metrics.sources.registry import all_sources
from renku_metrics.sources.source import Batch, Fact, Harvest, Request, Source
from renku_metrics.store.files import Partition, partitions_of
from renku_metrics.store.ledger import BEFORE, WHOLE_TABLE, Ledger, Pulled, partition_of, place_of
from renku_metrics.store.store import Store, Stored
from renku_metrics.tables import RAW_GITLAB_COMMITS


@contextmanager
def pulling(
    store: Store, deployment: Deployment, source: Source, clock: Callable[[], dt.datetime], say: Say
) -> Iterator[Pull]:
    """A pull that holds the deployment's source alone, so that two pulls do not do the same work.

    If another pull may have taken over, every later write raises StoreError. What an earlier, killed pull stored is
    noted first. Files that are gone from the store are named by ``say``, and pulled again if the source still has them.
    """
    with Ledger(store, deployment.name).alone(source.lock(deployment)) as ledger:
        # The time is read after the wait, which may be long. Else what happened meanwhile would look like the future.
        pull = Pull(ledger, deployment, source, clock(), say)
        settle_killed(ledger, source)
        for line in forget_lost(ledger, source):
            say(line)
        yield pull


class Pull:
    """One source of one deployment, held alone. ``facts``: those of all batches that it brought.

    What a pull changes is remembered as untold until Dagster knows of it. So if a pull is killed half way, its changes
    are still counted later.
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
        # An erasure holds the names of all sources, so nobody is erased during a pull.
        self._erased = erased_people(ledger)

    def bring(self, harvest: Harvest, tables: Iterable[str] = (), *, whole: bool = False) -> None:
        """Pulls ``tables`` of the harvest, or all if none are given. ``whole``: a reconciliation.

        Raises SourceError if the source does not give everything. What it gave is stored all the same.
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
            self._say(f"{self._where}: earlier pulls had missed {missed} of the rows that were read again")

    def untold(self, table: Table) -> list[Partition]:
        """The partitions of the table that changed since Dagster was last told."""
        known = self.ledger.pulled(self._source.name).untold.get(table.name, {})
        return sorted(partition_of(table, self.deployment.name, place) for place in known)

    def ensure(self, table: Table, places: Sequence[Partition]) -> dict[Partition, Stored]:
        """The partitions as they are in the store. If there is none, an empty one is written."""
        stored = self._store.ensure(table, places)
        if table not in self._source.tables:
            return stored

        def change(pulled: Pulled) -> None:
            self.ledger.record(pulled.tables.setdefault(table.name, {}), table, stored, {})

        self.ledger.change_pulled(self._source.name, change)
        return stored

    def told(self, table: Table, places: Iterable[Partition]) -> None:
        """Notes that Dagster knows these partitions as they are now."""
        known = [place_of(table, place) for place in places]

        def change(pulled: Pulled) -> None:
            left = pulled.untold.get(table.name, {})
            for place in known:
                left.pop(place, None)

        self.ledger.change_pulled(self._source.name, change)

    def versions(self, table: Table, stored: Mapping[Partition, Stored]) -> dict[Partition, str]:
        """The versions that automation follows. They change with days that are over, and with whose days these are.

        Today's rows come in every few hours. They start nothing until the day is over.
        """
        if not table.by_month:
            return {partition: standing.version for partition, standing in stored.items()}
        documents = [self.ledger.pulled(source.name) for source in all_sources()]
        today = self.now.date().isoformat()
        # Events of commits also depend on the users.
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
                # Users that were stored before the error are linked from now on, so their days must be found too.
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

        try:
            if batch.state is not None:
                self._source.check_state(batch.state)
            if touched:
                self.ledger.change_pulled(self._source.name, about_to_change)
            written = {table: self._store.merge(table, rows[table]) for table in touched}
        except ValueError as error:
            raise SourceError(f"{self._where}: {error}; report this as a fault of renku-metrics") from None

        def changed(pulled: Pulled) -> None:
            pulled.pending.clear()
            for table, stored in written.items():
                self.ledger.record(pulled.tables.setdefault(table.name, {}), table, stored, {})
                pulled.untold[table.name] = _left_untold(before[table.name], table, stored)
            for span in batch.seen:
                # Time before the start is not covered: its rows were left out, and must be pulled if the start moves.
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
        """The rows that may be stored: with Keycloak ids in the form that is kept, and without erased people.

        A source may say something that nobody thought of, such as a new status. If the column may be empty, it is left
        empty then, because one odd value must not stop a pull.
        """
        for column in table.personal:
            if column.person == "keycloak" and len(rows):
                kept = {told: self._book.keycloak_id(told) for told in rows[column.name].dropna().unique()}
                rows = rows.assign(**{column.name: rows[column.name].map(kept).astype(object)})
        rows, lost = table.without_strays(rows)
        for column, texts in lost.items():
            assert column.shape
            self._say(
                f"{self._where}: {table.name}: {texts} texts of {column.name} are not {column.shape.meaning}, and were "
                "left out"
            )
        if self._erased is None or rows.empty:
            return rows
        return Clearing(self.ledger, self._erased).clear(table, rows.reset_index(drop=True)).rows

    def _without_erased(self, state: bytes) -> bytes:
        return state if self._erased is None else self._source.clear_state(state, self._erased.__contains__)[0]

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
    """The days of the rows by month; no days if the table has none."""
    if not table.by_month:
        return {place_of(table, place): [] for place in partitions_of(table, rows)}
    days: dict[str, list[str]] = {}
    for day in sorted(rows[DAY].unique()):
        days.setdefault(month_of(day), []).append(day)
    return days


def _left_untold(
    before: Mapping[str, list[str]], table: Table, stored: Mapping[Partition, Stored]
) -> dict[str, list[str]]:
    """What was untold before, and what this pull really changed."""
    left = {place: list(days) for place, days in before.items()}
    for partition, standing in stored.items():
        if standing.changed:
            place = place_of(table, partition)
            left[place] = sorted({*left.get(place, []), *standing.days})
    return left
