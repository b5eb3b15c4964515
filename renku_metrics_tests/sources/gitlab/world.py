"""A small GitLab with what people do in it, and pulls of it that keep what comes as the store would."""

from __future__ import annotations

import datetime as dt
import itertools
import re
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import pandas as pd
import pyarrow as pa

from renku_metrics.deployments import Deployment
from renku_metrics.errors import SourceError
from renku_metrics.merging import merge
from renku_metrics.schema import Table
from renku_metrics.sources.addresses import AddressBook
from renku_metrics.sources.gitlab.client import GitLabClient
from renku_metrics.sources.gitlab.history import History, Summary
from renku_metrics.sources.gitlab.projects import pull_projects
from renku_metrics.sources.gitlab.section import GitLab
from renku_metrics.sources.gitlab.source import GITLAB
from renku_metrics.sources.gitlab.state import GitLabState
from renku_metrics.sources.gitlab.users import pull_users
from renku_metrics.sources.http import Patience, Say, say_nothing
from renku_metrics.sources.source import Batch
from renku_metrics.tables import RAW_GITLAB_COMMITS, RAW_GITLAB_PROJECTS, RAW_GITLAB_PUSHES, RAW_GITLAB_USERS
from renkulab.faults import Fault
from renkulab.git import Commit, Identity, Repository
from renkulab.gitlab import Project, User
from renkulab.server import RenkuLab

NOON = dt.datetime(2026, 11, 16, 12, tzinfo=dt.UTC)
MINUTE, HOUR, DAY = dt.timedelta(minutes=1), dt.timedelta(hours=1), dt.timedelta(days=1)
# When everybody and everything in a world began: long before the first pull.
LONG_BEFORE = NOON - 30 * DAY
START = dt.date(2020, 1, 1)
# The environment variable that holds the token.
TOKEN = "LAB_GITLAB_TOKEN"
BOOK = AddressBook(b"key of the tests", ["lab.example"])
IMPATIENT = Patience(sleep=lambda seconds: None)
ADA = Identity("ada", "ada@university.example")
BOB = Identity("bob", "bob@university.example")
KEYCLOAK_ID = "5f3c1f0e-0c5d-4b3e-9a52-1d6f6f9f0a11"
TABLES = {table.name: table for table in (RAW_GITLAB_PROJECTS, RAW_GITLAB_USERS, RAW_GITLAB_PUSHES, RAW_GITLAB_COMMITS)}


