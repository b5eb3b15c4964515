"""What ``renku-metrics plan`` prints."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result

from renku_metrics.cli import renku_metrics
from renku_metrics.sources.addresses import AddressBook
from renku_metrics.sources.keycloak.admin import KeycloakAdmin
from renku_metrics.sources.keycloak.cost import cost_of_pull
from renku_metrics.sources.keycloak.realm import KeycloakSource, LoginsState
from renku_metrics.sources.registry import read_deployments
from renku_metrics_tests.served import served
from renku_metrics_tests.sources.gitlab.world import World
from renkulab.server import RenkuLab

NOW = dt.datetime(2026, 11, 16, 12, tzinfo=dt.UTC)
HOUR, DAY = dt.timedelta(hours=1), dt.timedelta(days=1)


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RenkuLab]:
    lab = RenkuLab("lab", tmp_path / "audit-log", now=NOW)
    monkeypatch.setenv("RENKU_METRICS_STORE", str(tmp_path / "store"))
    with served([lab], tmp_path / "deployments", dt.date(2026, 1, 1), monkeypatch):
        yield lab


def plan(*arguments: str) -> Result:
    return CliRunner().invoke(renku_metrics, ["plan", *arguments])


def refusal(deployment: str) -> str:
    """The one line that is printed when it cannot be told."""
    result = plan(deployment)
    assert result.exit_code == 1
    [line] = result.output.splitlines()
    return line


def test_the_cost_is_told_by_what_it_is_for(lab: RenkuLab, tmp_path: Path) -> None:
    world = World(lab)
    for _ in range(3):
        world.project(commits=2)
    for number in range(230):
        lab.keycloak.add_user(f"person-{number}@example.org", NOW)
    result = plan("lab")
    assert result.exit_code == 0
    assert without_times(result) == [
        "lab: gitlab: the next pull, as far as it is known before it runs",
        "addresses of users 2 or more",
        "branches 3 or more",
        "commits 3 or more",
        "lists of projects 4",
        "lists of users 1 or more",
        "push events 3 or more",
        "rights of the token 1",
        "in all 17 requests, for 3 projects to read",
        "about some time at 7 in flight; this plan made 4 requests",
        "lab: keycloak: the next pull, as far as it is known before it runs",
        "counts of users 2 or more",
        "lists of logins 1 or more",
        "lists of users 3 or more",
        "settings of events 1",
        "tokens 2 or more",
        "in all 9 requests",
        "about some time at 1 in flight; this plan made 2 requests",
        "lab: amalthea: 0 files to read",
    ]
    assert not (tmp_path / "store").exists()


def without_times(result: Result) -> list[str]:
    """The lines as words."""
    return [re.sub("about .* at", "about some time at", " ".join(line.split())) for line in result.output.splitlines()]


def test_what_is_told_of_keycloak_is_the_least_that_a_pull_costs(lab: RenkuLab, tmp_path: Path) -> None:
    for number in range(230):
        person = lab.keycloak.add_user(f"person-{number}@example.org", NOW)
        lab.keycloak.log_in(person, NOW - HOUR, ("renku",))
    deployment = read_deployments(tmp_path / "deployments")["lab"]
    told = cost_of_pull(KeycloakAdmin(deployment))
    lab.requests.clear()
    KeycloakSource(deployment, AddressBook(b"key", [])).pull_users(NOW)
    users = len(lab.requests)
    list(KeycloakSource(deployment, AddressBook(b"key", [])).pull_logins(LoginsState(), NOW))
    assert users == 1 + 2 + 3
    # Two pages of logins more than can be known before.
    assert len(lab.requests) == told.total + 2


def test_files_of_the_audit_log_are_counted_that_were_not_read(lab: RenkuLab) -> None:
    for days in (1, 2, 3):
        lab.amalthea.start_session(NOW + days * DAY, user_id="1", gitlab_project_id=1)
    lab.amalthea.restart(NOW + 4 * DAY)
    assert plan("lab").output.splitlines()[-1] == "lab: amalthea: 3 files to read"


def test_the_limit_of_requests_a_minute_is_in_the_time(lab: RenkuLab, tmp_path: Path) -> None:
    file = tmp_path / "deployments" / "lab.yaml"
    file.write_text(file.read_text().replace("gitlab:\n", "gitlab:\n  requests_per_minute: 600\n"))
    World(lab).project(commits=2)
    of_gitlab, of_keycloak = (line for line in plan("lab").output.splitlines() if line.startswith("about "))
    # 11 and 7 requests.
    assert of_gitlab.startswith("about 1 second at 7 in flight, 525 a minute; ")
    assert of_keycloak.startswith("about 6 seconds at 1 in flight, 75 a minute; ")


def test_an_unknown_deployment_is_one_line(lab: RenkuLab) -> None:
    assert refusal("elsewhere").endswith("there is no deployment elsewhere; there is lab")


def test_a_refused_token_is_one_line(lab: RenkuLab) -> None:
    lab.administrator.is_admin = False
    assert "LAB_GITLAB_TOKEN" in refusal("lab")


def test_a_deployment_without_gitlab_is_told_what_else_it_costs(lab: RenkuLab, tmp_path: Path) -> None:
    file = tmp_path / "deployments" / "lab.yaml"
    content = yaml.safe_load(file.read_text())
    del content["gitlab"]
    file.write_text(yaml.safe_dump(content))
    result = plan("lab")
    assert result.exit_code == 0
    assert result.output.splitlines()[0] == "lab: keycloak: the next pull, as far as it is known before it runs"


def test_a_deployment_without_sources_is_one_line(lab: RenkuLab, tmp_path: Path) -> None:
    (tmp_path / "deployments" / "bare.yaml").write_text("name: bare\ntitle: Bare\nstart: 2026-01-01\n")
    assert "bare.yaml: gitlab, keycloak and amalthea are missing" in refusal("bare")
