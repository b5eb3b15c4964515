"""What the store remembers of people whose data was erased, and how a pull leaves them out."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection
from dataclasses import dataclass, replace

import orjson
import pandas as pd

from renku_metrics.events.erasure import Cleared, Erased
from renku_metrics.events.links import Identities
from renku_metrics.pipeline.hash_key import hash_key_of
from renku_metrics.sources.addresses import AddressBook
from renku_metrics.sources.gitlab.commits import Commit
from renku_metrics.sources.gitlab.state import GitLabState
from renku_metrics.store.store import Partition, Store
from renku_metrics.tables import (
    RAW_GITLAB_COMMITS,
    RAW_GITLAB_PROJECTS,
    RAW_GITLAB_USERS,
    RAW_KEYCLOAK_USERS,
    Table,
)


@dataclass(frozen=True)
class Remembered:
    """``tombstones`` of user ids, and the ``days`` that lost anything by an erasure."""

    tombstones: frozenset[str] = frozenset()
    days: frozenset[str] = frozenset()


def read_remembered(store: Store, deployment: str) -> Remembered:
    content = store.read_state(_name(deployment))
    if content is None:
        return Remembered()
    known = orjson.loads(content)
    return Remembered(frozenset(known["tombstones"]), frozenset(known["days"]))


def remember(store: Store, deployment: str, user_ids: Collection[str], days: Collection[str]) -> None:
    """Adds the people and the days to what is remembered."""
    known = read_remembered(store, deployment)
    tombstones = known.tombstones | {_book(store).keyed_hash(_text(user_id)) for user_id in user_ids}
    content = {"tombstones": sorted(tombstones), "days": sorted(known.days | set(days))}
    store.write_state(_name(deployment), orjson.dumps(content))


def erased_people(store: Store, deployment: str, also: Collection[str] = ()) -> Erased | None:
    """The erased people of the deployment, together with those whose user ids are given; None if there are none."""
    known = read_remembered(store, deployment).tombstones
    if not known and not also:
        return None
    book = _book(store)
    tombstones = known | {book.keyed_hash(_text(user_id)) for user_id in also}
    return Erased(tombstones, lambda user_id: book.keyed_hash(_text(user_id)))


def erased_days(store: Store, deployment: str) -> frozenset[dt.date]:
    """The days that lost anything by an erasure."""
    return frozenset(dt.date.fromisoformat(day) for day in read_remembered(store, deployment).days)


def without_erased(store: Store, deployment: str, table: Table, rows: pd.DataFrame) -> pd.DataFrame:
    """The rows that a pull may store. Projects and users that commits belong to have to be stored before."""
    erased = erased_people(store, deployment)
    if erased is None or rows.empty:
        return rows
    return Clearing(store, deployment, erased).clear(table, rows.reset_index(drop=True)).rows


class Clearing:
    """Erased people, with what the store knows of users and projects of their deployment at this time."""

    def __init__(self, store: Store, deployment: str, erased: Erased) -> None:
        self._store = store
        self._whole: list[Partition] = [(deployment,)]
        self._erased = erased
        self._known: tuple[pd.DataFrame, Identities] | None = None

    def clear(self, table: Table, rows: pd.DataFrame) -> Cleared:
        if table is not RAW_GITLAB_COMMITS:
            return self._erased.clear(table, rows)
        if self._known is None:
            projects, gitlab_users, keycloak_users = (
                self._store.read_if_there(known, self._whole)
                for known in (RAW_GITLAB_PROJECTS, RAW_GITLAB_USERS, RAW_KEYCLOAK_USERS)
            )
            self._known = projects, Identities(gitlab_users, keycloak_users)
        return self._erased.clear_commits(rows, *self._known)


def state_without_erased(erased: Erased | None, state: GitLabState) -> GitLabState:
    """The state of GitLab's pull without commits of erased people that it would remember."""
    if erased is None:
        return state
    projects = {
        number: replace(project, unpushed=[commit for commit in project.unpushed if not _is_of(erased, commit)])
        for number, project in state.projects.items()
    }
    return replace(state, projects=projects)


def _is_of(erased: Erased, commit: Commit) -> bool:
    users = [number for number in (commit.address.gitlab_user_id, commit.pusher_id) if number is not None]
    own_address = commit.address.kind != "shared" and f"email:{commit.address.hash}" in erased
    return own_address or any(f"gitlab:{number}" in erased for number in users)


def _book(store: Store) -> AddressBook:
    return AddressBook(hash_key_of(store), ())


def _text(user_id: str) -> str:
    # Told apart from any other hash that is made with the key.
    return f"erased {user_id}"


def _name(deployment: str) -> str:
    return f"erased/deployment={deployment}/people.json"
