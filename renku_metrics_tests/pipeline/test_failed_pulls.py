"""What a pull brought before it failed stays in the store, is counted, and is not said to be everything."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from renku_metrics.pipeline.locks import SourceName

from renku_metrics.deployments import read_deployments
from renku_metrics.errors import SourceError
from renku_metrics.pipeline.pulling import Pull, coverage_state, source_state
from renku_metrics.sources.gitlab import users as gitlab_users
from renku_metrics.sources.keycloak import realm as keycloak
from renku_metrics.store.store import Store
from renku_metrics.tables import (
    BY_DEPLOYMENT,
    RAW_GITLAB_COMMITS,
    RAW_GITLAB_USERS,
    RAW_KEYCLOAK_LOGINS,
    RAW_KEYCLOAK_USERS,
    Table,
)
from renku_metrics_tests.pipeline.small_lab import SmallLab, served
from renkulab.faults import Instead, unauthorized

START = dt.date(2026, 11, 1)
NOW = dt.datetime(2026, 11, 16, 12, tzinfo=dt.UTC)
HOUR, DAY = dt.timedelta(hours=1), dt.timedelta(days=1)
FORBIDDEN = Instead(403, b'{"message":"no"}', {"Content-Type": "application/json"})


@dataclass
class Pulls:
    small: SmallLab
    store: Store
    deployments: Path
    said: list[str] = field(default_factory=list)

    def pull(self, source: SourceName, bring: Callable[[Pull], None]) -> Pull:
        pulling = Pull(read_deployments(self.deployments)["a"], source, self.store, NOW, self.said.append)
        with pulling.alone():
            bring(pulling)
        return pulling

    def failed(self, source: SourceName, bring: Callable[[Pull], None]) -> Pull:
        """A pull that ends with an error."""
        pulls: list[Pull] = []

        def noted(pulling: Pull) -> None:
            pulls.append(pulling)
            bring(pulling)

        with pytest.raises(SourceError):
            self.pull(source, noted)
        return pulls[0]

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
    with served([small], tmp_path / "deployments", START, monkeypatch):
        yield Pulls(small, Store.at(str(tmp_path / "store")), tmp_path / "deployments")


def test_users_read_before_the_token_is_refused_are_stored_and_reported(pulls: Pulls) -> None:
    faults = pulls.small.lab.faults
    faults.add("/emails$", unauthorized(), at=150, times=None)
    failed = pulls.failed("gitlab", Pull.gitlab_users)
    stored = pulls.rows(RAW_GITLAB_USERS)
    # Eight may be under way.
    assert 149 <= stored <= 157
    assert failed.unreported(RAW_GITLAB_USERS) == [("a",)]

    faults.clear()
    pulls.small.lab.requests.clear()
    pulls.pull("gitlab", Pull.gitlab_users)
    # The administrator and Ada are users too.
    assert pulls.rows(RAW_GITLAB_USERS) == 202
    assert len(pulls.small.lab.requests.matching("/emails$")) <= 202 - 149 + 8


def test_addresses_that_could_not_be_read_are_told_of(pulls: Pulls) -> None:
    pulls.small.lab.faults.add("/users/7/emails$", FORBIDDEN, times=None)
    pull = pulls.pull("gitlab", Pull.gitlab_users)
    assert pull.facts["users_unread"] == 1
    assert pulls.said[-1] == "a: gitlab: addresses of 1 users could not be read; the next pull asks again"
    assert pulls.rows(RAW_GITLAB_USERS) == 202


def test_logins_read_before_keycloak_refuses_are_stored_and_cover_nothing(pulls: Pulls) -> None:
    faults = pulls.small.lab.faults
    faults.add("/events$", FORBIDDEN, at=4, times=None)
    failed = pulls.failed("keycloak", Pull.keycloak_logins)
    # Three pages, two of which begin with the login that ended the one before.
    assert pulls.rows(RAW_KEYCLOAK_LOGINS) == 3 * 100 - 2
    assert len(failed.unreported(RAW_KEYCLOAK_LOGINS)) == 13
    assert pulls.store.read_state(source_state("a", "keycloak")) is None
    assert pulls.store.read_state(coverage_state("a", "logins")) is None

    faults.clear()
    pulls.pull("keycloak", Pull.keycloak_logins)
    assert pulls.rows(RAW_KEYCLOAK_LOGINS) == 350
    assert pulls.store.read_state(coverage_state("a", "logins")) is not None


def test_notes_on_logins_are_in_the_log(pulls: Pulls) -> None:
    pulls.small.lab.keycloak.events_enabled = False
    pull = pulls.pull("keycloak", Pull.keycloak_logins)
    assert pull.facts["notes"].startswith("event saving is switched off, or without LOGIN: ")
    assert f"a: keycloak: {pull.facts['notes']}" in pulls.said


def test_every_pull_of_people_ends_with_a_line(pulls: Pulls) -> None:
    pulls.pull("gitlab", Pull.gitlab_projects)
    pulls.pull("gitlab", Pull.gitlab_users)
    pulls.pull("keycloak", Pull.keycloak_users)
    assert pulls.rows(RAW_KEYCLOAK_USERS) == 1
    assert [line.split(" requests")[0] for line in pulls.said] == [
        "a: gitlab: 1 of 1 projects, 2",
        "a: gitlab: 202 of 202 users, 205",
        "a: keycloak: 1 of 1 users, 4",
    ]


def test_two_that_take_turns_hold_one_name_and_their_own(pulls: Pulls) -> None:
    file = pulls.deployments / "a.yaml"
    file.write_text(file.read_text().replace("gitlab:\n", "gitlab:\n  concurrency: 1\n"))
    pulls.pull("gitlab", Pull.gitlab_projects)
    pulls.pull("amalthea", Pull.amalthea_sessions)
    locks = Path(pulls.store.storage.address("state/locks"))
    assert {path.stem for path in locks.iterdir()} == {"a-gitlab", "a-turns", "a-amalthea"}
    assert pulls.rows(RAW_GITLAB_COMMITS) == 0
