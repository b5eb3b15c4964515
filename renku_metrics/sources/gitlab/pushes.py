"""Push events of one project, and which push brought which commit."""

from __future__ import annotations

import datetime as dt
import heapq
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any

from renku_metrics.periods import ONE_DAY
from renku_metrics.sources.gitlab.branches import UNREADABLE
from renku_metrics.sources.gitlab.client import GitLabClient, Json
from renku_metrics.sources.gitlab.commits import Commit

# GitLab takes only whole days of its own time zone, and an event comes a moment after its push.
# docs/sources/gitlab.md#push-events-are-asked-for-by-days-of-the-server
PUSHES_OVERLAP = 2 * ONE_DAY
LONGEST_PULL = dt.timedelta(hours=6)
# So many commits beyond its own are looked at for one push. Only branches that parted very long ago have more between.
LONGEST_WALK = 2_000

Row = dict[str, Any]


def read_pushes(
    client: GitLabClient, deployment: str, project_id: int, until: dt.datetime | None, pulled_at: dt.datetime
) -> list[Row]:
    """Rows of RAW_GITLAB_PUSHES: one per push event since ``until``, or of all time if it is None.

    Events that cannot be read are left out. Raises RefusedError if GitLab does not tell of this project's events.
    """
    query = {"action": "pushed", "sort": "asc"}
    if until is not None:
        query["after"] = (until - PUSHES_OVERLAP).date().isoformat()
    rows = []
    for page in client.pages(f"/projects/{project_id}/events", query):
        for event in page:
            # Push events only serve linking, so an event that is left out costs at most a pusher.
            with suppress(*UNREADABLE):
                rows.append(
                    {"deployment": deployment, "project_id": project_id, "pulled_at": pulled_at} | _of_event(event)
                )
    return rows


def _of_event(event: Json) -> Row:
    push: dict[str, Any] = event.get("push_data") or {}
    at = dt.datetime.fromisoformat(event["created_at"]).astimezone(dt.UTC)
    return {
        "event_day": at.date().isoformat(),
        "push_id": int(event["id"]),
        "gitlab_user_id": event.get("author_id"),
        "pushed_at": at,
        "action": push.get("action"),
        "ref_type": push.get("ref_type"),
        "commit_count": push.get("commit_count"),
        "commit_from": push.get("commit_from"),
        "commit_to": push.get("commit_to"),
    }


def attribute(commits: Mapping[str, Commit], pushes: Iterable[Row]) -> set[str]:
    """Writes the pusher into the commits that a push certainly brought; returns their shas.

    ``commits`` may be a part of the history. GitLab counts the commits that the head of a push holds and its base does
    not (docs/sources/gitlab.md#what-commit_count-counts). A push is certain if exactly so many are found. It brought
    those of them that no earlier push shows.
    """
    brought: set[str] = set()
    there: set[str] = set()
    for push in sorted(pushes, key=lambda push: (push["pushed_at"], push["push_id"])):
        count, head, base = push["commit_count"], push["commit_to"], push["commit_from"]
        if count and head in commits:
            carried = _in_a_row(commits, head, count) or _beside(commits, head, base, count)
            addresses = len({commits[sha].address.hash for sha in carried})
            for sha in carried:
                # A push cannot have brought a commit that a pull before it saw.
                if sha not in there and push["pushed_at"] <= commits[sha].seen_at + LONGEST_PULL:
                    commits[sha].pusher_id = push["gitlab_user_id"]
                    commits[sha].push_addresses = addresses
                    brought.add(sha)
        _add_history(commits, there, [head, base])
    return brought


def _add_history(commits: Mapping[str, Commit], there: set[str], heads: Iterable[str | None]) -> None:
    """Adds the heads and all their known ancestors."""
    ahead = [head for head in heads if head is not None]
    while ahead:
        sha = ahead.pop()
        if sha in commits and sha not in there:
            there.add(sha)
            ahead.extend(commits[sha].parents)


def _in_a_row(commits: Mapping[str, Commit], head: str, count: int) -> list[str]:
    """The ``count`` commits from the head on if each but the last has one parent, else none.

    Then the push can have held no other commits, whatever its base was.
    """
    row = [head]
    while len(row) < count:
        parents = commits[row[-1]].parents
        if len(parents) != 1 or parents[0] not in commits:
            return []
        row.append(parents[0])
    return row


def _beside(commits: Mapping[str, Commit], head: str, base: str | None, count: int) -> list[str]:
    """The known commits that the head holds and the base does not, if there are ``count`` of them; else none."""
    # Youngest first, like git. The base's commits are painted on the way, until only painted ones are left to look at.
    painted = {head: False}
    if base is not None and base in commits:
        painted[base] = True
    waiting = [(-commits[sha].dated_at.timestamp(), sha) for sha in painted]
    heapq.heapify(waiting)
    unpainted = {head}
    for _ in range(LONGEST_WALK + count):
        if not unpainted:
            break
        _, sha = heapq.heappop(waiting)
        unpainted.discard(sha)
        for parent in commits[sha].parents:
            already = painted.get(parent)
            if parent not in commits or already is True or already is painted[sha]:
                continue
            painted[parent] = painted[sha]
            (unpainted.discard if painted[sha] else unpainted.add)(parent)
            heapq.heappush(waiting, (-commits[parent].dated_at.timestamp(), parent))
    found = [sha for sha, is_painted in painted.items() if not is_painted]
    return found if not unpainted and len(found) == count else []
