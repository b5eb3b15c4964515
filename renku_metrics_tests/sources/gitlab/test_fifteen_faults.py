"""The fifteen faults at which peers fail (facts/peers.md, C2), each at every request of a pull of everything."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from renku_metrics.errors import SourceError
from renku_metrics.sources.gitlab import client as gitlab_client
from renku_metrics.sources.gitlab.client import GitLabClient
from renku_metrics.sources.gitlab.projects import pull_projects
from renku_metrics.sources.gitlab.state import GitLabState
from renku_metrics.sources.gitlab.users import pull_users
from renku_metrics.sources.http import Patience
from renku_metrics.sources.source import Fact
from renku_metrics.store.merging import merge
from renku_metrics.tables import RAW_GITLAB_USERS
from renku_metrics_tests.sources.gitlab.keeping import (
    BOOK,
    DAY,
    IMPATIENT,
    NOW,
    VARIABLE,
    Keeping,
    deployment_of,
    make_project,
    person,
    push,
    reachable,
    repository_of,
)
from renkulab.faults import (
    Fault,
    body_cut_off,
    connection_reset,
    html_page,
    no_answer,
    server_error,
    too_many_requests,
)
from renkulab.gitlab import Project
from renkulab.server import RenkuLab

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


class Everything:
    """Projects, users with their addresses, commits and pushes, as pulled again and again."""

    def __init__(self, lab: RenkuLab, patience: Patience = IMPATIENT) -> None:
        self.lab = lab
        self.keeping = Keeping(lab, patience=patience)
        self.projects: list[int] = []
        self.users = RAW_GITLAB_USERS.frame()

    def pull(self) -> bool:
        """Whether the pull says that all is there."""
        client, deployment, now = self._client(), deployment_of(self.lab), self.lab.clock.now()
        try:
            self.projects = list(pull_projects(client, deployment, now)["project_id"])
            unread: Fact = 0
            for batch in pull_users(client, deployment, BOOK, self.users, now):
                self.users = merge(RAW_GITLAB_USERS, self.users, batch.rows[RAW_GITLAB_USERS.name])
                unread = batch.facts.get("users_unread", 0)
            return self.keeping.pull(with_pushes=True).complete and not unread
        except SourceError:
            return False

    def _client(self) -> GitLabClient:
        return GitLabClient(deployment_of(self.lab), self.keeping.patience)

    def addresses(self) -> int:
        return sum(len(hashes) for hashes in self.users["address_hashes"])


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RenkuLab]:
    # Short pages, so that a small world has several of everything.
    monkeypatch.setattr(gitlab_client, "PAGE", 2)
    with RenkuLab("lab", tmp_path / "audit", now=NOW) as lab:
        monkeypatch.setenv(VARIABLE, lab.gitlab_token)
        yield lab


@pytest.fixture
def projects(lab: RenkuLab) -> list[Project]:
    """Two projects, the first with two pages of branches, commits and pushes; besides the administrator, one person."""
    ada = person(lab)
    for number in range(3):
        lab.gitlab.add_email(ada, f"ada@{number}.example", NOW - 9 * DAY)
    large, small = make_project(lab, 3, path="large"), make_project(lab, 1, path="small")
    for number in range(3):
        push(lab, large, branch=f"a{number}", at=NOW - (9 - number) * DAY, pusher=ada)
    return [large, small]


def stored_whole(everything: Everything, projects: list[Project]) -> bool:
    commits = all(everything.keeping.shas(project) == reachable(project) for project in projects)
    # The administrator's address, and Ada's four.
    return commits and len(everything.keeping.pushes) == 3 and everything.addresses() == 1 + 4


def requests_of_a_clean_pull(lab: RenkuLab, projects: list[Project]) -> int:
    everything = Everything(lab)
    assert everything.pull()
    assert stored_whole(everything, projects)
    number = len(lab.requests)
    asked = Counter(request.path.rpartition("/")[2] for request in lab.requests)
    assert {kind: asked[kind] for kind in ("projects", "users", "emails", "branches", "commits", "events")} == {
        "projects": 2 * 2,
        "users": 1,
        "emails": 1 + 2,
        "branches": 2 + 1,
        "commits": 2 + 3 + 1,
        "events": 2 + 1,
    }
    return number


@pytest.mark.parametrize("name", PASSING)
def test_what_passes_leaves_no_trace(
    name: str, lab: RenkuLab, projects: list[Project], monkeypatch: pytest.MonkeyPatch
) -> None:
    clean = requests_of_a_clean_pull(lab, projects)
    fault, times = PASSING[name]
    met: Counter[str] = Counter()

    def of_every_request(_method: str, path: str) -> Fault | None:
        # Requests for one path come one after the other.
        met[path] += 1
        return fault if met[path] % (times + 1) else None

    monkeypatch.setattr(lab.faults, "next_for", of_every_request)
    lab.requests.clear()
    waits = Patience(timeout=0.2, sleep=lambda seconds: None) if name == "no answer" else IMPATIENT
    everything = Everything(lab, waits)
    assert everything.pull()
    assert stored_whole(everything, projects)
    assert len(lab.requests) >= (times + 1) * clean


def at_every_request(
    lab: RenkuLab, projects: list[Project], monkeypatch: pytest.MonkeyPatch, deed: Callable[[], object]
) -> Iterator[Everything]:
    """A first pull for each request of it, just before which the deed is done."""
    ask = lab.faults.next_for
    for place in range(1, requests_of_a_clean_pull(lab, projects) + 1):
        seen: Counter[str] = Counter()

        def meddle(method: str, path: str, place: int = place, seen: Counter[str] = seen) -> Fault | None:
            seen["all"] += 1
            if seen["all"] == place:
                deed()
            return ask(method, path)

        monkeypatch.setattr(lab.faults, "next_for", meddle)
        lab.requests.clear()
        yield Everything(lab)


def test_a_project_that_is_deleted_takes_nothing_else_along(
    lab: RenkuLab, projects: list[Project], monkeypatch: pytest.MonkeyPatch
) -> None:
    large, small = projects
    for everything in at_every_request(lab, projects, monkeypatch, lambda: lab.gitlab.delete_project(large)):
        assert everything.pull()
        assert everything.keeping.shas(small) == reachable(small)
        assert everything.keeping.shas(large) in ([], reachable(large))
        was_listed = large.id in GitLabState.from_json(everything.keeping.state).projects
        lab.gitlab.restore_project(large)
        assert everything.pull()
        # What no pull ever saw waits for its next activity, or the next reconciliation.
        assert everything.keeping.shas(large) == (reachable(large) if was_listed else [])


def test_a_repository_that_is_forbidden_is_no_gap_or_marked(
    lab: RenkuLab, projects: list[Project], monkeypatch: pytest.MonkeyPatch
) -> None:
    large, small = projects
    for everything in at_every_request(lab, projects, monkeypatch, lambda: setattr(large, "repository_enabled", False)):
        said_whole = everything.pull()
        assert everything.keeping.shas(small) == reachable(small)
        # A disabled repository counts as read, but not one that was disabled half way.
        assert said_whole or everything.keeping.shas(large) == []
        large.repository_enabled = True
        assert everything.pull()
        assert stored_whole(everything, projects)


def test_a_token_that_expires_ends_the_pull_and_nothing_is_taken_for_whole(
    lab: RenkuLab, projects: list[Project], monkeypatch: pytest.MonkeyPatch
) -> None:
    token = lab.gitlab.tokens[lab.gitlab_token]
    for everything in at_every_request(lab, projects, monkeypatch, lambda: setattr(token, "revoked", True)):
        assert not everything.pull()
        token.revoked = False
        assert everything.pull()
        assert stored_whole(everything, projects)


def test_a_new_commit_shifts_nothing(lab: RenkuLab, projects: list[Project], monkeypatch: pytest.MonkeyPatch) -> None:
    large, small = projects
    start, pushes = dict(repository_of(large).branches), list(lab.gitlab.events)
    for everything in at_every_request(lab, projects, monkeypatch, lambda: push(lab, large)):
        before = set(reachable(large))
        assert everything.pull()
        assert everything.keeping.shas(small) == reachable(small)
        assert set(everything.keeping.shas(large)) >= before
        assert everything.pull()
        assert everything.keeping.shas(large) == reachable(large)
        repository_of(large).branches, lab.gitlab.events = dict(start), list(pushes)


def test_a_force_push_loses_nothing_that_was_listed(
    lab: RenkuLab, projects: list[Project], monkeypatch: pytest.MonkeyPatch
) -> None:
    large, small = projects
    repository = repository_of(large)
    start, before = dict(repository.branches), set(reachable(large))
    root = repository.log([start["master"]])[-1].sha
    listed: list[int] = []

    def rewrite() -> None:
        listed.append(len(lab.requests.matching(f"/projects/{large.id}/repository/branches")))
        lab.gitlab.push(large, lab.administrator, {"master": root, "a2": root}, NOW)

    for everything in at_every_request(lab, projects, monkeypatch, rewrite):
        assert everything.pull()
        assert everything.keeping.shas(small) == reachable(small)
        # Both branches are on the second page.
        held = before if listed.pop() == 2 else set(reachable(large))
        assert set(everything.keeping.shas(large)) == held
        repository.branches = dict(start)
        repository._logs.clear()