class World:
    """Short words for what people do in a simulated GitLab; they do it at the lab's time unless told otherwise."""

    def __init__(self, lab: RenkuLab) -> None:
        self.lab = lab
        self.gitlab = lab.gitlab
        self._numbers = itertools.count()

    @cached_property
    def ada(self) -> User:
        """Who owns, writes and pushes what a test does not give to somebody else."""
        return self.gitlab.add_user("ada", ADA.email, LONG_BEFORE, keycloak_id=KEYCLOAK_ID)

    @property
    def now(self) -> dt.datetime:
        return self.lab.clock.now()

    def advance(self, time: dt.timedelta) -> None:
        self.lab.clock.advance(time)

    def project(self, commits: int = 0, *, created_at: dt.datetime = LONG_BEFORE, path: str | None = None) -> Project:
        """A project with so many commits, a minute apart from its creation on, on its default branch."""
        path = path or f"project-{next(self._numbers)}"
        repository = Repository() if commits else None
        for number in range(commits):
            # The path makes the commits of each project its own.
            repository_of(repository).commit(f"{path} {number}\n", ADA, created_at + number * MINUTE, branch="master")
        home = self.gitlab.personal_namespace(self.ada)
        return self.gitlab.create_project(path, home, self.ada, created_at, repository=repository)

    def commit(
        self,
        project: Project,
        branch: str = "master",
        *,
        message: str | None = None,
        at: dt.datetime | None = None,
        dated: dt.datetime | None = None,
        author: Identity = ADA,
        parents: Sequence[str] | None = None,
        quiet: bool = False,
        pusher: User | None = None,
    ) -> Commit:
        """One commit on the branch, pushed now or ``at``; a new branch begins at the default one, else at master."""
        at = at or self.now
        project.repository = repository = project.repository or Repository()
        if parents is None:
            heads = (repository.branches.get(name) for name in (branch, project.default_branch, "master"))
            parents = [head for head in heads if head][:1]
        message = message or f"work {next(self._numbers)}\n"
        commit = repository.commit(message, author, dated or at, parents=parents)
        self.gitlab.push(project, pusher or self.ada, {branch: commit.sha}, at, quiet=quiet)
        return commit

    def head(self, project: Project, branch: str = "master") -> str:
        return repository_of(project).branches[branch]

    def move(self, project: Project, branch: str, sha: str | None) -> None:
        """Makes the commit the branch's head; None removes the branch."""
        self.gitlab.push(project, self.ada, {branch: sha}, self.now)

    def reachable(self, project: Project) -> set[str]:
        """The commits that any branch of the project holds."""
        repository = project.repository
        return repository.reachable(repository.branches.values()) if repository else set()

    def before_request(self, pattern: str, number: int, deed: Callable[[], object]) -> None:
        """The deed is done just before the so-manyth request from now whose path holds the pattern."""
        faults, seen = self.lab.faults, itertools.count(1)
        ask = faults.next_for

        def meddle(method: str, path: str) -> Fault | None:
            if re.search(pattern, path) and next(seen) == number:
                deed()
            return ask(method, path)

        faults.next_for = meddle  # type: ignore[method-assign]


def repository_of(held_by: Project | Repository | None) -> Repository:
    """The repository where there must be one."""
    repository = held_by.repository if isinstance(held_by, Project) else held_by
    assert repository is not None
    return repository


def check_commits_asked(lab: RenkuLab) -> None:
    """Nothing made a pull ask for commits by date, of all branches at once, or of a branch that may move."""
    for request in lab.requests.matching("/repository/commits$"):
        assert set(request.query) <= {"ref_name", "per_page", "page"}
        [revision] = request.query["ref_name"]
        assert all(len(sha) == 40 for sha in revision.split(".."))


