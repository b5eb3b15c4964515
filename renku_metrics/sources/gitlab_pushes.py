"""Push events of one project, and which push brought which commit."""

from __future__ import annotations

import datetime as dt
import heapq
from collections.abc import Iterable, Mapping
from typing import Any

from renku_metrics.periods import ONE_DAY
from renku_metrics.sources.gitlab_client import GitLabClient
from renku_metrics.sources.gitlab_commits import Row

# Events are asked for by whole days of the server's own time zone, and come a moment after their push.
OVERLAP = 2 * ONE_DAY


def read_pushes(
    client: GitLabClient, deployment: str, project_id: int, until: str | None, pulled_at: dt.datetime
) -> list[Row]:
    """Rows of RAW_GITLAB_PUSHES for every push event since ``until`` (ISO time), or ever."""
    query = {"action": "pushed", "sort": "asc"}
    if until is not None:
        query["after"] = (dt.datetime.fromisoformat(until) - OVERLAP).date().isoformat()
    rows = []
    for page in client.pages(f"/projects/{project_id}/events", query):
        for event in page:
            push: dict[str, Any] = event.get("push_data") or {}
            at = dt.datetime.fromisoformat(event["created_at"]).astimezone(dt.UTC)
            rows.append(
                {
                    "deployment": deployment,
                    "event_day": at.date().isoformat(),
                    "push_id": event["id"],
                    "project_id": project_id,
                    "gitlab_user_id": event["author_id"],
                    "pushed_at": at,
                    "action": push.get("action"),
                    "ref_type": push.get("ref_type"),
                    "commit_count": push.get("commit_count"),
                    "commit_from": push.get("commit_from"),
                    "commit_to": push.get("commit_to"),
                    "pulled_at": pulled_at,
                }
            )
    return rows


def attribute(commits: Mapping[str, Row], pushes: Iterable[Row]) -> set[str]:
    """Writes the pusher into the commits that a push certainly brought, each the earliest; returns their shas.

    The commits of a push are the first ``commit_count`` in git's order from ``commit_to`` that no earlier push
    brought and that ``commit_from`` does not hold. It is certain only when that many are known.
    """
    brought: set[str] = set()
    for push in sorted(pushes, key=lambda push: (push["pushed_at"], push["push_id"])):
        count, head = push["commit_count"], push["commit_to"]
        if not count or head not in commits or head in brought:
            continue
        found = _first(commits, head, count, brought | _held_by(commits, push["commit_from"], head))
        if len(found) != count:
            continue
        addresses = len({commits[sha]["author_address_hash"] for sha in found})
        for sha in found:
            commits[sha]["pusher_id"] = push["gitlab_user_id"]
            commits[sha]["push_addresses"] = addresses
        brought.update(found)
    return brought


def _first(commits: Mapping[str, Row], head: str, count: int, without: set[str]) -> list[str]:
    """Up to ``count`` commits from the head, youngest first, as git lists them."""
    found: list[str] = []
    seen = {head}
    waiting = [(-commits[head]["dated_at"].timestamp(), head)]
    while waiting and len(found) < count:
        _, sha = heapq.heappop(waiting)
        found.append(sha)
        for parent in commits[sha]["parents"]:
            if parent in commits and parent not in seen and parent not in without:
                seen.add(parent)
                heapq.heappush(waiting, (-commits[parent]["dated_at"].timestamp(), parent))
    return found


def _held_by(commits: Mapping[str, Row], base: str | None, head: str) -> set[str]:
    """The commits reachable from the base, as far as they are known and a walk from the head could meet them."""
    if base is None:
        return set()
    held = {base}
    # Only a merge leads round the base.
    if not _meets_merge(commits, head, base):
        return held
    waiting = [base] if base in commits else []
    while waiting:
        for parent in commits[waiting.pop()]["parents"]:
            if parent in commits and parent not in held:
                held.add(parent)
                waiting.append(parent)
    return held


def _meets_merge(commits: Mapping[str, Row], head: str, base: str) -> bool:
    sha = head
    while sha in commits and sha != base:
        parents = commits[sha]["parents"]
        if len(parents) > 1:
            return True
        if not parents:
            return False
        sha = parents[0]
    return False
