"""What is new in one project, by its moved branch heads: listed as revision ranges pinned to commit ids.

Never by date (git hides commits behind an older date), and never with ``all=true`` (GitLab repeats its first page,
gitlab-org/gitlab#586997).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from renku_metrics.sources.addresses import AddressBook
from renku_metrics.sources.gitlab_client import GitLabClient, Json, RefusedError
from renku_metrics.sources.gitlab_state import ProjectState


class UnreadError(Exception):
    """The project could not be read whole; its message says why."""


class _NoSuchRangeError(Exception):
    """GitLab refused a range of commits: most likely its first one is gone."""


@dataclass(frozen=True)
class Branches:
    """The branches of a project by the keyed hash of their name; ``merged`` ones are within the default branch."""

    heads: dict[str, str]
    default: str | None
    merged: frozenset[str]

    @property
    def default_head(self) -> str | None:
        return self.heads[self.default] if self.default else None


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
                if branch["commit"] is None:
                    # A broken reference, which nothing can be listed from.
                    continue
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
    listed = set(known.heads.values())
    # The default branch first: what is merged into it is then listed too.
    for key in sorted(branches.heads, key=lambda key: key != branches.default):
        head, old_head = branches.heads[key], known.heads.get(key)
        if head in listed:
            continue
        if key == branches.default:
            bases = [old_head or known.default_head]
        elif key in branches.merged:
            continue
        else:
            bases = [old_head, branches.default_head]
        listed.add(head)
        yield from _since(client, project_id, [base for base in bases if base], head)


def _since(client: GitLabClient, project_id: int, bases: list[str], head: str) -> Iterator[Json]:
    """The commits of ``base..head`` for the first base that is still there; without any, the whole history."""
    for base in bases:
        found = refused = False
        try:
            for commit in _listing(client, project_id, base, head):
                found = True
                yield commit
        except _NoSuchRangeError:
            refused = True
        # GitLab answers a range from a commit that is gone with an empty list, like one with nothing new in it.
        if found or _exists(client, project_id, base):
            if refused:
                raise UnreadError("commits refused although the one they follow is there")
            return
    yield from _listing(client, project_id, None, head)


def _listing(client: GitLabClient, project_id: int, base: str | None, head: str) -> Iterator[Json]:
    """The commits of ``base..head``; without a base, the whole history.

    Raises _NoSuchRangeError when GitLab knows no such range, UnreadError when it does not tell the whole truth.
    """
    listed: set[str] = set()
    # Parents of listed commits that are not listed: for a range they are in the base's history, too.
    open_ends: set[str] = {head}
    path = f"/projects/{project_id}/repository/commits"
    try:
        for page in client.pages(path, {"ref_name": f"{base}..{head}" if base else head}):
            if page and page[0]["id"] in listed:
                raise UnreadError("GitLab gave the same page of commits twice")
            for commit in page:
                listed.add(commit["id"])
                open_ends.discard(commit["id"])
                open_ends.update(parent for parent in commit["parent_ids"] if parent not in listed)
                yield commit
            # GitLab announces a next page after every full one; a history without open ends needs none.
            if not open_ends:
                break
    except RefusedError as error:
        if base and not listed and error.status in (400, 404):
            raise _NoSuchRangeError from None
        raise UnreadError(f"commits refused with status {error.status}") from None
    ended_early = head in open_ends and listed if base else open_ends
    if ended_early:
        raise UnreadError("the commits of a head ended early")


def _exists(client: GitLabClient, project_id: int, sha: str) -> bool:
    try:
        client.get(f"/projects/{project_id}/repository/commits/{sha}", {"stats": "false"})
    except RefusedError as error:
        if error.status in (400, 404):
            return False
        raise UnreadError(f"a commit refused with status {error.status}") from None
    return True


def _has_nothing_to_read(client: GitLabClient, project_id: int) -> bool:
    """Whether the project is gone, or has no repository that anybody could have committed to."""
    try:
        project = client.get(f"/projects/{project_id}")
    except RefusedError as error:
        return error.status == 404
    return bool(project.get("empty_repo")) or project.get("repository_access_level") == "disabled"
