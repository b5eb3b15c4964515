"""Push events as rows, and what whole pulls make of them: who pushed a commit."""

from __future__ import annotations

import pandas as pd
import pytest

from renku_metrics.tables import RAW_GITLAB_PUSHES
from renku_metrics_tests.sources.answers import LASTING
from renku_metrics_tests.sources.gitlab.world import ADA, BOB, DAY, HOUR, LONG_BEFORE, NOON, Pulls, World, repository_of
from renkulab.faults import Fault, Instead, server_error


def test_pushes_become_rows_without_names(world: World, pulls: Pulls) -> None:
    project = world.project(2)
    ada = world.ada
    before = repository_of(project).branches["master"]
    commit = world.commit(project, pusher=ada, at=NOON - HOUR)
    world.gitlab.push(project, ada, {"gone": commit.sha}, NOON)
    world.gitlab.push(project, ada, {"gone": None}, NOON)
    world.gitlab.delete_user(ada)
    pulls.pull(with_pushes=True)
    row = {"deployment": "lab", "event_day": "2026-11-16", "project_id": project.id, "ref_type": "branch"}
    moved, created, removed = (event.id for event in world.gitlab.events)
    expected = [
        {"push_id": moved, "pushed_at": NOON - HOUR, "action": "pushed", "commit_count": 1, "commit_from": before},
        {"push_id": created, "pushed_at": NOON, "action": "created", "commit_count": 0},
        {"push_id": removed, "pushed_at": NOON, "action": "removed", "commit_count": 0, "commit_from": commit.sha},
    ]
    for content in expected:
        content |= row | {"pulled_at": NOON} | ({} if content["action"] == "removed" else {"commit_to": commit.sha})
    pd.testing.assert_frame_equal(pulls.pushes, RAW_GITLAB_PUSHES.frame(expected))


def test_a_commit_carries_who_pushed_it(world: World, pulls: Pulls) -> None:
    project = world.project(3)
    ada, bob = world.ada, world.gitlab.add_user("bob", BOB.email, LONG_BEFORE)
    first = world.commit(project, pusher=ada)
    pulls.pull(with_pushes=True)
    assert tuple(pulls.row(project, first)[["pusher_id", "push_addresses"]]) == (ada.id, 1)
    world.advance(DAY)
    second = world.commit(project, author=ADA, pusher=bob)
    pulls.pull(with_pushes=True)
    assert tuple(pulls.row(project, second)[["pusher_id", "push_addresses"]]) == (bob.id, 1)
    assert pulls.of(project) == world.reachable(project)
    imported = pulls.commits[~pulls.commits["sha"].isin([first.sha, second.sha])]
    assert imported["pusher_id"].isna().all()


def test_an_event_that_comes_after_its_commit_still_tells_who_pushed(world: World, pulls: Pulls) -> None:
    project = world.project(3)
    pulls.pull(with_pushes=True)
    world.advance(10 * DAY)
    late = world.commit(project, dated=NOON)
    event = world.gitlab.events.pop()
    pulls.pull(with_pushes=True)
    assert pd.isna(pulls.row(project, late)["pusher_id"])
    world.gitlab.events.append(event)
    world.advance(HOUR)
    pulls.pull(with_pushes=True)
    assert pulls.row(project, late)["pusher_id"] == event.author_id
    assert pulls.of(project) == world.reachable(project)


def test_events_are_asked_for_from_a_little_before_the_last_time(world: World, pulls: Pulls) -> None:
    project = world.project(3)
    asked_after = []
    for _ in range(2):
        world.commit(project)
        pulls.pull(with_pushes=True)
        asked_after += [request.query.get("after") for request in world.lab.requests.matching("events$")]
        world.advance(DAY)
    assert asked_after == [None, ["2026-11-14"]]
    assert len(pulls.pushes) == 2


def test_without_pushes_no_events_are_asked_for_and_the_first_time_with_them_makes_good(
    world: World, pulls: Pulls
) -> None:
    project = world.project(3)
    commit = world.commit(project, at=NOON - 20 * DAY)
    pulls.pull()
    assert pulls.asked("events") == 0
    assert pd.isna(pulls.row(project, commit)["pusher_id"])
    world.advance(30 * DAY)
    pulls.pull(with_pushes=True)
    assert not pd.isna(pulls.row(project, commit)["pusher_id"])
    world.advance(DAY)
    pulls.pull(with_pushes=True)
    assert pulls.asked("/projects/") == 0


@pytest.mark.parametrize("fault", [Instead(403, b"{}", {"Content-Type": "application/json"}), server_error(500)])
def test_events_that_cannot_be_had_stop_no_commits(world: World, pulls: Pulls, fault: Instead) -> None:
    project = world.project(3)
    commit = world.commit(project)
    world.lab.faults.add("events", fault, times=None)
    assert pulls.pull(with_pushes=True).complete
    assert pulls.of(project) == world.reachable(project)
    world.lab.faults.clear()
    world.advance(DAY)
    world.commit(project)
    pulls.pull(with_pushes=True)
    assert len(pulls.pushes) == 2
    assert pulls.row(project, commit)["pusher_id"] == world.ada.id


def test_an_import_of_which_no_event_tells_is_not_waited_for(world: World, pulls: Pulls) -> None:
    project = world.project(3)
    pulls.pull(with_pushes=True)
    world.advance(DAY)
    repository = repository_of(project)
    for number in range(1001):
        repository.commit(f"imported {number}", ADA, world.now, branch="master")
    world.gitlab.push(project, world.ada, {"brought": repository.branches["master"]}, world.now, quiet=True)
    project.last_activity_at = world.now
    pulls.pull(with_pushes=True)
    assert pulls.of(project) == world.reachable(project)
    assert len(pulls.state or b"") < 2000


@pytest.mark.parametrize("fault", LASTING.values(), ids=LASTING)
def test_push_events_that_cannot_be_had_cost_the_pushers_and_nothing_else(
    fault: Fault, world: World, pulls: Pulls
) -> None:
    project = world.project(commits=1)
    commit = world.commit(project)
    world.lab.faults.add("/events", fault, times=None)
    assert pulls.pull(with_pushes=True).complete
    assert pulls.of(project) == world.reachable(project)
    world.lab.faults.clear()
    world.advance(HOUR)
    pulls.pull(with_pushes=True)
    assert pulls.row(project, commit)["pusher_id"] == world.ada.id


def test_the_pusher_is_told_of_commits_that_were_pulled_without_push_events(world: World, pulls: Pulls) -> None:
    project = world.project(commits=1)
    pulls.pull(with_pushes=True)
    world.advance(DAY)
    commit = world.commit(project)
    pulls.pull()
    world.advance(30 * DAY)
    pulls.pull(with_pushes=True, anew=True)
    assert pulls.row(project, commit)["pusher_id"] == world.ada.id
