"""What is remembered of a deployment: one document for each source that is pulled, and one for each step after it.

Each document of a deployment has its name and format here. Serials say how fresh a number is, not times: clocks of
two machines differ, and a table may change while it is read. Each change of a month raises the month's serial, and
notes it for the days that changed. Everything that is built notes the serials that it was built from. So the ledger
knows exactly which days changed after their events were built.

A document is replaced only if it is still what was read. If not, the change is made again to what is there now.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TypeVar

from pydantic import ConfigDict, TypeAdapter

from renku_metrics.errors import StoreError
from renku_metrics.periods import Period, Span
from renku_metrics.schema import Table
from renku_metrics.store.files import Partition
from renku_metrics.store.store import Store, Stored
from renku_metrics.tables import EVENTS, RAW_GITLAB_USERS, RAW_KEYCLOAK_USERS, USER_DAYS, PeriodKind

# The key, among the serials that something was built from, of the version of the rules.
RULES = "rules"
# The place of a table that has one file for a deployment.
WHOLE_TABLE = ""
# A build holds this name, so that two builds do not do the same work.
BUILDING = "building"
USERS = (RAW_GITLAB_USERS, RAW_KEYCLOAK_USERS)
BUILT_TABLES = (EVENTS, USER_DAYS)
# The users as they were before a pull. They are kept until the days are found whose events belong to others since.
BEFORE = {table.name: replace(table, folder="state/users_before") for table in USERS}

Of = dict[str, int | str]
Days = dict[str, list[str]]
Document = TypeVar("Document")


class Noted:
    """A part of a document. What another version of the program has added to it is refused, and not dropped."""

    __pydantic_config__ = ConfigDict(extra="forbid")


@dataclass
class Entry(Noted):
    """One month of a table, or all of it: the ``version`` of its bytes, and the storage's ``mark`` of its object.

    ``serial`` counts its changes. ``days``: the serial at which each day last changed. ``of``: what it was built from.
    """

    version: str
    mark: str
    serial: int
    days: dict[str, int] = field(default_factory=dict)
    of: Of = field(default_factory=dict)

    def changed_since(self, serial: int | str | None) -> set[str]:
        """The days that changed after that serial; for None all days that are known."""
        return {day for day in self.days if self.day_changed_since(day, serial)}

    def day_changed_since(self, day: str, serial: int | str | None) -> bool:
        """Whether the day, which is known, changed after that serial; for None it did."""
        return self.days[day] > (serial if isinstance(serial, int) else 0)


Entries = dict[str, Entry]


@dataclass
class Pulled(Noted):
    """What is remembered of a source: its ``tables`` by month, and the time ``covered`` (UTC).

    ``untold``: the days, by table and place, that a pull has changed, or is about to change, and of which Dagster was
    not told yet. ``pending``: those that it is about to change right now; a pull that is killed leaves them.
    """

    tables: dict[str, Entries] = field(default_factory=dict)
    covered: list[Span] = field(default_factory=list)
    untold: dict[str, Days] = field(default_factory=dict)
    pending: dict[str, Days] = field(default_factory=dict)

    def tell(self, table: str, place: str, days: Iterable[str]) -> None:
        """Dagster is to be told of these days."""
        known = self.untold.setdefault(table, {}).get(place, [])
        self.untold[table][place] = sorted({*known, *days})


@dataclass
class Built(Noted):
    """``tables``: events and user days by month. ``nameless``: by source and month, the days with too many unknown
    users.
    """

    tables: dict[str, Entries] = field(default_factory=dict)
    nameless: dict[str, dict[str, list[str]]] = field(default_factory=dict)


@dataclass
class Count(Noted):
    """``version``: that of the stored rows of a metric. ``of``: what each week or month in them was counted from, as
    the serial of each month of user days and the version of the rules."""

    version: str
    of: dict[str, Of] = field(default_factory=dict)


@dataclass
class Counted(Noted):
    """``metrics``: the counts of each weekly and monthly asset."""

    metrics: dict[str, Count] = field(default_factory=dict)


@dataclass
class Published(Noted):
    """``events``: what the events of each month were built from, if all published weeks (or months) hold them."""

    events: dict[PeriodKind, dict[str, Of]] = field(default_factory=dict)


@dataclass
class Erasures(Noted):
    """The ``tombstones`` of the user ids of erased people, and the ``days`` from which an erasure took something."""

    tombstones: list[str] = field(default_factory=list)
    days: list[str] = field(default_factory=list)


FORMATS: Mapping[type, TypeAdapter[object]] = {
    kind: TypeAdapter(kind) for kind in (Pulled, Built, Counted, Published, Erasures)
}


class Ledger:
    """All that is remembered of one deployment of a store."""

    def __init__(self, store: Store, deployment: str) -> None:
        self.store = store
        self.deployment = deployment

    @contextmanager
    def alone(self, *names: str) -> Iterator[Ledger]:
        """Holds names of this deployment alone among all processes. The block gets a ledger for their holder.

        Once a name is lost, that ledger and its store change nothing more and raise StoreError.
        """
        with self.store.alone(*(f"deployment={self.deployment}/{name}" for name in names)) as held:
            yield Ledger(held, self.deployment)

    def pulled(self, source: str) -> Pulled:
        return self._read(source, Pulled)

    def change_pulled(self, source: str, change: Callable[[Pulled], None]) -> None:
        self._change(source, Pulled, change)

    def built(self) -> Built:
        return self._read("built", Built)

    def change_built(self, change: Callable[[Built], None]) -> None:
        self._change("built", Built, change)

    def counted(self) -> Counted:
        return self._read("counted", Counted)

    def change_counted(self, change: Callable[[Counted], None]) -> None:
        self._change("counted", Counted, change)

    def published(self) -> Published:
        return self._read("published", Published)

    def change_published(self, change: Callable[[Published], None]) -> None:
        self._change("published", Published, change)

    def erased(self) -> Erasures:
        return self._read("erased", Erasures)

    def change_erased(self, change: Callable[[Erasures], None]) -> None:
        self._change("erased", Erasures, change)

    def state(self, source: str) -> bytes | None:
        """What the source itself remembers of its last pull, in its own format."""
        try:
            return self.store.storage.read(self._state(source))
        except FileNotFoundError:
            return None

    def keep_state(self, source: str, content: bytes) -> None:
        """Stores what the source remembers. Only for the holder of the source's name."""
        self.store.put(self._state(source), content)

    def forget_state(self, source: str) -> None:
        """Removes what the source remembers, so that its next pull is a first one."""
        self.store.storage.delete(self._state(source))

    def record(self, entries: Entries, table: Table, written: Mapping[Partition, Stored], of: Mapping[str, Of]) -> None:
        """Notes in the entries of a table how its partitions are now, and what they were built from."""
        for partition, stored in written.items():
            place = place_of(table, partition)
            known = entries.get(place, Entry("", "", 0))
            built_of = of.get(place, {})
            if known.version != stored.version:
                serial = known.serial + 1
                days = {**known.days, **dict.fromkeys(_days_changed(table, place, known, stored), serial)}
                entries[place] = Entry(stored.version, stored.mark, serial, dict(sorted(days.items())), built_of)
            else:
                entries[place] = replace(known, mark=stored.mark, of=built_of or known.of)

    def _state(self, source: str) -> str:
        return f"{self._folder}/{source}_state.json"

    @property
    def _folder(self) -> str:
        return f"state/deployment={self.deployment}"

    def _name(self, document: str) -> str:
        return f"{self._folder}/{document}.json"

    def _read(self, document: str, kind: type[Document]) -> Document:
        try:
            content = self.store.storage.read(self._name(document))
        except FileNotFoundError:
            return kind()
        return self._parsed(document, kind, content)

    def _parsed(self, document: str, kind: type[Document], content: bytes) -> Document:
        try:
            found = FORMATS[kind].validate_json(content)
        except ValueError:
            address = self.store.storage.address(self._name(document))
            raise StoreError(f"{address}: is not what this version of renku-metrics writes there") from None
        assert isinstance(found, kind)
        return found

    def _change(self, document: str, kind: type[Document], change: Callable[[Document], None]) -> None:
        def changed(content: bytes | None) -> bytes:
            found = kind() if content is None else self._parsed(document, kind, content)
            change(found)
            return FORMATS[kind].dump_json(found)

        self.store.change(self._name(document), changed)


def days_of_month(month: str) -> list[str]:
    """The days of the month whose first day is given, YYYY-MM-DD."""
    return [day.isoformat() for day in Period.of("month", dt.date.fromisoformat(month)).days]


def _days_changed(table: Table, place: str, known: Entry, stored: Stored) -> Iterable[str]:
    """The days that changed since what is known of a place.

    If the write found another version there, a pull was killed before it noted its write, or another program wrote.
    Then all days of the month may have changed.
    """
    nothing_there = not known.version and not stored.rows
    if not table.by_month or stored.before == known.version or nothing_there:
        return stored.days
    return days_of_month(place)


def place_of(table: Table, partition: Partition) -> str:
    """The month of a partition, or WHOLE_TABLE."""
    return partition[1] if table.by_month else WHOLE_TABLE


def partition_of(table: Table, deployment: str, place: str) -> Partition:
    """The partition of a deployment whose place is given."""
    return (deployment, place) if table.by_month else (deployment,)
