"""Removes the data of a person who asked for it from the store, and keeps pulls from bringing it back.

Published numbers, and the counts that they come from, are not personal data and stay as they are. If a day is counted
again later, it is counted without the person.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from renku_metrics.deployments import Deployment
from renku_metrics.errors import RenkuMetricsError
from renku_metrics.events.erasure import Cleared, Erased, user_ids_of
from renku_metrics.events.links import Identities
from renku_metrics.pipeline.hash_key import address_book, hash_key_of
from renku_metrics.schema import DAY, Table
from renku_metrics.sources.addresses import AddressBook
from renku_metrics.sources.registry import all_sources, source_of
from renku_metrics.store.files import Partition, partitions_of
from renku_metrics.store.ledger import BEFORE, BUILDING, BUILT_TABLES, Built, Erasures, Ledger, Pulled, place_of
from renku_metrics.store.store import MONTHS_AT_ONCE, Store, Stored, batches
from renku_metrics.tables import (
    RAW_GITLAB_COMMITS,
    RAW_GITLAB_PROJECTS,
    RAW_GITLAB_USERS,
    RAW_KEYCLOAK_USERS,
)
from renku_metrics.user_ids import is_of_keycloak, of_address, of_each_gitlab, of_gitlab


@dataclass(frozen=True)
class Found:
    """What is stored of erased people under ``name``: how many ``rows`` are theirs, and how many others mention them.

    ``days``: the days of their rows, sorted; none if rows have no day.
    """

    name: str
    rows: int = 0
    mentions: int = 0
    days: tuple[str, ...] = ()


def cleared_tables() -> list[Table]:
    """Every table that names people. Users come last, because until then they tell whose each commit is."""
    tables = [table for source in all_sources() for table in source.tables if table.personal]
    users = [table for table in tables if table.name in BEFORE]
    return [*(table for table in tables if table not in users), *BUILT_TABLES, *users, *BEFORE.values()]


class Erasing:
    """The erasure of the person with these user ids from one deployment."""

    def __init__(self, store: Store, deployment: Deployment, user_ids: frozenset[str]) -> None:
        self.user_ids = user_ids
        self._deployment = deployment
        self._ledger = Ledger(store, deployment.name)

    def look(self) -> list[Found]:
        """What is stored of the person, and of everybody whose erasure was begun earlier but not finished."""
        erased = erased_people(self._ledger, self.user_ids)
        assert erased is not None
        return list(_sweep(self._ledger, erased, write=False))

    def erase(self, days: Collection[str]) -> list[Found]:
        """Removes it. Remembers the person by tombstones, and ``days`` as the days that lost something.

        Waits until running pulls of the deployment have ended. If it is killed, call it again.
        """
        locks = sorted({source.lock(self._deployment) for source in all_sources()})
        with self._ledger.alone(*locks, BUILDING) as ledger:
            # This comes first, so that no pull brings back what is removed.
            _remember(ledger, self.user_ids, days)
            erased = erased_people(ledger)
            assert erased is not None
            found = list(_sweep(ledger, erased, write=True))
            # What a killed pull has left half written may hold the person's rows.
            for folder in (*(table.path for table in cleared_tables()), "state"):
                ledger.store.storage.clear_unfinished(f"{folder}/deployment={ledger.deployment}/")
            return found


def erasing(store: Store, deployment: Deployment, users: Sequence[str], emails: Sequence[str]) -> Erasing:
    """The erasure of the person with these user ids and clear email addresses.

    Raises RenkuMetricsError if an address belongs to a tool or to many people, or if several accounts have it.
    """
    book = address_book(store, deployment)
    whole: list[Partition] = [(deployment.name,)]
    gitlab_users, keycloak_users = (
        store.read_if_there(table, whole) for table in (RAW_GITLAB_USERS, RAW_KEYCLOAK_USERS)
    )
    # A Keycloak id may be given as Keycloak writes it, or as the store keeps it.
    given = {book.keycloak_id(user) if is_of_keycloak(user) else user for user in users}
    for email in emails:
        address = book.read(email)
        if address.kind == "noreply":
            assert address.gitlab_user_id is not None
            given.add(of_gitlab(address.gitlab_user_id))
            continue
        if address.kind != "personal":
            raise RenkuMetricsError("an address given by --email belongs to a tool or to many people")
        given.add(of_address(address.hash))
        for users_with, column in ((gitlab_users, "gitlab_user_id"), (keycloak_users, "keycloak_id")):
            holders = users_with.loc[[address.hash in held for held in users_with["address_hashes"]], column]
            if len(holders) > 1:
                accounts = ", ".join(of_each_gitlab(holders) if column == "gitlab_user_id" else holders)
                raise RenkuMetricsError(
                    f"{deployment.name}: several accounts have an address given by --email: {accounts}; "
                    "name those of this person by --user"
                )
    found = {known for user_id in given for known in user_ids_of(user_id, gitlab_users, keycloak_users)}
    return Erasing(store, deployment, frozenset(found))


def erased_people(ledger: Ledger, also: Collection[str] = ()) -> Erased | None:
    """The erased people of the deployment, and those whose user ids are given; None if there is nobody."""
    known = frozenset(ledger.erased().tombstones)
    if not known and not also:
        return None
    book = _book(ledger)
    tombstones = known | {book.keyed_hash(_text(user_id)) for user_id in also}
    return Erased(tombstones, lambda user_id: book.keyed_hash(_text(user_id)))


class Clearing:
    """Erased people, with what the store knows of users and projects of their deployment at this time."""

    def __init__(self, ledger: Ledger, erased: Erased) -> None:
        self._ledger = ledger
        self._erased = erased
        self._known: tuple[pd.DataFrame, Identities] | None = None

    def clear(self, table: Table, rows: pd.DataFrame) -> Cleared:
        """What may stay of the rows. Before commits, their projects and users must be stored."""
        if table is not RAW_GITLAB_COMMITS:
            return self._erased.clear(table, rows)
        if self._known is None:
            whole: list[Partition] = [(self._ledger.deployment,)]
            projects, gitlab_users, keycloak_users = (
                self._ledger.store.read_if_there(known, whole)
                for known in (RAW_GITLAB_PROJECTS, RAW_GITLAB_USERS, RAW_KEYCLOAK_USERS)
            )
            self._known = projects, Identities(gitlab_users, keycloak_users)
        return self._erased.clear_commits(rows, *self._known)


def _sweep(ledger: Ledger, erased: Erased, *, write: bool) -> Iterator[Found]:
    for source in all_sources():
        content = ledger.state(source.name)
        if content is not None:
            kept, rows = source.clear_state(content, erased.__contains__)
            if write and rows:
                ledger.keep_state(source.name, kept)
            yield Found(f"state of {source.name}", rows)
    clearing = Clearing(ledger, erased)
    for table in cleared_tables():
        yield _sweep_table(ledger, clearing, table, write=write)


def _sweep_table(ledger: Ledger, clearing: Clearing, table: Table, *, write: bool) -> Found:
    store = ledger.store
    rows = mentions = 0
    days: set[str] = set()
    for some in batches(store.partitions(table, ledger.deployment), MONTHS_AT_ONCE):
        stored = store.read_if_there(table, some)
        cleared = clearing.clear(table, stored)
        touched = partitions_of(table, stored[cleared.removed | cleared.stripped])
        if write and touched:
            places_of_rows = pd.MultiIndex.from_frame(cleared.rows[list(table.partitioned_by)])
            written = store.write(table, cleared.rows[places_of_rows.isin(touched)], sorted(touched))
            _note(ledger, table, written)
        rows += int(cleared.removed.sum())
        mentions += int(cleared.stripped.sum())
        if DAY in stored:
            days.update(stored.loc[cleared.removed, DAY])
    return Found(table.name, rows, mentions, tuple(sorted(days)))


def _note(ledger: Ledger, table: Table, written: Mapping[Partition, Stored]) -> None:
    """Notes that these partitions changed, so that no later run takes them for lost.

    Nothing is counted again because of this: published numbers stay as they are.
    """
    if table in BEFORE.values():
        return

    def change(document: Built | Pulled) -> None:
        entries = document.tables.get(table.name, {})
        for partition, stored in written.items():
            known = entries.get(place_of(table, partition))
            # If another process wrote the file and did not note it, this must stay visible.
            if known and known.version == stored.before:
                known.version, known.mark = stored.version, stored.mark

    if table in BUILT_TABLES:
        ledger.change_built(change)
    else:
        ledger.change_pulled(source_of(table).name, change)


def _remember(ledger: Ledger, user_ids: Collection[str], days: Collection[str]) -> None:
    book = _book(ledger)
    tombstones = {book.keyed_hash(_text(user_id)) for user_id in user_ids}

    def change(erased: Erasures) -> None:
        erased.tombstones = sorted({*erased.tombstones, *tombstones})
        erased.days = sorted({*erased.days, *days})

    ledger.change_erased(change)


def _book(ledger: Ledger) -> AddressBook:
    return AddressBook(hash_key_of(ledger.store), ())


def _text(user_id: str) -> str:
    # The prefix makes it differ from every other hash made with the key.
    return f"erased {user_id}"
