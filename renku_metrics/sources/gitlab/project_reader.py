"""Brings the commits and pushes of one project up to date."""

from __future__ import annotations

import datetime as dt
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

from renku_metrics.deployments import Deployment
from renku_metrics.periods import ONE_DAY
from renku_metrics.sources.addresses import AddressBook
from renku_metrics.sources.gitlab.branches import Branches, UnreadError, find_project, read_branches, readable
from renku_metrics.sources.gitlab.changes import ListedProject
from renku_metrics.sources.gitlab.client import GitLabClient
from renku_metrics.sources.gitlab.commits import Commit, read_commit
from renku_metrics.sources.gitlab.heads import new_commits
from renku_metrics.sources.gitlab.pushes import Row, attribute, read_pushes
from renku_metrics.sources.gitlab.state import ProjectState
from renku_metrics.sources.http import NoAnswerError, RefusedError

# A push event comes moments after its commits. If it has not come within this time, it never will.
# docs/sources/gitlab.md#a-push-event-comes-after-its-commits
PUSH_EXPECTED_WITHIN = 3 * ONE_DAY
# If more commits of a project wait for a push event, they were imported, and no push event tells of an import.
WAITING_AT_MOST = 1_000
# So many new commits of a project are held until its pushes are known. More are an import and are passed on at once.
HELD_AT_MOST = 20_000
COMMITS_A_PART = 5_000


class Dating:
    """When commits count as made: at their committed date, or when they were first seen if that was earlier.

    ``redated`` holds those that were first seen before their date. Their time is chosen once and never changes.
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
    """A part of the new commits and pushes of a project. The last part also holds what to remember of the project.

    ``state``: None if more parts follow. ``trouble``: why the project is unread, if it is. ``unanswered``: the error if
    it is unread because no answer came.
    """

    project: ListedProject
    state: ProjectState | None = None
    commits: list[Commit] = field(default_factory=list)
    pushes: list[Row] = field(default_factory=list)
    trouble: str | None = None
    unanswered: NoAnswerError | None = None

    @property
    def weight(self) -> int:
        """How many rows it holds."""
        return len(self.commits) + len(self.pushes)


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
        self._first_day = deployment.start.isoformat()
        self._book = book
        self._dating = dating
        self._pulled_at = pulled_at
        self._with_pushes = with_pushes

    def read(self, project: ListedProject, known: ProjectState, since: ProjectState) -> Iterator[ProjectRead]:
        """What is new since ``since``: ``known`` itself, or a blank state to read everything.

        Raises SourceError if the token is refused.
        """
        unanswered = None
        try:
            branches = self._branches(project)
            if branches is not None:
                yield from self._read_commits(project, since, branches)
                return
            # Gone or disabled. What is known stays as it is, because the project may come back.
            trouble = None
        except UnreadError as error:
            trouble = str(error)
        except NoAnswerError as error:
            trouble, unanswered = error.trouble, error
        if trouble and not unanswered and self._is_gone(project.id):
            trouble = None
        closed_at = None if trouble else self._pulled_at
        state = replace(known, unread=trouble is not None, closed_at=closed_at)
        yield ProjectRead(project, state, trouble=trouble, unanswered=unanswered)

    def _branches(self, project: ListedProject) -> Branches | None:
        if project.disabled:
            return None
        return Branches({}) if project.empty else read_branches(self._client, self._book, project.id)

    def _read_commits(self, project: ListedProject, since: ProjectState, branches: Branches) -> Iterator[ProjectRead]:
        held: dict[str, Commit] = {}
        passed_on: list[Commit] = []
        for listed in new_commits(self._client, project.id, since, branches, lambda: self._branches(project)):
            with readable():
                commit = read_commit(
                    listed, self._book.read, self._dating.dated_at, self._pulled_at, self._deployment.domains
                )
            if len(held) < HELD_AT_MOST:
                held[commit.sha] = commit
            elif commit.event_day >= self._first_day:
                passed_on.append(commit)
                if len(passed_on) >= COMMITS_A_PART:
                    yield ProjectRead(project, commits=passed_on)
                    passed_on = []
        state = replace(
            since,
            last_activity_at=project.last_activity_at,
            read_at=self._pulled_at,
            importing=project.importing,
            closed_at=None,
            heads=branches.heads,
            default_head=branches.default_head,
            unread=branches.headless,
        )
        # Commits of an earlier pull are handed out again if their push event has come since.
        waiting = {commit.sha: commit for commit in since.unpushed}
        held |= waiting
        # If no commit waits for a push event, a later pull that brings one asks for them.
        pushes = self._pushes(project.id, state) if self._with_pushes and held else []
        brought = attribute(held, pushes)
        state.unpushed = self._unpushed(since, held.values(), brought)
        told = [commit for sha, commit in held.items() if sha in brought or sha not in waiting]
        yield ProjectRead(
            project,
            state,
            [*passed_on, *(commit for commit in told if commit.event_day >= self._first_day)],
            [push for push in pushes if push["event_day"] >= self._first_day],
            trouble="a branch without a commit" if branches.headless else None,
        )

    def _is_gone(self, project_id: int) -> bool:
        try:
            return find_project(self._client, project_id) is None
        except (UnreadError, NoAnswerError):
            return False

    def _pushes(self, project_id: int, state: ProjectState) -> list[Row]:
        try:
            pushes = read_pushes(self._client, self._deployment.name, project_id, state.pushes_until, self._pulled_at)
        except (RefusedError, NoAnswerError):
            # Push events only serve linking, so the pull goes on. The next one asks for the same time again.
            return []
        state.pushes_until = self._pulled_at
        return pushes

    def _unpushed(self, since: ProjectState, commits: Iterable[Commit], brought: set[str]) -> list[Commit]:
        """The commits whose push event may still come."""
        young = self._pulled_at - PUSH_EXPECTED_WITHIN
        # In a project that is seen for the first time, only young commits can have been pushed just now.
        seen_before = bool(since.heads)
        waiting = [
            commit
            for commit in commits
            if commit.sha not in brought and (commit.seen_at if seen_before else commit.dated_at) >= young
        ]
        return waiting if len(waiting) <= WAITING_AT_MOST else []
