"""People who asked to be erased: whose ids are theirs, and what may stay of a table without them.

They are known by tombstones alone, which are keyed hashes of their user ids; so whoever reads them learns nothing,
and a pull can still tell whom it must not bring back. User ids are written as in events: a Keycloak id,
``gitlab:<id>`` or ``email:<hash>``.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

import pandas as pd

from renku_metrics.events.cleaning import clean_commits
from renku_metrics.events.links import Identities
from renku_metrics.tables import (
    EVENTS,
    RAW_AMALTHEA_SESSIONS,
    RAW_GITLAB_PROJECTS,
    RAW_GITLAB_PUSHES,
    RAW_GITLAB_USERS,
    RAW_KEYCLOAK_LOGINS,
    RAW_KEYCLOAK_USERS,
    USER_DAYS,
    Table,
)

SESSION = ["namespace", "session_uid"]
COMMIT = ["event_day", "sha"]


def user_ids_of(user_id: str, gitlab_users: pd.DataFrame, keycloak_users: pd.DataFrame) -> set[str]:
    """Every user id of the person whom the given one belongs to, by frames of RAW_GITLAB_USERS and RAW_KEYCLOAK_USERS.

    An address that is another account's as well is not theirs alone, and left out.
    """
    identities = Identities(gitlab_users, keycloak_users)
    kind, _, rest = user_id.partition(":")
    person = user_id
    if kind == "gitlab":
        person = identities.of_gitlab_users(pd.Series([int(rest)], dtype="Int64")).iloc[0]
    elif kind == "email":
        person = identities.of_addresses(pd.Series([rest], dtype=object)).iloc[0]
    in_gitlab = gitlab_users[identities.of_gitlab_users(gitlab_users["gitlab_user_id"]) == person]
    in_keycloak = keycloak_users[keycloak_users["keycloak_id"] == person]
    held = pd.concat([in_gitlab["address_hashes"], in_keycloak["address_hashes"]]).explode().dropna().drop_duplicates()
    own = held[identities.of_addresses(held) == person]
    return {user_id, person, *_gitlab(in_gitlab["gitlab_user_id"]), *_email(own)}


@dataclass(frozen=True)
class Cleared:
    """``rows``: what may stay of a frame. On the frame's own index, ``removed``: the rows that may not;
    ``stripped``: those that stay without what they said of an erased person.
    """

    rows: pd.DataFrame
    removed: pd.Series
    stripped: pd.Series


class Erased:
    """The erased people of one deployment; ``tombstone`` makes the keyed hash of a user id."""

    def __init__(self, tombstones: Collection[str], tombstone: Callable[[str], str]) -> None:
        self._tombstones = frozenset(tombstones)
        self._tombstone = tombstone

    def __contains__(self, user_id: str) -> bool:
        return self._tombstone(user_id) in self._tombstones

    def clear(self, table: Table, frame: pd.DataFrame) -> Cleared:
        """What may stay of any table but RAW_GITLAB_COMMITS."""
        if table is RAW_GITLAB_PROJECTS:
            created = self._of(_gitlab(frame["creator_id"]))
            # A person's own namespace names them as well as their account does.
            own_namespace = created & frame["namespace_kind"].eq("user").fillna(value=False).astype(bool)
            return _cleared(frame, _none(frame), {"creator_id": created, "namespace_id": own_namespace})
        if table.name in (RAW_GITLAB_USERS.name, RAW_KEYCLOAK_USERS.name):
            removed = self._of(frame["keycloak_id"])
            if table.name == RAW_GITLAB_USERS.name:
                removed |= self._of(_gitlab(frame["gitlab_user_id"]))
            return self._without_addresses(frame, removed)
        if table is RAW_GITLAB_PUSHES:
            return _cleared(frame, self._of(_gitlab(frame["gitlab_user_id"])))
        if table is RAW_KEYCLOAK_LOGINS:
            return _cleared(frame, self._of(frame["keycloak_id"]))
        if table is RAW_AMALTHEA_SESSIONS:
            # Lines that lost their labels are of the same session.
            sessions = pd.MultiIndex.from_frame(frame[SESSION])
            return _cleared(frame, _isin(sessions, self._of(frame["keycloak_id"])))
        if table in (EVENTS, USER_DAYS):
            return _cleared(frame, self._of(frame["user_id"]))
        raise ValueError(f"{table.name} holds nothing that is known to be a person's")

    def clear_commits(self, commits: pd.DataFrame, projects: pd.DataFrame, identities: Identities) -> Cleared:
        """What may stay of RAW_GITLAB_COMMITS: the commits that the rules of events link to somebody else.

        Of these the push is forgotten where an erased person made it.
        """
        address = _email(commits["author_address_hash"].where(commits["author_address_kind"].ne("shared")))
        written = self._of(_gitlab(commits["author_gitlab_id"])) | self._of(address)
        clean = clean_commits(commits, projects)
        linked = self._of(identities.link_commits(clean.commits, clean.copies)["user_id"])
        same_commit = pd.MultiIndex.from_frame(commits[COMMIT])
        removed = _isin(same_commit, written | linked.reindex(commits.index, fill_value=False))
        # In every project: a push that is left must not pass for the only one.
        pushed = _isin(same_commit, self._of(_gitlab(commits["pusher_id"])))
        return _cleared(commits, removed, {"pusher_id": pushed, "push_addresses": pushed})

    def _without_addresses(self, frame: pd.DataFrame, removed: pd.Series) -> Cleared:
        held = frame["address_hashes"].explode().dropna()
        erased = frozenset(held[self._of(_email(held))])
        kept = [[own for own in hashes if own not in erased] for hashes in frame["address_hashes"]]
        shorter = frame["address_hashes"].map(len) > pd.Series(map(len, kept), index=frame.index, dtype="int64")
        rows = frame.assign(address_hashes=pd.Series(kept, index=frame.index, dtype=object))
        return Cleared(rows[~removed], removed, shorter & ~removed)

    def _of(self, user_ids: pd.Series) -> pd.Series:
        """Whether each of the user ids is an erased person's; a missing one is nobody's."""
        known = {user_id: user_id in self for user_id in user_ids.dropna().unique()}
        return pd.Series([known.get(user_id, False) for user_id in user_ids], index=user_ids.index, dtype=bool)


def _cleared(frame: pd.DataFrame, removed: pd.Series, emptied: dict[str, pd.Series] | None = None) -> Cleared:
    """Without the rows removed, and with no value in the columns and rows to be ``emptied``."""
    rows = frame[~removed].copy()
    stripped = _none(frame)
    for column, where in (emptied or {}).items():
        there = where & ~removed & frame[column].notna()
        rows.loc[there[~removed], column] = pd.NA
        stripped |= there
    return Cleared(rows, removed, stripped)


def _isin(groups: pd.MultiIndex, rows: pd.Series) -> pd.Series:
    """The rows of every group that has one of the given rows."""
    return pd.Series(groups.isin(groups[rows.to_numpy()]), index=rows.index, dtype=bool)


def _none(frame: pd.DataFrame) -> pd.Series:
    return pd.Series(data=False, index=frame.index, dtype=bool)


def _gitlab(ids: pd.Series) -> pd.Series:
    return ("gitlab:" + ids.astype("Int64").astype("str")).where(ids.notna()).astype(object)


def _email(hashes: pd.Series) -> pd.Series:
    return ("email:" + hashes.astype("str")).where(hashes.notna()).astype(object)
