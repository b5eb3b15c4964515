"""Tokens that do not see everything, or not any more: what they do not show is never taken for nothing."""

from __future__ import annotations

import pytest

from renku_metrics.errors import SourceError
from renku_metrics_tests.sources.gitlab.world import DAY, HOUR, TOKEN, Pulls, World
from renkulab import faults

# At the start


@pytest.mark.parametrize("pattern", [r"/projects$", r"/user$"])
def test_a_token_refused_at_the_start_is_one_clear_line(pattern: str, world: World, pulls: Pulls) -> None:
    world.project(commits=1)
    world.lab.faults.add(pattern, faults.unauthorized(), times=None)
    with pytest.raises(SourceError, match=r"^lab: gitlab: the token in LAB_GITLAB_TOKEN .*scope read_api") as caught:
        pulls.pull()
    assert world.lab.gitlab_token not in str(caught.value)
    assert pulls.commits.empty


@pytest.mark.parametrize("scopes", [(), ("read_user",), ("read_repository",)])
def test_a_token_without_the_scope_is_one_clear_line(scopes: tuple[str, ...], world: World, pulls: Pulls) -> None:
    world.gitlab.tokens[world.lab.gitlab_token].scopes = scopes
    with pytest.raises(SourceError, match=r"LAB_GITLAB_TOKEN .*scope read_api"):
        pulls.pull()


def test_a_token_of_nobody_special_is_refused_though_gitlab_takes_it(world: World, pulls: Pulls) -> None:
    world.project(commits=1).visibility = "public"
    world.project(commits=1)
    world.lab.administrator.is_admin = False
    with pytest.raises(SourceError, match=r"LAB_GITLAB_TOKEN .*administrator"):
        pulls.pull()
    assert pulls.commits.empty


