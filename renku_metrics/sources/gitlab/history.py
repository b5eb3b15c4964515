"""Brings the commits and pushes of all projects of a deployment up to date, in batches that are safe to store."""

from __future__ import annotations

import datetime as dt
import gc
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from renku_metrics.deployments import Deployment
from renku_metrics.periods import Span, midnight
from renku_metrics.sources.addresses import AddressBook
from renku_metrics.sources.crew import Crew
from renku_metrics.sources.gitlab.branches import UnreadError, find_project
from renku_metrics.sources.gitlab.changes import ListedProject, is_overdue, list_active, listed_project, waiting
from renku_metrics.sources.gitlab.client import GitLabClient
from renku_metrics.sources.gitlab.commits import commits_frame
from renku_metrics.sources.gitlab.project_reader import Dating, ProjectRead, ProjectReader
from renku_metrics.sources.gitlab.projects import check_administrator
from renku_metrics.sources.gitlab.state import GitLabState, ProjectState
from renku_metrics.sources.http import NoAnswerError, Say, say_nothing
from renku_metrics.sources.progress import Progress
from renku_metrics.sources.source import Batch, Fact
from renku_metrics.tables import RAW_GITLAB_COMMITS, RAW_GITLAB_PROJECTS, RAW_GITLAB_PUSHES

# A batch is merged into one file for each of its months, so the larger it is, the fewer files are written twice.
COMMITS_A_BATCH = 100_000
SECONDS_A_BATCH = 60.0
# If so many projects in a row get no answer, the server is broken, not the projects.
UNANSWERED_IN_A_ROW = 10


@dataclass
class Summary:
    """What a pull saw. ``unread``: the projects that could not be read, with the reason."""

    listed: int = 0
    read: int = 0
    commits: int = 0
    unread: dict[int, str] = field(default_factory=dict)
    finished: bool = False

    @property
    def complete(self) -> bool:
        """Whether the pull brought every commit that was pushed before it began."""
        return self.finished and not self.unread


