"""People who asked to be erased: which ids are theirs, and what may stay of a table without them.

Only tombstones of them are kept: keyed hashes of their user ids. A reader of tombstones learns nothing, but a pull can
tell whom it must not bring back. User ids are written as in events: a Keycloak id, ``gitlab:<id>`` or ``email:<hash>``.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

import pandas as pd

from renku_metrics import user_ids
from renku_metrics.events.cleaning import clean_commits
from renku_metrics.events.links import Identities
from renku_metrics.schema import STRINGS, Column, Table
from renku_metrics.tables import RAW_GITLAB_COMMITS


def user_ids_of(user_id: str, gitlab_users: pd.DataFrame, keycloak_users: pd.DataFrame) -> set[str]:
    """Every user id of the person who has the given one. Takes frames of RAW_GITLAB_USERS and RAW_KEYCLOAK_USERS.

    An address that another account has too is left out, because it is not theirs alone.
    """
    identities = Identities(gitlab_users, keycloak_users)
    person = user_id
    if user_ids.is_of_gitlab(user_id):
        person = identities.of_gitlab_users(pd.Series([user_ids.gitlab_number(user_id)], dtype="Int64")).iloc[0]
    elif user_ids.is_of_address(user_id):
        person = identities.of_addresses(pd.Series([user_ids.address_hash(user_id)], dtype=object)).iloc[0]
    in_gitlab = gitlab_users[identities.of_gitlab_users(gitlab_users["gitlab_user_id"]) == person]
    in_keycloak = keycloak_users[keycloak_users["keycloak_id"] == person]
    held = pd.concat([in_gitlab["address_hashes"], in_keycloak["address_hashes"]]).explode().dropna().drop_duplicates()
    own = held[identities.of_addresses(held) == person]
    accounts = user_ids.of_each_gitlab(in_gitlab["gitlab_user_id"])
    return {user_id, person, *accounts, *user_ids.of_each_address(own)}


@dataclass(frozen=True)
class Cleared:
    """``rows``: what may stay of a frame. The others mark rows of the frame, on its index. ``removed``: those that may
    not stay. ``stripped``: those that stay without what they said about an erased person.
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
        """What may stay of a table. The table declares which of its columns name people."""
        return self._clear(table, frame, _none(frame))

    def clear_commits(self, commits: pd.DataFrame, projects: pd.DataFrame, identities: Identities) -> Cleared:
        """What may stay of RAW_GITLAB_COMMITS: the commits that the rules of events link to somebody else.

        If an erased person pushed one of these, the push is removed from it.
        """
        clean = clean_commits(commits, projects)
        linked = self._of(identities.link_commits(clean.commits, clean.copies)["user_id"])
        return self._clear(RAW_GITLAB_COMMITS, commits, linked.reindex(commits.index, fill_value=False))

    def _clear(self, table: Table, frame: pd.DataFrame, removed: pd.Series) -> Cleared:
        thing = list(table.one_thing)
        emptied: dict[str, pd.Series] = {}
        rows = frame
        stripped = _none(frame)
        for column in table.personal:
            if column.type == STRINGS:
                rows, shorter = self._without_items(rows, column)
                stripped |= shorter
                continue
            theirs = self._of(_user_ids(column, frame)) & ~_excepted(column, frame)
            if column.emptied:
                emptied[column.name] = theirs
            else:
                removed = removed | theirs
        if thing:
            of_thing = pd.MultiIndex.from_frame(frame[thing])
            removed = _isin(of_thing, removed)
            # In every project, because a push that is left would look like the only one.
            emptied = {name: _isin(of_thing, theirs) for name, theirs in emptied.items()}
        for column in table.columns:
            where = emptied.get(column.emptied_with or column.name)
            if where is None:
                continue
            there = where & ~removed & ~_excepted(column, frame) & frame[column.name].notna()
            rows = rows.assign(**{column.name: rows[column.name].mask(there, pd.NA)})
            stripped |= there
        return Cleared(rows[~removed], removed, stripped & ~removed)

    def _without_items(self, frame: pd.DataFrame, column: Column) -> tuple[pd.DataFrame, pd.Series]:
        held = frame[column.name].explode().dropna()
        erased = frozenset(held[self._of(user_ids.of_each_address(held))])
        kept = [[own for own in items if own not in erased] for items in frame[column.name]]
        shorter = frame[column.name].map(len) > pd.Series(map(len, kept), index=frame.index, dtype="int64")
        return frame.assign(**{column.name: pd.Series(kept, index=frame.index, dtype=object)}), shorter

    def _of(self, users: pd.Series) -> pd.Series:
        """Whether each user id belongs to an erased person. A missing one belongs to nobody."""
        known = {user: user in self for user in users.dropna().unique()}
        return pd.Series([known.get(user, False) for user in users], index=users.index, dtype=bool)


def _user_ids(column: Column, frame: pd.DataFrame) -> pd.Series:
    """The user ids, as in events, of the people whom the column names."""
    values = frame[column.name]
    if column.person == "gitlab":
        return user_ids.of_each_gitlab(values)
    return user_ids.of_each_address(values) if column.person == "address" else values


def _excepted(column: Column, frame: pd.DataFrame) -> pd.Series:
    """The rows in which the column names nobody."""
    if column.unless is None:
        return _none(frame)
    other, value = column.unless
    return frame[other].eq(value).fillna(value=False).astype(bool)


def _isin(groups: pd.MultiIndex, rows: pd.Series) -> pd.Series:
    """The rows of every group that has at least one of the given rows."""
    return pd.Series(groups.isin(groups[rows.to_numpy()]), index=rows.index, dtype=bool)


def _none(frame: pd.DataFrame) -> pd.Series:
    return pd.Series(data=False, index=frame.index, dtype=bool)
