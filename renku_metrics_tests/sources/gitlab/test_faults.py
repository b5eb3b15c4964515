"""Whatever a server does at whatever request: no gap, no double, or a loud end, and the next pull makes good."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from renku_metrics.errors import SourceError
from renku_metrics.sources.gitlab import client as gitlab_client
from renku_metrics_tests.sources.gitlab.keeping import (
    ADA,
    BOB,
    DAY,
    HOUR,
    MINUTE,
    NOW,
    VARIABLE,
    Keeping,
    make_project,
    push,
    reachable,
    repository_of,
)
from renkulab.faults import (
    Fault,
    html_page,
    json_object,
    redirect,
    refused,
    server_error,
    unauthorized,
)
from renkulab.gitlab import Project
from renkulab.server import RenkuLab
from renkulab.web import Request, Response

LASTING: list[Fault] = [refused(400), refused(403), refused(404), unauthorized(), json_object()]


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RenkuLab]:
    # Short pages, so that small histories have several.
    monkeypatch.setattr(gitlab_client, "PAGE", 3)
    with RenkuLab("lab", tmp_path / "audit", now=NOW) as lab:
        monkeypatch.setenv(VARIABLE, lab.gitlab_token)
        yield lab


@pytest.fixture
def projects(lab: RenkuLab) -> list[Project]:
    """Three projects, one with more branches, commits and pushes than a page holds."""
    made = [make_project(lab, count, path=f"p{count}") for count in (7, 0, 3)]
    for number in range(3):
        push(lab, made[0], branch=f"b{number}", at=NOW - (9 - number) * DAY)
        push(lab, made[0], branch="b0", at=NOW - (5 - number) * DAY)
    return made


def is_whole(keeping: Keeping, projects: list[Project]) -> bool:
    return all(keeping.shas(project) == (reachable(project) if project.repository else []) for project in projects)


def pull(keeping: Keeping) -> bool:
    """Whether the pull says that all is there."""
    try:
        return keeping.pull(with_pushes=True).complete
    except SourceError:
        return False


def requests_of_a_clean_pull(lab: RenkuLab) -> int:
    assert pull(Keeping(lab))
    return len(lab.requests)


@pytest.mark.parametrize("fault", LASTING)
def test_what_does_not_pass_is_never_taken_for_the_end(lab: RenkuLab, projects: list[Project], fault: Fault) -> None:
    for place in range(1, requests_of_a_clean_pull(lab) + 1):
        keeping = Keeping(lab)
        lab.faults.clear()
        lab.faults.add("", fault, at=place)
        said_whole = pull(keeping)
        assert is_whole(keeping, projects) or not said_whole
        lab.faults.clear()
        assert pull(keeping)
        assert is_whole(keeping, projects)


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
    lab: RenkuLab, projects: list[Project], pattern: str, fault: Fault, why: str
) -> None:
    keeping = Keeping(lab)
    broken = projects[0]
    lab.faults.add(f"projects/{broken.id}/repository/{pattern}", fault, times=None)
    summary = keeping.pull()
    assert not summary.complete
    assert list(summary.unread) == [broken.id]
    assert why in summary.unread[broken.id]
    assert is_whole(keeping, projects[1:])
    assert keeping.shas(broken) == []
    # Nothing happened there since; it is not in the list of what changed.
    lab.clock.advance(60 * DAY)
    assert list(keeping.pull().unread) == [broken.id]
    lab.faults.clear()
    assert keeping.pull().complete
    assert is_whole(keeping, projects)


def test_a_server_that_is_down_is_not_asked_for_every_project(lab: RenkuLab) -> None:
    made = [make_project(lab, 2, path=f"p{number}") for number in range(60)]
    keeping = Keeping(lab)
    lab.faults.add("repository", server_error(502), at=21, times=None)
    with pytest.raises(SourceError, match=r"^lab: gitlab: .* gave status 502, 7 times in a row"):
        keeping.pull()
    assert len({request.path for request in lab.requests if request.status == 502}) < 35
    lab.faults.clear()
    assert keeping.pull().complete
    assert is_whole(keeping, made)


def test_a_redirect_ends_the_pull(lab: RenkuLab, projects: list[Project]) -> None:
    lab.faults.add("branches", redirect("https://elsewhere.example/login"))
    with pytest.raises(SourceError, match=r"redirects to elsewhere\.example; credentials are not sent there"):
        Keeping(lab).pull()


def test_projects_without_anything_to_read_count_as_read(lab: RenkuLab, projects: list[Project]) -> None:
    for status in (403, 404):
        disabled = make_project(lab, 3, path=f"disabled-{status}")
        disabled.repository_enabled = False
    keeping = Keeping(lab)
    assert keeping.pull().complete
    lab.gitlab.disabled_repository_status = 404
    assert Keeping(lab).pull().complete


# Pages shift while they are read


def meanwhile(lab: RenkuLab, monkeypatch: pytest.MonkeyPatch, query: str, deed: Callable[[], object]) -> None:
    """Does the deed just before the first request for commits that holds the query is answered."""
    answer = lab._web._answer
    done: list[bool] = []

    def answer_after_deed(request: Request) -> Response:
        asked = "&".join(f"{name}={values[-1]}" for name, values in request.query.items())
        if not done and request.path.endswith("/commits") and query in asked:
            done.append(True)
            deed()
        return answer(request)

    monkeypatch.setattr(lab._web, "_answer", answer_after_deed)


def test_commits_pushed_between_two_pages_shift_nothing(
    lab: RenkuLab, projects: list[Project], monkeypatch: pytest.MonkeyPatch
) -> None:
    keeping = Keeping(lab)
    before = reachable(projects[0])
    meanwhile(lab, monkeypatch, "page=2", lambda: push(lab, projects[0]))
    assert keeping.pull().complete
    assert keeping.shas(projects[0]) == before
    lab.clock.advance(DAY)
    assert keeping.pull().complete
    assert is_whole(keeping, projects)


def test_a_force_push_between_two_pages_loses_nothing(
    lab: RenkuLab, projects: list[Project], monkeypatch: pytest.MonkeyPatch
) -> None:
    keeping = Keeping(lab)
    project = projects[0]
    repository = repository_of(project)
    before = reachable(project)
    third = repository.log([repository.branches["master"]])[3].sha
    meanwhile(lab, monkeypatch, "page=2", lambda: lab.gitlab.push(project, lab.administrator, {"master": third}, NOW))
    assert keeping.pull().complete
    assert keeping.shas(project) == before


def test_a_page_that_comes_again_is_not_read_for_ever(
    lab: RenkuLab, projects: list[Project], monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = lab._web._answer

    def repeating(request: Request) -> Response:
        if request.path.endswith("/commits") and "page" in request.query:
            first = {name: values for name, values in request.query.items() if name != "page"}
            return answer(Request(request.method, request.path, first, request.headers))
        return answer(request)

    monkeypatch.setattr(lab._web, "_answer", repeating)
    summary = Keeping(lab).pull()
    assert "GitLab gave the same page of commits twice" in summary.unread.values()


# Whatever happens


@pytest.mark.parametrize("seed", range(8))
def test_after_every_pull_all_is_there_that_any_branch_held_at_a_pull(lab: RenkuLab, seed: int) -> None:
    """Random deeds of people between pulls, some of which are killed before what they remember is stored."""
    chance = random.Random(seed)
    keeping = Keeping(lab)
    made = [make_project(lab, 4, path=f"p{number}", days_ago=40) for number in range(3)]
    expected: dict[int, set[str]] = {}
    for _ in range(12):
        for _ in range(chance.randint(0, 5)):
            lab.clock.advance(chance.choice([MINUTE, 20 * MINUTE, HOUR, 3 * HOUR, 2 * DAY]))
            do_something(lab, chance, made)
        keep = chance.random() < 0.8
        state = keeping.state
        assert keeping.pull(with_pushes=chance.random() < 0.5).complete
        if not keep:
            keeping.state = state
        for project in made:
            held = expected.setdefault(project.id, set())
            if not project.deleted and project.repository_enabled:
                held |= set(reachable(project))
            assert keeping.shas(project) == sorted(held)


def do_something(lab: RenkuLab, chance: random.Random, made: list[Project]) -> None:
    project = chance.choice(made)
    repository = repository_of(project)
    now, branch = lab.clock.now(), chance.choice(["master", "one", "two"])
    deed = chance.random()
    if deed < 0.5:
        dated = now + chance.choice([0, 0, 0, -30, -700, 2]) * DAY
        push(lab, project, branch=branch, dated=dated, author=chance.choice([ADA, BOB]))
    elif deed < 0.6:
        base = chance.choice(sorted(repository.commits))
        lab.gitlab.push(project, lab.administrator, {branch: base}, now)
    elif deed < 0.7 and branch != project.default_branch and branch in repository.branches:
        lab.gitlab.push(project, lab.administrator, {branch: None}, now)
    elif deed < 0.75:
        repository.collect_garbage()
    elif deed < 0.8:
        project.default_branch = chance.choice(sorted(repository.branches))
    elif deed < 0.87 and len(made) < 6:
        made.append(lab.gitlab.fork(project, lab.gitlab.add_group(f"g{len(made)}"), lab.administrator, now))
    elif deed < 0.93 and "one" in repository.branches:
        parents = [repository.branches["master"], repository.branches["one"]] if "master" in repository.branches else []
        merge = repository.commit("merge", BOB, now, parents=parents)
        lab.gitlab.push(project, lab.administrator, {"master": merge.sha}, now)
