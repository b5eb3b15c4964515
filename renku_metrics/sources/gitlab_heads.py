"""What is new in one project, by its moved branch heads: listed as revision ranges pinned to commit ids.

Never by date (git hides commits behind an older date), and never with ``all=true`` (GitLab repeats its first page,
gitlab-org/gitlab#586997).
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import Literal

from renku_metrics.sources.addresses import AddressBook
from renku_metrics.sources.gitlab import check_administrator
from renku_metrics.sources.gitlab_client import GitLabClient, Json, RefusedError
from renku_metrics.sources.gitlab_state import ProjectState

# How a listing ended: so that it was certainly whole, with an empty page, or refused.
End = Literal["certain", "empty", "refused"]


class UnreadError(Exception):
    """The project could not be read whole; its message says why."""


@dataclass(frozen=True)
class Branches:
    """The branches of a project by the keyed hash of their name."""

    heads: dict[str, str]
    default: str | None = None

    @property
    def default_head(self) -> str | None:
        return self.heads[self.default] if self.default else None


def read_branches(client: GitLabClient, book: AddressBook, project_id: int) -> Branches | None:
    """The branches of a project, none without a repository; None when it is gone or its repository is disabled.

    Whether GitLab calls a branch merged is not believed: it remembers that for a day by the branch's name, whatever is
    pushed to it. Raises UnreadError when GitLab refuses for any other reason.
    """
    heads: dict[str, str] = {}
    default = None
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
    except RefusedError as error:
        if error.status not in (403, 404):
            raise UnreadError(f"branches refused with status {error.status}") from None
        project = find_project(client, project_id)
        if project is None or project.get("repository_access_level") == "disabled":
            return None
        if project.get("empty_repo"):
            return Branches({})
        raise UnreadError(f"branches refused with status {error.status}") from None
    return Branches(heads, default)


def find_project(client: GitLabClient, project_id: int) -> Json | None:
    """The project; None when it is gone. Raises UnreadError when GitLab refuses for any other reason."""
    try:
        project: Json = client.get(f"/projects/{project_id}")
    except RefusedError as error:
        if error.status != 404:
            raise UnreadError(f"the project refused with status {error.status}") from None
        # GitLab answers the same for a project that somebody may not see.
        check_administrator(client)
        return None
    return project


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
        bases = [old_head or known.default_head] if key == branches.default else [old_head, branches.default_head]
        listed.add(head)
        for commit in _since(client, project_id, [base for base in bases if base], head):
            listed.add(commit["id"])
            yield commit


def _since(client: GitLabClient, project_id: int, bases: list[str], head: str) -> Iterator[Json]:
    """The commits of ``base..head`` for the first base that is still there; without any, the whole history."""
    for base in bases:
        end = yield from _range(client, project_id, base, head)
        if end == "certain":
            return
        # GitLab answers a range of which an end is gone with an empty page, like one with nothing more in it.
        if _exists(client, project_id, base):
            if end == "refused":
                raise UnreadError("commits refused although the one they follow is there")
            if not _exists(client, project_id, head):
                raise UnreadError("a head vanished while it was read")
            return
    yield from _history(client, project_id, head)


def _range(client: GitLabClient, project_id: int, base: str, head: str) -> Generator[Json, None, End]:
    """The commits of ``base..head``. Returns how the listing ended."""
    open_ends = {head}
    length = 0
    try:
        for page in _pages(client, project_id, f"{base}..{head}", open_ends):
            length = len(page)
            yield from page
            # Other open ends are in the base's history.
            if open_ends <= {base}:
                return "certain"
    except RefusedError as error:
        if error.status not in (400, 404):
            raise UnreadError(f"commits refused with status {error.status}") from None
        return "refused"
    # A page that is neither full nor empty is the last.
    return "certain" if length % client.page_length else "empty"


def _history(client: GitLabClient, project_id: int, head: str) -> Iterator[Json]:
    """The head and all its ancestors. Raises UnreadError when they are not all there."""
    open_ends = {head}
    try:
        for page in _pages(client, project_id, head, open_ends):
            yield from page
            if not open_ends:
                return
    except RefusedError as error:
        raise UnreadError(f"commits refused with status {error.status}") from None
    raise UnreadError("the commits of a head ended early")


def _pages(client: GitLabClient, project_id: int, revision: str, open_ends: set[str]) -> Iterator[list[Json]]:
    """The pages of a listing; keeps ``open_ends`` to those commits and parents that are not listed so far."""
    listed: set[str] = set()
    for page in client.pages(f"/projects/{project_id}/repository/commits", {"ref_name": revision}):
        if page and page[0]["id"] in listed:
            raise UnreadError("GitLab gave the same page of commits twice")
        for commit in page:
            listed.add(commit["id"])
            open_ends.discard(commit["id"])
            open_ends.update(parent for parent in commit["parent_ids"] if parent not in listed)
        yield page


def _exists(client: GitLabClient, project_id: int, sha: str) -> bool:
    try:
        client.get(f"/projects/{project_id}/repository/commits/{sha}", {"stats": "false"})
    except RefusedError as error:
        if error.status in (400, 404):
            return False
        raise UnreadError(f"a commit refused with status {error.status}") from None
    return True
