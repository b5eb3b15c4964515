"""What GitLab says that is not to be believed, and what it does not say to everybody."""

from __future__ import annotations

import re

import pytest

from renku_metrics.errors import SourceError
from renku_metrics_tests.sources.gitlab.harvest import DAY, HOUR, MINUTE, Harvest, World
from renkulab import faults


def test_a_push_to_a_branch_that_gitlab_still_calls_merged_is_found(world: World, harvest: Harvest) -> None:
    project = world.project(commits=3)
    world.move(project, "feature", world.head(project))
    world.lab.clock.advance(MINUTE)
    world.commit(project)
    harvest.pull()
    world.lab.clock.advance(4 * HOUR)

    pushed = world.commit(project, "feature", parents=[world.head(project, "feature")])

    assert harvest.pull().complete
    assert pushed.sha in harvest.of(project)


# Rights


def test_a_first_pull_that_is_shown_nothing_is_no_success(world: World, harvest: Harvest) -> None:
    project = world.project(commits=3)
    world.lab.administrator.is_admin = False
    with pytest.raises(SourceError, match="does not see every project"):
        harvest.pull()
    world.lab.administrator.is_admin = True
    world.lab.clock.advance(3 * DAY)

    assert harvest.pull().complete
    assert len(harvest.of(project)) == 3


def test_a_deployment_without_any_project_is_whole(world: World, harvest: Harvest) -> None:
    assert harvest.pull().complete
    assert [request.path.rpartition("/")[2] for request in world.lab.requests] == ["projects", "user"]


def test_with_nothing_listed_a_pull_asks_whether_all_is_shown(world: World, harvest: Harvest) -> None:
    world.project(commits=1)
    harvest.pull()
    world.lab.clock.advance(9 * DAY)
    assert harvest.pull().complete
    assert [request.path.rpartition("/")[2] for request in world.lab.requests] == ["projects", "user"]


def test_with_nothing_new_a_listed_project_shows_that_all_is_shown(world: World, harvest: Harvest) -> None:
    world.project(commits=1, created_at=world.lab.clock.now() - 5 * HOUR)
    harvest.pull()
    world.lab.clock.advance(HOUR)
    assert harvest.pull().complete
    # The page and the empty one that ends the list.
    assert [request.path.rpartition("/")[2] for request in world.lab.requests] == ["projects", "projects"]


def test_a_pull_that_sees_public_projects_alone_is_no_success(world: World, harvest: Harvest) -> None:
    public = world.project(commits=1, created_at=world.lab.clock.now() - 5 * HOUR)
    public.visibility = "public"
    private = world.project(commits=1)
    harvest.pull()
    world.lab.clock.advance(HOUR)
    commit = world.commit(private)
    world.lab.administrator.is_admin = False
    with pytest.raises(SourceError, match="does not see every project"):
        harvest.pull()
    world.lab.administrator.is_admin = True
    world.lab.clock.advance(9 * DAY)
    assert harvest.pull().complete
    assert commit.sha in harvest.of(private)


def test_a_project_that_could_not_be_read_stays_marked_while_the_token_has_no_rights(
    world: World, harvest: Harvest
) -> None:
    project, other = world.project(commits=3), world.project(commits=1)
    world.lab.faults.add(f"/projects/{project.id}/repository/commits", faults.server_error(500), times=None)
    assert list(harvest.pull().unread) == [project.id]
    world.lab.faults.clear()
    world.lab.clock.advance(9 * DAY)
    world.lab.administrator.is_admin = False
    with pytest.raises(SourceError, match="does not see every project"):
        harvest.pull()
    world.lab.administrator.is_admin = True
    world.commit(other)
    assert harvest.pull().complete
    assert harvest.of(project) == world.reachable(project)


@pytest.mark.parametrize("pattern", ["/branches$", "/commits$"])
def test_an_account_that_is_blocked_on_the_way_ends_the_pull(pattern: str, world: World, harvest: Harvest) -> None:
    projects = [world.project(commits=2) for _ in range(60)]
    world.before_request(pattern, 20, lambda: setattr(world.lab.administrator, "state", "blocked"))
    with pytest.raises(SourceError, match=r"the token in LAB_GITLAB_TOKEN was refused \(status 403\); set an admin"):
        harvest.pull()
    # Of each request in flight, whether the project is there and who asks; and none of the other forty projects.
    refused = [request for request in world.lab.requests if request.status == 403]
    assert len(refused) <= 3 * harvest.concurrency
    world.lab.administrator.state = "active"
    assert harvest.pull().complete
    assert all(harvest.of(project) == world.reachable(project) for project in projects)


def test_a_project_that_alone_is_forbidden_is_that_projects_trouble(world: World, harvest: Harvest) -> None:
    forbidden, other = world.project(commits=2), world.project(commits=2)
    refusal = faults.Instead(403, b'{"message":"403 Forbidden"}', {"Content-Type": "application/json"})
    world.lab.faults.add(re.escape(f"/projects/{forbidden.id}") + "(/|$)", refusal, times=None)
    assert harvest.pull().unread == {forbidden.id: "the project was refused with status 403"}
    assert harvest.of(other) == world.reachable(other)
