"""Branches, however many and however GitLab pages them: none is lost between two pages, and merged ones cost little."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from renku_metrics_tests.sources.gitlab.world import DAY, HOUR, MINUTE, NOON, Pulls, World, repository_of
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
    world.advance(DAY)
    return made


@pytest.mark.usefixtures("by_key")
@pytest.mark.parametrize("count", [0, 98, 99, 100, 250])
def test_any_number_of_branches_is_whole(count: int, world: World, pulls: Pulls) -> None:
    project = world.project(commits=2)
    branches_of(world, project, count)
    assert pulls.pull().complete
    assert pulls.of(project) == world.reachable(project)


@pytest.mark.usefixtures("by_key")
def test_a_few_branches_cost_one_request(world: World, pulls: Pulls) -> None:
    projects = [world.project(commits=2) for _ in range(25)]
    pulls.pull()
    assert (pulls.asked("/branches"), pulls.asked("/commits")) == (25, 25)
    world.advance(7 * DAY)
    for project in projects:
        world.commit(project)
    pulls.pull()
    assert len(world.lab.requests) == 2 + 1 + 2 * 25


def test_hundreds_of_autosave_branches_are_found(world: World, pulls: Pulls) -> None:
    project = world.project(3)
    message = "Auto-saving for ada on branch master from commit 1234567"
    for number in range(150):
        world.commit(project, f"renku/autosave/ada/{number}", message=message, at=NOON - 29 * DAY)
    pulls.pull()
    assert pulls.of(project) == world.reachable(project)
    assert pulls.commits["autosave"].sum() == 150


@pytest.mark.usefixtures("by_key")
@pytest.mark.parametrize("page", [1, 2, 3])
@pytest.mark.parametrize("gone", ["b-005", "b-100", "b-129"])
def test_a_branch_deleted_between_two_pages_hides_no_other(gone: str, page: int, world: World, pulls: Pulls) -> None:
    project = world.project(commits=3)
    made = branches_of(world, project, 230)
    world.before_request("/branches$", page, lambda: world.move(project, gone, None))
    assert pulls.pull().complete
    assert pulls.of(project) >= {commit.sha for name, commit in made.items() if name != gone}


def test_the_branch_that_a_page_by_key_follows_may_be_deleted(world: World, pulls: Pulls) -> None:
    """GitLab then fails, and so does reading the project, until the next pull."""
    world.gitlab.branch_list_keyset_pagination = True
    project = world.project(commits=3)
    branches_of(world, project, 130)
    world.before_request("/branches$", 2, lambda: world.move(project, "b-099", None))
    summary = pulls.pull()
    assert list(summary.unread) == [project.id]
    assert "status 500" in summary.unread[project.id]
    assert pulls.pull().complete
    assert pulls.of(project) == world.reachable(project)


def test_branches_that_go_at_every_page_are_marked_and_read_next_time(world: World, pulls: Pulls) -> None:
    project = world.project(commits=3)
    branches_of(world, project, 130)
    for number in range(3):
        # Before the second page of each reading.
        world.before_request("/branches$", 2 * number + 2, partial(world.move, project, f"b-00{number}", None))
    assert pulls.pull().unread == {project.id: "branches came and went while they were listed"}
    assert pulls.asked("/branches$") == 3 * 2
    assert pulls.pull().complete
    assert pulls.of(project) == world.reachable(project)


def test_a_branch_deleted_before_it_was_seen_is_lost_with_what_only_it_held(world: World, pulls: Pulls) -> None:
    project = world.project(commits=3)
    pulls.pull()
    world.advance(DAY)
    kept = world.commit(project, "short-lived")
    world.move(project, "master", kept.sha)
    lost = world.commit(project, "short-lived")
    world.move(project, "short-lived", None)
    assert pulls.pull().complete
    assert pulls.of(project) >= world.reachable(project)
    assert kept.sha in pulls.of(project)
    assert lost.sha not in pulls.of(project)


def test_a_branch_that_is_deleted_leaves_what_was_seen(world: World, pulls: Pulls) -> None:
    project = world.project(3)
    seen = world.commit(project, "feature", at=NOON - 29 * DAY)
    pulls.pull()
    world.advance(DAY)
    unseen = world.commit(project, "brief")
    world.gitlab.push(project, world.ada, {"feature": None, "brief": None}, world.now)
    pulls.pull()
    assert seen.sha in pulls.of(project)
    # What comes and goes between two pulls is in no branch that could be listed.
    assert unseen.sha not in pulls.of(project)
    assert pulls.asked("commits") == 0


# What is merged


def test_merged_branches_cost_nothing(world: World, pulls: Pulls) -> None:
    project = world.project(3)
    repository = repository_of(project)
    for number in range(120):
        repository.move(f"merged-{number}", repository.branches["master"])
    pulls.pull()
    assert pulls.asked("/repository/") == 2 + 1
    assert pulls.of(project) == world.reachable(project)


def test_merged_branches_that_are_new_cost_a_request_each_and_one_for_all(world: World, pulls: Pulls) -> None:
    project = world.project(commits=9)
    old = [commit.sha for commit in repository_of(project).log([world.head(project)])]
    pulls.pull()
    world.advance(DAY)
    for number in range(60):
        # Made of commits that a pull before has listed; the first of the default branch's head, which is known.
        world.move(project, f"merged-{number:02}", old[number % 3])
    assert pulls.pull().complete
    assert pulls.came == []
    # The branches before and after; an empty range for each of those made of the two others.
    assert (pulls.asked("/branches$"), pulls.asked("/commits")) == (1 + 1, 40)
    world.advance(HOUR)
    world.commit(project)
    assert pulls.pull().complete
    assert (pulls.asked("/branches$"), pulls.asked("/commits")) == (1, 1)


def test_what_was_merged_since_the_last_pull_costs_nothing(world: World, pulls: Pulls) -> None:
    project = world.project(commits=3)
    pulls.pull()
    world.advance(DAY)
    for number in range(5):
        commit = world.commit(project, f"feature-{number}")
        world.move(project, "master", commit.sha)
    assert pulls.pull().complete
    assert len(pulls.came) == 5
    assert (pulls.asked("/branches$"), pulls.asked("/commits")) == (1, 1)


def test_a_push_to_a_branch_that_gitlab_still_calls_merged_is_found(world: World, pulls: Pulls) -> None:
    project = world.project(commits=3)
    world.move(project, "feature", world.head(project))
    world.advance(MINUTE)
    world.commit(project)
    pulls.pull()
    world.advance(4 * HOUR)

    pushed = world.commit(project, "feature", parents=[world.head(project, "feature")])

    assert pulls.pull().complete
    assert pushed.sha in pulls.of(project)


def test_a_branch_merged_while_the_branches_are_listed_is_not_taken_for_stored(world: World, pulls: Pulls) -> None:
    project = world.project(commits=3)
    pulls.pull()
    world.advance(DAY)
    for number in range(120):
        world.commit(project, f"a-{number:03}")
    tip = world.commit(project, "z")
    root = world.head(project)
    # The default branch is on the first page, the branch on the second.
    project.default_branch = "a-000"
    world.before_request("/branches", 2, lambda: world.move(project, "a-000", tip.sha))
    pulls.pull()
    world.move(project, "a-000", root)
    world.advance(HOUR)
    assert pulls.pull().complete
    assert pulls.of(project) >= world.reachable(project)


# Branches without a commit


def test_a_branch_without_a_commit_is_marked_and_hides_no_other(
    world: World, pulls: Pulls, monkeypatch: pytest.MonkeyPatch
) -> None:
    project, other = world.project(commits=3), world.project(commits=1)
    hidden = world.commit(project, "broken")
    entity = entities.branch_entity

    def headless(*facts: Any) -> dict[str, Any]:
        branch = entity(*facts)
        return branch | ({"commit": None} if branch["name"] == "broken" else {})

    monkeypatch.setattr(entities, "branch_entity", headless)
    summary = pulls.pull()
    assert summary.unread == {project.id: "a branch without a commit"}
    assert not summary.complete
    assert pulls.of(project) == world.reachable(project) - {hidden.sha}
    assert pulls.of(other) == world.reachable(other)
    monkeypatch.setattr(entities, "branch_entity", entity)
    world.advance(9 * DAY)
    assert pulls.pull().complete
    assert pulls.came == [(project.id, hidden.sha)]
