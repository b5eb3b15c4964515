"""What one answer that is refused or broken for good stops, and what it does not."""

from __future__ import annotations

import re

import pytest

from renku_metrics.errors import SourceError
from renku_metrics.sources.gitlab.client import GitLabClient
from renku_metrics.sources.http import Patience
from renku_metrics_tests.sources.answers import LASTING
from renku_metrics_tests.sources.gitlab.world import DAY, NOON, Pulls, World
from renkulab.faults import Fault, html_page, json_object, redirect, refused, server_error, unauthorized
from renkulab.gitlab import Project


@pytest.fixture
def projects(world: World, monkeypatch: pytest.MonkeyPatch) -> list[Project]:
    """Three projects, one with more branches, commits and pushes than a page holds."""
    monkeypatch.setattr(GitLabClient, "page_length", 3)
    made = [world.project(count) for count in (7, 0, 3)]
    for number in range(3):
        world.commit(made[0], f"b{number}", at=NOON - (9 - number) * DAY)
        world.commit(made[0], "b0", at=NOON - (5 - number) * DAY)
    return made


def is_whole(world: World, pulls: Pulls, projects: list[Project]) -> bool:
    return all(pulls.of(project) == world.reachable(project) for project in projects)


def says_whole(pulls: Pulls) -> bool:
    """Whether the pull says that all is there."""
    try:
        return pulls.pull(with_pushes=True).complete
    except SourceError:
        return False


def requests_of_a_clean_pull(world: World) -> int:
    assert says_whole(Pulls(world.lab))
    return len(world.lab.requests)


@pytest.mark.parametrize("fault", [refused(400), refused(403), refused(404), unauthorized(), json_object()])
def test_what_does_not_pass_is_never_taken_for_the_end(world: World, projects: list[Project], fault: Fault) -> None:
    for place in range(1, requests_of_a_clean_pull(world) + 1):
        pulls = Pulls(world.lab)
        world.lab.faults.clear()
        world.lab.faults.add("", fault, at=place)
        said_whole = says_whole(pulls)
        assert is_whole(world, pulls, projects) or not said_whole
        world.lab.faults.clear()
        assert says_whole(pulls)
        assert is_whole(world, pulls, projects)


@pytest.mark.parametrize("list_of_project", ["branches", "commits"])
@pytest.mark.parametrize("fault", LASTING.values(), ids=LASTING)
def test_a_project_that_fails_for_good_is_marked_stops_no_other_and_is_tried_again(
    fault: Fault, list_of_project: str, world: World, pulls: Pulls
) -> None:
    projects = [world.project(commits=3) for _ in range(5)]
    broken, *others = projects
    world.lab.faults.add(f"/projects/{broken.id}/repository/{list_of_project}", fault, times=None)
    for _ in range(2):
        summary = pulls.pull()
        assert not summary.complete
        assert summary.finished
        assert list(summary.unread) == [broken.id]
        assert summary.unread[broken.id]
        assert all(pulls.of(project) == world.reachable(project) for project in others)
        # Long after its last activity, too.
        world.advance(3 * DAY)
    world.lab.faults.clear()
    assert pulls.pull().complete
    assert pulls.of(broken) == world.reachable(broken)
    assert {project for project, _ in pulls.came} == {broken.id}


@pytest.mark.parametrize(
    ("pattern", "fault", "why"),
    [
        ("branches$", refused(403), "branches were refused with status 403"),
        ("branches$", server_error(500), "branches gave status 500, 7 times in a row"),
        ("commits$", refused(404), "commits were refused with status 404"),
        ("commits$", html_page(), "commits gave a page that is not JSON, 7 times in a row"),
        ("commits$", json_object(), "commits gave something else than a list"),
    ],
)
def test_a_project_that_fails_for_good_stops_no_other_and_is_tried_again(
    world: World, pulls: Pulls, projects: list[Project], pattern: str, fault: Fault, why: str
) -> None:
    broken = projects[0]
    world.lab.faults.add(f"projects/{broken.id}/repository/{pattern}", fault, times=None)
    summary = pulls.pull()
    assert not summary.complete
    assert list(summary.unread) == [broken.id]
    assert why in summary.unread[broken.id]
    assert is_whole(world, pulls, projects[1:])
    assert pulls.of(broken) == set()
    # Nothing happened there since; it is not in the list of what changed.
    world.advance(60 * DAY)
    assert list(pulls.pull().unread) == [broken.id]
    world.lab.faults.clear()
    assert pulls.pull().complete
    assert is_whole(world, pulls, projects)


def test_a_project_that_alone_is_forbidden_is_that_projects_trouble(world: World, pulls: Pulls) -> None:
    forbidden, other = world.project(commits=2), world.project(commits=2)
    world.lab.faults.add(re.escape(f"/projects/{forbidden.id}") + "(/|$)", LASTING["403"], times=None)
    assert pulls.pull().unread == {forbidden.id: "the project was refused with status 403"}
    assert pulls.of(other) == world.reachable(other)


@pytest.mark.parametrize("fault", LASTING.values(), ids=LASTING)
def test_a_fault_at_a_later_page_keeps_the_heads_where_they_were(fault: Fault, world: World, pulls: Pulls) -> None:
    project = world.project(commits=250)
    world.lab.faults.add("/commits$", fault, at=2, times=None)
    assert list(pulls.pull().unread) == [project.id]
    world.lab.faults.clear()
    assert pulls.pull().complete
    assert pulls.of(project) == world.reachable(project)


# A whole server


def test_a_server_that_answers_nothing_any_more_ends_the_pull_and_keeps_what_was_read(
    world: World, pulls: Pulls
) -> None:
    projects = [world.project(commits=2) for _ in range(60)]
    pulls.concurrency, pulls.patience = 1, Patience(tries=2, sleep=lambda seconds: None)
    world.lab.faults.add("/repository/", server_error(502), at=21, times=None)
    with pytest.raises(SourceError, match="status 502"):
        pulls.pull()
    read = [project for project in projects if pulls.of(project)]
    assert len(read) == 10
    assert len(world.lab.requests) < 80
    world.lab.faults.clear()
    assert pulls.pull().complete
    assert len(pulls.came) == 2 * 50


def test_a_server_that_is_down_is_not_asked_for_every_project(world: World, pulls: Pulls) -> None:
    made = [world.project(2) for _ in range(60)]
    world.lab.faults.add("repository", server_error(502), at=21, times=None)
    with pytest.raises(SourceError, match=r"^lab: gitlab: .* gave status 502, 7 times in a row"):
        pulls.pull()
    assert len({request.path for request in world.lab.requests if request.status == 502}) < 35
    world.lab.faults.clear()
    assert pulls.pull().complete
    assert is_whole(world, pulls, made)


def test_a_redirect_ends_the_pull(world: World, pulls: Pulls) -> None:
    world.project(1)
    world.lab.faults.add("branches", redirect("https://elsewhere.example/login"))
    with pytest.raises(SourceError, match=r"redirects to elsewhere\.example; credentials are not sent there"):
        pulls.pull()
