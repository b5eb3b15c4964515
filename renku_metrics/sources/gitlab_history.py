"""Brings the commits and pushes of all projects of a deployment up to date, in batches that are safe to store."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from renku_metrics.deployments import Deployment
from renku_metrics.errors import SourceError
from renku_metrics.periods import ONE_DAY
from renku_metrics.sources.addresses import AddressBook
from renku_metrics.sources.gitlab import check_administrator, list_projects
from renku_metrics.sources.gitlab_client import GitLabClient, Json, RefusedError
from renku_metrics.sources.gitlab_commits import commit_row
from renku_metrics.sources.gitlab_project import Dating, ProjectRead, ProjectReader
from renku_metrics.sources.gitlab_state import GitLabState, ProjectState
from renku_metrics.sources.http import NoAnswerError
from renku_metrics.tables import RAW_GITLAB_COMMITS, RAW_GITLAB_PROJECTS, RAW_GITLAB_PUSHES

# GitLab refreshes last_activity_at at most once an hour (Event::RESET_PROJECT_ACTIVITY_INTERVAL).
SETTLED_AFTER = dt.timedelta(hours=2)
LISTING_OVERLAP = ONE_DAY
COMMITS_A_BATCH = 50_000
SECONDS_A_BATCH = 60.0
# So many projects in a row without an answer are no broken projects but a broken server.
UNANSWERED_IN_A_ROW = 10


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
        self._pulled_at = pulled_at
        starts_earlier = state.start is not None and deployment.start < state.start
        if starts_earlier or (with_pushes and not state.pushes):
            # What is missing of the commits that are stored is only found by reading every project anew.
            state = GitLabState(redated=state.redated, pushes=with_pushes)
        state.start = deployment.start
        self._state = state
        self._redated = len(state.redated)
        self._unanswered = 0
        dating = Dating(state.redated, pulled_at)
        self._reader = ProjectReader(client, deployment, book, dating, pulled_at, with_pushes=with_pushes)

    def batches(self) -> Iterator[HistoryBatch]:
        """Reads every project that may have changed.

        Raises SourceError when the token is refused or the server gives up on the way, after a batch of what was
        read before.
        """
        reads: list[ProjectRead] = []
        gathered, begun = 0, time.monotonic()
        try:
            for read in self._reads():
                reads.append(read)
                gathered += len(read.commits)
                if gathered >= COMMITS_A_BATCH or time.monotonic() - begun >= SECONDS_A_BATCH:
                    yield from self._newly_redated()
                    yield self._batch(reads)
                    reads, gathered, begun = [], 0, time.monotonic()
        except SourceError:
            yield from self._newly_redated()
            yield self._batch(reads)
            raise
        yield from self._newly_redated()
        self.summary.finished = True
        self._state.cursor = self._pulled_at
        yield self._batch(reads)

    def _reads(self) -> Iterator[ProjectRead]:
        with ThreadPoolExecutor(self._client.connection.concurrency) as pool:
            reading: set[Future[ProjectRead]] = set()
            try:
                for project in self._changed_projects():
                    known = self._state.projects.get(project["id"], ProjectState())
                    reading.add(pool.submit(self._reader.read, project, known))
                    if len(reading) >= 4 * self._client.connection.concurrency:
                        done, reading = wait(reading, return_when=FIRST_COMPLETED)
                        yield from self._results(done)
                while reading:
                    done, reading = wait(reading, return_when=FIRST_COMPLETED)
                    yield from self._results(done)
            except SourceError:
                # What is on its way may still be had.
                pool.shutdown(wait=True, cancel_futures=True)
                for future in reading:
                    if not future.cancelled() and not future.exception():
                        yield future.result()
                raise
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise

    def _results(self, done: Iterable[Future[ProjectRead]]) -> Iterator[ProjectRead]:
        failures = []
        for future in done:
            if failure := future.exception():
                failures.append(failure)
                continue
            read = future.result()
            yield read
            self._unanswered = self._unanswered + 1 if read.unanswered else 0
            if read.unanswered and self._unanswered >= UNANSWERED_IN_A_ROW:
                failures.append(read.unanswered)
        if failures:
            raise failures[0]

    def _changed_projects(self) -> Iterator[Json]:
        query = {}
        if self._state.cursor is not None:
            query["last_activity_after"] = (self._state.cursor - LISTING_OVERLAP).isoformat().replace("+00:00", "Z")
        listed = set()
        checked = False
        for project in list_projects(self._client, query):
            listed.add(project["id"])
            if not self._is_settled(project):
                if not checked:
                    check_administrator(self._client)
                    checked = True
                yield project
        self.summary.listed = len(listed)
        for project_id, known in list(self._state.projects.items()):
            if known.unread and project_id not in listed:
                try:
                    yield self._client.get(f"/projects/{project_id}")
                except (RefusedError, NoAnswerError) as error:
                    if isinstance(error, RefusedError) and error.status == 404:
                        # Deleted: nothing is left to read.
                        known.unread = None
                    else:
                        self.summary.unread[project_id] = known.unread

    def _is_settled(self, project: Json) -> bool:
        known = self._state.projects.get(project["id"])
        if known is None or known.read_at is None or known.unread:
            return False
        active_at = project["last_activity_at"]
        return known.last_activity_at == active_at and known.read_at >= _instant(active_at) + SETTLED_AFTER

    def _newly_redated(self) -> Iterator[HistoryBatch]:
        """A batch without rows when commits were redated: this is remembered before their rows are stored.

        So a pull that ends between the two does not date a commit anew.
        """
        if len(self._state.redated) > self._redated:
            self._redated = len(self._state.redated)
            yield self._batch([])

    def _batch(self, reads: list[ProjectRead]) -> HistoryBatch:
        for read in reads:
            project_id = read.row["project_id"]
            self._state.projects[project_id] = read.state
            if read.state.unread:
                self.summary.unread[project_id] = read.state.unread
        self.summary.read += len(reads)
        self.summary.commits += sum(len(read.commits) for read in reads)
        return HistoryBatch(
            projects=RAW_GITLAB_PROJECTS.frame(read.row for read in reads),
            commits=RAW_GITLAB_COMMITS.frame(_commit_rows(reads, self._deployment.name)),
            pushes=RAW_GITLAB_PUSHES.frame(push for read in reads for push in read.pushes),
            state=self._state,
            progress=(
                f"{self.summary.read} projects read, {self.summary.commits} new commits, "
                f"{self._client.connection.requests_made} requests"
            ),
        )


def _commit_rows(reads: Iterable[ProjectRead], deployment: str) -> Iterator[dict[str, Any]]:
    for read in reads:
        project_id = read.row["project_id"]
        for commit in read.commits:
            yield commit_row(commit, deployment, project_id)


def _instant(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(text).astimezone(dt.UTC)
