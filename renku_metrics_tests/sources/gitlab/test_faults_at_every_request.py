"""Faults at which other programs stop or lose rows, each at every request of a pull of everything."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator

import pytest

from renku_metrics.sources.gitlab.client import GitLabClient
from renku_metrics.sources.gitlab.state import GitLabState
from renku_metrics.sources.http import Patience
from renku_metrics_tests.sources.gitlab.world import DAY, IMPATIENT, NOON, Pulls, World, repository_of
from renkulab.faults import Fault, body_cut_off, connection_reset, html_page, no_answer, server_error, too_many_requests
from renkulab.gitlab import Project

# How often in a row a request meets it before it gets its answer.
PASSING: dict[str, tuple[Fault, int]] = {
    "429 with Retry-After": (too_many_requests(2), 1),
    "429 with a date": (too_many_requests("Mon, 16 Nov 2026 12:00:00 GMT"), 1),
    "429 bare": (too_many_requests(), 1),
    "500 once": (server_error(500), 1),
    "500 three times": (server_error(500), 3),
    "502 once": (server_error(502), 1),
    "503 bare": (server_error(503), 1),
    "503 with Retry-After": (server_error(503, retry_after=1), 2),
    "504 once": (server_error(504), 1),
    "connection reset": (connection_reset(), 1),
    "body cut off": (body_cut_off(), 1),
    "HTML page with status 200": (html_page(), 1),
    "no answer": (no_answer(), 1),
}


@pytest.fixture
def projects(world: World) -> list[Project]:
    """Two projects, the first with two pages of branches, commits and pushes; besides the administrator, one person."""
    for number in range(3):
        world.gitlab.add_email(world.ada, f"ada@{number}.example", NOON - 9 * DAY)
    large, small = world.project(3), world.project(1)
    for number in range(3):
        world.commit(large, f"a{number}", at=NOON - (9 - number) * DAY)
    return [large, small]


@pytest.fixture(autouse=True)
def short_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a small world has several of everything."""
    monkeypatch.setattr(GitLabClient, "page_length", 2)


def stored_whole(world: World, pulls: Pulls, projects: list[Project]) -> bool:
    commits = all(pulls.of(project) == world.reachable(project) for project in projects)
    # The administrator's, and Ada's four.
    addresses = sum(len(hashes) for hashes in pulls.users["address_hashes"])
    return commits and len(pulls.pushes) == 3 and addresses == 1 + 4


def requests_of_a_clean_pull(world: World, projects: list[Project]) -> int:
    pulls = Pulls(world.lab)
    assert pulls.pull_everything()
    assert stored_whole(world, pulls, projects)
    number = len(world.lab.requests)
    asked = Counter(request.path.rpartition("/")[2] for request in world.lab.requests)
    assert {kind: asked[kind] for kind in ("projects", "users", "emails", "branches", "commits", "events")} == {
        "projects": 2 * 2,
        "users": 1,
        "emails": 1 + 2,
        "branches": 2 + 1,
        "commits": 2 + 3 + 1,
        "events": 2 + 1,
    }
    return number


def at_every_request(world: World, projects: list[Project], deed: Callable[[], object]) -> Iterator[Pulls]:
    """A first pull for each request of it, just before which the deed is done."""
    for place in range(1, requests_of_a_clean_pull(world, projects) + 1):
        world.before_request("", place, deed)
        yield Pulls(world.lab)


@pytest.mark.parametrize("name", PASSING)
def test_what_passes_leaves_no_trace(
    name: str, world: World, projects: list[Project], monkeypatch: pytest.MonkeyPatch
) -> None:
    clean = requests_of_a_clean_pull(world, projects)
    fault, times = PASSING[name]
    met: Counter[str] = Counter()

    def of_every_request(_method: str, path: str) -> Fault | None:
        # Requests for one path come one after the other.
        met[path] += 1
        return fault if met[path] % (times + 1) else None

    monkeypatch.setattr(world.lab.faults, "next_for", of_every_request)
    waits = Patience(timeout=0.2, sleep=lambda seconds: None) if name == "no answer" else IMPATIENT
    pulls = Pulls(world.lab, patience=waits)
    assert pulls.pull_everything()
    assert stored_whole(world, pulls, projects)
    assert len(world.lab.requests) >= (times + 1) * clean


def test_a_project_that_is_deleted_takes_nothing_else_along(world: World, projects: list[Project]) -> None:
    large, small = projects
    for pulls in at_every_request(world, projects, lambda: world.gitlab.delete_project(large)):
        assert pulls.pull_everything()
        assert pulls.of(small) == world.reachable(small)
        assert pulls.of(large) in (set(), world.reachable(large))
        was_listed = large.id in GitLabState.from_json(pulls.state).projects
        world.gitlab.restore_project(large)
        assert pulls.pull_everything()
        # What no pull ever saw waits for its next activity, or the next reconciliation.
        assert pulls.of(large) == (world.reachable(large) if was_listed else set())


def test_a_repository_that_is_forbidden_is_no_gap_or_marked(world: World, projects: list[Project]) -> None:
    large, small = projects
    for pulls in at_every_request(world, projects, lambda: setattr(large, "repository_enabled", False)):
        said_whole = pulls.pull_everything()
        assert pulls.of(small) == world.reachable(small)
        # A disabled repository counts as read, but not one that was disabled half way.
        assert said_whole or pulls.of(large) == set()
        large.repository_enabled = True
        assert pulls.pull_everything()
        assert stored_whole(world, pulls, projects)


def test_a_token_that_expires_ends_the_pull_and_nothing_is_taken_for_whole(
    world: World, projects: list[Project]
) -> None:
    token = world.gitlab.tokens[world.lab.gitlab_token]
    for pulls in at_every_request(world, projects, lambda: setattr(token, "revoked", True)):
        assert not pulls.pull_everything()
        token.revoked = False
        assert pulls.pull_everything()
        assert stored_whole(world, pulls, projects)


def test_a_new_commit_shifts_nothing(world: World, projects: list[Project]) -> None:
    large, small = projects
    start, pushes = dict(repository_of(large).branches), list(world.gitlab.events)
    for pulls in at_every_request(world, projects, lambda: world.commit(large)):
        before = world.reachable(large)
        assert pulls.pull_everything()
        assert pulls.of(small) == world.reachable(small)
        assert pulls.of(large) >= before
        assert pulls.pull_everything()
        assert pulls.of(large) == world.reachable(large)
        repository_of(large).branches, world.gitlab.events = dict(start), list(pushes)


def test_a_force_push_loses_nothing_that_was_listed(world: World, projects: list[Project]) -> None:
    large, small = projects
    repository = repository_of(large)
    start, before = dict(repository.branches), world.reachable(large)
    root = repository.log([start["master"]])[-1].sha
    listed: list[int] = []

    def rewrite() -> None:
        listed.append(len(world.lab.requests.matching(f"/projects/{large.id}/repository/branches")))
        world.gitlab.push(large, world.ada, {"master": root, "a2": root}, NOON)

    for pulls in at_every_request(world, projects, rewrite):
        assert pulls.pull_everything()
        assert pulls.of(small) == world.reachable(small)
        # Both branches are on the second page.
        held = before if listed.pop() == 2 else world.reachable(large)
        assert pulls.of(large) == held
        repository.branches = dict(start)
        repository._logs.clear()
