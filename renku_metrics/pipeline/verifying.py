"""Notices files that are not what was stored: they are gone, older than the ledger says, or from another program.

Such a file, for example after a backup was restored, would make a covered day wrong without anybody seeing it.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from renku_metrics.metrics import coverage
from renku_metrics.periods import Period
from renku_metrics.schema import Table
from renku_metrics.sources.source import Source
from renku_metrics.store.files import Partition
from renku_metrics.store.ledger import BUILT_TABLES, Built, Entry, Ledger, Pulled, partition_of, place_of

# The storage's mark of each partition of a table, by place.
Marks = Mapping[str, str]


@dataclass(frozen=True)
class Moved:
    """A file that is what was stored, under another mark: of a store that was copied."""

    table: Table
    place: str
    mark: str


@dataclass(frozen=True)
class Lost:
    """A partition of a table that is not what was stored, and ``why``."""

    table: Table
    partition: Partition
    why: str

    @classmethod
    def gone(cls, table: Table, partition: Partition) -> Lost:
        return cls(table, partition, "is gone from the store")

    @classmethod
    def changed(cls, table: Table, partition: Partition) -> Lost:
        return cls(table, partition, "is not what was stored, but older or changed by another program")

    @property
    def place(self) -> str:
        return place_of(self.table, self.partition)

    @property
    def remedy(self) -> str:
        built = self.table in BUILT_TABLES
        return f"materialize {self.table.name} again" if built else "restore the file, or pull again"

    @property
    def days(self) -> list[dt.date]:
        """The days that it held; none if the table has no days."""
        return Period.of("month", dt.date.fromisoformat(self.place)).days if self.table.by_month else []

    def __str__(self) -> str:
        of = f" of {self.place[:7]}" if self.place else ""
        return f"{self.table.name}{of} {self.why}"


def marks_of(ledger: Ledger, tables: Iterable[Table]) -> dict[str, Marks]:
    """The marks of the files of each table. To be asked for before the ledger: else a file that changes in between
    looks lost.
    """
    return {
        table.name: {
            place_of(table, partition): mark for partition, mark in ledger.store.marks(table, ledger.deployment).items()
        }
        for table in tables
    }


def verify(
    ledger: Ledger, tables: Iterable[Table], document: Pulled | Built, marks: Mapping[str, Marks]
) -> list[Lost | Moved]:
    """What is lost or moved of the tables of a document, whose files had these marks.

    A file whose mark is the remembered one is not read. A file that a pull is about to change, or was about to change
    when it was killed, is neither.
    """
    return [
        found
        for table in tables
        for found in _verify(
            ledger, table, document.tables.get(table.name, {}), marks[table.name], pending_of(document, table)
        )
    ]


def pending_of(document: Pulled | Built, table: Table) -> Collection[str]:
    """The places that a pull is about to change, or was about to change when it was killed."""
    return document.pending.get(table.name, {}) if isinstance(document, Pulled) else ()


def _verify(
    ledger: Ledger, table: Table, entries: Mapping[str, Entry], marks: Marks, pending: Collection[str]
) -> Iterator[Lost | Moved]:
    for place, entry in entries.items():
        partition = partition_of(table, ledger.deployment, place)
        if not entry.version:
            # Of a month the days are not covered any more; a table that has no days is missed until it is pulled.
            if not table.by_month:
                yield Lost.gone(table, partition)
            continue
        if place in pending or marks.get(place) == entry.mark:
            continue
        version = ledger.store.version(table, partition)
        if not version:
            yield Lost.gone(table, partition)
        elif version != entry.version:
            yield Lost.changed(table, partition)
        elif place in marks:
            yield Moved(table, place, marks[place])


def verify_source(ledger: Ledger, source: Source) -> list[Lost | Moved]:
    """What is lost or moved of the raw tables of a source."""
    marks = marks_of(ledger, source.tables)
    return verify(ledger, source.tables, ledger.pulled(source.name), marks)


def forget_lost(ledger: Ledger, source: Source) -> list[str]:
    """One line for each raw file of the source that is lost. Only for the holder of the source's name.

    Its days are no longer covered. The next pull is a first one, which brings what the source still has.
    """
    marks = marks_of(ledger, source.tables)
    pulled = ledger.pulled(source.name)
    findings = verify(ledger, source.tables, pulled, marks)
    missing = [
        found for found in findings if isinstance(found, Lost) and pulled.tables[found.table.name][found.place].version
    ]
    # What the source tells is pulled again. The other tables are read whole by every pull of them.
    told = [found for found in missing if found.table.by_month or found.table in source.events_from]
    if told:
        ledger.forget_state(source.name)

    def change(pulled: Pulled) -> None:
        for found in missing:
            entries = pulled.tables[found.table.name]
            entry = entries[found.place]
            entries[found.place] = _without_content(entry)
            if found.table.by_month:
                # Whatever comes back, its events are to be built again.
                pulled.tell(found.table.name, found.place, entry.days)
        for found in told:
            days = set(found.days)
            pulled.covered = coverage.without(pulled.covered, days) if days else []
        for moved in findings:
            if isinstance(moved, Moved):
                remember_mark(pulled.tables, moved)

    if findings:
        ledger.change_pulled(source.name, change)
    return [f"{ledger.deployment}: {source.name}: {found}: {_afterwards(found, told)}" for found in missing]


def remember_mark(tables: Mapping[str, dict[str, Entry]], moved: Moved) -> None:
    """So that the file is not read once more to see that it is the same."""
    entries = tables[moved.table.name]
    entries[moved.place] = replace(entries[moved.place], mark=moved.mark)


def settle_killed(ledger: Ledger, source: Source) -> None:
    """Notes what a pull that was killed has stored without noting it. To be called by the holder of the name."""
    pending = ledger.pulled(source.name).pending
    if not pending:
        return
    there: dict[tuple[str, str], tuple[str, str]] = {}
    marks = marks_of(ledger, source.tables)
    for table in source.tables:
        for place in pending.get(table.name, {}).keys() & marks[table.name].keys():
            partition = partition_of(table, ledger.deployment, place)
            there[table.name, place] = ledger.store.version(table, partition), marks[table.name][place]

    def change(pulled: Pulled) -> None:
        for (name, place), (version, mark) in there.items():
            entries = pulled.tables.setdefault(name, {})
            known = entries.get(place, Entry("", "", 0))
            if known.version == version:
                entries[place] = replace(known, mark=mark)
            else:
                serial = known.serial + 1
                days = known.days | dict.fromkeys(pending[name][place], serial)
                entries[place] = replace(known, version=version, mark=mark, serial=serial, days=days)
        pulled.pending.clear()

    ledger.change_pulled(source.name, change)


def _afterwards(found: Lost, told: Collection[Lost]) -> str:
    if found in told:
        return "its days are not covered any more, and everything that the source still has is pulled again"
    return "nothing that follows from it is complete until it is pulled again"


def _without_content(entry: Entry) -> Entry:
    serial = entry.serial + 1
    return replace(entry, version="", mark="", serial=serial, days=dict.fromkeys(entry.days, serial))
