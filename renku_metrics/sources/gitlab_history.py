"""Brings the commits and pushes of all projects of a deployment up to date, in batches that are safe to store."""

from __future__ import annotations

import datetime as dt
import threading
import time
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace

import pandas as pd

from renku_metrics.deployments import Deployment
from renku_metrics.errors import SourceError
from renku_metrics.periods import ONE_DAY
from renku_metrics.sources.addresses import AddressBook
from renku_metrics.sources.gitlab import list_projects, project_row
from renku_metrics.sources.gitlab_client import GitLabClient, Json, RefusedError
from renku_metrics.sources.gitlab_commits import Row, UnreadError, new_commits, read_branches, rows_of
from renku_metrics.sources.gitlab_pushes import attribute, read_pushes
from renku_metrics.sources.gitlab_state import GitLabState, ProjectState
from renku_metrics.tables import RAW_GITLAB_COMMITS, RAW_GITLAB_PROJECTS, RAW_GITLAB_PUSHES

# GitLab refreshes last_activity_at at most once an hour (Event::RESET_PROJECT_ACTIVITY_INTERVAL).
SETTLED_AFTER = dt.timedelta(hours=2)
LISTING_OVERLAP = ONE_DAY
# A push event comes moments after its commits; one that has not come by then never will.
PUSH_EXPECTED_WITHIN = 3 * ONE_DAY
COMMITS_A_BATCH = 50_000
SECONDS_A_BATCH = 60.0


@dataclass(frozen=True)
class HistoryBatch:
    """Rows of some projects, and the state that may be stored once the rows are."""

    projects: pd.DataFrame
    commits: pd.DataFrame
    pushes: pd.DataFrame
    state: GitLabState
    progress: str


@dataclass
class Summary:
    """What a pull saw. ``unread``: why each project that could not be read was not."""

    started_at: dt.datetime
    listed: int = 0
    read: int = 0
    commits: int = 0
    unread: dict[int, str] = field(default_factory=dict)
    finished: bool = False

    @property
    def complete(self) -> bool:
        """Whether every commit that was pushed before the pull began is in."""
        return self.finished and not self.unread


@dataclass
class _ProjectRead:
    project: Json
    state: ProjectState
    commits: list[Row] = field(default_factory=list)
    pushes: list[Row] = field(default_factory=list)


