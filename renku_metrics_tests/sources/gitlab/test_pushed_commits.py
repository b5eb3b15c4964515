"""Push events as rows, and who pushed a commit, through whole pulls."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from renku_metrics.tables import RAW_GITLAB_PUSHES
from renku_metrics_tests.sources.gitlab.keeping import (
    ADA,
    BOB,
    DAY,
    HOUR,
    NOW,
    VARIABLE,
    Keeping,
    make_project,
    person,
    push,
    reachable,
    repository_of,
)
from renkulab.faults import Instead, server_error
from renkulab.server import RenkuLab


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RenkuLab]:
    with RenkuLab("lab", tmp_path / "audit", now=NOW) as lab:
        monkeypatch.setenv(VARIABLE, lab.gitlab_token)
        yield lab


@pytest.fixture
def keeping(lab: RenkuLab) -> Keeping:
    return Keeping(lab)


def test_pushes_become_rows_without_names(lab: RenkuLab, keeping: Keeping) -> None:
    project = make_project(lab, 2)
    ada = person(lab)
    before = repository_of(project).branches["master"]
    commit = push(lab, project, pusher=ada, at=NOW - HOUR)
    lab.gitlab.push(project, ada, {"gone": commit.sha}, NOW)
    lab.gitlab.push(project, ada, {"gone": None}, NOW)
    lab.gitlab.delete_user(ada)
    keeping.pull(with_pushes=True)
    row = {"deployment": "lab", "event_day": "2026-11-16", "project_id": project.id, "ref_type": "branch"}
    moved, created, removed = (event.id for event in lab.gitlab.events)
    expected = [
        {"push_id": moved, "pushed_at": NOW - HOUR, "action": "pushed", "commit_count": 1, "commit_from": before},
        {"push_id": created, "pushed_at": NOW, "action": "created", "commit_count": 0},
        {"push_id": removed, "pushed_at": NOW, "action": "removed", "commit_count": 0, "commit_from": commit.sha},
    ]
    for content in expected:
        content |= row | {"pulled_at": NOW} | ({} if content["action"] == "removed" else {"commit_to": commit.sha})
    pd.testing.assert_frame_equal(keeping.pushes, RAW_GITLAB_PUSHES.frame(expected))


def test_a_commit_carries_who_pushed_it(lab: RenkuLab, keeping: Keeping) -> None:
    project = make_project(lab, 3)
    ada, bob = person(lab), person(lab, BOB)
    first = push(lab, project, pusher=ada)
    keeping.pull(with_pushes=True)
    assert tuple(keeping.commit(first)[["pusher_id", "push_addresses"]]) == (ada.id, 1)
    lab.clock.advance(DAY)
    second = push(lab, project, author=ADA, pusher=bob)
    keeping.pull(with_pushes=True)
    assert tuple(keeping.commit(second)[["pusher_id", "push_addresses"]]) == (bob.id, 1)
    assert keeping.shas(project) == reachable(project)
    imported = keeping.commits[~keeping.commits["sha"].isin([first.sha, second.sha])]
    assert imported["pusher_id"].isna().all()


def test_an_event_that_comes_after_its_commit_still_tells_who_pushed(lab: RenkuLab, keeping: Keeping) -> None:
    project = make_project(lab, 3)
    keeping.pull(with_pushes=True)
    lab.clock.advance(10 * DAY)
    late = push(lab, project, pusher=person(lab), dated=NOW)
    event = lab.gitlab.events.pop()
    keeping.pull(with_pushes=True)
    assert pd.isna(keeping.commit(late)["pusher_id"])
    lab.gitlab.events.append(event)
    lab.clock.advance(HOUR)
    keeping.pull(with_pushes=True)
    assert keeping.commit(late)["pusher_id"] == event.author_id
    assert keeping.shas(project) == reachable(project)


def test_events_are_asked_for_from_a_little_before_the_last_time(lab: RenkuLab, keeping: Keeping) -> None:
    project = make_project(lab, 3)
    push(lab, project)
    keeping.pull(with_pushes=True)
    lab.clock.advance(DAY)
    push(lab, project)
    keeping.pull(with_pushes=True)
    assert [request.query.get("after") for request in lab.requests.matching("events$")] == [None, ["2026-11-14"]]
    assert len(keeping.pushes) == 2


def test_without_pushes_no_events_are_asked_for_and_the_first_time_with_them_makes_good(
    lab: RenkuLab, keeping: Keeping
) -> None:
    project = make_project(lab, 3)
    commit = push(lab, project, pusher=person(lab), at=NOW - 20 * DAY)
    keeping.pull()
    assert not lab.requests.matching("events")
    assert pd.isna(keeping.commit(commit)["pusher_id"])
    lab.clock.advance(30 * DAY)
    keeping.pull(with_pushes=True)
    assert not pd.isna(keeping.commit(commit)["pusher_id"])
    lab.clock.advance(DAY)
    lab.requests.clear()
    keeping.pull(with_pushes=True)
    assert not lab.requests.matching("/projects/")


@pytest.mark.parametrize("fault", [Instead(403, b"{}", {"Content-Type": "application/json"}), server_error(500)])
def test_events_that_cannot_be_had_stop_no_commits(lab: RenkuLab, keeping: Keeping, fault: Instead) -> None:
    project = make_project(lab, 3)
    commit = push(lab, project)
    lab.faults.add("events", fault, times=None)
    assert keeping.pull(with_pushes=True).complete
    assert keeping.shas(project) == reachable(project)
    lab.faults.clear()
    lab.clock.advance(DAY)
    push(lab, project)
    keeping.pull(with_pushes=True)
    assert len(keeping.pushes) == 2
    assert keeping.commit(commit)["pusher_id"] == lab.administrator.id


def test_an_import_of_which_no_event_tells_is_not_waited_for(lab: RenkuLab, keeping: Keeping) -> None:
    project = make_project(lab, 3)
    keeping.pull(with_pushes=True)
    lab.clock.advance(DAY)
    repository = repository_of(project)
    for number in range(1001):
        repository.commit(f"imported {number}", ADA, lab.clock.now(), branch="master")
    lab.gitlab.push(project, lab.administrator, {"brought": repository.branches["master"]}, lab.clock.now(), quiet=True)
    project.last_activity_at = lab.clock.now()
    keeping.pull(with_pushes=True)
    assert keeping.shas(project) == reachable(project)
    assert len(keeping.state or b"") < 2000
