"""Deployments so small that a test knows by heart what happened on them."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

from renku_metrics.periods import midnight, now
from renkulab.git import Identity, Repository
from renkulab.gitlab import Project
from renkulab.server import RenkuLab

HOUR = dt.timedelta(hours=1)
ADA = "ada@university.example"


class SmallLab:
    """A deployment with one project, and Ada, who has every kind of account; both there since ``born``."""

    def __init__(self, name: str, folder: Path, born: dt.date) -> None:
        self._born = midnight(born)
        self.lab = RenkuLab(name, folder / f"audit-log-of-{name}", now=self._born)
        self.login = self.lab.keycloak.add_user(ADA, self._born)
        self.ada = self.lab.gitlab.add_user("ada", ADA, self._born, keycloak_id=self.login.id)
        self.project = self.add_project("flights")

    @property
    def name(self) -> str:
        return self.lab.name

    def add_project(self, path: str) -> Project:
        repository = Repository()
        namespace = self.lab.gitlab.personal_namespace(self.ada)
        project = self.lab.gitlab.create_project(path, namespace, self.ada, self._born, repository=repository)
        repository.commit("init\n", Identity("ada", ADA), self._born + HOUR, branch="master")
        return project

    def commit(
        self,
        day: dt.date,
        *,
        by: str = ADA,
        late: bool = False,
        quiet: bool = False,
        project: Project | None = None,
    ) -> str:
        """A commit of one o'clock that Ada pushes right away or, late, only now; returns its id.

        A quiet push leaves no event that tells of her.
        """
        place = project or self.project
        assert place.repository is not None
        parents = [place.repository.branches["master"]]
        author = Identity("somebody", by)
        made = place.repository.commit("a change\n", author, midnight(day) + HOUR, parents=parents)
        pushed_at = now() if late else made.committed_at
        self.lab.gitlab.push(place, self.ada, {"master": made.sha}, pushed_at, quiet=quiet)
        return made.sha

    def live(self, day: dt.date) -> None:
        """Ada does everything once."""
        self.commit(day)
        self.log_in(day)
        self.start_session(day)

    def log_in(self, day: dt.date) -> None:
        self.lab.keycloak.log_in(self.login, midnight(day) + HOUR)

    def start_session(self, day: dt.date) -> None:
        at = midnight(day) + HOUR
        self.lab.amalthea.start_session(at, user_id=self.login.id, gitlab_project_id=self.project.id)
