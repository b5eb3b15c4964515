"""What a pull brought before it failed stays in the store, is counted, and is not said to be everything."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from renku_metrics.deployments import Deployment
from renku_metrics.environment import deployments_folder
from renku_metrics.errors import SourceError
from renku_metrics.object_storage import DirectoryStorage
from renku_metrics.pipeline.pulling import Pull, pulling
from renku_metrics.schema import Table
from renku_metrics.sources.gitlab import users as gitlab_users
from renku_metrics.sources.keycloak import realm as keycloak
from renku_metrics.sources.registry import read_deployment
from renku_metrics.store.ledger import Ledger
from renku_metrics.store.store import Store
from renku_metrics.tables import (
    BY_DEPLOYMENT,
    RAW_GITLAB_COMMITS,
    RAW_GITLAB_USERS,
    RAW_KEYCLOAK_LOGINS,
    RAW_KEYCLOAK_USERS,
)
from renku_metrics_tests.pipeline.pulls import (
    HISTORY,
    KEYCLOAK_USERS,
    LOGINS,
    PROJECTS,
    SESSIONS,
    USERS,
    harvest_named,
    pull_once,
)
from renku_metrics_tests.pipeline.small_lab import SmallLab
from renku_metrics_tests.served import served
from renkulab.faults import Instead, unauthorized

START = dt.date(2026, 11, 1)
NOW = dt.datetime(2026, 11, 16, 12, tzinfo=dt.UTC)
HOUR, DAY = dt.timedelta(hours=1), dt.timedelta(days=1)
FORBIDDEN = Instead(403, b'{"message":"no"}', {"Content-Type": "application/json"})


@dataclass
class Pulls:
    small: SmallLab
    store: Store
    deployment: Deployment
    said: list[str] = field(default_factory=list)

    @property
    def ledger(self) -> Ledger:
        return Ledger(self.store, "a")

    def pull(self, harvest: str) -> Pull:
        return pull_once(self.store, self.deployment, harvest, clock=lambda: NOW, say=self.said.append)

    def failed(self, name: str) -> Pull:
        """A pull that ends with an error."""
        source, harvest = harvest_named(name)
        with (
            pulling(self.store, self.deployment, source, lambda: NOW, self.said.append) as pull,
            pytest.raises(SourceError),
        ):
            pull.bring(harvest)
        return pull

    def rows(self, table: Table) -> int:
        places = [("a",)] if table.partitioned_by == BY_DEPLOYMENT else self.store.partitions(table, "a")
        return len(self.store.read_if_there(table, places))


@pytest.fixture
def pulls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Pulls]:
    monkeypatch.setattr(gitlab_users, "USERS_A_BATCH", 50)
    monkeypatch.setattr(keycloak, "LOGINS_A_BATCH", 150)
    small = SmallLab("a", tmp_path, START)
    small.lab.clock.set(NOW)
    for number in range(200):
        small.lab.gitlab.add_user(f"u{number}", f"u{number}@x.example", NOW - DAY)
    for hours in range(350):
        small.lab.keycloak.log_in(small.login, NOW - hours * HOUR, ("renku",))
    with served([small.lab], tmp_path / "deployments", START, monkeypatch) as deployments:
        yield Pulls(small, Store.at(str(tmp_path / "store")), deployments["a"])


def test_users_read_before_the_token_is_refused_are_stored_and_reported(pulls: Pulls) -> None:
    faults = pulls.small.lab.faults
    faults.add("/emails$", unauthorized(), at=150, times=None)
    failed = pulls.failed(USERS)
    stored = pulls.rows(RAW_GITLAB_USERS)
    # Eight may be under way.
    assert 149 <= stored <= 157
    assert failed.untold(RAW_GITLAB_USERS) == [("a",)]

    faults.clear()
    pulls.small.lab.requests.clear()
    pulls.pull(USERS)
    # The administrator and Ada are users too.
    assert pulls.rows(RAW_GITLAB_USERS) == 202
    assert len(pulls.small.lab.requests.matching("/emails$")) <= 202 - 149 + 8


def test_addresses_that_could_not_be_read_are_told_of(pulls: Pulls) -> None:
    pulls.small.lab.faults.add("/users/7/emails$", FORBIDDEN, times=None)
    pull = pulls.pull(USERS)
    assert pull.facts["users_unread"] == 1
    assert "a: gitlab: addresses of 1 users could not be read; the next pull asks again" in pulls.said
    assert pulls.rows(RAW_GITLAB_USERS) == 202


def test_logins_read_before_keycloak_refuses_are_stored_and_cover_nothing(pulls: Pulls) -> None:
    faults = pulls.small.lab.faults
    faults.add("/events$", FORBIDDEN, at=4, times=None)
    pulls.failed(LOGINS)
    # Three pages, two of which begin with the login that ended the one before.
    assert pulls.rows(RAW_KEYCLOAK_LOGINS) == 3 * 100 - 2
    pulled = pulls.ledger.pulled("keycloak")
    days = [f"2026-11-{day:02}" for day in range(4, 17)]
    assert pulled.untold[RAW_KEYCLOAK_LOGINS.name] == {"2026-11-01": days}
    assert list(pulled.tables[RAW_KEYCLOAK_LOGINS.name]["2026-11-01"].days) == days
    assert pulled.covered == []
    assert pulls.ledger.state("keycloak") is None

    faults.clear()
    pulls.pull(LOGINS)
    assert pulls.rows(RAW_KEYCLOAK_LOGINS) == 350
    assert pulls.ledger.pulled("keycloak").covered != []
    assert pulls.ledger.state("keycloak") is not None


def test_notes_on_logins_are_in_the_log(pulls: Pulls) -> None:
    pulls.small.lab.keycloak.events_enabled = False
    pull = pulls.pull(LOGINS)
    notes = str(pull.facts["notes"])
    assert notes.startswith("event saving is switched off, or without LOGIN: ")
    assert f"a: keycloak: {notes}" in pulls.said


def test_every_pull_of_people_ends_with_a_line(pulls: Pulls) -> None:
    pulls.pull(PROJECTS)
    pulls.pull(USERS)
    pulls.pull(KEYCLOAK_USERS)
    assert pulls.rows(RAW_KEYCLOAK_USERS) == 1
    assert [line.split(" requests")[0] for line in pulls.said] == [
        "a: gitlab: 1 of 1 projects, 2",
        "a: gitlab: 202 of 202 users, 205",
        "a: keycloak: 1 of 1 users, 4",
    ]


@pytest.mark.parametrize(("concurrency", "of_keycloak"), [(1, "gitlab"), (2, "keycloak")])
def test_two_that_take_turns_hold_one_name(
    pulls: Pulls, monkeypatch: pytest.MonkeyPatch, concurrency: int, of_keycloak: str
) -> None:
    held: list[str] = []
    alone = DirectoryStorage.alone

    def noted(storage: DirectoryStorage, name: str) -> AbstractContextManager[DirectoryStorage]:
        held.append(name)
        return alone(storage, name)

    monkeypatch.setattr(DirectoryStorage, "alone", noted)
    file = deployments_folder() / "a.yaml"
    file.write_text(file.read_text().replace("gitlab:\n", f"gitlab:\n  concurrency: {concurrency}\n"))
    pulls.deployment = read_deployment(file)
    for harvest in (PROJECTS, KEYCLOAK_USERS, SESSIONS):
        pulls.pull(harvest)
    assert held == [f"state/deployment=a/{name}" for name in ("gitlab", of_keycloak, "amalthea")]
    assert pulls.rows(RAW_GITLAB_COMMITS) == 0
    pulls.pull(HISTORY)
    assert pulls.rows(RAW_GITLAB_COMMITS) == 1
