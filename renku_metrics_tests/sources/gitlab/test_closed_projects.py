"""Projects that are gone or have their repository disabled: no gap, and read when they come back."""

from __future__ import annotations

from typing import Literal

import pytest

from renku_metrics.sources.gitlab import changes as gitlab_changes
from renku_metrics_tests.sources.gitlab.world import DAY, HOUR, Pulls, World
from renkulab import faults
from renkulab.git import Commit
from renkulab.gitlab import Project


@pytest.fixture(params=[403, 404])
def disabled(request: pytest.FixtureRequest, world: World, pulls: Pulls) -> tuple[Project, Commit]:
    """A project whose repository was disabled before a pull saw its last commit, six days ago."""
    world.gitlab.disabled_repository_status = request.param
    project = world.project(commits=1)
    pulls.pull()
    world.advance(DAY)
    commit = world.commit(project)
    project.repository_enabled = False
    for _ in range(2):
        assert pulls.pull().complete
        # Once its activity is that long ago, the project is in no list.
        world.advance(3 * DAY)
    return project, commit


def test_a_repository_enabled_after_days_is_read(disabled: tuple[Project, Commit], world: World, pulls: Pulls) -> None:
    project, commit = disabled
    for _ in range(3):
        world.advance(DAY)
        assert pulls.pull().complete
    project.repository_enabled = True
    world.advance(HOUR)
    assert pulls.pull().complete
    assert pulls.came == [(project.id, commit.sha)]
    # From then on nobody looks at it again.
    world.advance(9 * DAY)
    pulls.pull()
    assert pulls.asked(f"/projects/{project.id}") == 0


@pytest.mark.usefixtures("disabled")
def test_a_disabled_repository_costs_one_request_a_pull(world: World, pulls: Pulls) -> None:
    world.commit(world.project(commits=1))
    pulls.pull()
    listing, rights, look_up, read = 2, 1, 1, 2
    assert len(world.lab.requests) == listing + rights + look_up + read


def test_a_repository_listed_as_disabled_is_not_asked_for(world: World, pulls: Pulls) -> None:
    world.project(commits=1).repository_enabled = False
    assert pulls.pull().complete
    assert pulls.asked("/repository/") == 0


def test_a_project_deleted_while_it_was_listed_and_restored_later_is_read(world: World, pulls: Pulls) -> None:
    project = world.project(commits=3)
    world.before_request("/branches$", 1, lambda: world.gitlab.delete_project(project))
    assert pulls.pull().complete
    world.advance(9 * DAY)
    assert pulls.pull().complete
    world.gitlab.restore_project(project)
    world.advance(9 * DAY)
    assert pulls.pull().complete
    assert pulls.of(project) == world.reachable(project)


def test_a_project_deleted_while_it_waited_and_restored_later_is_read(world: World, pulls: Pulls) -> None:
    project = world.project(commits=3)
    world.lab.faults.add("/commits", faults.server_error(500), times=None)
    assert list(pulls.pull().unread) == [project.id]
    world.lab.faults.clear()
    world.advance(9 * DAY)
    world.gitlab.delete_project(project)
    assert pulls.pull().complete
    world.gitlab.restore_project(project)
    world.advance(9 * DAY)
    assert pulls.pull().complete
    assert pulls.of(project) == world.reachable(project)


def test_a_closed_project_that_cannot_be_looked_at_is_a_gap(
    disabled: tuple[Project, Commit], world: World, pulls: Pulls
) -> None:
    project, commit = disabled
    world.lab.faults.add(f"/projects/{project.id}$", faults.server_error(500), times=None)
    assert list(pulls.pull().unread) == [project.id]
    world.lab.faults.clear()
    project.repository_enabled = True
    world.advance(9 * DAY)
    assert pulls.pull().complete
    assert commit.sha in pulls.of(project)


def test_of_many_closed_projects_some_are_looked_at_in_turn(
    world: World, pulls: Pulls, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gitlab_changes, "CLOSED_AT_A_TIME", 3)
    projects = [world.project(commits=1) for _ in range(7)]
    for project in projects:
        project.repository_enabled = False
    pulls.pull()
    looked_at = []
    for _ in range(3):
        world.advance(9 * DAY)
        assert pulls.pull().complete
        looked_at.append([int(request.path.rpartition("/")[2]) for request in world.lab.requests.matching(r"/\d+$")])
    assert [len(some) for some in looked_at] == [3, 3, 3]
    assert {number for some in looked_at for number in some} == {project.id for project in projects}
    # At the latest in the third pull.
    last = projects[-1]
    last.repository_enabled = True
    for _ in range(3):
        world.advance(9 * DAY)
        pulls.pull()
    assert pulls.of(last) == world.reachable(last)


@pytest.mark.parametrize("status", [403, 404])
def test_a_disabled_repository_is_no_gap_and_read_when_it_is_enabled_again(
    status: Literal[403, 404], world: World, pulls: Pulls
) -> None:
    project = world.project(commits=3)
    pulls.pull()
    world.advance(DAY)
    world.gitlab.disabled_repository_status = status
    commit = world.commit(project)
    project.repository_enabled = False
    assert pulls.pull().complete
    assert pulls.came == []
    world.advance(3 * HOUR)
    project.repository_enabled = True
    assert pulls.pull().complete
    assert pulls.of(project) == world.reachable(project)
    assert pulls.came == [(project.id, commit.sha)]


@pytest.mark.parametrize("status", [403, 404])
def test_projects_without_anything_to_read_count_as_read(status: Literal[403, 404], world: World, pulls: Pulls) -> None:
    world.gitlab.disabled_repository_status = status
    world.project()
    world.project(3)
    for _ in range(2):
        world.project(3).repository_enabled = False
    assert pulls.pull().complete
    assert len(pulls.came) == 3


def test_a_project_that_is_deleted_keeps_what_was_seen_and_one_restored_goes_on(world: World, pulls: Pulls) -> None:
    project = world.project(20)
    pulls.pull()
    world.gitlab.delete_project(project)
    world.advance(DAY)
    assert pulls.pull().complete
    assert pulls.of(project) == world.reachable(project)
    world.gitlab.restore_project(project)
    world.commit(project)
    assert pulls.pull().complete
    assert pulls.of(project) == world.reachable(project)


def test_a_project_deleted_between_two_requests_stops_nothing(world: World, pulls: Pulls) -> None:
    project, other = world.project(commits=250), world.project(commits=1)
    world.before_request(f"/projects/{project.id}/repository/commits", 2, lambda: world.gitlab.delete_project(project))
    assert pulls.pull().complete
    assert pulls.of(other) == world.reachable(other)
    world.gitlab.restore_project(project)
    world.commit(project)
    assert pulls.pull().complete
    assert pulls.of(project) == world.reachable(project)
