"""Who is who on one deployment: GitLab users, Keycloak users, and the addresses that commits carry."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pandas as pd

from renku_metrics import user_ids
from renku_metrics.tables import USER_LINKS

# The first rule is for logins and sessions. The others are for commits, in this order: the first that holds decides.
KEYCLOAK_LINK, *COMMIT_RULES = USER_LINKS


class Identities:
    """The users of one deployment, from the frames of RAW_GITLAB_USERS and RAW_KEYCLOAK_USERS.

    The result depends neither on the order of the rows nor on the order in which users were learned. An address
    of several users links to none of them. Disabled and deleted users count like any other.
    """

    def __init__(self, gitlab_users: pd.DataFrame, keycloak_users: pd.DataFrame) -> None:
        in_gitlab = _holders(gitlab_users, "gitlab_user_id")
        in_keycloak = _holders(keycloak_users, "keycloak_id")
        self._gitlab_addresses = _sole_holders(in_gitlab).astype("Int64")
        self._keycloak_addresses = _sole_holders(in_keycloak[~in_keycloak["address"].isin(in_gitlab["address"])])
        self.bots = frozenset(gitlab_users.loc[gitlab_users["bot"].astype(bool), "gitlab_user_id"])
        self.gitlab_ids = frozenset(gitlab_users["gitlab_user_id"])
        self.addresses = frozenset(in_gitlab["address"]) | frozenset(in_keycloak["address"])
        self.bot_addresses = frozenset(self._gitlab_addresses[self._gitlab_addresses.isin(self.bots)].index)
        users = gitlab_users.set_index("gitlab_user_id")["keycloak_id"].astype(object)
        by_address = _keycloak_users_by_address(self._gitlab_addresses, in_keycloak)
        self._users = users.fillna(by_address.reindex(users.index)).dropna()

    def of_gitlab_users(self, ids: pd.Series) -> pd.Series:
        """The user id of each GitLab user: the Keycloak id if it is known, else ``gitlab:<id>``."""
        return ids.map(self._users).astype(object).fillna(user_ids.of_each_gitlab(ids))

    def of_addresses(self, hashes: pd.Series) -> pd.Series:
        """The user id of the sole holder of each address, else ``email:<hash>``."""
        holders = hashes.map(self._gitlab_addresses).astype("Int64")
        in_gitlab = self.of_gitlab_users(holders).where(holders.notna())
        in_keycloak = hashes.map(self._keycloak_addresses).astype(object)
        return in_gitlab.fillna(in_keycloak).fillna(user_ids.of_each_address(hashes))

    def link_commits(self, commits: pd.DataFrame, copies: pd.DataFrame) -> pd.DataFrame:
        """``user_id``, ``user_link`` (a rule of COMMIT_RULES) and ``bot`` for each commit, on the same index.

        ``copies``: the rows of the same commits in every project that is not younger. All pushes of a commit must name
        the same user. Both are frames of RAW_GITLAB_COMMITS. A commit with a shared address has no user if no push
        names one.
        """
        owners = _own_addresses(commits).map(self._gitlab_addresses).astype("Int64")
        linked = pd.DataFrame({"user_id": None, "user_link": None}, index=commits.index, dtype=object)
        rules: dict[str, Callable[[pd.DataFrame], pd.Series]] = {
            "noreply": lambda left: self.of_gitlab_users(left["author_gitlab_id"]),
            "gitlab_address": lambda left: self.of_gitlab_users(owners[left.index]),
            "keycloak_address": lambda left: _own_addresses(left).map(self._keycloak_addresses),
            "push": lambda left: self.of_gitlab_users(self._pushers(left, copies)),
            "address_hash": lambda left: user_ids.of_each_address(_own_addresses(left)),
        }
        for rule in COMMIT_RULES:
            found = rules[rule](commits[linked["user_id"].isna()]).dropna()
            linked.loc[found.index, "user_id"] = found.astype(object)
            linked.loc[found.index, "user_link"] = rule
        linked["bot"] = commits["author_gitlab_id"].fillna(owners).isin(self.bots)
        return linked

    def _pushers(self, commits: pd.DataFrame, copies: pd.DataFrame) -> pd.Series:
        # A merge may push somebody else's commit into another project, so two pushers say nothing. Nor does a push that
        # mixes addresses, such as one of a mirror: docs/sources/gitlab.md#mirrors-and-deploy-keys-push-in-anothers-name
        of_one_address = copies["push_addresses"].eq(1).fillna(value=False)
        pushes = copies[of_one_address & copies["pusher_id"].notna() & ~copies["pusher_id"].isin(self.bots)]
        pushers = pushes[["event_day", "sha", "pusher_id"]].drop_duplicates()
        pushers = pushers[~pushers.duplicated(["event_day", "sha"], keep=False)]
        found = commits[["event_day", "sha"]].merge(pushers, on=["event_day", "sha"], how="left")
        return found["pusher_id"].set_axis(commits.index).astype("Int64")


def _own_addresses(commits: pd.DataFrame) -> pd.Series:
    """The address hash of each author; missing if the address is shared."""
    return commits["author_address_hash"].where(commits["author_address_kind"].ne("shared"))


def _holders(users: pd.DataFrame, user: str) -> pd.DataFrame:
    """One row per ``address`` and ``holder``."""
    held = users[["address_hashes", user]].explode("address_hashes").dropna().drop_duplicates()
    return held.set_axis(["address", "holder"], axis="columns")


def _sole_holders(holders: pd.DataFrame) -> pd.Series:
    """The holder of each address that has only one."""
    return holders[~holders["address"].duplicated(keep=False)].set_index("address")["holder"]


def _keycloak_users_by_address(gitlab_addresses: pd.Series, in_keycloak: pd.DataFrame) -> pd.Series:
    """The Keycloak id of each GitLab user who shares an address with exactly one Keycloak user."""
    gitlab = gitlab_addresses.rename("gitlab_user_id").reset_index()
    pairs = gitlab.merge(in_keycloak, on="address")[["gitlab_user_id", "holder"]].drop_duplicates()
    return pairs[~pairs["gitlab_user_id"].duplicated(keep=False)].set_index("gitlab_user_id")["holder"]


@dataclass(frozen=True)
class Relinked:
    """What is linked in another way now than before, because more is known about users.

    ``users``: user ids of events, some of which would get another one now. ``addresses``: hashes of addresses that have
    another holder now; they also matter for commits that a push linked. ``no_bots`` and ``no_bot_addresses``: GitLab
    ids and addresses that no longer belong to a bot, so their commits would make events now.
    """

    users: frozenset[str]
    addresses: frozenset[str]
    no_bots: frozenset[int]
    no_bot_addresses: frozenset[str]

    @classmethod
    def between(cls, before: Identities, after: Identities) -> Relinked:
        ids = pd.Series(sorted(before.gitlab_ids | after.gitlab_ids), dtype="Int64")
        addresses = pd.Series(sorted(before.addresses | after.addresses), dtype="str")
        of_ids, of_addresses = before.of_gitlab_users(ids), before.of_addresses(addresses)
        other_user = of_ids.ne(after.of_gitlab_users(ids)) | ids.isin(before.bots ^ after.bots)
        # A bot can have the user id of a person, if it has an address of that person.
        other_bot = addresses.isin(before.bot_addresses ^ after.bot_addresses)
        other_holder = of_addresses.ne(after.of_addresses(addresses)) | other_bot
        return cls(
            users=frozenset(of_ids[other_user]) | frozenset(of_addresses[other_holder]),
            addresses=frozenset(addresses[other_holder]),
            no_bots=before.bots - after.bots,
            no_bot_addresses=before.bot_addresses - after.bot_addresses,
        )

    @property
    def concerns_commits_without_event(self) -> bool:
        return bool(self.no_bots or self.no_bot_addresses)

    def days_of_events(self, user_days: pd.DataFrame) -> set[str]:
        """The days on which an event may belong to somebody else now. Takes ``user_id`` and ``event_day``."""
        return set(user_days.loc[user_days["user_id"].isin(self.users), "event_day"])

    def days_of_commits(self, commits: pd.DataFrame) -> set[str]:
        """The days that ``days_of_events`` cannot find, from RAW_GITLAB_COMMITS: pushed commits and former bots."""
        address = commits["author_address_hash"]
        pushed = address.isin(self.addresses) & commits["pusher_id"].notna()
        by_bot = address.isin(self.no_bot_addresses) | commits["author_gitlab_id"].isin(self.no_bots)
        decided = pushed | by_bot | commits["pusher_id"].isin(self.no_bots)
        return set(commits.loc[decided, "event_day"])
