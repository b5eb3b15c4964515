"""Notices files that are not what was stored: they are gone, older than the ledger says, or from another program.

Such a file, for example after a backup was restored, would make a covered day wrong without anybody seeing it.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from renku_metrics.metrics import coverage
from renku_metrics.periods import Period
from renku_metrics.schema import Table
from renku_metrics.sources.source import Source
from renku_metrics.store.ledger import Entries, Entry, Ledger, Pulled, place_of
from renku_metrics.store.store import Partition


@dataclass(frozen=True)
class Lost:
    """A partition of a table that is not what was stored, and ``why``."""

    table: Table
    partition: Partition
    why: str

    @property
    def place(self) -> str:
        return place_of(self.table, self.partition)

    @property
    def days(self) -> list[dt.date]:
        """The days that it held; none if the table has no days."""
        return Period.of("month", dt.date.fromisoformat(self.place)).days if self.table.by_month else []

    def __str__(self) -> str:
        of = f" of {self.place[:7]}" if self.place else ""
        return f"{self.table.name}{of} {self.why}"


def lost(
    ledger: Ledger, table: Table, entries: Mapping[str, Entry], untold: Iterable[str] = ()
) -> Iterator[Lost | tuple[str, str]]:
    """The lost partitions of the table; and the place and new mark of each file that was copied but did not change.

    ``untold``: the places that a killed pull was about to change. They may be old or new, so they are not checked.
    """
    excused = set(untold)
    marks = {
        place_of(table, partition): (partition, mark)
        for partition, mark in ledger.store.marks(table, ledger.deployment).items()
    }
    for place, entry in entries.items():
        if place in excused or not entry.version:
            continue
        partition, mark = marks.get(place, (_partition(ledger, table, place), ""))
        if mark == entry.mark:
            continue
        version = ledger.store.version(table, partition) if mark else ""
        if not version:
            yield Lost(table, partition, "is gone from the store")
        elif version != entry.version:
            yield Lost(table, partition, "is not what was stored: it is older, or another program changed it")
        else:
            yield place, mark


def forget_lost(ledger: Ledger, source: Source) -> list[str]:
    """One line for each raw file of the source that is lost. Only for the holder of the source's name.

    Its days are no longer covered. The next pull is a first one, which brings what the source still has.
    """
    pulled = ledger.pulled(source.name)
    findings = [
        (table, found)
        for table in source.tables
        for found in lost(ledger, table, pulled.tables.get(table.name, {}), pulled.untold.get(table.name, {}))
    ]
    if not findings:
        return []
    missing = [found for _, found in findings if isinstance(found, Lost)]
    if missing:
        ledger.forget_state(source.name)

    def change(pulled: Pulled) -> None:
        for table, found in findings:
            entries = pulled.tables[table.name]
            if isinstance(found, Lost):
                entries[found.place] = _without_content(entries[found.place])
                uncover = set(found.days)
                pulled.covered = coverage.without(pulled.covered, uncover) if uncover else []
            else:
                place, mark = found
                entries[place] = replace(entries[place], mark=mark)

    ledger.change_pulled(source.name, change)
    return [
        f"{ledger.deployment}: {source.name}: {found}: its days are not covered any more, and everything that the "
        "source still has is pulled again"
        for found in missing
    ]


def settle_killed(ledger: Ledger, source: Source) -> None:
    """Notes what a killed pull stored but did not note. Only for the holder of the source's name."""
    pulled = ledger.pulled(source.name)
    changes: list[tuple[Table, str, str, str, list[str]]] = []
    for table in source.tables:
        untold = pulled.untold.get(table.name)
        if not untold:
            continue
        marks = {
            place_of(table, place): (place, mark)
            for place, mark in ledger.store.marks(table, ledger.deployment).items()
        }
        for place, days in untold.items():
            known = pulled.tables.get(table.name, {}).get(place)
            if place in marks and (known is None or known.mark != marks[place][1]):
                partition, mark = marks[place]
                changes.append((table, place, ledger.store.version(table, partition), mark, days))
    if not changes:
        return

    def change(pulled: Pulled) -> None:
        for table, place, version, mark, days in changes:
            entries: Entries = pulled.tables.setdefault(table.name, {})
            known = entries.get(place, Entry("", "", 0))
            if known.version == version:
                entries[place] = replace(known, mark=mark)
            else:
                serial = known.serial + 1
                entries[place] = replace(
                    known, version=version, mark=mark, serial=serial, days=known.days | dict.fromkeys(days, serial)
                )

    ledger.change_pulled(source.name, change)


def _without_content(entry: Entry) -> Entry:
    serial = entry.serial + 1
    return replace(entry, version="", mark="", serial=serial, days=dict.fromkeys(entry.days, serial))


def _partition(ledger: Ledger, table: Table, place: str) -> Partition:
    return (ledger.deployment, place) if table.by_month else (ledger.deployment,)
