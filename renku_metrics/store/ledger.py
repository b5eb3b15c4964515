"""What is remembered of a deployment: one document for each source that is pulled, and one for each step after it.

Every name below ``state/`` is here, with the format of what is there. Numbers are only as fresh as what they were
counted from, and that is told by serials and not by times: clocks of two machines differ, and a table may change while
it is read. Each change of a month raises the month's serial and notes it for the days that changed; whatever is built
notes the serials that it is built of. So a day that changed after its events were built is known, and no other day is.

A document is replaced only if it still is what was read; else the change is made again to what is there now.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TypeVar

from pydantic import TypeAdapter

from renku_metrics.errors import StoreError
from renku_metrics.object_storage import ChangedError
from renku_metrics.periods import Period, Span
from renku_metrics.schema import Table
from renku_metrics.store.store import TRIES, Partition, Store, Stored
from renku_metrics.tables import RAW_GITLAB_USERS, RAW_KEYCLOAK_USERS, PeriodKind

# Among the serials that something is built of: the version of the rules that built it.
RULES = "rules"
# The place of a table that has one file for a deployment.
WHOLE_TABLE = ""
# Whoever builds holds this name, so that two do not do the same work.
BUILDING = "building"
# The users as they were before a pull of them, until the days are found that somebody else is counted on since.
BEFORE = {table.name: replace(table, folder="state/users_before") for table in (RAW_GITLAB_USERS, RAW_KEYCLOAK_USERS)}

Of = dict[str, int | str]
Days = dict[str, list[str]]
Document = TypeVar("Document")


@dataclass
class Entry:
    """One month of a table (or all of it): ``version`` of its bytes, and the storage's ``mark`` of its object.

    ``serial`` counts its changes, ``days`` holds the serial at which each day last changed, ``of`` what it is built of.
    """

    version: str
    mark: str
    serial: int
    days: dict[str, int] = field(default_factory=dict)
    of: Of = field(default_factory=dict)

    def changed_since(self, serial: int | str | None) -> set[str]:
        """The days that changed after that serial; all days that are known for None."""
        since = serial if isinstance(serial, int) else 0
        return {day for day, at in self.days.items() if at > since}


Entries = dict[str, Entry]


@dataclass
class Pulled:
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
class Built:
    """``tables``: events and user days by month. ``nameless``: by source and month, days on which nobody knows who did
    most of what was done.
    """

    tables: dict[str, Entries] = field(default_factory=dict)
    nameless: dict[str, dict[str, list[str]]] = field(default_factory=dict)


@dataclass
class Count:
    """``version``: of the stored rows of a metric. ``of``: for each week or month in them, what it was counted from:
    the serial of each month of user days, and the rules."""

    version: str
    of: dict[str, Of] = field(default_factory=dict)


@dataclass
class Counted:
    """``metrics``: the counts of each weekly and monthly asset."""

    metrics: dict[str, Count] = field(default_factory=dict)


@dataclass
class Published:
    """``events``: what the events of each month were built of that all published weeks, or months, are counted from."""

    events: dict[PeriodKind, dict[str, Of]] = field(default_factory=dict)


@dataclass
class Erasures:
    """``tombstones`` of user ids of erased people, and the ``days`` that an erasure took something from."""

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
        """Holds names of this deployment alone among all processes. The block gets the ledger as their holder uses it.

        It and its store change nothing once a name is lost, but raise StoreError.
        """
        with self.store.alone(*(f"deployment={self.deployment}/{name}" for name in names)) as held:
            yield Ledger(held, self.deployment)

    def pulled(self, source: str) -> Pulled:
        return self._read(source, Pulled)

    def change_pulled(self, source: str, change: Callable[[Pulled], None]) -> Pulled:
        return self._change(source, Pulled, change)

    def built(self) -> Built:
        return self._read("built", Built)

    def change_built(self, change: Callable[[Built], None]) -> Built:
        return self._change("built", Built, change)

    def counted(self) -> Counted:
        return self._read("counted", Counted)

    def change_counted(self, change: Callable[[Counted], None]) -> Counted:
        return self._change("counted", Counted, change)

    def published(self) -> Published:
        return self._read("published", Published)

    def change_published(self, change: Callable[[Published], None]) -> Published:
        return self._change("published", Published, change)

    def erased(self) -> Erasures:
        return self._read("erased", Erasures)

    def change_erased(self, change: Callable[[Erasures], None]) -> Erasures:
        return self._change("erased", Erasures, change)

    def state(self, source: str) -> bytes | None:
        """What the source itself remembers of its last pull, in its own format."""
        try:
            return self.store.storage.read(self._state(source))
        except FileNotFoundError:
            return None

    def keep_state(self, source: str, content: bytes) -> None:
        """To be called by the holder of the source's name."""
        self.store.put(self._state(source), content)

    def forget_state(self, source: str) -> None:
        """So that the next pull of the source is a first one."""
        self.store.storage.delete(self._state(source))

    def record(self, entries: Entries, table: Table, written: Mapping[Partition, Stored], of: Mapping[str, Of]) -> None:
        """Notes in the entries of a table how its partitions are now, and what they are built of."""
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
        return self._load(document, kind)[0]

    def _load(self, document: str, kind: type[Document]) -> tuple[Document, bytes, str | None]:
        name = self._name(document)
        try:
            content, mark = self.store.storage.read_versioned(name)
        except FileNotFoundError:
            return kind(), b"", None
        try:
            found = FORMATS[kind].validate_json(content)
        except ValueError:
            raise StoreError(f"{self.store.storage.address(name)}: is not what renku-metrics writes there") from None
        assert isinstance(found, kind)
        return found, content, mark

    def _change(self, document: str, kind: type[Document], change: Callable[[Document], None]) -> Document:
        for _ in range(TRIES):
            found, before, mark = self._load(document, kind)
            change(found)
            content = FORMATS[kind].dump_json(found)
            if content == before:
                return found
            try:
                self.store.replace(self._name(document), content, mark)
            except ChangedError:
                continue
            return found
        raise self._contended(document)

    def _contended(self, document: str) -> StoreError:
        return StoreError(f"{self._name(document)}: others change this again and again; run this again later")


