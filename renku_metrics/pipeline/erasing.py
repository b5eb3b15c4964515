"""Takes a person's data out of the store, on their request. Knows the store, nothing of Dagster.

Published numbers, and the counts they come from, are no personal data and stay as they are. A day that is counted
again later, for whatever reason, is counted without the person.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import pandas as pd

from renku_metrics.deployments import Deployment
from renku_metrics.errors import RenkuMetricsError
from renku_metrics.events.erasure import Erased, user_ids_of
from renku_metrics.pipeline.erased import Clearing, erased_people, remember, state_without_erased
from renku_metrics.pipeline.hash_key import hash_key_of
from renku_metrics.pipeline.locks import SourceName, lock
from renku_metrics.pipeline.pulling import noreply_hosts, source_state
from renku_metrics.pipeline.relinking import BEFORE
from renku_metrics.sources.addresses import AddressBook
from renku_metrics.sources.gitlab.state import GitLabState
from renku_metrics.sources.keycloak_ids import kept_keycloak_id
from renku_metrics.store.store import Partition, Store, batches, partitions_of
from renku_metrics.tables import (
    EVENTS,
    RAW_AMALTHEA_SESSIONS,
    RAW_GITLAB_COMMITS,
    RAW_GITLAB_PROJECTS,
    RAW_GITLAB_PUSHES,
    RAW_GITLAB_USERS,
    RAW_KEYCLOAK_LOGINS,
    RAW_KEYCLOAK_USERS,
    USER_DAYS,
    Table,
)

# Users last: until everything else is done they tell which commits are whose.
SWEPT = (
    RAW_GITLAB_COMMITS,
    RAW_GITLAB_PUSHES,
    RAW_KEYCLOAK_LOGINS,
    RAW_AMALTHEA_SESSIONS,
    EVENTS,
    USER_DAYS,
    RAW_GITLAB_PROJECTS,
    RAW_GITLAB_USERS,
    RAW_KEYCLOAK_USERS,
    *BEFORE.values(),
)
SOURCES: tuple[SourceName, ...] = ("amalthea", "gitlab", "keycloak")
PARTITIONS_AT_ONCE = 60


@dataclass(frozen=True)
class Found:
    """What is stored of erased people under ``name``: rows that are theirs, and rows of others that ``mention`` them.

    ``days`` are the days of the former, sorted; none for what has no day.
    """

    name: str
    rows: int = 0
    mentions: int = 0
    days: tuple[str, ...] = ()


class Erasing:
    """The erasure of the person with these user ids from one deployment."""

    def __init__(self, store: Store, deployment: str, user_ids: frozenset[str]) -> None:
        self.user_ids = user_ids
        self._store = store
        self._deployment = deployment

    def look(self) -> list[Found]:
        """What is stored of the person, and of those whose erasure was begun before and did not come to its end."""
        erased = erased_people(self._store, self._deployment, self.user_ids)
        assert erased is not None
        return list(self._sweep(erased, write=False))

    def erase(self, days: Sequence[str]) -> list[Found]:
        """Removes it, and remembers the person by tombstones and ``days`` as those that lost something.

        Waits for pulls of the deployment that are under way. Killed on the way, it is to be done again.
        """
        with self._alone():
            # First of all, so that no pull brings back what is removed.
            remember(self._store, self._deployment, self.user_ids, days)
            erased = erased_people(self._store, self._deployment)
            assert erased is not None
            return list(self._sweep(erased, write=True))

    @contextmanager
    def _alone(self) -> Iterator[None]:
        store = self._store
        with store.alone(*(lock(self._deployment, source) for source in SOURCES)) as self._store:
            try:
                yield
            finally:
                self._store = store

    def _sweep(self, erased: Erased, *, write: bool) -> Iterator[Found]:
        yield self._sweep_state(erased, write=write)
        clearing = Clearing(self._store, self._deployment, erased)
        for table in SWEPT:
            yield self._sweep_table(clearing, table, write=write)

    def _sweep_table(self, clearing: Clearing, table: Table, *, write: bool) -> Found:
        places = self._store.partitions(table, self._deployment)
        rows = mentions = 0
        days: set[str] = set()
        for some in batches(places, PARTITIONS_AT_ONCE):
            stored = self._store.read_if_there(table, some)
            cleared = clearing.clear(table, stored)
            touched = partitions_of(table, stored[cleared.removed | cleared.stripped])
            if write and touched:
                places_of_rows = pd.MultiIndex.from_frame(cleared.rows[list(table.partitioned_by)])
                self._store.write(table, cleared.rows[places_of_rows.isin(touched)], sorted(touched))
            rows += int(cleared.removed.sum())
            mentions += int(cleared.stripped.sum())
            if "event_day" in stored:
                days.update(stored.loc[cleared.removed, "event_day"])
        return Found(table.name, rows, mentions, tuple(sorted(days)))

    def _sweep_state(self, erased: Erased, *, write: bool) -> Found:
        name = source_state(self._deployment, "gitlab")
        content = self._store.read_state(name)
        if content is None:
            return Found(f"state/{name}")
        state = GitLabState.from_json(content)
        kept = state_without_erased(erased, state)
        rows = _unpushed(state) - _unpushed(kept)
        if write and rows:
            self._store.write_state(name, kept.to_json())
        return Found(f"state/{name}", rows)


def erasing(store: Store, deployment: Deployment, users: Sequence[str], emails: Sequence[str]) -> Erasing:
    """The erasure of the person with these user ids and clear email addresses.

    Raises RenkuMetricsError for an address that is nobody's own, or that several accounts have.
    """
    book = AddressBook(hash_key_of(store), noreply_hosts(deployment))
    whole: list[Partition] = [(deployment.name,)]
    gitlab_users, keycloak_users = (
        store.read_if_there(table, whole) for table in (RAW_GITLAB_USERS, RAW_KEYCLOAK_USERS)
    )
    # Named as Keycloak does, or as the store keeps them.
    given = {user if user.startswith(("gitlab:", "email:")) else kept_keycloak_id(book, user) for user in users}
    for email in emails:
        address = book.read(email)
        if address.kind == "noreply":
            given.add(f"gitlab:{address.gitlab_user_id}")
            continue
        if address.kind != "personal":
            raise RenkuMetricsError("an address given by --email is a tool's or many people's, and nobody's own")
        given.add(f"email:{address.hash}")
        for users_with, column in ((gitlab_users, "gitlab_user_id"), (keycloak_users, "keycloak_id")):
            holders = users_with.loc[[address.hash in held for held in users_with["address_hashes"]], column]
            if len(holders) > 1:
                accounts = ", ".join(f"gitlab:{user}" if column == "gitlab_user_id" else user for user in holders)
                raise RenkuMetricsError(
                    f"{deployment.name}: several accounts have an address given by --email: {accounts}; "
                    "name those of this person by --user"
                )
    found = {known for user_id in given for known in user_ids_of(user_id, gitlab_users, keycloak_users)}
    return Erasing(store, deployment.name, frozenset(found))


def _unpushed(state: GitLabState) -> int:
    return sum(len(project.unpushed) for project in state.projects.values())
