"""From what the sources tell to what is counted, through the product's own readers, events and counts."""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Iterable, Iterator
from typing import Any
from unittest.mock import patch

import orjson
import pandas as pd

from renku_metrics.deployments import Deployment
from renku_metrics.events.union import EventsBuilt, unite
from renku_metrics.schema import Table
from renku_metrics.sources.addresses import AddressBook
from renku_metrics.sources.amalthea.lines import read_lines
from renku_metrics.sources.amalthea.section import Amalthea
from renku_metrics.sources.gitlab.client import GitLabClient, Query
from renku_metrics.sources.gitlab.commits import Commit, commits_frame, read_commit
from renku_metrics.sources.gitlab.project_reader import Dating
from renku_metrics.sources.gitlab.projects import project_row
from renku_metrics.sources.gitlab.pushes import attribute, read_pushes
from renku_metrics.sources.gitlab.section import GitLab
from renku_metrics.sources.gitlab.users import pull_users
from renku_metrics.sources.keycloak import realm as keycloak
from renku_metrics.sources.keycloak.admin import KeycloakAdmin
from renku_metrics.sources.keycloak.realm import KeycloakSource, LoginsState
from renku_metrics.sources.keycloak.section import Keycloak
from renku_metrics.sources.registry import sources_of
from renku_metrics.sources.source import Batch
from renku_metrics.tables import (
    RAW_AMALTHEA_SESSIONS,
    RAW_GITLAB_COMMITS,
    RAW_GITLAB_PROJECTS,
    RAW_GITLAB_USERS,
    RAW_KEYCLOAK_LOGINS,
    RAW_KEYCLOAK_USERS,
)
from renku_metrics_tests.metrics.as_sources_tell import Case, Json, push_events

DEPLOYMENT = Deployment(
    name="renkulab-io",
    title="RenkuLab.io",
    start=dt.date(2026, 10, 1),
    domains=("renkulab.io",),
    sources={
        "gitlab": GitLab(url="https://gitlab.renkulab.io", token="${TOKEN}"),
        "keycloak": Keycloak(url="https://renkulab.io/auth", realm="Renku", client_id="c", client_secret="${SECRET}"),
        "amalthea": Amalthea(audit_log="s3://audit-log"),
    },
)
BOOK = AddressBook(b"key of the tests", ("renkulab.io", "gitlab.renkulab.io"))


def read_case(case: Case) -> EventsBuilt:
    """The events of everything that the sources tell; every raw row is accounted for."""
    pulled_at = dt.datetime.fromisoformat(case.pulled_at)
    gitlab, admin = GitLabOf(case), KeycloakOf(case)
    with patch.object(keycloak, "KeycloakAdmin", lambda *_, **__: admin):
        realm = KeycloakSource(DEPLOYMENT, BOOK)
    logins = realm.pull_logins(LoginsState(), pulled_at)
    users = pull_users(gitlab, DEPLOYMENT, BOOK, RAW_GITLAB_USERS.frame(), pulled_at)
    projects = [
        project_row({"id": number, "created_at": at}, DEPLOYMENT.name, pulled_at)
        for number, at in case.projects.items()
    ]
    log = b"\n".join(orjson.dumps(line) for line in case.lines)
    frames = {
        RAW_GITLAB_PROJECTS.name: RAW_GITLAB_PROJECTS.frame(projects),
        RAW_GITLAB_USERS.name: rows_of(RAW_GITLAB_USERS, users),
        RAW_KEYCLOAK_USERS.name: realm.pull_users(pulled_at),
        RAW_GITLAB_COMMITS.name: read_commits(case, gitlab, pulled_at),
        RAW_KEYCLOAK_LOGINS.name: rows_of(RAW_KEYCLOAK_LOGINS, logins),
        RAW_AMALTHEA_SESSIONS.name: RAW_AMALTHEA_SESSIONS.frame(read_lines(log, DEPLOYMENT, pulled_at).rows),
    }
    built = unite(DEPLOYMENT.name, [source.events(frames) for source in sources_of(DEPLOYMENT)])
    assert built.conserved
    return built


def rows_of(table: Table, batches: Iterable[Batch]) -> pd.DataFrame:
    return pd.concat([batch.rows[table.name] for batch in batches], ignore_index=True)


def read_commits(case: Case, gitlab: GitLabOf, pulled_at: dt.datetime) -> pd.DataFrame:
    dating = Dating({}, pulled_at)
    found: list[tuple[int, Commit]] = []
    for project, told in case.commits.items():
        read = [read_commit(one, BOOK.read, dating.dated_at, pulled_at, DEPLOYMENT.domains) for one in told]
        attribute({one.sha: one for one in read}, read_pushes(gitlab, DEPLOYMENT.name, project, None, pulled_at))
        found += [(project, one) for one in read]
    return commits_frame(DEPLOYMENT.name, found)


class GitLabOf(GitLabClient):
    """Answers with what the case tells, without a server."""

    def __init__(self, case: Case) -> None:
        with patch.dict(os.environ, TOKEN="a token"):
            super().__init__(DEPLOYMENT)
        self._case = case

    def pages(self, path: str, query: Query) -> Iterator[list[Json]]:
        case, parts = self._case, path.strip("/").split("/")
        match parts:
            case ["users"]:
                yield list(case.gitlab_users)
            case ["users", number, "emails"]:
                yield case.addresses.get(int(number), [])
            case ["projects", number, "events"]:
                yield list(push_events(case.pushes, int(number)))
            case _:
                raise AssertionError(path)


class KeycloakOf(KeycloakAdmin):
    """The same for Keycloak."""

    def __init__(self, case: Case) -> None:
        super().__init__(DEPLOYMENT)
        self._case = case

    def events_config(self) -> dict[str, Any]:
        return {"eventsEnabled": True}

    def login_pages(self, first_day: dt.date | None) -> Iterator[list[Json]]:
        yield list(self._case.logins)

    def count_users(self) -> int:
        return len(self._case.keycloak_users)

    def user_pages(self) -> Iterator[list[Json]]:
        yield list(self._case.keycloak_users)

    def check_users_are_visible(self) -> None:
        pass
