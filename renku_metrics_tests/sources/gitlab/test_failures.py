"""Projects that fail for good, servers that are down, tokens that are refused: a mark or a loud end, and no gap."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from renku_metrics.errors import SourceError
from renku_metrics.sources.http import Patience
from renku_metrics.tables import RAW_GITLAB_COMMITS
from renku_metrics_tests.sources.gitlab.harvest import DAY, HOUR, Harvest, World
from renkulab import faults
from renkulab.faults import Fault

LASTING: dict[str, Callable[[], Fault]] = {
    "403": lambda: faults.Instead(403, b'{"message":"403 Forbidden"}', {"Content-Type": "application/json"}),
    "404": lambda: faults.Instead(404, b'{"message":"404 Not Found"}', {"Content-Type": "application/json"}),
    "500": lambda: faults.server_error(500),
    "HTML page": faults.html_page,
    "an object for a list": faults.json_object,
}


@pytest.mark.parametrize("list_of_project", ["branches", "commits"])
@pytest.mark.parametrize("fault", LASTING)
def test_a_project_that_fails_for_good_is_marked_stops_no_other_and_is_tried_again(
    fault: str, list_of_project: str, world: World, harvest: Harvest
) -> None:
    projects = [world.project(commits=3) for _ in range(5)]
    broken, *others = projects
    world.lab.faults.add(f"/projects/{broken.id}/repository/{list_of_project}", LASTING[fault](), times=None)
    for _ in range(2):
        summary = harvest.pull()
        assert not summary.complete
        assert summary.finished
        assert list(summary.unread) == [broken.id]
        assert summary.unread[broken.id]
        assert all(harvest.of(project) == world.reachable(project) for project in others)
        # Long after its last activity, too.
        world.lab.clock.advance(3 * DAY)
    world.lab.faults.clear()
    assert harvest.pull().complete
    assert harvest.of(broken) == world.reachable(broken)
    assert {project for project, _ in harvest.came} == {broken.id}


@pytest.mark.parametrize("fault", LASTING)
def test_a_fault_at_a_later_page_keeps_the_heads_where_they_were(fault: str, world: World, harvest: Harvest) -> None:
    project = world.project(commits=250)
    world.lab.faults.add("/commits$", LASTING[fault](), at=2, times=None)
    assert list(harvest.pull().unread) == [project.id]
    world.lab.faults.clear()
    assert harvest.pull().complete
    assert harvest.of(project) == world.reachable(project)


@pytest.mark.parametrize("fault", LASTING)
def test_push_events_that_cannot_be_had_cost_the_pushers_and_nothing_else(
    fault: str, world: World, harvest: Harvest
) -> None:
    project = world.project(commits=1)
    commit = world.commit(project)
    world.lab.faults.add("/events", LASTING[fault](), times=None)
    assert harvest.pull(with_pushes=True).complete
    assert harvest.of(project) == world.reachable(project)
    world.lab.faults.clear()
    world.lab.clock.advance(HOUR)
    harvest.pull(with_pushes=True)
    assert harvest.row(project, commit)["pusher_id"] == world.person.id


def test_a_project_deleted_between_two_requests_stops_nothing(world: World, harvest: Harvest) -> None:
    project, other = world.project(commits=250), world.project(commits=1)
    world.before_request(f"/projects/{project.id}/repository/commits", 2, lambda: world.gitlab.delete_project(project))
    assert harvest.pull().complete
    assert harvest.of(other) == world.reachable(other)
    world.gitlab.restore_project(project)
    world.commit(project)
    assert harvest.pull().complete
    assert harvest.of(project) == world.reachable(project)


def test_a_server_that_answers_nothing_any_more_ends_the_pull_and_keeps_what_was_read(
    world: World, harvest: Harvest
) -> None:
    projects = [world.project(commits=2) for _ in range(60)]
    harvest.concurrency = 1
    world.lab.faults.add("/repository/", faults.server_error(502), at=21, times=None)
    with pytest.raises(SourceError, match="status 502"):
        harvest.pull(patience=Patience(tries=2, sleep=lambda seconds: None))
    read = [project for project in projects if harvest.of(project)]
    assert len(read) == 10
    assert len(harvest.lab.requests) < 80
    world.lab.faults.clear()
    assert harvest.pull().complete
    assert len(harvest.came) == 2 * 50


@pytest.mark.parametrize("pattern", [r"/projects$", r"/user$"])
def test_a_token_refused_at_the_start_is_one_clear_line(pattern: str, world: World, harvest: Harvest) -> None:
    world.project(commits=1)
    world.lab.faults.add(pattern, faults.unauthorized(), times=None)
    with pytest.raises(SourceError, match=r"^lab: gitlab: the token in LAB_GITLAB_TOKEN .*scope read_api") as caught:
        harvest.pull()
    assert world.lab.gitlab_token not in str(caught.value)
    assert harvest.commits == {}


@pytest.mark.parametrize("pattern", ["/branches", "/commits", "/events", "/projects$"])
def test_a_token_refused_on_the_way_keeps_what_was_pulled_and_asks_for_no_more_of_it(
    pattern: str, world: World, harvest: Harvest
) -> None:
    projects = [world.project(commits=3) for _ in range(150)]
    world.lab.faults.add(pattern, faults.unauthorized(), at=2 if pattern == "/projects$" else 60, times=None)
    with pytest.raises(SourceError, match=r"the token in LAB_GITLAB_TOKEN was refused .*scope read_api"):
        harvest.pull(with_pushes=True)
    kept = {project_id for project_id, _ in harvest.came}
    assert len(kept) >= (0 if pattern == "/projects$" else 50)
    assert all(len(harvest.of(project)) in (0, 3) for project in projects)
    world.lab.faults.clear()
    assert harvest.pull(with_pushes=True).complete
    assert {project_id for project_id, _ in harvest.came} == {project.id for project in projects} - kept
    assert len(harvest.came) == 3 * (150 - len(kept))


@pytest.mark.parametrize("scopes", [(), ("read_user",), ("read_repository",)])
def test_a_token_without_the_scope_is_one_clear_line(scopes: tuple[str, ...], world: World, harvest: Harvest) -> None:
    world.lab.gitlab.tokens[world.lab.gitlab_token].scopes = scopes
    with pytest.raises(SourceError, match=r"LAB_GITLAB_TOKEN .*scope read_api"):
        harvest.pull()


def test_a_token_of_nobody_special_is_refused_though_gitlab_takes_it(world: World, harvest: Harvest) -> None:
    world.project(commits=1).visibility = "public"
    world.project(commits=1)
    world.lab.administrator.is_admin = False
    with pytest.raises(SourceError, match=r"LAB_GITLAB_TOKEN .*administrator"):
        harvest.pull()
    assert harvest.commits == {}


def test_a_token_that_loses_its_rights_leaves_no_gap(world: World, harvest: Harvest) -> None:
    project = world.project(commits=1)
    harvest.pull()
    world.lab.clock.advance(DAY)
    world.commit(project)
    world.lab.administrator.is_admin = False
    # Nothing is listed, so nothing seems to be new.
    with pytest.raises(SourceError, match="LAB_GITLAB_TOKEN does not see every project"):
        harvest.pull()
    world.lab.clock.advance(5 * DAY)
    world.lab.administrator.is_admin = True
    assert harvest.pull().complete
    assert harvest.of(project) == world.reachable(project)


def test_a_pull_killed_before_its_state_was_stored_brings_the_same_rows_again(world: World, harvest: Harvest) -> None:
    project = world.project(commits=5)
    ahead = world.commit(project, dated=world.lab.clock.now() + 9 * DAY)
    pulling = harvest.history().batches()
    # First comes what no later pull may decide otherwise, then the rows.
    assert next(pulling).rows[RAW_GITLAB_COMMITS.name].empty
    pulling = harvest.history().batches()
    harvest.state = next(pulling).state
    killed = next(pulling)
    assert len(killed.rows[RAW_GITLAB_COMMITS.name]) == 6
    first = harvest.lab.clock.now()
    world.lab.clock.advance(DAY)
    assert harvest.pull().complete
    assert len(harvest.came) == 6
    assert harvest.row(project, ahead)["dated_at"] == first
