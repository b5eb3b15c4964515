"""What ``renku-metrics plan`` prints."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from renku_metrics.cli import renku_metrics
from renku_metrics_tests.renkulab.server import RenkuLab, write_deployment
from renku_metrics_tests.sources.harvest import World

NOW = dt.datetime(2026, 11, 16, 12, tzinfo=dt.UTC)


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RenkuLab]:
    with RenkuLab("lab", tmp_path / "audit-log", now=NOW) as running:
        for name, value in write_deployment(running, tmp_path / "deployments", dt.date(2026, 1, 1)).items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("RENKU_METRICS_DEPLOYMENTS", str(tmp_path / "deployments"))
        monkeypatch.setenv("RENKU_METRICS_STORE", str(tmp_path / "store"))
        yield running


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
    result = plan("lab")
    assert result.exit_code == 0
    first, *kinds, last = result.output.splitlines()
    assert first == "lab: gitlab: the next pull, as far as can be known before"
    assert [" ".join(line.split()) for line in kinds] == [
        "addresses of users 2 or more",
        "branches 3 or more",
        "commits 3 or more",
        "lists of projects 4",
        "lists of users 1 or more",
        "push events 3 or more",
        "rights of the token 1",
        "in all 17 requests, for 3 projects to be read",
    ]
    assert last.startswith("about 0 s at 8 in flight; this plan made ")
    assert not (tmp_path / "store").exists()


def test_the_limit_of_requests_a_minute_is_in_the_time(lab: RenkuLab, tmp_path: Path) -> None:
    file = tmp_path / "deployments" / "lab.yaml"
    file.write_text(file.read_text().replace("gitlab:\n", "gitlab:\n  requests_per_minute: 300\n"))
    World(lab).project(commits=2)
    last = plan("lab").output.splitlines()[-1]
    assert last.startswith("about 2 s at 8 in flight, 300 a minute; ")


def test_an_unknown_deployment_is_one_line(lab: RenkuLab) -> None:
    assert refusal("elsewhere").endswith("there is no deployment elsewhere; there is lab")


def test_a_refused_token_is_one_line(lab: RenkuLab) -> None:
    lab.administrator.is_admin = False
    assert "LAB_GITLAB_TOKEN" in refusal("lab")


def test_a_deployment_without_gitlab_is_one_line(lab: RenkuLab, tmp_path: Path) -> None:
    (tmp_path / "deployments" / "bare.yaml").write_text("name: bare\ntitle: Bare\nstart: 2026-01-01\n")
    assert "bare.yaml: gitlab: is missing" in refusal("bare")
