"""What the next pull would cost, told before it is made and held against what it did cost."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from renku_metrics.sources.gitlab.cost import GitLabCost, cost_of_pull
from renku_metrics.sources.gitlab.state import GitLabState
from renku_metrics_tests.sources.gitlab.world import DAY, HOUR, Pulls, World
from renkulab import gitlab_entities as entities
from renkulab.faults import server_error
from renkulab.gitlab import GitLab, Project


@pytest.fixture(autouse=True)
def statistics(monkeypatch: pytest.MonkeyPatch) -> None:
    """GitLab counts the commits of the default branch."""
    entity = entities.project_entity

    def counting(gitlab: GitLab, project: Project, simple: bool) -> dict[str, Any]:
        repository = project.repository
        count = len(repository.reachable([repository.branches["master"]])) if repository else 0
        return entity(gitlab, project, simple) | {"statistics": {"commit_count": count}}

    monkeypatch.setattr(entities, "project_entity", counting)


def cost_told(world: World, pulls: Pulls) -> GitLabCost:
    """What the next pull would cost."""
    state = GitLabState.from_json(pulls.state)
    return cost_of_pull(pulls.client(), pulls.deployment, state, pulls.users, world.now)


def requests_made(world: World, pulls: Pulls) -> int:
    """What a pull of everything does cost."""
    pulls.pull_everything()
    return len(world.lab.requests)


def test_the_first_pull_costs_what_was_told(world: World, pulls: Pulls) -> None:
    for commits in (0, 1, 100, 250, 0, 7):
        world.project(commits=commits)
    cost = cost_told(world, pulls)
    assert cost.requests == {
        "lists of projects": 2 + 2,
        "rights of the token": 1,
        "single projects": 0,
        "branches": 4,
        "commits": 1 + 1 + 3 + 1,
        "push events": 4,
        "lists of users": 1,
        "addresses of users": 2,
    }
    assert cost.changed_projects == 6
    assert cost.total == requests_made(world, pulls)


def test_the_next_pull_costs_what_changed(world: World, pulls: Pulls) -> None:
    projects = [world.project(commits=3) for _ in range(120)]
    requests_made(world, pulls)
    world.advance(7 * DAY)
    for project in projects[::30]:
        world.commit(project)
    world.advance(3 * HOUR)
    assert cost_told(world, pulls).changed_projects == 4
    # Nobody knows before how many people's addresses are asked for again.
    assert abs(cost_told(world, pulls).total - requests_made(world, pulls)) <= 2
    world.advance(7 * DAY)
    assert cost_told(world, pulls).changed_projects == 0


def test_projects_that_wait_to_be_read_are_counted(world: World, pulls: Pulls) -> None:
    project = world.project(commits=3)
    world.lab.faults.add("/branches", server_error(500), times=None)
    requests_made(world, pulls)
    world.lab.faults.clear()
    world.advance(30 * DAY)
    cost = cost_told(world, pulls)
    assert (cost.changed_projects, cost.requests["single projects"]) == (1, 1)
    requests_made(world, pulls)
    assert len(pulls.of(project)) == 3


def test_an_earlier_start_costs_a_first_pull_again(world: World, pulls: Pulls) -> None:
    for _ in range(5):
        world.project(commits=3)
    requests_made(world, pulls)
    world.advance(30 * DAY)
    assert cost_told(world, pulls).changed_projects == 0
    pulls.start = dt.date(2019, 1, 1)
    assert cost_told(world, pulls).changed_projects == 5


def test_to_tell_takes_only_lists(world: World, pulls: Pulls) -> None:
    for _ in range(30):
        world.project(commits=3)
    cost_told(world, pulls)
    assert len(world.lab.requests) == cost_told(world, pulls).asked <= 5
    assert {request.path.rpartition("/")[2] for request in world.lab.requests} == {"projects", "user", "users"}
