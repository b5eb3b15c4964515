"""Pulls the simulated GitLab again and again, and keeps what came as the store would."""

from __future__ import annotations

import datetime as dt
import itertools
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from renku_metrics.deployments import Deployment
from renku_metrics.sources.addresses import AddressBook
from renku_metrics.sources.gitlab.client import GitLabClient
from renku_metrics.sources.gitlab.history import History, Summary
from renku_metrics.sources.gitlab.section import GitLab
from renku_metrics.sources.gitlab.state import GitLabState
from renku_metrics.sources.http import Patience
from renku_metrics.sources.source import Batch
from renku_metrics.tables import RAW_GITLAB_COMMITS, RAW_GITLAB_PROJECTS, RAW_GITLAB_PUSHES
from renkulab.faults import Fault
from renkulab.git import Commit, Identity, Repository
from renkulab.gitlab import Project, User
from renkulab.server import RenkuLab

NOON = dt.datetime(2026, 11, 16, 12, tzinfo=dt.UTC)
MINUTE, HOUR, DAY = dt.timedelta(minutes=1), dt.timedelta(hours=1), dt.timedelta(days=1)
PERSON = Identity("person-0001", "person-0001@university.example")
IMPATIENT = Patience(sleep=lambda seconds: None)
KEY = b"key of the tests"
# Like everyone in the tests: long before the first pull.
LONG_BEFORE = NOON - 30 * DAY

Row = dict[str, Any]
# A project's id and a commit's.
Held = tuple[int, str]


@dataclass
class Harvest:
    """A deployment as a series of pulls sees it; state goes through its stored form between them.

    ``commits`` are the rows as the store unites them: a value that came first stays, a missing one is filled.
    """

    lab: RenkuLab
    start: dt.date = dt.date(2026, 1, 1)
    concurrency: int = 4
    state: bytes | None = None
    commits: dict[Held, Row] = field(default_factory=dict)
    pushes: dict[int, Row] = field(default_factory=dict)
    projects: dict[int, Row] = field(default_factory=dict)
    # Of the last pull alone.
    came: list[Held] = field(default_factory=list)
    batches: int = 0
    said: list[str] = field(default_factory=list)

    @property
    def deployment(self) -> Deployment:
        section = {"url": self.lab.gitlab_url, "token": "${LAB_GITLAB_TOKEN}", "concurrency": self.concurrency}
        return Deployment(name="lab", title="Lab", start=self.start, sources={"gitlab": GitLab.model_validate(section)})

    @property
    def book(self) -> AddressBook:
        return AddressBook(KEY, [self.lab.noreply_host])

    def client(self, patience: Patience = IMPATIENT) -> GitLabClient:
        return GitLabClient(self.deployment, patience)

    def history(self, *, with_pushes: bool = False, patience: Patience = IMPATIENT, **options: Any) -> History:
        state = GitLabState.from_json(self.state)
        client, now = self.client(patience), self.lab.clock.now()
        return History(client, self.deployment, self.book, state, now, with_pushes=with_pushes, **options)

    def pull(self, *, with_pushes: bool = False, patience: Patience = IMPATIENT, **options: Any) -> Summary:
        """One pull at the lab's time. What came before a failure stays, with the state that came with it."""
        history = self.history(with_pushes=with_pushes, patience=patience, **options)
        self.came, self.batches = [], 0
        self.lab.requests.clear()
        for batch in history.batches():
            self._store(batch)
        return history.summary

    def _store(self, batch: Batch) -> None:
        self.batches += 1
        for row in batch.rows[RAW_GITLAB_COMMITS.name].to_dict("records"):
            held = (row["project_id"], row["sha"])
            self.came.append(held)
            known = self.commits.get(held, {})
            self.commits[held] = {str(name): row[name] for name in row} | {k: v for k, v in known.items() if _given(v)}
            # Another day would be another file: the commit would stand twice in the store.
            assert known.get("event_day") in (None, row["event_day"])
        self.pushes.update({row["push_id"]: row for row in batch.rows[RAW_GITLAB_PUSHES.name].to_dict("records")})
        self.projects.update(
            {row["project_id"]: row for row in batch.rows[RAW_GITLAB_PROJECTS.name].to_dict("records")}
        )
        self.state = batch.state

    def of(self, project: Project) -> set[str]:
        """The commits that are stored of the project."""
        return {sha for project_id, sha in self.commits if project_id == project.id}

    def row(self, project: Project, commit: Commit) -> Row:
        return self.commits[project.id, commit.sha]

    def asked(self, pattern: str) -> int:
        """How many requests of the last pull had such a path."""
        return len(self.lab.requests.matching(pattern))


def _given(value: Any) -> bool:
    return isinstance(value, np.ndarray) or not pd.isna(value)


class World:
    """Short words for what people do in a simulated GitLab; each deed pushes at the lab's time."""

    def __init__(self, lab: RenkuLab) -> None:
        self.lab = lab
        self.gitlab = lab.gitlab
        self.person = lab.gitlab.add_user("person-0001", PERSON.email, LONG_BEFORE, keycloak_id="0001")
        self._numbers = itertools.count()

    def project(
        self, commits: int = 0, *, created_at: dt.datetime = LONG_BEFORE, person: User | None = None
    ) -> Project:
        """A project with so many commits, a minute apart from its creation on, on its default branch."""
        owner = person or self.person
        repository = Repository() if commits else None
        for number in range(commits):
            assert repository is not None
            repository.commit(f"commit {number}\n", PERSON, created_at + number * MINUTE, branch="master")
        path = f"project-{next(self._numbers)}"
        home = self.gitlab.personal_namespace(owner)
        return self.gitlab.create_project(path, home, owner, created_at, repository=repository)

    def commit(
        self,
        project: Project,
        branch: str = "master",
        *,
        dated: dt.datetime | None = None,
        author: Identity = PERSON,
        parents: list[str] | None = None,
        quiet: bool = False,
        pusher: User | None = None,
    ) -> Commit:
        """One commit on the branch, pushed now; a new branch begins at the default one."""
        now = self.lab.clock.now()
        project.repository = project.repository or Repository()
        repository = project.repository
        if parents is None:
            head = repository.branches.get(branch) or repository.branches.get(project.default_branch)
            parents = [head] if head else []
        commit = repository.commit(f"work {next(self._numbers)}\n", author, dated or now, parents=parents)
        self.gitlab.push(project, pusher or self.person, {branch: commit.sha}, now, quiet=quiet)
        return commit

    def head(self, project: Project, branch: str = "master") -> str:
        assert project.repository is not None
        return project.repository.branches[branch]

    def move(self, project: Project, branch: str, sha: str | None) -> None:
        self.gitlab.push(project, self.person, {branch: sha}, self.lab.clock.now())

    def before_request(self, pattern: str, number: int, deed: Callable[[], object]) -> None:
        """The deed is done just before the so-manyth request from now whose path holds the pattern."""
        faults, seen = self.lab.faults, itertools.count(1)
        ask = faults.next_for

        def meddle(method: str, path: str) -> Fault | None:
            if re.search(pattern, path) and next(seen) == number:
                deed()
            return ask(method, path)

        faults.next_for = meddle  # type: ignore[method-assign]

    def reachable(self, project: Project) -> set[str]:
        """The commits that any branch of the project holds."""
        repository = project.repository
        return repository.reachable(repository.branches.values()) if repository else set()
