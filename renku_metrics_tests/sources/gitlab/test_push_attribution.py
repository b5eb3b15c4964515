"""Which push brought which commit: a pure function of commits and push events."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from renku_metrics.sources.addresses import Address
from renku_metrics.sources.gitlab.commits import Commit
from renku_metrics.sources.gitlab.pushes import Row, attribute
from renku_metrics.sources.gitlab.renku_commits import RenkuMessage
from renku_metrics_tests.sources.gitlab.world import ADA, BOB, DAY, HOUR, MINUTE, NOON
from renkulab.clock import Clock
from renkulab.git import Repository
from renkulab.gitlab import GitLab


def history(**parents: str) -> dict[str, Commit]:
    """Commits by name with the names of their parents; each is a minute younger than the one before."""
    return {
        name: Commit(
            name,
            above.split(),
            NOON + number * MINUTE,
            NOON,
            Address(f"hash of {name[0]}", "personal"),
            RenkuMessage(),
            renku_committer=False,
            read_by=1,
        )
        for number, (name, above) in enumerate(parents.items())
    }


def pushed(number: int, head: str | None, count: int, base: str | None = None, user: int = 7) -> Row:
    return {
        "push_id": number,
        "pushed_at": NOON + number * HOUR,
        "commit_to": head,
        "commit_from": base,
        "commit_count": count,
        "gitlab_user_id": user,
    }


def pushers(commits: dict[str, Commit], pushes: list[Row]) -> dict[str, tuple[int | None, int | None]]:
    """Pusher and number of addresses by commit, of those that a push brought."""
    brought = attribute(commits, pushes)
    assert brought == {sha for sha, commit in commits.items() if commit.push_addresses is not None}
    return {sha: (commits[sha].pusher_id, commits[sha].push_addresses) for sha in sorted(brought)}


def test_a_push_brings_what_its_base_does_not_hold() -> None:
    commits = history(a="", b="a", c="b", d="c")
    assert pushers(commits, [pushed(1, "d", 2, "b")]) == {"c": (7, 2), "d": (7, 2)}


def test_commits_of_one_person_carry_one_address() -> None:
    commits = history(a1="", a2="a1", a3="a2")
    assert pushers(commits, [pushed(1, "a3", 3)]) == dict.fromkeys(commits, (7, 1))


def test_each_commit_belongs_to_the_earliest_push_whatever_the_order() -> None:
    commits = history(a="", b="a", c="b")
    pushes = [pushed(2, "c", 3, user=2), pushed(1, "b", 2, user=1)]
    assert pushers(commits, pushes) == {"a": (1, 2), "b": (1, 2), "c": (2, 3)}


def test_of_pushes_at_the_same_time_the_first_id_wins() -> None:
    commits = history(a="")
    pushes = [{**pushed(number, "a", 1, user=number), "pushed_at": NOON} for number in (9, 8)]
    assert pushers(commits, pushes) == {"a": (8, 1)}


def test_a_new_branch_brings_as_many_as_gitlab_counted_where_history_is_a_line() -> None:
    commits = history(a="", b="a", c="b", d="c")
    assert pushers(commits, [pushed(1, "d", 2)]) == {"c": (7, 2), "d": (7, 2)}


def test_a_merge_brings_what_was_not_pushed_before_and_counts_all_it_holds() -> None:
    # a - b ----- m     master; feature f1, f2 was pushed before.
    #  \- f1 - f2 /
    commits = history(a="", b="a", f1="a", f2="f1", m="b f2")
    pushes = [pushed(1, "f2", 2, user=1), pushed(2, "m", 3, "b", user=2)]
    assert pushers(commits, pushes) == {"f1": (1, 1), "f2": (1, 1), "m": (2, 2)}


def test_a_merge_is_uncertain_when_the_count_fits_no_known_base() -> None:
    commits = history(a="", b="a", f1="a", f2="f1", m="b f2")
    assert pushers(commits, [pushed(1, "m", 3)]) == {}
    assert pushers(commits, [pushed(1, "m", 3, "gone")]) == {}
    assert pushers(commits, [pushed(1, "m", 2, "b")]) == {}
    assert pushers(commits, [pushed(1, "m", 5)]) == dict.fromkeys(commits, (7, 4))


def test_a_part_of_history_is_enough_when_the_rest_is_old() -> None:
    # x and y are stored already and not told of again.
    commits = history(b="x", f="y", m="b f")
    assert pushers(commits, [pushed(1, "m", 3, "x")]) == {"b": (7, 3), "f": (7, 3), "m": (7, 3)}
    assert pushers(history(b="x", f="y", m="b f"), [pushed(1, "m", 4, "x")]) == {}
    assert pushers(history(c="b"), [pushed(1, "c", 2)]) == {}


def test_a_clock_that_runs_wrong_makes_a_merge_at_most_uncertain() -> None:
    commits = history(a="", b="a", f1="a", f2="f1", m="b f2")
    for name, days in (("a", 3), ("f1", -400), ("b", 9)):
        commits[name] = replace(commits[name], dated_at=NOON + days * DAY)
    assert pushers(commits, [pushed(2, "m", 3, "b")]) in ({}, {"f1": (7, 2), "f2": (7, 2), "m": (7, 2)})


@pytest.mark.parametrize("event", [pushed(1, None, 0), pushed(1, "c", 0, "b"), pushed(1, "elsewhere", 2)])
def test_events_without_commits_bring_none(event: Row) -> None:
    assert pushers(history(a="", b="a", c="b"), [event]) == {}


def test_the_push_of_a_deleted_account_brings_its_commits_for_nobody() -> None:
    commits = history(a="")
    assert attribute(commits, [{**pushed(1, "a", 1), "gitlab_user_id": None}]) == {"a"}
    assert (commits["a"].pusher_id, commits["a"].push_addresses) == (None, 1)


def test_what_an_uncertain_push_brought_is_no_later_ones() -> None:
    # Who pushed the new branch with f1, b and m cannot be told; whoever moves master there brings n alone.
    commits = history(a="", b="a", f1="a", m="b f1", n="m")
    pushes = [pushed(1, "m", 3, user=1), pushed(2, "n", 4, "a", user=2)]
    assert pushers(commits, pushes) == {"n": (2, 4)}


def test_what_a_branch_showed_without_bringing_is_no_later_pushs() -> None:
    commits = history(a="", b="a", c="b")
    shown = pushed(1, "b", 0, user=1)
    assert pushers(commits, [shown, pushed(2, "c", 3, user=2)]) == {"c": (2, 3)}


def test_what_an_earlier_pull_saw_was_not_brought_after_it() -> None:
    commits = history(a="", b="a")
    commits["a"] = replace(commits["a"], seen_at=NOON - 2 * DAY)
    assert pushers(commits, [pushed(1, "b", 2)]) == {"b": (7, 2)}


@pytest.mark.parametrize("seed", range(40))
def test_no_push_is_ever_taken_for_anothers(seed: int) -> None:
    """Random histories with merges, bulk pushes, deleted branches and wrong clocks, against what happened."""
    chance = random.Random(seed)
    gitlab = GitLab(Clock(NOON))
    users = [gitlab.add_user(f"u{number}", f"u{number}@x.example", NOON) for number in range(4)]
    repository = Repository()
    project = gitlab.create_project("p", gitlab.add_group("g"), users[0], NOON, repository=repository)
    at = NOON
    truth: dict[str, int] = {}
    for _ in range(60):
        at += MINUTE
        user = chance.choice(users)
        branch = chance.choice(["master", "one", "two"])
        head = repository.branches.get(branch) or repository.branches.get("master")
        before = set(repository.commits)
        for _ in range(chance.randint(1, 3)):
            other = repository.branches.get(chance.choice(["master", "one", "two"]))
            parents = [head] if head else []
            if other and other != head and chance.random() < 0.4:
                parents.append(other)
            wrong = chance.choice([0, 0, 0, 0, -500, 500]) * MINUTE
            head = repository.commit("work", chance.choice([ADA, BOB]), at + wrong, parents=parents).sha
        truth |= dict.fromkeys(set(repository.commits) - before, user.id)
        gitlab.push(project, user, {branch: head}, at)
        if chance.random() < 0.05 and branch != "master":
            gitlab.push(project, user, {branch: None}, at)
    known = {
        commit.sha: Commit(
            commit.sha,
            list(commit.parents),
            commit.committed_at,
            at,
            Address(commit.author.email, "personal"),
            RenkuMessage(),
            renku_committer=False,
            read_by=1,
        )
        for commit in repository.log(list(repository.branches.values()))
    }
    events = [
        {
            "push_id": event.id,
            "pushed_at": event.created_at,
            "commit_to": event.commit_to,
            "commit_from": event.commit_from,
            "commit_count": event.commit_count,
            "gitlab_user_id": event.author_id,
        }
        for event in gitlab.events
    ]
    chance.shuffle(events)
    brought = attribute(known, events)
    assert {sha: known[sha].pusher_id for sha in brought} == {sha: truth[sha] for sha in brought}
    assert len(brought) > 0.8 * len(known)