class History:
    """One pull of commits and, if asked for, push events. Iterate ``batches``, then look at ``summary``.

    ``anew``: reads every branch of every project from the start, even what is known: a reconciliation. ``say`` hears
    every few seconds how far the pull is.
    """

    def __init__(
        self,
        client: GitLabClient,
        deployment: Deployment,
        book: AddressBook,
        state: GitLabState,
        pulled_at: dt.datetime,
        *,
        with_pushes: bool,
        anew: bool = False,
        say: Say = say_nothing,
    ) -> None:
        self.summary = Summary()
        self._client = client
        self._deployment = deployment
        self._pulled_at = pulled_at
        self._anew = anew
        starts_earlier = state.start is not None and deployment.start < state.start
        if starts_earlier or (with_pushes and not state.pushes):
            # Only reading every project again finds the days, or the pushers, that are not stored.
            state = GitLabState(redated=state.redated, pushes=with_pushes)
        state.start = deployment.start
        self._state = state
        self._cursor = state.cursor
        self._redated = len(state.redated)
        self._unanswered = 0
        self._to_read = 0
        self._all_listed = False
        self._rights_confirmed = False
        self._listed_in_full = False
        self._progress = Progress(client.where, say)
        dating = Dating(state.redated, pulled_at)
        self._reader = ProjectReader(client, deployment, book, dating, pulled_at, with_pushes=with_pushes)

    def batches(self) -> Generator[Batch, None, None]:
        """Reads every project that may have changed.

        Raises SourceError if the token is refused or the server gives up on the way, after a batch of what was read
        before.
        """
        with _rare_collections():
            yield from self._batches()

    def _batches(self) -> Iterator[Batch]:
        reads: list[ProjectRead] = []
        gathered, begun = 0, time.monotonic()
        try:
            for read in self._reads():
                reads.append(read)
                gathered += read.weight
                self._count(read)
                if gathered >= COMMITS_A_BATCH or time.monotonic() - begun >= SECONDS_A_BATCH:
                    yield from self._newly_redated()
                    yield self._batch(reads)
                    reads, gathered, begun = [], 0, time.monotonic()
        except Exception:
            yield from self._newly_redated()
            yield self._batch(reads)
            raise
        yield from self._newly_redated()
        self.summary.finished = True
        self._state.cursor = self._pulled_at
        seen = [Span(midnight(self._deployment.start), self._pulled_at)] if self.summary.complete else []
        yield replace(self._batch(reads), seen=seen, facts=self._facts())
        self._progress.finish(self.summary.read, self.summary.commits, self._client.connection.requests_made)

    def _reads(self) -> Iterator[ProjectRead]:
        crew = Crew(self._client.connection.concurrency, self._read, lambda read: read.weight, COMMITS_A_BATCH)
        for read in crew.results(self._projects_to_read()):
            yield read
            self._unanswered = self._unanswered + 1 if read.unanswered else 0
            if read.unanswered and self._unanswered >= max(
                UNANSWERED_IN_A_ROW, 2 * self._client.connection.concurrency
            ):
                raise read.unanswered

    def _read(self, project: ListedProject) -> Iterator[ProjectRead]:
        known = self._state.projects.get(project.id, ProjectState())
        return self._reader.read(project, known, ProjectState() if self._anew else known)

    def _projects_to_read(self) -> Iterator[ListedProject]:
        """Raises SourceError unless the token belongs to an administrator.

        To anybody else GitLab shows a shorter or an empty list, and the pull would look complete. The check costs one
        request. It is skipped if there is nothing to read and a listed project shows fields that only administrators
        see; the overlap of the list brings such a project on nearly every deployment.
        """
        for project in self._changed_projects():
            self._confirm_rights()
            self._to_read += 1
            yield project
        if not self._listed_in_full:
            self._confirm_rights()
        self._all_listed = True

    def _confirm_rights(self) -> None:
        if not self._rights_confirmed:
            check_administrator(self._client)
            self._rights_confirmed = True

    def _changed_projects(self) -> Iterator[ListedProject]:
        since = GitLabState(projects=self._state.projects) if self._anew else self._state
        listed = set()
        for project in list_active(self._client, since, self._deployment.name, self._pulled_at):
            listed.add(project.id)
            self._listed_in_full |= project.in_full
            if self._anew or not project.settled:
                yield project
        self.summary.listed = len(listed)
        for project_id in waiting(self._state, listed):
            yield from self._looked_up(project_id, self._state.projects[project_id])

    def _looked_up(self, project_id: int, known: ProjectState) -> Iterator[ListedProject]:
        """A project that waits to be read, although its last activity may be long ago."""
        try:
            project = find_project(self._client, project_id)
        except (UnreadError, NoAnswerError) as error:
            known.unread, known.closed_at = True, None
            self.summary.unread[project_id] = error.trouble if isinstance(error, NoAnswerError) else str(error)
            return
        if project is None:
            known.unread, known.importing, known.closed_at = False, False, self._pulled_at
            return
        found = listed_project(project, known, self._deployment.name, self._pulled_at)
        if found.disabled:
            known.unread, known.closed_at = False, self._pulled_at
        else:
            yield found

    def _facts(self) -> dict[str, Fact]:
        summary = self.summary
        return {
            "projects_listed": summary.listed,
            "projects_read": summary.read,
            "commits_read" if self._anew else "new_commits": summary.commits,
            "requests": self._client.connection.requests_made,
            "projects_unread": len(summary.unread),
            "unread": {str(project): why for project, why in summary.unread.items()},
        }

    def _count(self, read: ProjectRead) -> None:
        self.summary.commits += len(read.commits)
        self.summary.read += read.state is not None
        total = self._to_read if self._all_listed else None
        requests = self._client.connection.requests_made
        self._progress.tell(self.summary.read, total, self.summary.commits, requests)

    def _newly_redated(self) -> Iterator[Batch]:
        """A batch without rows if commits were redated, so that their new dates are stored before their rows.

        Otherwise a pull that ends between the two would lose the dates, and the next one would choose others.
        """
        if len(self._state.redated) > self._redated:
            self._redated = len(self._state.redated)
            yield self._batch([])

    def _batch(self, reads: list[ProjectRead]) -> Batch:
        projects = {read.project.id: read.project for read in reads}
        for read in reads:
            if read.state is None:
                continue
            self._state.projects[read.project.id] = read.state
            if read.trouble:
                self.summary.unread[read.project.id] = read.trouble
        commits = commits_frame(
            self._deployment.name, [(read.project.id, commit) for read in reads for commit in read.commits]
        )
        rows = {
            RAW_GITLAB_PROJECTS.name: RAW_GITLAB_PROJECTS.frame(project.row for project in projects.values()),
            RAW_GITLAB_PUSHES.name: RAW_GITLAB_PUSHES.frame(push for read in reads for push in read.pushes),
            RAW_GITLAB_COMMITS.name: commits,
        }
        overdue = [number for number, project in projects.items() if self._anew and is_overdue(project, self._cursor)]
        return Batch(
            rows,
            self._state.to_json(),
            overdue={RAW_GITLAB_COMMITS.name: commits[commits["project_id"].isin(overdue)]} if overdue else {},
        )


@contextmanager
def _rare_collections() -> Iterator[None]:
    """Makes Python look for garbage cycles seldom, because a pull makes none.

    At the usual threshold of 700 new objects, looking took a quarter of a pull's working time.
    """
    usual = gc.get_threshold()
    gc.set_threshold(100_000, 50, 100)
    try:
        yield
    finally:
        gc.set_threshold(*usual)
