"""Brings the commits and pushes of one project up to date."""

from __future__ import annotations

import datetime as dt
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import lru_cache

from renku_metrics.deployments import Deployment
from renku_metrics.periods import ONE_DAY
from renku_metrics.sources.addresses import AddressBook
from renku_metrics.sources.gitlab import project_row
from renku_metrics.sources.gitlab_client import GitLabClient, Json, RefusedError
from renku_metrics.sources.gitlab_commits import Commit, read_commit
from renku_metrics.sources.gitlab_heads import UnreadError, new_commits, read_branches
from renku_metrics.sources.gitlab_pushes import Row, attribute, read_pushes
from renku_metrics.sources.gitlab_state import ProjectState
from renku_metrics.sources.http import NoAnswerError

# A push event comes moments after its commits; one that has not come by then never will.
PUSH_EXPECTED_WITHIN = 3 * ONE_DAY
# More that wait for one push are an import, of which no push event tells.
WAITING_AT_MOST = 1_000


class Dating:
    """When commits count as made: at their committed date, or when they were first seen if that was earlier.

    ``redated`` holds those first seen before their date, once and for all.
    """

    def __init__(self, redated: dict[str, dt.datetime], pulled_at: dt.datetime) -> None:
        self.redated = redated
        self._pulled_at = pulled_at
        self._begun = time.monotonic()
        self._redating = threading.Lock()

    def dated_at(self, sha: str, committed_at: dt.datetime) -> dt.datetime:
        known = self.redated.get(sha)
        # A commit may be made and pushed while the pull runs.
        now = self._pulled_at + dt.timedelta(seconds=time.monotonic() - self._begun)
        if known is None and committed_at <= now:
            return committed_at
        with self._redating:
            return self.redated.setdefault(sha, self._pulled_at)


@dataclass
class ProjectRead:
    """Rows and commits that are new in a project, and what to remember of it.

    ``unanswered``: what came instead of an answer when the project is unread for lack of one.
    """

    row: Row
    state: ProjectState
    commits: list[Commit] = field(default_factory=list)
    pushes: list[Row] = field(default_factory=list)
    unanswered: NoAnswerError | None = None


class ProjectReader:
    """Reads projects for one pull; may be used from several threads."""

    def __init__(
        self,
        client: GitLabClient,
        deployment: Deployment,
        book: AddressBook,
        dating: Dating,
        pulled_at: dt.datetime,
        *,
        with_pushes: bool,
    ) -> None:
        self._client = client
        self._deployment = deployment
        self._book = book
        self._read_address = lru_cache(maxsize=100_000)(book.read)
        self._dating = dating
        self._pulled_at = pulled_at
        self._with_pushes = with_pushes

    def read(self, project: Json, known: ProjectState) -> ProjectRead:
        """What is new since ``known``. Raises SourceError when the token is refused."""
        row = project_row(project, self._deployment.name, self._pulled_at)
        state = replace(known, last_activity_at=project["last_activity_at"], read_at=self._pulled_at, unread=None)
        try:
            branches = None if project.get("empty_repo") else read_branches(self._client, self._book, project["id"])
            if branches is None:
                return ProjectRead(row, state)
            commits: dict[str, Commit] = {}
            for commit in new_commits(self._client, project["id"], known, branches):
                if commit["id"] not in commits:
                    commits[commit["id"]] = read_commit(
                        commit, self._read_address, self._dating.dated_at, self._pulled_at
                    )
        except UnreadError as error:
            return ProjectRead(row, replace(known, unread=str(error)))
        except NoAnswerError as error:
            return ProjectRead(row, replace(known, unread=error.trouble), unanswered=error)
        state.heads, state.default_head = branches.heads, branches.default_head
        pushes = self._pushes(project["id"], state) if self._with_pushes else []
        # Commits of an earlier pull are told of again when their push event came after it.
        waiting = {commit.sha: commit for commit in known.unpushed}
        commits |= waiting
        brought = attribute(commits, pushes)
        state.unpushed = self._unpushed(known, commits.values(), brought)
        first_day = self._deployment.start.isoformat()
        told = [commit for sha, commit in commits.items() if sha in brought or sha not in waiting]
        return ProjectRead(
            row,
            state,
            [commit for commit in told if commit.event_day >= first_day],
            [push for push in pushes if push["event_day"] >= first_day],
        )

    def _pushes(self, project_id: int, state: ProjectState) -> list[Row]:
        try:
            pushes = read_pushes(self._client, self._deployment.name, project_id, state.pushes_until, self._pulled_at)
        except (RefusedError, NoAnswerError):
            # They only serve linking; the next pull asks for the same time again.
            return []
        state.pushes_until = self._pulled_at
        return pushes

    def _unpushed(self, known: ProjectState, commits: Iterable[Commit], brought: set[str]) -> list[Commit]:
        """The commits whose push event may still come."""
        young = self._pulled_at - PUSH_EXPECTED_WITHIN
        # Of a project seen for the first time, only young commits can have been pushed just now.
        seen_before = bool(known.heads)
        waiting = [
            commit
            for commit in commits
            if commit.sha not in brought and (commit.seen_at if seen_before else commit.dated_at) >= young
        ]
        return waiting if len(waiting) <= WAITING_AT_MOST else []
