"""Git repositories as commit graphs, listed the way ``git log`` lists them."""

from __future__ import annotations

import datetime as dt
import hashlib
import heapq
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Identity:
    name: str
    email: str


@dataclass(frozen=True)
class Commit:
    """Dates keep the offset of the person's clock."""

    sha: str
    parents: tuple[str, ...]
    author: Identity
    authored_at: dt.datetime
    committer: Identity
    committed_at: dt.datetime
    message: str

    @property
    def trailers(self) -> dict[str, str]:
        """The ``key: value`` lines of the last paragraph; none if one of its lines has another form."""
        paragraphs = self.message.strip().split("\n\n")
        if len(paragraphs) < 2:
            return {}
        lines = [line.partition(": ") for line in paragraphs[-1].splitlines()]
        if any(not value or " " in key for key, _, value in lines):
            return {}
        return {key: value for key, _, value in lines}


class Repository:
    """Commits by sha and branches by name."""

    def __init__(self) -> None:
        self.commits: dict[str, Commit] = {}
        self.branches: dict[str, str] = {}
        self._logs: dict[object, list[Commit]] = {}

    def copy(self) -> Repository:
        """A fork: the same commits and branches, which can change independently."""
        copy = Repository()
        copy.commits.update(self.commits)
        copy.branches.update(self.branches)
        return copy

    def commit(
        self,
        message: str,
        author: Identity,
        at: dt.datetime,
        *,
        branch: str | None = None,
        parents: Sequence[str] | None = None,
        committer: Identity | None = None,
        authored_at: dt.datetime | None = None,
    ) -> Commit:
        """A new commit. With ``branch`` it becomes the head of that branch.

        Without ``parents``, its parent is the old head of the branch. Without ``branch``, it is only stored, until a
        later ``move`` makes it the head of a branch.
        """
        if parents is None:
            parents = [self.branches[branch]] if branch in self.branches else []
        parts = (len(self.commits), message, author, at.isoformat(), committer, tuple(parents))
        sha = hashlib.sha1(repr(parts).encode(), usedforsecurity=False).hexdigest()
        commit = Commit(sha, tuple(parents), author, authored_at or at, committer or author, at, message)
        self.add(commit)
        if branch is not None:
            self.move(branch, sha)
        return commit

    def add(self, commit: Commit) -> None:
        self.commits[commit.sha] = commit

    def move(self, branch: str, sha: str) -> None:
        """Makes the commit the head of the branch, whatever the head was."""
        if sha not in self.commits:
            raise KeyError(sha)
        self.branches[branch] = sha
        self._logs.clear()

    def delete_branch(self, branch: str) -> None:
        del self.branches[branch]
        self._logs.clear()

    def collect_garbage(self) -> None:
        """Drops the commits that no branch holds."""
        held = self.reachable(self.branches.values())
        self.commits = {sha: commit for sha, commit in self.commits.items() if sha in held}
        self._logs.clear()

    def reachable(self, tips: Iterable[str]) -> set[str]:
        """The tips and all their ancestors."""
        found: set[str] = set()
        ahead = list(tips)
        while ahead:
            sha = ahead.pop()
            if sha not in found:
                found.add(sha)
                ahead.extend(self.commits[sha].parents)
        return found

    def resolve(self, revision: str) -> str | None:
        """The full sha for a branch, a sha or the beginning of a sha; None if there is no such revision."""
        if revision in self.branches:
            return self.branches[revision]
        if revision in self.commits:
            return revision
        if len(revision) < 7:
            return None
        found = [sha for sha in self.commits if sha.startswith(revision)]
        return found[0] if len(found) == 1 else None

    def log(
        self,
        tips: Sequence[str],
        *,
        without: Sequence[str] = (),
        since: dt.datetime | None = None,
        until: dt.datetime | None = None,
    ) -> list[Commit]:
        """``git log tips ^without``: newest first as far as parents allow it.

        ``since`` stops at an older commit as git does, so that a newer ancestor of it stays hidden
        (docs/sources/gitlab.md#dates-hide-commits).
        """
        key = (tuple(tips), tuple(without), since, until)
        if key not in self._logs:
            self._logs[key] = self._walk(tips, without, since, until)
        return self._logs[key]

    def _walk(
        self, tips: Sequence[str], without: Sequence[str], since: dt.datetime | None, until: dt.datetime | None
    ) -> list[Commit]:
        hidden = self.reachable(without)
        queue: list[tuple[float, int, str]] = []
        seen: set[str] = set()

        def enqueue(shas: Iterable[str]) -> None:
            for sha in shas:
                if sha not in seen:
                    seen.add(sha)
                    heapq.heappush(queue, (-_second(self.commits[sha].committed_at), len(seen), sha))

        enqueue(tips)
        listed: list[Commit] = []
        while queue:
            _, _, sha = heapq.heappop(queue)
            commit = self.commits[sha]
            if sha in hidden:
                continue
            if since is not None and _second(commit.committed_at) < _second(since):
                # git walks a whole range before it prints anything, so it drops all ancestors of the old commit, even
                # those that it met on another way.
                if without:
                    hidden |= self.reachable([sha])
                continue
            enqueue(commit.parents)
            listed.append(commit)
        return [
            commit
            for commit in listed
            if commit.sha not in hidden and (until is None or _second(commit.committed_at) <= _second(until))
        ]


def _second(at: dt.datetime) -> int:
    return int(at.timestamp())
