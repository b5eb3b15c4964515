"""Branches, however many and however GitLab pages them: what they cost, and that none is lost between two pages."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from renku_metrics_tests.sources.gitlab.harvest import DAY, HOUR, Harvest, World
from renkulab import gitlab_entities as entities
from renkulab.git import Commit
from renkulab.gitlab import Project


@pytest.fixture(params=[False, True], ids=["by number", "by key"])
def by_key(request: pytest.FixtureRequest, world: World) -> bool:
    """How GitLab pages branches: by number unless its flag is on."""
    world.gitlab.branch_list_keyset_pagination = request.param
    return bool(request.param)


def branches_of(world: World, project: Project, count: int) -> dict[str, Commit]:
    """So many branches with a commit of their own; the default one, master, comes after all of them."""
    made = {f"b-{number:03}": world.commit(project, f"b-{number:03}") for number in range(count)}
    world.lab.clock.advance(DAY)
    return made


@pytest.mark.usefixtures("by_key")
@pytest.mark.parametrize("count", [0, 98, 99, 100, 250])
def test_any_number_of_branches_is_whole(count: int, world: World, harvest: Harvest) -> None:
    project = world.project(commits=2)
    branches_of(world, project, count)
    assert harvest.pull().complete
    assert harvest.of(project) == world.reachable(project)


@pytest.mark.usefixtures("by_key")
def test_a_few_branches_cost_one_request(world: World, harvest: Harvest) -> None:
    projects = [world.project(commits=2) for _ in range(25)]
    harvest.pull()
    assert (harvest.asked("/branches"), harvest.asked("/commits")) == (25, 25)
    world.lab.clock.advance(7 * DAY)
    for project in projects:
        world.commit(project)
    harvest.pull()
    assert len(world.lab.requests) == 2 + 1 + 2 * 25


@pytest.mark.usefixtures("by_key")
@pytest.mark.parametrize("page", [1, 2, 3])
@pytest.mark.parametrize("gone", ["b-005", "b-100", "b-129"])
def test_a_branch_deleted_between_two_pages_hides_no_other(
    gone: str, page: int, world: World, harvest: Harvest
) -> None:
    project = world.project(commits=3)
    made = branches_of(world, project, 230)
    world.before_request("/branches$", page, lambda: world.move(project, gone, None))
    assert harvest.pull().complete
    assert harvest.of(project) >= {commit.sha for name, commit in made.items() if name != gone}


def test_the_branch_that_a_page_by_key_follows_may_be_deleted(world: World, harvest: Harvest) -> None:
    """GitLab then fails, and so does reading the project, until the next pull."""
    world.gitlab.branch_list_keyset_pagination = True
    project = world.project(commits=3)
    branches_of(world, project, 130)
    world.before_request("/branches$", 2, lambda: world.move(project, "b-099", None))
    summary = harvest.pull()
    assert list(summary.unread) == [project.id]
    assert "status 500" in summary.unread[project.id]
    assert harvest.pull().complete
    assert harvest.of(project) == world.reachable(project)


def test_branches_that_go_at_every_page_are_marked_and_read_next_time(world: World, harvest: Harvest) -> None:
    project = world.project(commits=3)
    branches_of(world, project, 130)
    for number in range(3):
        # Before the second page of each reading.
        world.before_request("/branches$", 2 * number + 2, partial(world.move, project, f"b-00{number}", None))
    assert harvest.pull().unread == {project.id: "branches came and went while they were listed"}
    assert harvest.asked("/branches$") == 3 * 2
    assert harvest.pull().complete
    assert harvest.of(project) == world.reachable(project)


# What is merged


def test_merged_branches_that_are_new_cost_a_request_each_and_one_for_all(world: World, harvest: Harvest) -> None:
    project = world.project(commits=9)
    assert project.repository is not None
    old = [commit.sha for commit in project.repository.log([world.head(project)])]
    harvest.pull()
    world.lab.clock.advance(DAY)
    for number in range(60):
        # Made of commits that a pull before has listed; the first of the default branch's head, which is known.
        world.move(project, f"merged-{number:02}", old[number % 3])
    assert harvest.pull().complete
    assert harvest.came == []
    # The branches before and after; an empty range for each of those made of the two others.
    assert (harvest.asked("/branches$"), harvest.asked("/commits")) == (1 + 1, 40)
    world.lab.clock.advance(HOUR)
    world.commit(project)
    assert harvest.pull().complete
    assert (harvest.asked("/branches$"), harvest.asked("/commits")) == (1, 1)


def test_what_was_merged_since_the_last_pull_costs_nothing(world: World, harvest: Harvest) -> None:
    project = world.project(commits=3)
    harvest.pull()
    world.lab.clock.advance(DAY)
    for number in range(5):
        commit = world.commit(project, f"feature-{number}")
        world.move(project, "master", commit.sha)
    assert harvest.pull().complete
    assert len(harvest.came) == 5
    assert (harvest.asked("/branches$"), harvest.asked("/commits")) == (1, 1)


def test_an_empty_range_whose_base_is_gone_is_no_end(world: World, harvest: Harvest) -> None:
    project = world.project(commits=3)
    side = world.commit(project, "side")
    harvest.pull()
    world.lab.clock.advance(DAY)
    fresh = world.commit(project, "side", parents=[])
    assert project.repository is not None
    project.repository.collect_garbage()
    assert side.sha not in project.repository.commits
    assert harvest.pull().complete
    assert harvest.came == [(project.id, fresh.sha)]


# Branches without a commit


def test_a_branch_without_a_commit_is_marked_and_hides_no_other(
    world: World, harvest: Harvest, monkeypatch: pytest.MonkeyPatch
) -> None:
    project, other = world.project(commits=3), world.project(commits=1)
    hidden = world.commit(project, "broken")
    entity = entities.branch_entity

    def headless(*facts: Any) -> dict[str, Any]:
        branch = entity(*facts)
        return branch | ({"commit": None} if branch["name"] == "broken" else {})

    monkeypatch.setattr(entities, "branch_entity", headless)
    summary = harvest.pull()
    assert summary.unread == {project.id: "a branch without a commit"}
    assert not summary.complete
    assert harvest.of(project) == world.reachable(project) - {hidden.sha}
    assert harvest.of(other) == world.reachable(other)
    monkeypatch.setattr(entities, "branch_entity", entity)
    world.lab.clock.advance(9 * DAY)
    assert harvest.pull().complete
    assert harvest.came == [(project.id, hidden.sha)]
