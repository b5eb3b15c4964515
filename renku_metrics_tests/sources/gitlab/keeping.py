"""Pulls of a simulated GitLab, and a store in memory for what they bring."""

from __future__ import annotations

import datetime as dt

import pandas as pd

from renku_metrics.deployments import Deployment
from renku_metrics.sources.addresses import AddressBook
from renku_metrics.sources.gitlab.client import GitLabClient
from renku_metrics.sources.gitlab.history import History, Summary
from renku_metrics.sources.gitlab.section import GitLab
from renku_metrics.sources.gitlab.state import GitLabState
from renku_metrics.sources.gitlab.users import pull_users
from renku_metrics.sources.http import Patience
from renku_metrics.sources.source import Batch
from renku_metrics.store.merging import merge
from renku_metrics.tables import RAW_GITLAB_COMMITS, RAW_GITLAB_PROJECTS, RAW_GITLAB_PUSHES, RAW_GITLAB_USERS
from renkulab.git import Commit, Identity, Repository
from renkulab.gitlab import Project, User
from renkulab.server import RenkuLab

NOW = dt.datetime(2026, 11, 16, 12, tzinfo=dt.UTC)
MINUTE, HOUR, DAY = dt.timedelta(minutes=1), dt.timedelta(hours=1), dt.timedelta(days=1)
START = dt.date(2020, 1, 1)
VARIABLE = "LAB_GITLAB_TOKEN"
KEY = b"key of the tests"
BOOK = AddressBook(KEY, ["lab.example"])
IMPATIENT = Patience(sleep=lambda seconds: None)
ADA = Identity("Ada", "ada@university.example")
BOB = Identity("Bob", "bob@university.example")


def deployment_of(lab: RenkuLab, start: dt.date = START, concurrency: int = 4) -> Deployment:
    """The deployment file's content; the token is in the environment variable LAB_GITLAB_TOKEN."""
    section = {"url": lab.gitlab_url, "token": f"${{{VARIABLE}}}", "concurrency": concurrency}
    return Deployment(name="lab", title="Lab", start=start, sources={"gitlab": GitLab.model_validate(section)})


def client_of(lab: RenkuLab) -> GitLabClient:
    return GitLabClient(deployment_of(lab), IMPATIENT)


def users_of(lab: RenkuLab, stored: pd.DataFrame | None = None) -> pd.DataFrame:
    """What one whole pull of users brings, if so much is stored already."""
    known = RAW_GITLAB_USERS.frame() if stored is None else stored
    batches = pull_users(client_of(lab), deployment_of(lab), BOOK, known, lab.clock.now())
    return RAW_GITLAB_USERS.conform(
        pd.concat([batch.rows[RAW_GITLAB_USERS.name] for batch in batches], ignore_index=True)
    )


class Keeping:
    """Keeps what pulls of one lab bring, the way the store does."""

    def __init__(self, lab: RenkuLab, start: dt.date = START, patience: Patience = IMPATIENT) -> None:
        self.lab = lab
        self.start = start
        self.patience = patience
        self.state: bytes | None = None
        self.commits = RAW_GITLAB_COMMITS.frame()
        self.pushes = RAW_GITLAB_PUSHES.frame()
        self.projects = RAW_GITLAB_PROJECTS.frame()

    def history(self, *, with_pushes: bool = False) -> History:
        """A pull at the lab's time that has not begun."""
        deployment = deployment_of(self.lab, self.start)
        return History(
            GitLabClient(deployment, self.patience),
            deployment,
            BOOK,
            GitLabState.from_json(self.state),
            self.lab.clock.now(),
            with_pushes=with_pushes,
        )

    def pull(self, *, with_pushes: bool = False) -> Summary:
        """One whole pull."""
        history = self.history(with_pushes=with_pushes)
        for batch in history.batches():
            self.keep_rows(batch)
            self.state = batch.state
        return history.summary

    def keep_rows(self, batch: Batch) -> None:
        self.commits = merge(RAW_GITLAB_COMMITS, self.commits, batch.rows[RAW_GITLAB_COMMITS.name])
        self.pushes = merge(RAW_GITLAB_PUSHES, self.pushes, batch.rows[RAW_GITLAB_PUSHES.name])
        self.projects = merge(RAW_GITLAB_PROJECTS, self.projects, batch.rows[RAW_GITLAB_PROJECTS.name])

    def shas(self, project: Project) -> list[str]:
        """The project's stored commits, sorted; one that stands twice is there twice."""
        return sorted(self.commits.loc[self.commits["project_id"] == project.id, "sha"])

    def commit(self, commit: Commit) -> pd.Series:
        """The one row of the commit."""
        [(_, row)] = self.commits[self.commits["sha"] == commit.sha].iterrows()
        return row


def person(lab: RenkuLab, identity: Identity = ADA) -> User:
    """A GitLab account with the identity's address."""
    return lab.gitlab.add_user(identity.name.lower(), identity.email, NOW - 400 * DAY)


def make_project(lab: RenkuLab, commits: int = 0, *, path: str = "flights", days_ago: int = 30) -> Project:
    """A project with so many commits on master, a minute apart, the last ``days_ago`` like its last activity."""
    at = NOW - days_ago * DAY
    repository = Repository()
    for number in range(commits):
        # The path makes the commits of each project its own.
        repository.commit(f"{path} {number}", ADA, at - (commits - number) * MINUTE, branch="master")
    owner = lab.administrator
    home = lab.gitlab.personal_namespace(owner)
    return lab.gitlab.create_project(path, home, owner, at, repository=repository if commits else None)


def repository_of(project: Project) -> Repository:
    assert project.repository is not None
    return project.repository


def push(
    lab: RenkuLab,
    project: Project,
    message: str = "work",
    *,
    branch: str = "master",
    at: dt.datetime | None = None,
    dated: dt.datetime | None = None,
    author: Identity = ADA,
    pusher: User | None = None,
) -> Commit:
    """One commit on the branch (a new branch parts from master), pushed at the lab's time or ``at``."""
    at = at or lab.clock.now()
    repository = repository_of(project)
    parent = repository.branches.get(branch) or repository.branches.get("master")
    commit = repository.commit(message, author, dated or at, parents=[parent] if parent else [])
    lab.gitlab.push(project, pusher or lab.administrator, {branch: commit.sha}, at)
    return commit


def reachable(project: Project) -> list[str]:
    """Every commit that a branch of the project holds, sorted."""
    repository = repository_of(project)
    return sorted(repository.reachable(repository.branches.values()))
