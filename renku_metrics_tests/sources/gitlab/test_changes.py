"""Which projects a pull of commits looks at, by what GitLab says of their activity, and what that costs."""

from __future__ import annotations

import pandas as pd
import pytest

from renku_metrics_tests.sources.gitlab.world import ADA, DAY, HOUR, MINUTE, NOON, Pulls, World
from renkulab import gitlab_entities as entities
from renkulab.git import Repository


def test_with_nothing_new_a_pull_lists_projects_and_no_more(world: World, pulls: Pulls) -> None:
    for number in range(30):
        world.project(5, created_at=NOON - number * DAY)
    pulls.pull()
    world.advance(2 * HOUR)
    pulls.pull()
    before = pulls.commits
    summary = pulls.pull()
    assert {request.path for request in world.lab.requests} == {"/gitlab/api/v4/projects"}
    assert len(world.lab.requests) == 2
    assert (summary.read, summary.commits, summary.complete) == (0, 0, True)
    pd.testing.assert_frame_equal(pulls.commits, before)


def test_a_pull_costs_what_changed(world: World, pulls: Pulls) -> None:
    projects = [world.project(2) for _ in range(500)]
    pulls.pull()
    # Five pages of projects and the empty one at the end, who asks, and branches and commits of each project.
    assert len(world.lab.requests) == 6 + 1 + 2 * 500
    world.advance(7 * DAY)
    for project in projects[::20]:
        for _ in range(3):
            world.commit(project)
    summary = pulls.pull()
    assert (summary.listed, summary.read, summary.commits) == (25, 25, 75)
    assert len(world.lab.requests) == 2 + 1 + 2 * 25 <= 55
    assert all(pulls.of(project) == world.reachable(project) for project in projects)


def test_projects_at_rest_cost_nothing_however_many_there_are(world: World, pulls: Pulls) -> None:
    for _ in range(150):
        world.project(commits=1)
    active = world.project(commits=1)
    pulls.pull()
    world.advance(DAY)
    world.commit(active)
    pulls.pull()
    assert len(world.lab.requests) <= 5


def test_projects_without_a_repository_cost_nothing(world: World, pulls: Pulls) -> None:
    for _ in range(10):
        world.project()
    assert pulls.pull().complete
    assert pulls.asked("/repository/") == 0
    assert len(pulls.projects) == 10


def test_an_empty_project_is_read_once_it_has_commits(world: World, pulls: Pulls) -> None:
    empty = world.project()
    assert pulls.pull().complete
    assert pulls.asked("/branches") == 0
    world.advance(DAY)
    commit = world.commit(empty)
    assert pulls.pull().complete
    assert pulls.came == [(empty.id, commit.sha)]
    assert pulls.of(empty) == world.reachable(empty)


def test_activity_that_lags_behind_the_push_loses_nothing(world: World, pulls: Pulls) -> None:
    project = world.project(2)
    first = world.commit(project)
    world.advance(5 * MINUTE)
    pulls.pull()
    # Within the hour GitLab does not move last_activity_at, neither now nor later.
    second = world.commit(project)
    assert project.last_activity_at == NOON
    world.advance(30 * DAY)
    pulls.pull()
    assert {first.sha, second.sha} <= pulls.of(project)


def test_moving_renaming_hiding_and_archiving_change_no_commit(world: World, pulls: Pulls) -> None:
    project = world.project(20)
    pulls.pull()
    world.advance(DAY)
    world.gitlab.transfer(project, world.gitlab.add_group("institute"))
    project.path = "renamed"
    project.visibility = "private"
    world.commit(project)
    project.archived = True
    pulls.pull()
    assert pulls.of(project) == world.reachable(project)
    [row] = pulls.projects.to_dict("records")
    assert (row["namespace_kind"], row["archived"]) == ("group", True)


def test_an_import_that_runs_for_hours_is_read_when_it_is_done(
    world: World, pulls: Pulls, monkeypatch: pytest.MonkeyPatch
) -> None:
    """GitLab does not move last_activity_at when an import ends."""
    imported = world.project(created_at=world.now)
    entity, status = entities.project_entity, {"import_status": "started"}
    monkeypatch.setattr(entities, "project_entity", lambda *facts, **options: entity(*facts, **options) | status)
    assert pulls.pull().complete
    world.advance(5 * HOUR)
    assert pulls.pull().complete
    imported.repository = Repository()
    imported.repository.commit("imported\n", ADA, world.now - DAY, branch="master")
    status["import_status"] = "finished"
    world.advance(5 * HOUR)
    assert pulls.pull().complete
    assert pulls.of(imported) == world.reachable(imported) != set()
    assert len(pulls.came) == 1
    world.advance(5 * HOUR)
    pulls.pull()
    assert pulls.asked(f"/projects/{imported.id}") == 0