class History:
    """One pull of commits and, where asked for, push events. Iterate ``batches``, then look at ``summary``."""

    def __init__(
        self,
        client: GitLabClient,
        deployment: Deployment,
        book: AddressBook,
        state: GitLabState,
        pulled_at: dt.datetime,
        *,
        with_pushes: bool,
    ) -> None:
        self.summary = Summary(pulled_at)
        self._client = client
        self._deployment = deployment
        self._book = book
        self._pulled_at = pulled_at
        self._with_pushes = with_pushes
        self._state = state
        if state.start is not None and deployment.start < state.start:
            # Commits before the old start were not kept: every project is read anew.
            self._state = GitLabState(redated=state.redated)
        self._state.start = deployment.start
        self._redating = threading.Lock()

    def batches(self) -> Iterator[HistoryBatch]:
        """Reads every project that may have changed.

        Raises SourceError when the token is refused on the way, after a batch of what was read before.
        """
        reads: list[_ProjectRead] = []
        begun = time.monotonic()
        try:
            for done in self._reads():
                reads.append(done)
                gathered = sum(len(read.commits) for read in reads)
                if gathered >= COMMITS_A_BATCH or time.monotonic() - begun >= SECONDS_A_BATCH:
                    yield self._batch(reads)
                    reads, begun = [], time.monotonic()
        except SourceError:
            yield self._batch(reads)
            raise
        self.summary.finished = True
        self._state.cursor = self._pulled_at
        yield self._batch(reads)

    def _reads(self) -> Iterator[_ProjectRead]:
        with ThreadPoolExecutor(self._client.connection.concurrency) as pool:
            reading: set[Future[_ProjectRead]] = set()
            try:
                for project in self._changed_projects():
                    reading.add(pool.submit(self._read, project))
                    if len(reading) >= 4 * self._client.connection.concurrency:
                        done, reading = wait(reading, return_when=FIRST_COMPLETED)
                        yield from (future.result() for future in done)
                while reading:
                    done, reading = wait(reading, return_when=FIRST_COMPLETED)
                    yield from (future.result() for future in done)
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise

    def _changed_projects(self) -> Iterator[Json]:
        query = {}
        if self._state.cursor is not None:
            query["last_activity_after"] = (self._state.cursor - LISTING_OVERLAP).isoformat().replace("+00:00", "Z")
        listed = set()
        for project in list_projects(self._client, query):
            listed.add(project["id"])
            if not self._is_settled(project):
                yield project
        self.summary.listed = len(listed)
        for project_id, known in list(self._state.projects.items()):
            if known.unread and project_id not in listed:
                try:
                    yield self._client.get(f"/projects/{project_id}")
                except RefusedError as error:
                    if error.status == 404:
                        known.unread = None
                    else:
                        self.summary.unread[project_id] = known.unread

    def _is_settled(self, project: Json) -> bool:
        known = self._state.projects.get(project["id"])
        if known is None or known.unread or known.last_activity_at != project["last_activity_at"]:
            return False
        active_at = dt.datetime.fromisoformat(project["last_activity_at"])
        return dt.datetime.fromisoformat(known.read_at) >= active_at + SETTLED_AFTER

    def _read(self, project: Json) -> _ProjectRead:
        project_id = project["id"]
        known = self._state.projects.get(project_id, ProjectState())
        state = replace(
            known, last_activity_at=project["last_activity_at"], read_at=self._pulled_at.isoformat(), unread=None
        )
        try:
            branches = None if project.get("empty_repo") else read_branches(self._client, self._book, project_id)
            if branches is None:
                return _ProjectRead(project, state)
            listed = new_commits(self._client, project_id, known, branches)
            rows = rows_of(listed, self._deployment.name, project_id, self._book, self._dated_at, self._pulled_at)
        except UnreadError as error:
            return _ProjectRead(project, replace(known, unread=str(error)))
        state.heads = branches.heads
        state.default_head = branches.heads.get(branches.default) if branches.default else None
        pushes = self._pushes(project_id, state) if self._with_pushes else []
        # Commits of an earlier pull whose push event came after it are told of again.
        waiting = {row["sha"]: row for row in known.unpushed}
        graph = waiting | rows
        brought = attribute(graph, pushes)
        young = self._pulled_at - PUSH_EXPECTED_WITHIN
        state.unpushed = [row for sha, row in graph.items() if sha not in brought and row["dated_at"] >= young]
        first_day = self._deployment.start.isoformat()
        return _ProjectRead(
            project,
            state,
            [graph[sha] for sha in rows.keys() | (waiting.keys() & brought) if graph[sha]["event_day"] >= first_day],
            [push for push in pushes if push["event_day"] >= first_day],
        )

    def _pushes(self, project_id: int, state: ProjectState) -> list[Row]:
        try:
            pushes = read_pushes(self._client, self._deployment.name, project_id, state.pushes_until, self._pulled_at)
        except RefusedError:
            # They only serve linking; the next pull asks for the same time again.
            return []
        state.pushes_until = self._pulled_at.isoformat()
        return pushes

    def _dated_at(self, sha: str, committed_at: dt.datetime) -> dt.datetime:
        """The commit's time; that of the pull that first saw it if it was later, once and for all."""
        known = self._state.redated.get(sha)
        if known is None and committed_at <= self._pulled_at:
            return committed_at
        with self._redating:
            return self._state.redated.setdefault(sha, self._pulled_at)

    def _batch(self, reads: list[_ProjectRead]) -> HistoryBatch:
        for read in reads:
            project_id = read.project["id"]
            self._state.projects[project_id] = read.state
            if read.state.unread:
                self.summary.unread[project_id] = read.state.unread
        self.summary.read += len(reads)
        self.summary.commits += sum(len(read.commits) for read in reads)
        return HistoryBatch(
            projects=RAW_GITLAB_PROJECTS.frame(
                project_row(read.project, self._deployment.name, self._pulled_at) for read in reads
            ),
            commits=RAW_GITLAB_COMMITS.frame(row for read in reads for row in read.commits),
            pushes=RAW_GITLAB_PUSHES.frame(row for read in reads for row in read.pushes),
            state=self._state,
            progress=(
                f"{self.summary.read} projects read, {self.summary.commits} new commits, "
                f"{self._client.connection.requests_made} requests"
            ),
        )