def _days_changed(table: Table, place: str, known: Entry, stored: Stored) -> Iterable[str]:
    """The days that changed since what is known of a place; all of its month where that is not what the write found.

    Who wrote that was killed before it noted it, or was another program.
    """
    if not table.by_month or stored.before == known.version:
        return stored.days
    return [day.isoformat() for day in Period.of("month", dt.date.fromisoformat(place)).days]


def place_of(table: Table, partition: Partition) -> str:
    """The month of a partition, or WHOLE_TABLE."""
    return partition[1] if table.by_month else WHOLE_TABLE


class StoreLedger:
    """What is remembered of the store as a whole: the key that it was begun with, and when numbers were published."""

    PUBLISHING = "publishing"
    _FINGERPRINT = "state/hash_key_fingerprint"
    _PUBLISHED_AT = "state/published_at"

    def __init__(self, store: Store) -> None:
        self._store = store

    def fingerprint(self) -> bytes | None:
        """That of the hash key the store was begun with; None if it was begun with none."""
        return self._read(self._FINGERPRINT)

    def begin_with(self, fingerprint: bytes) -> None:
        """Raises ChangedError when another has begun the store meanwhile."""
        self._store.replace(self._FINGERPRINT, fingerprint, None)

    def published_at(self) -> dt.datetime | None:
        """When the last publication that came to its end began (UTC); None if there was none."""
        content = self._read(self._PUBLISHED_AT)
        return dt.datetime.fromisoformat(content.decode()) if content else None

    def record_published(self, at: dt.datetime) -> None:
        """That a publication that began then has come to its end. To be called by the holder of PUBLISHING."""
        self._store.put(self._PUBLISHED_AT, at.isoformat().encode())

    def _read(self, name: str) -> bytes | None:
        try:
            return self._store.storage.read(name)
        except FileNotFoundError:
            return None
