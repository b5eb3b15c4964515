"""What the next pull would cost, told before it is made and held against what it did cost."""

from __future__ import annotations

from typing import Any

import pytest

from renku_metrics.sources.gitlab.cost import GitLabCost, cost_of_pull
from renku_metrics.sources.gitlab.projects import pull_projects
from renku_metrics.sources.gitlab.state import GitLabState
from renku_metrics.sources.gitlab.users import pull_users
from renku_metrics.store.merging import merge
from renku_metrics.tables import RAW_GITLAB_USERS
from renku_metrics_tests.sources.gitlab.harvest import DAY, HOUR, Harvest, World
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


class Costs:
    """Pulls of everything, and what is told of them before."""

    def __init__(self, harvest: Harvest) -> None:
        self.harvest = harvest
        self.users = RAW_GITLAB_USERS.frame()

    def told(self) -> GitLabCost:
        harvest = self.harvest
        state, now = GitLabState.from_json(harvest.state), harvest.lab.clock.now()
        return cost_of_pull(harvest.client(), harvest.deployment, state, self.users, now)

    def true(self) -> int:
        harvest, client = self.harvest, self.harvest.client()
        now = harvest.lab.clock.now()
        pull_projects(client, harvest.deployment, now)
        for batch in pull_users(client, harvest.deployment, harvest.book, self.users, now):
            self.users = merge(RAW_GITLAB_USERS, self.users, batch.rows[RAW_GITLAB_USERS.name])
        harvest.pull(with_pushes=True)
        return client.connection.requests_made + len(harvest.lab.requests)


@pytest.fixture
def costs(harvest: Harvest) -> Costs:
    return Costs(harvest)


def test_the_first_pull_costs_what_was_told(world: World, costs: Costs) -> None:
    for commits in (0, 1, 100, 250, 0, 7):
        world.project(commits=commits)
    told = costs.told()
    assert told.requests == {
        "lists of projects": 2 + 2,
        "rights of the token": 1,
        "single projects": 0,
        "branches": 4,
        "commits": 1 + 1 + 3 + 1,
        "push events": 4,
        "lists of users": 1,
        "addresses of users": 2,
    }
    assert told.changed_projects == 6
    assert told.total == costs.true()


def test_the_next_pull_costs_what_changed(world: World, costs: Costs) -> None:
    projects = [world.project(commits=3) for _ in range(120)]
    costs.true()
    world.lab.clock.advance(7 * DAY)
    for project in projects[::30]:
        world.commit(project)
    world.lab.clock.advance(3 * HOUR)
    assert costs.told().changed_projects == 4
    # Nobody knows before how many people's addresses are asked for again.
    assert abs(costs.told().total - costs.true()) <= 2
    world.lab.clock.advance(7 * DAY)
    assert costs.told().changed_projects == 0


def test_projects_that_wait_to_be_read_are_counted(world: World, costs: Costs) -> None:
    project = world.project(commits=3)
    world.lab.faults.add("/branches", server_error(500), times=None)
    costs.true()
    world.lab.faults.clear()
    world.lab.clock.advance(30 * DAY)
    told = costs.told()
    assert (told.changed_projects, told.requests["single projects"]) == (1, 1)
    costs.true()
    assert len(costs.harvest.of(project)) == 3


def test_an_earlier_start_costs_a_first_pull_again(world: World, costs: Costs) -> None:
    for _ in range(5):
        world.project(commits=3)
    costs.true()
    world.lab.clock.advance(30 * DAY)
    assert costs.told().changed_projects == 0
    costs.harvest.start = costs.harvest.start.replace(year=2025)
    assert costs.told().changed_projects == 5


def test_to_tell_takes_only_lists(world: World, costs: Costs) -> None:
    for _ in range(30):
        world.project(commits=3)
    costs.told()
    assert len(world.lab.requests) == costs.told().asked <= 5
    assert {request.path.rpartition("/")[2] for request in world.lab.requests} == {"projects", "user", "users"}
