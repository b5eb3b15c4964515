"""What is listed of a branch whose head moved: ranges, whole histories, and heads that vanish."""

from __future__ import annotations

import pytest

from renku_metrics_tests.sources.gitlab.world import ADA, BOB, DAY, HOUR, NOON, Pulls, World, repository_of
from renkulab.gitlab import Project
from renkulab.web import Request, Response


@pytest.fixture
def project(world: World, pulls: Pulls) -> Project:
    """Three commits, pulled; a day has passed since."""
    project = world.project(commits=3)
    assert pulls.pull().complete
    world.advance(DAY)
    return project


def everything_is_there(world: World, pulls: Pulls, project: Project) -> None:
    assert pulls.pull().complete
    assert pulls.of(project) >= world.reachable(project)


# How much


@pytest.mark.parametrize("count", [1, 99, 100, 101, 199, 200, 201, 1000])
def test_histories_of_every_length_are_whole_and_cost_no_page_too_many(world: World, pulls: Pulls, count: int) -> None:
    project = world.project(count)
    pulls.pull()
    assert pulls.of(project) == world.reachable(project)
    assert pulls.asked("commits$") == -(-count // 100)


@pytest.mark.parametrize("count", [1, 100, 200, 201, 250])
def test_ranges_of_every_length_are_whole_and_cost_no_page_too_many(
    project: Project, world: World, pulls: Pulls, count: int
) -> None:
    for _ in range(count):
        world.commit(project)
    assert pulls.pull().complete
    assert pulls.of(project) == world.reachable(project)
    assert len(pulls.came) == count
    assert pulls.asked("commits$") == -(-count // 100)


def test_commits_hidden_behind_an_older_date_are_found(world: World, pulls: Pulls) -> None:
    project = world.project(1)
    pulls.pull()
    world.advance(2 * DAY)
    hidden = world.commit(project)
    # By a clock that is wrong.
    world.commit(project, dated=NOON - 400 * DAY)
    pulls.pull()
    assert hidden.sha in pulls.of(project)
    assert pulls.of(project) == world.reachable(project)


# Heads that move elsewhere


def test_a_force_push_brings_the_new_history_and_keeps_the_old(world: World, pulls: Pulls) -> None:
    project = world.project(150)
    lost = world.commit(project, at=NOON - 29 * DAY)
    before = world.reachable(project)
    pulls.pull()
    world.advance(DAY)
    repository = repository_of(project)
    rewritten = repository.commit("rewritten", ADA, world.now, parents=[lost.parents[0]])
    world.move(project, "master", rewritten.sha)
    pulls.pull()
    assert pulls.of(project) == before | {rewritten.sha}
    assert pulls.asked("commits$") == 1


def test_a_force_push_whose_old_head_is_gone_is_read_as_a_whole(world: World, pulls: Pulls) -> None:
    project = world.project(150)
    feature = world.commit(project, "feature", at=NOON - 29 * DAY)
    before = world.reachable(project)
    pulls.pull()
    world.advance(DAY)
    repository = repository_of(project)
    root = repository.commit("another beginning", BOB, world.now, parents=[])
    again = repository.commit("feature again", BOB, world.now, parents=[root.sha])
    world.gitlab.push(project, world.ada, {"master": root.sha, "feature": again.sha}, world.now)
    repository.collect_garbage()
    assert feature.sha not in repository.commits
    pulls.pull()
    assert pulls.of(project) == before | {root.sha, again.sha}


def test_a_branch_that_was_set_back_brings_nothing_and_is_known_again(world: World, pulls: Pulls) -> None:
    project = world.project(5)
    top = world.commit(project, at=NOON - 29 * DAY)
    pulls.pull()
    world.advance(DAY)
    world.move(project, "master", top.parents[0])
    pulls.pull()
    world.advance(DAY)
    new = world.commit(project)
    pulls.pull()
    assert pulls.of(project) == world.reachable(project) | {top.sha}
    assert new.sha in pulls.of(project)


def test_an_empty_range_whose_base_is_gone_is_no_end(world: World, pulls: Pulls) -> None:
    project = world.project(commits=3)
    side = world.commit(project, "side")
    pulls.pull()
    world.advance(DAY)
    fresh = world.commit(project, "side", parents=[])
    repository_of(project).collect_garbage()
    assert side.sha not in repository_of(project).commits
    assert pulls.pull().complete
    assert pulls.came == [(project.id, fresh.sha)]


def test_a_default_branch_that_changes_is_no_new_history(world: World, pulls: Pulls) -> None:
    project = world.project(250)
    feature = world.commit(project, "main", at=NOON - 29 * DAY)
    pulls.pull()
    world.advance(DAY)
    project.default_branch = "main"
    new = world.commit(project, "main")
    pulls.pull()
    assert {feature.sha, new.sha} <= pulls.of(project)
    assert pulls.of(project) == world.reachable(project)
    assert pulls.asked("commits") == 1


def test_a_default_branch_that_is_renamed_is_listed_from_the_old_ones_head(world: World, pulls: Pulls) -> None:
    project = world.project(250)
    pulls.pull()
    world.advance(DAY)
    project.default_branch = "main"
    world.commit(project, "main")
    world.move(project, "master", None)
    pulls.pull()
    assert pulls.of(project) == world.reachable(project)
    assert pulls.asked("commits") == 1


def test_an_unrelated_new_default_branch_is_found_whole(project: Project, world: World, pulls: Pulls) -> None:
    first = world.commit(project, "fresh", parents=[])
    second = world.commit(project, "fresh")
    project.default_branch = "fresh"
    everything_is_there(world, pulls, project)
    assert {sha for _, sha in pulls.came} == {first.sha, second.sha}


def test_a_repository_that_loses_all_branches_and_gets_others_is_read_on(
    project: Project, world: World, pulls: Pulls
) -> None:
    world.move(project, "master", None)
    everything_is_there(world, pulls, project)
    world.advance(DAY)
    commit = world.commit(project, parents=[])
    everything_is_there(world, pulls, project)
    assert commit.sha in pulls.of(project)


# While they are listed


def test_commits_pushed_between_two_pages_shift_nothing(world: World, pulls: Pulls) -> None:
    project = world.project(250)
    before = world.reachable(project)
    world.before_request("/commits$", 2, lambda: world.commit(project))
    assert pulls.pull().complete
    assert pulls.of(project) == before != world.reachable(project)
    world.advance(DAY)
    everything_is_there(world, pulls, project)


def test_a_force_push_between_two_pages_loses_nothing(world: World, pulls: Pulls) -> None:
    project = world.project(250)
    before = world.reachable(project)
    fourth = repository_of(project).log([world.head(project)])[3].sha
    world.before_request("/commits$", 2, lambda: world.move(project, "master", fourth))
    assert pulls.pull().complete
    assert pulls.of(project) == before != world.reachable(project)


def test_a_page_that_comes_again_is_not_read_for_ever(
    world: World, pulls: Pulls, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = world.project(250)
    web = world.lab._web
    answer = web._answer

    def repeating(request: Request) -> Response:
        if request.path.endswith("/commits") and "page" in request.query:
            first = {name: values for name, values in request.query.items() if name != "page"}
            return answer(Request(request.method, request.path, first, request.headers))
        return answer(request)

    monkeypatch.setattr(web, "_answer", repeating)
    assert pulls.pull().unread == {project.id: "GitLab gave the same page of commits twice"}


@pytest.mark.parametrize("page", [1, 2, 3])
def test_a_history_that_vanishes_while_it_is_read_is_marked_and_read_next_time(
    page: int, world: World, pulls: Pulls
) -> None:
    project = world.project(commits=250)

    def rewrite() -> None:
        world.commit(project, parents=[])
        repository_of(project).collect_garbage()

    world.before_request("/commits", page, rewrite)
    summary = pulls.pull()
    assert not summary.complete
    assert list(summary.unread) == [project.id]
    everything_is_there(world, pulls, project)


@pytest.mark.parametrize("page", [1, 2, 3])
def test_an_increment_that_vanishes_while_it_is_read_is_marked_and_read_next_time(
    page: int, project: Project, world: World, pulls: Pulls
) -> None:
    root = world.head(project)
    for _ in range(200):
        world.commit(project, "side")
    # More than one parent stays open, so that an empty page may be the end.
    side = world.commit(project, "side", parents=[world.head(project, "side"), world.head(project, "side")])
    world.commit(project, parents=[root])

    def rewrite() -> None:
        world.commit(project, "side", parents=[root])
        repository_of(project).collect_garbage()

    world.before_request("/commits$", page + 1, rewrite)
    summary = pulls.pull()
    assert not summary.complete
    assert side.sha not in world.reachable(project)
    world.advance(HOUR)
    everything_is_there(world, pulls, project)
