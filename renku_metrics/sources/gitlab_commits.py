"""The commits of one project by its moved branch heads: listed as revision ranges pinned to commit ids.

Never by date (git hides commits behind an older date), and never with ``all=true`` (GitLab repeats its first page,
gitlab-org/gitlab#586997).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from renku_metrics.sources.addresses import AddressBook
from renku_metrics.sources.gitlab_client import PAGE, GitLabClient, Json, RefusedError
from renku_metrics.sources.gitlab_state import ProjectState
from renku_metrics.sources.renku_commits import is_renku_committer, read_message

# A row of RAW_GITLAB_COMMITS, with the commit's parents beside it.
Row = dict[str, Any]


class UnreadError(Exception):
    """The project could not be read whole; its message says why."""


@dataclass(frozen=True)
class Branches:
    """The branches of a project by the keyed hash of their name; ``merged`` ones are within the default branch."""

    heads: dict[str, str]
    default: str | None
    merged: frozenset[str]


def read_branches(client: GitLabClient, book: AddressBook, project_id: int) -> Branches | None:
    """The branches of a project; None when it has no repository, a disabled one, or is gone.

    Raises UnreadError when GitLab refuses for any other reason.
    """
    heads: dict[str, str] = {}
    default: str | None = None
    merged = set()
    try:
        for page in client.pages(f"/projects/{project_id}/repository/branches", {}):
            for branch in page:
                # Names of autosave branches hold user names.
                key = book.keyed_hash(branch["name"])[:16]
                heads[key] = branch["commit"]["id"]
                if branch["default"]:
                    default = key
                if branch["merged"]:
                    merged.add(key)
    except RefusedError as error:
        if error.status in (403, 404) and _has_nothing_to_read(client, project_id):
            return None
        raise UnreadError(f"branches refused with status {error.status}") from None
    return Branches(heads, default, frozenset(merged))


def new_commits(client: GitLabClient, project_id: int, known: ProjectState, branches: Branches) -> Iterator[Json]:
    """Every commit reachable from a head that moved and from none of the known ones; some come more than once.

    Raises UnreadError when a head vanished or a listing cannot be trusted.
    """
    stored = set(known.heads.values())
    default_head = branches.heads.get(branches.default) if branches.default else None
    order = sorted(branches.heads, key=lambda key: key != branches.default)
    for key in order:
        head = branches.heads[key]
        if head in stored:
            continue
        if key == branches.default:
            base = known.heads.get(key) or known.default_head
        elif key in branches.merged:
            continue
        else:
            base = known.heads.get(key) or default_head
        stored.add(head)
        yield from _since(client, project_id, base, head, fallback=None if key == branches.default else default_head)


def _since(client: GitLabClient, project_id: int, base: str | None, head: str, fallback: str | None) -> Iterator[Json]:
    """The commits of ``base..head``; where the base is gone, those of ``fallback..head`` or all of head."""
    if base is not None:
        found = False
        for commit in _listing(client, project_id, f"{base}..{head}"):
            found = True
            yield commit
        # GitLab answers a range from a commit that is gone with an empty list, like one with nothing new in it.
        if found or _exists(client, project_id, base):
            return
        if fallback not in (None, base):
            yield from _since(client, project_id, fallback, head, fallback=None)
            return
    empty = True
    for commit in _listing(client, project_id, head):
        empty = False
        yield commit
    if empty:
        raise UnreadError("a head vanished while it was read")


def _listing(client: GitLabClient, project_id: int, revision: str) -> Iterator[Json]:
    listed: set[str] = set()
    boundary: set[str] = set()
    path = f"/projects/{project_id}/repository/commits"
    try:
        for page in client.pages(path, {"ref_name": revision}):
            if page and page[0]["id"] in listed:
                raise UnreadError("GitLab gave the same page of commits twice")
            for commit in page:
                listed.add(commit["id"])
                boundary.update(commit["parent_ids"])
                yield commit
            # GitLab announces a next page after every full one; a whole history that is closed needs none.
            if len(page) < PAGE or boundary <= listed:
                return
    except RefusedError as error:
        if error.status in (400, 404):
            return
        raise UnreadError(f"commits refused with status {error.status}") from None


def _exists(client: GitLabClient, project_id: int, sha: str) -> bool:
    try:
        client.get(f"/projects/{project_id}/repository/commits/{sha}", {"stats": "false"})
    except RefusedError as error:
        if error.status in (400, 404):
            return False
        raise UnreadError(f"commit refused with status {error.status}") from None
    return True


def _has_nothing_to_read(client: GitLabClient, project_id: int) -> bool:
    """Whether the project is gone, or has no repository that anybody could have committed to."""
    try:
        project = client.get(f"/projects/{project_id}")
    except RefusedError as error:
        return error.status == 404
    return bool(project.get("empty_repo")) or project.get("repository_access_level") == "disabled"


def rows_of(
    commits: Iterable[Json],
    deployment: str,
    project_id: int,
    book: AddressBook,
    dated_at: Callable[[str, dt.datetime], dt.datetime],
    pulled_at: dt.datetime,
) -> dict[str, Row]:
    """What may be kept of each commit, by sha: a row of RAW_GITLAB_COMMITS and its ``parents``."""
    rows: dict[str, Row] = {}
    for commit in commits:
        sha = commit["id"]
        if sha in rows:
            continue
        message = read_message(commit["message"])
        address = book.read(commit["author_email"])
        at = dated_at(sha, dt.datetime.fromisoformat(commit["committed_date"]).astimezone(dt.UTC))
        rows[sha] = {
            "deployment": deployment,
            "event_day": at.date().isoformat(),
            "project_id": project_id,
            "sha": sha,
            "dated_at": at,
            "parent_count": len(commit["parent_ids"]),
            "author_address_hash": address.hash,
            "author_address_kind": address.kind,
            "author_gitlab_id": address.gitlab_user_id,
            "renku_surface": message.surface,
            "renku_command": message.command,
            "renku_options": list(message.options),
            "renku_helper": message.helper,
            "renku_committer": is_renku_committer(commit["committer_name"], commit["committer_email"]),
            "autosave": message.autosave,
            "pusher_id": None,
            "push_addresses": None,
            "pulled_at": pulled_at,
            "parents": commit["parent_ids"],
        }
    return rows