@dataclass
class Pulls:
    """Pulls of one lab, again and again. What comes is kept as the store keeps it, also where a pull fails later."""

    lab: RenkuLab
    start: dt.date = START
    concurrency: int = 4
    patience: Patience = IMPATIENT
    say: Say = say_nothing
    state: bytes | None = None
    # Of the last pull alone: commits by project and sha, batches, and users whose addresses could not be had.
    came: list[tuple[int, str]] = field(default_factory=list)
    batches: int = 0
    addresses_unread: int = 0
    # By table: what is stored, and what came since and is merged with it once somebody looks.
    _stored: dict[str, pd.DataFrame] = field(default_factory=dict)
    _arrived: dict[str, list[pd.DataFrame]] = field(default_factory=lambda: defaultdict(list))

    @property
    def deployment(self) -> Deployment:
        section = {"url": self.lab.gitlab_url, "token": f"${{{TOKEN}}}", "concurrency": self.concurrency}
        return Deployment(name="lab", title="Lab", start=self.start, sources={"gitlab": GitLab.model_validate(section)})

    def client(self) -> GitLabClient:
        return GitLabClient(self.deployment, self.patience, self.say)

    def history(self, *, with_pushes: bool = False, anew: bool = False) -> History:
        """A pull of commits at the lab's time that has not begun."""
        state, now = GitLabState.from_json(self.state), self.lab.clock.now()
        return History(
            self.client(), self.deployment, BOOK, state, now, with_pushes=with_pushes, anew=anew, say=self.say
        )

    def pull(self, *, with_pushes: bool = False, anew: bool = False) -> Summary:
        """One whole pull of commits. Raises SourceError."""
        self._begin()
        return self._pull_history(with_pushes=with_pushes, anew=anew)

    def pull_projects(self) -> None:
        """One whole pull of projects. Raises SourceError."""
        self._begin()
        self._pull_projects()

    def pull_users(self) -> None:
        """One whole pull of users. Raises SourceError."""
        self._begin()
        self._pull_users()

    def pull_everything(self) -> bool:
        """One pull of each table. Whether it says that all is there."""
        self._begin()
        try:
            self._pull_projects()
            self._pull_users()
            return self._pull_history(with_pushes=True).complete and not self.addresses_unread
        except SourceError:
            return False

    def keep(self, batch: Batch) -> None:
        """The rows, then the state, as if the pull were not killed between the two."""
        self.keep_rows(batch)
        assert batch.state is not None
        GITLAB.check_state(batch.state)
        self.state = batch.state

    def keep_rows(self, batch: Batch) -> None:
        for name, frame in batch.rows.items():
            table = TABLES[name]
            table.check_shapes(pa.Table.from_pandas(frame, schema=table.schema, preserve_index=False))
            if len(frame):
                self._arrived[name].append(frame)

    def of(self, project: Project) -> set[str]:
        """The commits that are stored of the project, none of which stands there twice."""
        shas = self.commits.loc[self.commits["project_id"] == project.id, "sha"]
        # One that is dated on another day than before would stand in two files.
        assert shas.is_unique
        return set(shas)

    def row(self, project: Project, commit: Commit) -> pd.Series:
        """The one row of the commit in the project."""
        found = self.commits[(self.commits["project_id"] == project.id) & (self.commits["sha"] == commit.sha)]
        [(_, row)] = found.iterrows()
        return row

    def user(self, user: User) -> pd.Series:
        """The one row of the user."""
        [(_, row)] = self.users[self.users["gitlab_user_id"] == user.id].iterrows()
        return row

    def asked(self, pattern: str) -> int:
        """How many requests of the last pull had such a path."""
        return len(self.lab.requests.matching(pattern))

    @property
    def commits(self) -> pd.DataFrame:
        return self._rows(RAW_GITLAB_COMMITS)

    @property
    def pushes(self) -> pd.DataFrame:
        return self._rows(RAW_GITLAB_PUSHES)

    @property
    def projects(self) -> pd.DataFrame:
        return self._rows(RAW_GITLAB_PROJECTS)

    @property
    def users(self) -> pd.DataFrame:
        return self._rows(RAW_GITLAB_USERS)

    def _rows(self, table: Table) -> pd.DataFrame:
        stored = self._stored.get(table.name, table.frame())
        if arrived := self._arrived.pop(table.name, []):
            stored = self._stored[table.name] = merge(table, stored, pd.concat(arrived, ignore_index=True))
        return stored

    def _begin(self) -> None:
        check_commits_asked(self.lab)
        self.lab.requests.clear()
        self.came, self.batches, self.addresses_unread = [], 0, 0

    def _pull_history(self, *, with_pushes: bool, anew: bool = False) -> Summary:
        history = self.history(with_pushes=with_pushes, anew=anew)
        for batch in history.batches():
            self.keep(batch)
            commits = batch.rows[RAW_GITLAB_COMMITS.name]
            self.came += zip(commits["project_id"].tolist(), commits["sha"], strict=True)
            self.batches += 1
        return history.summary

    def _pull_projects(self) -> None:
        rows = pull_projects(self.client(), self.deployment, self.lab.clock.now())
        self.keep_rows(Batch({RAW_GITLAB_PROJECTS.name: rows}))

    def _pull_users(self) -> None:
        for batch in pull_users(self.client(), self.deployment, BOOK, self.users, self.lab.clock.now()):
            self.keep_rows(batch)
            unread = batch.facts.get("users_unread", 0)
            assert isinstance(unread, int)
            self.addresses_unread += unread
