"""What GitLab and Keycloak of one deployment may be asked together."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from renku_metrics.deployments import Deployment, Section
from renku_metrics.sources.budget import Share, gitlab_share, keycloak_share, takes_turns
from renku_metrics.sources.gitlab.client import GitLabClient
from renku_metrics.sources.gitlab.projects import pull_projects
from renku_metrics.sources.gitlab.section import GitLab
from renku_metrics.sources.http import Patience
from renku_metrics.sources.keycloak.admin import KeycloakAdmin
from renku_metrics.sources.keycloak.realm import KeycloakSource
from renku_metrics.sources.keycloak.section import Keycloak
from renku_metrics_tests.sources.gitlab.world import BOOK, NOON, World
from renkulab.faults import Fault
from renkulab.server import RenkuLab

MINUTE = 60.0


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RenkuLab]:
    """One project or person a page: 120 requests for GitLab, 40 for Keycloak."""
    monkeypatch.setattr(GitLabClient, "page_length", 1)
    monkeypatch.setattr(KeycloakAdmin, "page_length", 1)
    with RenkuLab("lab", tmp_path / "audit-log", now=NOON) as running:
        monkeypatch.setenv("LAB_GITLAB_TOKEN", running.gitlab_token)
        monkeypatch.setenv("LAB_KEYCLOAK_SECRET", running.keycloak_secret)
        world = World(running)
        for _ in range(120):
            world.project()
        for number in range(36):
            running.keycloak.add_user(f"person-{number}@example.org", NOON)
        yield running


def deployment(*, lab: RenkuLab | None = None, keycloak: bool = True, **gitlab: Any) -> Deployment:
    gitlab_section = {"url": lab.gitlab_url if lab else "http://127.0.0.1:1", "token": "${LAB_GITLAB_TOKEN}"} | gitlab
    keycloak_section = {
        "url": lab.keycloak_url if lab else "http://127.0.0.1:1",
        "client_id": "renku-metrics",
        "client_secret": "${LAB_KEYCLOAK_SECRET}",
    }
    sources: dict[str, Section] = {"gitlab": GitLab.model_validate(gitlab_section)}
    if keycloak:
        sources["keycloak"] = Keycloak.model_validate(keycloak_section)
    return Deployment(name="lab", title="Lab", start=dt.date(2026, 1, 1), sources=sources)


@pytest.mark.parametrize(
    ("concurrency", "rate", "of_gitlab", "of_keycloak", "turns"),
    [
        (1, None, Share(1, None), Share(1, None), True),
        (1, 30, Share(1, 30), Share(1, 30), True),
        (2, 30, Share(1, 15), Share(1, 15), False),
        (4, 100, Share(3, 75), Share(1, 25), False),
        (4, 30, Share(3, 23), Share(1, 7), False),
        (8, 2, Share(7, 1), Share(1, 1), False),
        (8, 1, Share(8, 1), Share(1, 1), True),
        (8, None, Share(7, None), Share(1, None), False),
        (8, 1200, Share(7, 1050), Share(1, 150), False),
    ],
)
def test_both_together_have_what_the_deployment_has(
    concurrency: int, rate: int | None, of_gitlab: Share, of_keycloak: Share, turns: bool
) -> None:
    both = deployment(concurrency=concurrency, requests_per_minute=rate)
    assert (gitlab_share(both), keycloak_share(both), takes_turns(both)) == (of_gitlab, of_keycloak, turns)


def test_one_alone_has_all_of_it() -> None:
    alone = deployment(keycloak=False, concurrency=4, requests_per_minute=100)
    assert (gitlab_share(alone), takes_turns(alone)) == (Share(4, 100), False)
    without_gitlab = deployment().model_copy(update={"sources": {"keycloak": deployment().sources["keycloak"]}})
    assert (keycloak_share(without_gitlab), takes_turns(without_gitlab)) == (Share(1, None), False)


class Time:
    """Goes on only for who waits."""

    def __init__(self) -> None:
        self.now = 0.0

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    @property
    def patience(self) -> Patience:
        return Patience(sleep=self.sleep, clock=lambda: self.now)


def times_of_requests(lab: RenkuLab, of_gitlab: Time, of_keycloak: Time) -> list[float]:
    """Grows with each request, by the time of who made it."""
    times: list[float] = []
    ask = lab.faults.next_for

    def note(method: str, path: str) -> Fault | None:
        times.append(of_gitlab.now if path.startswith("/gitlab/") else of_keycloak.now)
        return ask(method, path)

    lab.faults.next_for = note  # type: ignore[method-assign]
    return times


def most_in_a_minute(times: list[float]) -> int:
    # Sums of thirds of a second are a little too small.
    return max(sum(begin <= time < begin + MINUTE - 0.001 for time in times) for begin in times)


@pytest.mark.parametrize(("concurrency", "rate"), [(2, 60), (3, 61), (4, 30), (8, 45)])
def test_both_at_once_make_no_more_requests_a_minute_than_the_deployment_may_get(
    lab: RenkuLab, concurrency: int, rate: int
) -> None:
    both = deployment(lab=lab, concurrency=concurrency, requests_per_minute=rate)
    of_gitlab, of_keycloak = Time(), Time()
    times = times_of_requests(lab, of_gitlab, of_keycloak)
    pull_projects(GitLabClient(both, of_gitlab.patience), both, NOON)
    KeycloakSource(both, BOOK, of_keycloak.patience).pull_users(NOON)

    assert len(times) >= 120 + 39
    assert most_in_a_minute(times) == rate


def test_pulls_that_take_turns_make_no_more_requests_a_minute_either(lab: RenkuLab) -> None:
    both = deployment(lab=lab, concurrency=1, requests_per_minute=50)
    time = Time()
    times = times_of_requests(lab, time, time)
    for _ in range(3):
        KeycloakSource(both, BOOK, time.patience).pull_users(NOON)
        pull_projects(GitLabClient(both, time.patience), both, NOON)

    assert len(times) >= 3 * (120 + 39)
    assert most_in_a_minute(times) == 50
