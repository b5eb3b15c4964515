"""Whatever happens to projects between pulls, each pull brings what is new."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from renku_metrics_tests.sources.gitlab.keeping import (
    ADA,
    BOB,
    DAY,
    MINUTE,
    NOW,
    VARIABLE,
    Keeping,
    make_project,
    push,
    reachable,
    repository_of,
)
from renkulab.server import RenkuLab


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RenkuLab]:
    with RenkuLab("lab", tmp_path / "audit", now=NOW) as lab:
        monkeypatch.setenv(VARIABLE, lab.gitlab_token)
        yield lab


@pytest.fixture
def keeping(lab: RenkuLab) -> Keeping:
    return Keeping(lab)


@pytest.fixture(autouse=True)
def never_asks_wrongly(lab: RenkuLab) -> Iterator[None]:
    """No test makes a pull ask by date, for all branches at once, or for a branch that may move."""
    yield
    for request in lab.requests.matching("/repository/commits$"):
        assert set(request.query) <= {"ref_name", "per_page", "page"}
        [revision] = request.query["ref_name"]
        assert all(len(sha) == 40 for sha in revision.split(".."))


def test_the_four_everyday_cases(lab: RenkuLab, keeping: Keeping) -> None:
    project = make_project(lab, 250)
    keeping.pull()
    assert keeping.shas(project) == reachable(project)
    lab.clock.advance(7 * DAY)
    now = lab.clock.now()
    new = push(lab, project, "ordinary")
    old = push(lab, project, "dated long ago, pushed late", dated=now - 30 * DAY)
    other = push(lab, project, "on another branch", branch="feature")
    imported = make_project(lab, 50, path="imported", days_ago=300)
    imported.created_at = imported.last_activity_at = now
    lab.requests.clear()
    keeping.pull()
    assert {new.sha, old.sha, other.sha} <= set(keeping.shas(project))
    assert keeping.shas(project) == reachable(project)
    assert keeping.shas(imported) == reachable(imported)
    assert keeping.commit(old)["event_day"] == (now - 30 * DAY).date().isoformat()
    # Two pages of projects, one question who asks, and for each project its branches; two heads, one history.
    assert len(lab.requests) == 3 + 2 + 2 + 1


@pytest.mark.parametrize("count", [1, 99, 100, 101, 199, 200, 201, 1000])
def test_histories_of_every_length_are_whole_and_cost_no_page_too_many(
    lab: RenkuLab, keeping: Keeping, count: int
) -> None:
    project = make_project(lab, count)
    keeping.pull()
    assert keeping.shas(project) == reachable(project)
    assert len(lab.requests.matching("commits$")) == -(-count // 100)


@pytest.mark.parametrize("count", [1, 100, 200, 250])
def test_ranges_of_every_length_are_whole(lab: RenkuLab, keeping: Keeping, count: int) -> None:
    project = make_project(lab, 5)
    keeping.pull()
    lab.clock.advance(DAY)
    for _ in range(count):
        push(lab, project)
    keeping.pull()
    assert keeping.shas(project) == reachable(project)


def test_commits_hidden_behind_an_older_date_are_found(lab: RenkuLab, keeping: Keeping) -> None:
    project = make_project(lab, 1)
    keeping.pull()
    lab.clock.advance(2 * DAY)
    hidden = push(lab, project, "hidden")
    push(lab, project, "on top of it, by a clock that is wrong", dated=NOW - 400 * DAY)
    keeping.pull()
    assert hidden.sha in keeping.shas(project)
    assert keeping.shas(project) == reachable(project)


def test_a_force_push_brings_the_new_history_and_keeps_the_old(lab: RenkuLab, keeping: Keeping) -> None:
    project = make_project(lab, 150)
    lost = push(lab, project, "to be rewritten", at=NOW - 29 * DAY)
    before = reachable(project)
    keeping.pull()
    lab.clock.advance(DAY)
    repository = repository_of(project)
    rewritten = repository.commit("rewritten", ADA, lab.clock.now(), parents=[lost.parents[0]])
    lab.gitlab.push(project, lab.administrator, {"master": rewritten.sha}, lab.clock.now())
    lab.requests.clear()
    keeping.pull()
    assert keeping.shas(project) == sorted([*before, rewritten.sha])
    assert len(lab.requests.matching("commits$")) == 1


def test_a_force_push_whose_old_head_is_gone_is_read_as_a_whole(lab: RenkuLab, keeping: Keeping) -> None:
    project = make_project(lab, 150)
    feature = push(lab, project, branch="feature", at=NOW - 29 * DAY)
    before = reachable(project)
    keeping.pull()
    lab.clock.advance(DAY)
    repository = repository_of(project)
    root = repository.commit("another beginning", BOB, lab.clock.now(), parents=[])
    again = repository.commit("feature again", BOB, lab.clock.now(), parents=[root.sha])
    lab.gitlab.push(project, lab.administrator, {"master": root.sha, "feature": again.sha}, lab.clock.now())
    repository.collect_garbage()
    assert feature.sha not in repository.commits
    keeping.pull()
    assert keeping.shas(project) == sorted([*before, root.sha, again.sha])


def test_a_branch_that_was_set_back_brings_nothing_and_is_known_again(lab: RenkuLab, keeping: Keeping) -> None:
    project = make_project(lab, 5)
    top = push(lab, project, at=NOW - 29 * DAY)
    keeping.pull()
    lab.clock.advance(DAY)
    lab.gitlab.push(project, lab.administrator, {"master": top.parents[0]}, lab.clock.now())
    keeping.pull()
    lab.clock.advance(DAY)
    new = push(lab, project)
    keeping.pull()
    assert keeping.shas(project) == sorted([*reachable(project), top.sha])
    assert new.sha in keeping.shas(project)


def test_a_branch_that_is_deleted_leaves_what_was_seen(lab: RenkuLab, keeping: Keeping) -> None:
    project = make_project(lab, 3)
    seen = push(lab, project, branch="feature", at=NOW - 29 * DAY)
    keeping.pull()
    lab.clock.advance(DAY)
    unseen = push(lab, project, branch="brief")
    lab.gitlab.push(project, lab.administrator, {"feature": None, "brief": None}, lab.clock.now())
    lab.requests.clear()
    keeping.pull()
    assert seen.sha in keeping.shas(project)
    # What comes and goes between two pulls is in no branch that could be listed.
    assert unseen.sha not in keeping.shas(project)
    assert not lab.requests.matching("commits")


def test_merged_branches_cost_nothing(lab: RenkuLab, keeping: Keeping) -> None:
    project = make_project(lab, 3)
    repository = repository_of(project)
    for number in range(120):
        repository.move(f"merged-{number}", repository.branches["master"])
    lab.requests.clear()
    keeping.pull()
    assert len(lab.requests.matching("/repository/")) == 2 + 1
    assert keeping.shas(project) == reachable(project)


def test_hundreds_of_autosave_branches_are_found(lab: RenkuLab, keeping: Keeping) -> None:
    project = make_project(lab, 3)
    for number in range(150):
        push(
            lab,
            project,
            "Auto-saving for ada on branch master from commit 1234567",
            branch=f"renku/autosave/ada/{number}",
            at=NOW - 29 * DAY,
        )
    keeping.pull()
    assert keeping.shas(project) == reachable(project)
    assert keeping.commits["autosave"].sum() == 150


def test_a_default_branch_that_changes_is_no_new_history(lab: RenkuLab, keeping: Keeping) -> None:
    project = make_project(lab, 250)
    feature = push(lab, project, branch="main", at=NOW - 29 * DAY)
    keeping.pull()
    lab.clock.advance(DAY)
    project.default_branch = "main"
    new = push(lab, project, branch="main")
    lab.requests.clear()
    keeping.pull()
    assert {feature.sha, new.sha} <= set(keeping.shas(project))
    assert keeping.shas(project) == reachable(project)
    assert len(lab.requests.matching("commits")) == 1


def test_a_default_branch_that_is_renamed_is_listed_from_the_old_ones_head(lab: RenkuLab, keeping: Keeping) -> None:
    project = make_project(lab, 250)
    keeping.pull()
    lab.clock.advance(DAY)
    project.default_branch = "main"
    push(lab, project, branch="main")
    lab.gitlab.push(project, lab.administrator, {"master": None}, lab.clock.now())
    lab.requests.clear()
    keeping.pull()
    assert keeping.shas(project) == reachable(project)
    assert len(lab.requests.matching("commits")) == 1


def test_a_fork_holds_the_same_commits_under_its_own_id(lab: RenkuLab, keeping: Keeping) -> None:
    project = make_project(lab, 120)
    keeping.pull()
    lab.clock.advance(DAY)
    fork = lab.gitlab.fork(project, lab.gitlab.add_group("institute"), lab.administrator, lab.clock.now())
    own = push(lab, fork)
    keeping.pull()
    assert keeping.shas(fork) == sorted([*keeping.shas(project), own.sha])
    row = keeping.projects[keeping.projects["project_id"] == fork.id].iloc[0]
    assert row["forked_from_id"] == project.id


def test_moving_renaming_hiding_and_archiving_change_no_commit(lab: RenkuLab, keeping: Keeping) -> None:
    project = make_project(lab, 20)
    keeping.pull()
    lab.clock.advance(DAY)
    lab.gitlab.transfer(project, lab.gitlab.add_group("institute"))
    project.path = "renamed"
    project.visibility = "private"
    push(lab, project)
    project.archived = True
    keeping.pull()
    assert keeping.shas(project) == reachable(project)
    [row] = keeping.projects.to_dict("records")
    assert (row["namespace_kind"], row["archived"]) == ("group", True)


def test_a_project_that_is_deleted_keeps_what_was_seen_and_one_restored_goes_on(
    lab: RenkuLab, keeping: Keeping
) -> None:
    project = make_project(lab, 20)
    keeping.pull()
    lab.gitlab.delete_project(project)
    lab.clock.advance(DAY)
    assert keeping.pull().complete
    assert keeping.shas(project) == reachable(project)
    lab.gitlab.restore_project(project)
    push(lab, project)
    assert keeping.pull().complete
    assert keeping.shas(project) == reachable(project)


def test_activity_that_lags_behind_the_push_loses_nothing(lab: RenkuLab, keeping: Keeping) -> None:
    project = make_project(lab, 2)
    first = push(lab, project)
    lab.clock.advance(5 * MINUTE)
    keeping.pull()
    # Within the hour GitLab does not move last_activity_at, neither now nor later.
    second = push(lab, project)
    assert project.last_activity_at == NOW
    lab.clock.advance(30 * DAY)
    keeping.pull()
    assert {first.sha, second.sha} <= set(keeping.shas(project))
