"""The branches of one project of a GitLab, and whether the project is there at all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from renku_metrics.sources.addresses import AddressBook
from renku_metrics.sources.gitlab.client import GitLabClient, Json
from renku_metrics.sources.gitlab.projects import check_administrator
from renku_metrics.sources.http import RefusedError

# GitLab pages branches by key only if a feature flag is on, and by default it is off.
# docs/sources/gitlab.md#branches-go-by-number
BY_KEY = {"pagination": "keyset"}
READINGS = 3
# What Python raises if an answer has another shape than GitLab's.
UNREADABLE = (KeyError, TypeError, ValueError, AttributeError)


class UnreadError(Exception):
    """The project could not be read whole; its message says why."""


@contextmanager
def readable() -> Iterator[None]:
    """Raises UnreadError if an answer that is read within has a wrong shape."""
    try:
        yield
    except UNREADABLE:
        raise UnreadError("an answer that cannot be read") from None


@dataclass(frozen=True)
class Branches:
    """The heads of a project's branches, by the keyed hash of the branch's name.

    ``headless``: whether a branch has no commit, so that nothing can be listed from it
    (docs/sources/gitlab.md#a-branch-can-be-without-a-commit).
    """

    heads: dict[str, str]
    default: str | None = None
    headless: bool = False

    @property
    def default_head(self) -> str | None:
        return self.heads[self.default] if self.default else None


def read_branches(client: GitLabClient, book: AddressBook, project_id: int) -> Branches | None:
    """The branches of a project: none if it has no repository, None if it is gone or its repository is disabled.

    A branch that GitLab calls merged is read too, because GitLab remembers this for a day, even if somebody pushes to
    the branch (docs/sources/gitlab.md#merged-branches-are-remembered-for-a-day). Raises UnreadError if GitLab
    refuses for any other reason, or if the list cannot be read whole.
    """
    try:
        listed = _list_branches(client, project_id)
    except RefusedError as error:
        if error.status not in (403, 404):
            raise UnreadError(f"branches were refused with status {error.status}") from None
        project = find_project(client, project_id)
        if project is None or is_disabled(project):
            return None
        if project.get("empty_repo"):
            return Branches({})
        raise UnreadError(f"branches were refused with status {error.status}") from None
    heads: dict[str, str] = {}
    default = None
    with readable():
        for branch in listed:
            if branch["commit"] is None:
                continue
            # Hashed, because names of autosave branches hold user names.
            key = book.keyed_hash(branch["name"])[:16]
            heads[key] = branch["commit"]["id"]
            if branch["default"]:
                default = key
    return Branches(heads, default, headless=any(branch["commit"] is None for branch in listed))


def find_project(client: GitLabClient, project_id: int) -> Json | None:
    """The project; None if it is gone.

    Raises UnreadError if GitLab refuses for any other reason. Raises SourceError if the token has lost its rights,
    because then every project looks gone (docs/sources/gitlab.md#a-hidden-project-looks-like-one-that-is-gone).
    """
    try:
        project: Json = client.get(f"/projects/{project_id}")
    except RefusedError as error:
        if error.status in (403, 404):
            check_administrator(client)
        if error.status != 404:
            raise UnreadError(f"the project was refused with status {error.status}") from None
        return None
    return project


def is_disabled(project: Json) -> bool:
    """Whether nobody can read the project's repository for now."""
    return project.get("repository_access_level") == "disabled"


def _list_branches(client: GitLabClient, project_id: int) -> list[Json]:
    """All branches. Raises UnreadError if branches come and go each time they are listed.

    If a branch goes during the listing, pages by number shift and one branch is on no page. Each page tells how many
    branches there are, and this gives the gap away (docs/sources/gitlab.md#branches-go-by-number).
    """
    for _ in range(READINGS):
        pages = list(client.whole_pages(f"/projects/{project_id}/repository/branches", BY_KEY))
        listed = [branch for page in pages for branch in page.items]
        with readable():
            found = len({branch["name"] for branch in listed})
        if all(page.total in (None, found) for page in pages):
            return listed
    raise UnreadError("branches came and went while they were listed")
