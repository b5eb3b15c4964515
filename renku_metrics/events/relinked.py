"""Whose commits belong to somebody else since the users of a deployment were pulled again."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from renku_metrics.events.links import Identities


@dataclass(frozen=True)
class Relinked:
    """What decides otherwise by what is known now than by what was known before.

    ``users``: user ids that events carry and some would not carry now. ``addresses``: hashes of addresses whose
    holder is another, which also decides about commits that a push had linked. ``no_bots`` and
    ``no_bot_addresses``: GitLab ids and addresses whose commits made no event and would now.
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
        # A bot may bear the id of the person whose address it has.
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
        """The days of a frame with ``user_id`` and ``event_day`` that somebody else's events are on by now."""
        return set(user_days.loc[user_days["user_id"].isin(self.users), "event_day"])

    def days_of_commits(self, commits: pd.DataFrame) -> set[str]:
        """The days of a frame of RAW_GITLAB_COMMITS on which more is decided than the user ids of events tell."""
        address = commits["author_address_hash"]
        pushed = address.isin(self.addresses) & commits["pusher_id"].notna()
        by_bot = address.isin(self.no_bot_addresses) | commits["author_gitlab_id"].isin(self.no_bots)
        decided = pushed | by_bot | commits["pusher_id"].isin(self.no_bots)
        return set(commits.loc[decided, "event_day"])
