"""The branches of one project of a GitLab, and whether the project is there at all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from renku_metrics.sources.addresses import AddressBook
from renku_metrics.sources.gitlab.client import GitLabClient, Json
from renku_metrics.sources.gitlab.projects import check_administrator
from renku_metrics.sources.http import RefusedError

# GitLab pages branches by key only where its flag branch_list_keyset_pagination is on, which it is not by default.
BY_KEY = {"pagination": "keyset"}
READINGS = 3
# What an answer of another shape than GitLab's makes of reading it.
UNREADABLE = (KeyError, TypeError, ValueError, AttributeError)


class UnreadError(Exception):
    """The project could not be read whole; its message says why."""


@contextmanager
def readable() -> Iterator[None]:
    """Raises UnreadError where an answer turns out to be none that can be read."""
    try:
        yield
    except UNREADABLE:
        raise UnreadError("an answer that cannot be read") from None


@dataclass(frozen=True)
class Branches:
    """The heads of a project's branches by the keyed hash of their name.

    ``headless``: whether there are branches without a commit, from which nothing can be listed.
    """

    heads: dict[str, str]
    default: str | None = None
    headless: bool = False

    @property
    def default_head(self) -> str | None:
        return self.heads[self.default] if self.default else None


def read_branches(client: GitLabClient, book: AddressBook, project_id: int) -> Branches | None:
    """The branches of a project, none without a repository; None when it is gone or its repository is disabled.

    Whether GitLab calls a branch merged is not believed: it remembers that for a day by the branch's name, whatever is
    pushed to it. Raises UnreadError when GitLab refuses for any other reason or the list is not to be had whole.
    """
    try:
        listed = _list_branches(client, project_id)
    except RefusedError as error:
        if error.status not in (403, 404):
            raise UnreadError(f"branches refused with status {error.status}") from None
        project = find_project(client, project_id)
        if project is None or is_disabled(project):
            return None
        if project.get("empty_repo"):
            return Branches({})
        raise UnreadError(f"branches refused with status {error.status}") from None
    heads: dict[str, str] = {}
    default = None
    with readable():
        for branch in listed:
            if branch["commit"] is None:
                continue
            # Names of autosave branches hold user names.
            key = book.keyed_hash(branch["name"])[:16]
            heads[key] = branch["commit"]["id"]
            if branch["default"]:
                default = key
    return Branches(heads, default, headless=any(branch["commit"] is None for branch in listed))


def find_project(client: GitLabClient, project_id: int) -> Json | None:
    """The project; None when it is gone.

    Raises UnreadError when GitLab refuses for any other reason, SourceError when it does so since the token lost its
    rights: it answers the same for a project that somebody may not see.
    """
    try:
        project: Json = client.get(f"/projects/{project_id}")
    except RefusedError as error:
        if error.status in (403, 404):
            check_administrator(client)
        if error.status != 404:
            raise UnreadError(f"the project refused with status {error.status}") from None
        return None
    return project


def is_disabled(project: Json) -> bool:
    """Whether nobody can read the project's repository for now."""
    return project.get("repository_access_level") == "disabled"


def _list_branches(client: GitLabClient, project_id: int) -> list[Json]:
    """All branches. Raises UnreadError when branches come and go as often as they are listed.

    Pages by number shift when a branch before them goes, so that one is on no page; the number of all branches, which
    each page tells, gives that away.
    """
    for _ in range(READINGS):
        pages = list(client.whole_pages(f"/projects/{project_id}/repository/branches", BY_KEY))
        listed = [branch for page in pages for branch in page.items]
        with readable():
            found = len({branch["name"] for branch in listed})
        if all(page.total in (None, found) for page in pages):
            return listed
    raise UnreadError("branches came and went while they were listed")