def test_a_token_that_sees_only_some_projects_pulls_nothing(
    world: World, pulls: Pulls, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.project(4).visibility = "public"
    world.gitlab.add_token("plain-token", world.ada)
    monkeypatch.setenv(TOKEN, "plain-token")
    with pytest.raises(SourceError, match="LAB_GITLAB_TOKEN does not see every project"):
        pulls.pull()


def test_a_first_pull_that_is_shown_nothing_is_no_success(world: World, pulls: Pulls) -> None:
    project = world.project(commits=3)
    world.lab.administrator.is_admin = False
    with pytest.raises(SourceError, match="does not see every project"):
        pulls.pull()
    world.lab.administrator.is_admin = True
    world.advance(3 * DAY)

    assert pulls.pull().complete
    assert len(pulls.of(project)) == 3


# When nothing is listed


def test_a_deployment_without_any_project_is_whole(world: World, pulls: Pulls) -> None:
    assert pulls.pull().complete
    assert [request.path.rpartition("/")[2] for request in world.lab.requests] == ["projects", "user"]


def test_with_nothing_listed_a_pull_asks_whether_all_is_shown(world: World, pulls: Pulls) -> None:
    world.project(commits=1)
    pulls.pull()
    world.advance(9 * DAY)
    assert pulls.pull().complete
    assert [request.path.rpartition("/")[2] for request in world.lab.requests] == ["projects", "user"]


def test_with_nothing_new_a_listed_project_shows_that_all_is_shown(world: World, pulls: Pulls) -> None:
    world.project(commits=1, created_at=world.now - 5 * HOUR)
    pulls.pull()
    world.advance(HOUR)
    assert pulls.pull().complete
    # The page and the empty one that ends the list.
    assert [request.path.rpartition("/")[2] for request in world.lab.requests] == ["projects", "projects"]


# Later


def test_a_token_that_loses_its_rights_leaves_no_gap(world: World, pulls: Pulls) -> None:
    project = world.project(commits=1)
    pulls.pull()
    world.advance(DAY)
    world.commit(project)
    world.lab.administrator.is_admin = False
    # Nothing is listed, so nothing seems to be new.
    with pytest.raises(SourceError, match="LAB_GITLAB_TOKEN does not see every project"):
        pulls.pull()
    world.advance(5 * DAY)
    world.lab.administrator.is_admin = True
    assert pulls.pull().complete
    assert pulls.of(project) == world.reachable(project)


def test_a_pull_that_sees_public_projects_alone_is_no_success(world: World, pulls: Pulls) -> None:
    public = world.project(commits=1, created_at=world.now - 5 * HOUR)
    public.visibility = "public"
    private = world.project(commits=1)
    pulls.pull()
    world.advance(HOUR)
    commit = world.commit(private)
    world.lab.administrator.is_admin = False
    with pytest.raises(SourceError, match="does not see every project"):
        pulls.pull()
    world.lab.administrator.is_admin = True
    world.advance(9 * DAY)
    assert pulls.pull().complete
    assert commit.sha in pulls.of(private)


def test_a_project_that_could_not_be_read_stays_marked_while_the_token_has_no_rights(
    world: World, pulls: Pulls
) -> None:
    project, other = world.project(commits=3), world.project(commits=1)
    world.lab.faults.add(f"/projects/{project.id}/repository/commits", faults.server_error(500), times=None)
    assert list(pulls.pull().unread) == [project.id]
    world.lab.faults.clear()
    world.advance(9 * DAY)
    world.lab.administrator.is_admin = False
    with pytest.raises(SourceError, match="does not see every project"):
        pulls.pull()
    world.lab.administrator.is_admin = True
    world.commit(other)
    assert pulls.pull().complete
    assert pulls.of(project) == world.reachable(project)


# On the way


def test_a_token_refused_in_the_middle_keeps_what_was_read(world: World, pulls: Pulls) -> None:
    projects = [world.project(3) for _ in range(40)]
    world.lab.faults.add("branches", faults.unauthorized(), at=21, times=None)
    with pytest.raises(SourceError, match=r"^lab: gitlab: the token in LAB_GITLAB_TOKEN was refused \(status 401\)"):
        pulls.pull()
    kept = [project for project in projects if pulls.of(project)]
    assert len(kept) == 20
    world.lab.faults.clear()
    assert pulls.pull().complete
    assert pulls.asked("branches") == 20
    assert all(pulls.of(project) == world.reachable(project) for project in projects)


@pytest.mark.parametrize("pattern", ["/branches", "/commits", "/events", "/projects$"])
def test_a_token_refused_on_the_way_keeps_what_was_pulled_and_asks_for_no_more_of_it(
    pattern: str, world: World, pulls: Pulls
) -> None:
    projects = [world.project(commits=3) for _ in range(150)]
    world.lab.faults.add(pattern, faults.unauthorized(), at=2 if pattern == "/projects$" else 60, times=None)
    with pytest.raises(SourceError, match=r"the token in LAB_GITLAB_TOKEN was refused .*scope read_api"):
        pulls.pull(with_pushes=True)
    kept = {project_id for project_id, _ in pulls.came}
    assert len(kept) >= (0 if pattern == "/projects$" else 50)
    assert all(len(pulls.of(project)) in (0, 3) for project in projects)
    world.lab.faults.clear()
    assert pulls.pull(with_pushes=True).complete
    assert {project_id for project_id, _ in pulls.came} == {project.id for project in projects} - kept
    assert len(pulls.came) == 3 * (150 - len(kept))


@pytest.mark.parametrize("pattern", ["/branches$", "/commits$"])
def test_an_account_that_is_blocked_on_the_way_ends_the_pull(pattern: str, world: World, pulls: Pulls) -> None:
    projects = [world.project(commits=2) for _ in range(60)]
    world.before_request(pattern, 20, lambda: setattr(world.lab.administrator, "state", "blocked"))
    with pytest.raises(SourceError, match=r"the token in LAB_GITLAB_TOKEN was refused \(status 403\); set an admin"):
        pulls.pull()
    # Of each request in flight, whether the project is there and who asks; and none of the other forty projects.
    refused = [request for request in world.lab.requests if request.status == 403]
    assert len(refused) <= 3 * pulls.concurrency
    world.lab.administrator.state = "active"
    assert pulls.pull().complete
    assert all(pulls.of(project) == world.reachable(project) for project in projects)
