"""What may be kept of a commit that GitLab tells of."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

import pandas as pd

from renku_metrics.sources.addresses import Address
from renku_metrics.sources.gitlab.client import Json
from renku_metrics.sources.gitlab.renku_commits import RenkuMessage, is_renku_committer, read_message
from renku_metrics.tables import RAW_GITLAB_COMMITS

# Raise it if the same address, message or committer is read differently (addresses.py, renku_commits.py). The next
# reconciliation then corrects what older readers read.
READER_VERSION = 1
# These replace dates outside Python's calendar, because git takes any number of seconds.
# docs/sources/gitlab.md#commit-dates-are-the-clients
LONG_AGO = dt.datetime(1, 1, 1, tzinfo=dt.UTC)
FAR_AHEAD = dt.datetime(9999, 12, 31, tzinfo=dt.UTC)


# Slots save memory: a pull can hold hundreds of thousands of commits at once.
@dataclass(slots=True)
class Commit:
    """A commit without anything personal in clear. ``seen_at``: when the pull began that first saw it."""

    sha: str
    parents: list[str]
    dated_at: dt.datetime
    seen_at: dt.datetime
    address: Address
    message: RenkuMessage
    renku_committer: bool
    read_by: int
    pusher_id: int | None = None
    push_addresses: int | None = None

    @property
    def event_day(self) -> str:
        return self.dated_at.date().isoformat()


def read_commit(
    commit: Json,
    read_address: Callable[[str | None], Address],
    dated_at: Callable[[str, dt.datetime], dt.datetime],
    seen_at: dt.datetime,
    domains: Collection[str],
) -> Commit:
    """What is kept of GitLab's JSON.

    ``dated_at``: tells when a commit counts as made, given its sha and its committed date (UTC). ``domains``: those of
    this deployment.
    """
    sha = commit["id"]
    by_renku = is_renku_committer(commit["committer_name"] or "", commit["committer_email"] or "")
    return Commit(
        sha,
        commit["parent_ids"],
        dated_at(sha, committed_at(commit["committed_date"])),
        seen_at,
        read_address(commit["author_email"]),
        read_message(commit["message"] or "", by_renku=by_renku, domains=domains),
        by_renku,
        READER_VERSION,
    )


def committed_at(text: str) -> dt.datetime:
    """The committed date, UTC; LONG_AGO or FAR_AHEAD if its year is not within 1 to 9999."""
    try:
        return dt.datetime.fromisoformat(text).astimezone(dt.UTC)
    except (ValueError, OverflowError):
        return LONG_AGO if text.startswith(("-", "0")) else FAR_AHEAD


def commits_frame(deployment: str, found: Sequence[tuple[int, Commit]]) -> pd.DataFrame:
    """A frame of RAW_GITLAB_COMMITS: one row per commit, with the project it was found in."""
    commits = [commit for _, commit in found]
    addresses, messages = [commit.address for commit in commits], [commit.message for commit in commits]
    return RAW_GITLAB_COMMITS.frame_of_columns(
        {
            "deployment": [deployment] * len(commits),
            "event_day": [commit.event_day for commit in commits],
            "project_id": [project_id for project_id, _ in found],
            "sha": [commit.sha for commit in commits],
            "dated_at": [commit.dated_at for commit in commits],
            "parent_count": [len(commit.parents) for commit in commits],
            "author_address_hash": [address.hash for address in addresses],
            "author_address_kind": [address.kind for address in addresses],
            "author_gitlab_id": [address.gitlab_user_id for address in addresses],
            "renku_surface": [message.surface for message in messages],
            "renku_command": [message.command for message in messages],
            "renku_options": [message.options for message in messages],
            "renku_helper": [message.helper for message in messages],
            "renku_committer": [commit.renku_committer for commit in commits],
            "autosave": [message.autosave for message in messages],
            "read_by": [commit.read_by for commit in commits],
            "pusher_id": [commit.pusher_id for commit in commits],
            "push_addresses": [commit.push_addresses for commit in commits],
            "pulled_at": [commit.seen_at for commit in commits],
        }
    )
