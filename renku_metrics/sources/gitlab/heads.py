"""The new commits of one project: those of its moved branch heads, listed as ranges between commit ids.

They are never listed by date (docs/sources/gitlab.md#dates-hide-commits), and never with ``all=true``
(docs/sources/gitlab.md#alltrue-repeats-its-first-page).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator, Iterator
from typing import Literal, NamedTuple

from renku_metrics.sources.gitlab.branches import Branches, UnreadError, readable
from renku_metrics.sources.gitlab.client import GitLabClient, Json
from renku_metrics.sources.gitlab.state import ProjectState
from renku_metrics.sources.http import RefusedError

# How a listing ended: it was certainly whole, ended with an empty page, or was refused.
End = Literal["certain", "empty", "refused"]


def new_commits(
    client: GitLabClient,
    project_id: int,
    known: ProjectState,
    branches: Branches,
    branches_now: Callable[[], Branches | None],
) -> Iterator[Json]:
    """Every commit, once, that a moved head holds and no known head holds.

    A head costs no request if it is known or was listed on the way. Every new branch is listed so if it is merged into
    what is new on the default branch. Any other head costs at least one request. An empty page can mean that nothing is
    new (a branch made from an old commit) or that a commit is gone, so all such heads are checked together at the end,
    with ``branches_now`` (docs/sources/gitlab.md#a-vanished-commit-gives-an-empty-page). Raises UnreadError if a head
    vanished or a listing cannot be trusted.
    """
    listing = _Listing(client, project_id)
    passed = set(known.heads.values())
    # The default branch first, because this lists what is merged into it too.
    for key in sorted(branches.heads, key=lambda key: key != branches.default):
        head, old_head = branches.heads[key], known.heads.get(key)
        if head in passed or head in listing.listed:
            continue
        bases = [old_head or known.default_head] if key == branches.default else [old_head, branches.default_head]
        yield from listing.since([base for base in bases if base], head)
    while listing.doubtful:
        now = branches_now()
        yield from listing.resolve(now.heads.values() if now else [])


class _Doubt(NamedTuple):
    """A range that ended with an empty page, and the bases to try if its own is gone."""

    base: str
    head: str
    others: list[str]


class _Listing:
    """Lists commits of one project. Each is given once: those in ``listed`` are not given again."""

    def __init__(self, client: GitLabClient, project_id: int) -> None:
        self._client = client
        self._path = f"/projects/{project_id}/repository/commits"
        self.listed: set[str] = set()
        self.doubtful: list[_Doubt] = []

    def since(self, bases: list[str], head: str) -> Iterator[Json]:
        """The commits of ``base..head`` for the first base that still exists; the whole history if none does."""
        for tried, base in enumerate(bases, 1):
            end = yield from self._range(base, head)
            if end == "certain":
                return
            if end == "empty":
                self.doubtful.append(_Doubt(base, head, bases[tried:]))
                return
            if self._exists(base):
                raise UnreadError("commits were refused although the one they follow is there")
        yield from self._history(head)

    def resolve(self, standing: Collection[str]) -> Iterator[Json]:
        """What the doubtful ranges left out. ``standing``: heads that certainly exist.

        If an end of a range is gone, GitLab answers with an empty page, as it does if nothing is new.
        """
        there = set(standing)
        doubtful, self.doubtful = self.doubtful, []
        for base, head, others in doubtful:
            if base in there or self._exists(base):
                there.add(base)
                if head not in there and not self._exists(head):
                    raise UnreadError("a head vanished while it was read")
            else:
                yield from self.since(others, head)

    def _range(self, base: str, head: str) -> Generator[Json, None, End]:
        """The commits of ``base..head``. Returns how the listing ended."""
        open_ends = {head}
        length = 0
        try:
            for page in self._pages(f"{base}..{head}", open_ends):
                length = len(page)
                yield from self._new_of(page)
                # Any other open end may be an older commit of the base, so it proves nothing.
                if open_ends <= {base}:
                    return "certain"
        except RefusedError as error:
            if error.status not in (400, 404):
                raise UnreadError(f"commits were refused with status {error.status}") from None
            return "refused"
        # A page that is neither full nor empty is the last:
        # docs/sources/gitlab.md#a-full-last-page-of-commits-has-an-empty-one-after-it
        return "certain" if length % self._client.page_length else "empty"

    def _history(self, head: str) -> Iterator[Json]:
        """The head and all its ancestors. Raises UnreadError if some are missing."""
        open_ends = {head}
        try:
            for page in self._pages(head, open_ends):
                yield from self._new_of(page)
                if not open_ends:
                    return
        except RefusedError as error:
            raise UnreadError(f"commits were refused with status {error.status}") from None
        raise UnreadError("the list of a head's commits ended early")

    def _pages(self, revision: str, open_ends: set[str]) -> Iterator[list[Json]]:
        """The pages of a listing. Keeps in ``open_ends`` those commits and parents that are not listed so far."""
        listed: set[str] = set()
        for page in self._client.pages(self._path, {"ref_name": revision}):
            with readable():
                if page and page[0]["id"] in listed:
                    raise UnreadError("GitLab gave the same page of commits twice")
                for commit in page:
                    listed.add(commit["id"])
                    open_ends.discard(commit["id"])
                    open_ends.update(parent for parent in commit["parent_ids"] if parent not in listed)
            yield page

    def _new_of(self, page: list[Json]) -> Iterator[Json]:
        for commit in page:
            if commit["id"] not in self.listed:
                self.listed.add(commit["id"])
                yield commit

    def _exists(self, sha: str) -> bool:
        try:
            self._client.get(f"{self._path}/{sha}", {"stats": "false"})
        except RefusedError as error:
            if error.status in (400, 404):
                return False
            raise UnreadError(f"a commit was refused with status {error.status}") from None
        return True
