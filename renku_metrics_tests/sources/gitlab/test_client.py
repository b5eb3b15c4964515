"""One request, one list, and one token: what GitLab's answers are taken for, page by page."""

from __future__ import annotations

import datetime as dt

import orjson
import pytest

from renku_metrics.errors import SourceError
from renku_metrics.sources.gitlab.projects import check_administrator, list_projects
from renku_metrics.sources.http import NoAnswerError, RefusedError
from renku_metrics_tests.sources.answers import json_answer
from renku_metrics_tests.sources.gitlab.world import NOON, TOKEN, Pulls, World
from renkulab.faults import Instead, json_object, unauthorized


def test_a_token_that_is_no_administrators_is_named(
    world: World, pulls: Pulls, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.gitlab.add_token("plain-token", world.gitlab.add_user("plain", "plain@x.example", NOON))
    monkeypatch.setenv(TOKEN, "plain-token")
    with pytest.raises(SourceError) as users:
        pulls.pull_users()
    assert str(users.value) == (
        "lab: gitlab: the token in LAB_GITLAB_TOKEN sees no addresses of users; "
        "set an administrator's token with scope read_api (and admin_mode if the server asks for it)"
    )
    with pytest.raises(SourceError, match=r"^lab: gitlab: the token in LAB_GITLAB_TOKEN does not see every project"):
        check_administrator(pulls.client())


def test_an_administrators_token_without_admin_mode_is_nobodys(world: World, pulls: Pulls) -> None:
    check_administrator(pulls.client())
    world.gitlab.admin_mode = True
    with pytest.raises(SourceError, match="LAB_GITLAB_TOKEN"):
        check_administrator(pulls.client())
    world.gitlab.tokens[world.lab.gitlab_token].scopes = ("read_api", "admin_mode")
    check_administrator(pulls.client())


def test_a_refused_token_is_named_and_never_shown(world: World, pulls: Pulls) -> None:
    token = world.gitlab.tokens[world.lab.gitlab_token]
    refusal = (
        r"^lab: gitlab: the token in LAB_GITLAB_TOKEN was refused \(status {}\); "
        r"set an administrator's token that is valid and has scope read_api$"
    )
    token.scopes = ("read_user",)
    with pytest.raises(SourceError, match=refusal.format(403)):
        pulls.pull_projects()
    token.scopes = ("read_api",)
    token.expires_on = dt.date(2026, 11, 16)
    with pytest.raises(SourceError, match=refusal.format(401)):
        pulls.pull_projects()


def test_a_token_refused_between_two_pages_ends_the_pull(world: World, pulls: Pulls) -> None:
    for _ in range(150):
        world.project()
    world.lab.faults.add("projects$", unauthorized(), at=2)
    with pytest.raises(SourceError, match="LAB_GITLAB_TOKEN was refused"):
        pulls.pull_projects()


@pytest.mark.parametrize("token", ["glpat-secret\nline", "glpat-secrét", "glpat-\x00secret"])
def test_a_token_that_no_request_can_carry_is_never_shown(
    pulls: Pulls, monkeypatch: pytest.MonkeyPatch, token: str
) -> None:
    # The environment of a process cannot hold a zero byte; a file that is read into it can.
    monkeypatch.setattr("renku_metrics.deployments.Secret.reveal", lambda self: token)
    with pytest.raises(SourceError) as caught:
        pulls.client()
    assert str(caught.value) == (
        "lab: gitlab: the token in LAB_GITLAB_TOKEN has characters that no token has; set it alone, without quotes"
    )


def test_a_refusal_of_a_list_is_told_by_its_status(world: World, pulls: Pulls) -> None:
    world.lab.faults.add("projects$", json_answer({"message": "403 Forbidden - Your account has been blocked."}, 403))
    with pytest.raises(
        SourceError, match=r"^lab: gitlab: the list of projects was refused with status 403; set an admin"
    ):
        pulls.pull_projects()


def test_an_object_is_no_list(world: World, pulls: Pulls) -> None:
    world.lab.faults.add("projects$", json_object())
    with pytest.raises(
        NoAnswerError, match=r"^lab: gitlab: /api/v4/projects gave something else than a list; correct the url$"
    ):
        pulls.pull_projects()


def test_a_page_that_leads_to_itself_ends_the_list(world: World, pulls: Pulls) -> None:
    page = Instead(
        200, b'[{"id": 1}]', {"Content-Type": "application/json", "Link": '<https://x/projects?id_after=1>; rel="next"'}
    )
    world.lab.faults.add("projects$", page, times=None)
    with pytest.raises(NoAnswerError, match="gave a page again"):
        list(pulls.client().pages("/projects", {}))


def test_projects_that_lead_to_no_next_page_are_not_the_last(world: World, pulls: Pulls) -> None:
    for _ in range(3):
        world.project()
    page = json_answer([{"id": 1, "created_at": "2026-01-01T00:00:00.000Z"}])
    world.lab.faults.add("projects$", page)
    with pytest.raises(NoAnswerError, match=r"^lab: gitlab: /api/v4/projects ended without the link to a next page"):
        pulls.pull_projects()


def test_projects_by_number_end_with_the_last_page(world: World, pulls: Pulls) -> None:
    headers = {"Content-Type": "application/json", "X-Page": "1", "X-Next-Page": ""}
    world.lab.faults.add("projects$", Instead(200, b'[{"id": 1, "created_at": null}]', headers))
    assert [project["id"] for project in list_projects(pulls.client(), {})] == [1]


@pytest.mark.parametrize("status", [400, 403, 404])
def test_rights_that_cannot_be_asked_for_are_none(world: World, pulls: Pulls, status: int) -> None:
    world.lab.faults.add("user$", json_answer({"message": "no"}, status))
    with pytest.raises(SourceError, match=rf"the token in LAB_GITLAB_TOKEN was refused \(status {status}\); set an"):
        check_administrator(pulls.client())


def test_the_next_page_is_also_known_by_its_number(world: World, pulls: Pulls) -> None:
    def page(number: int, following: str) -> Instead:
        headers = {"Content-Type": "application/json", "X-Next-Page": following}
        return Instead(200, orjson.dumps([{"id": number}]), headers)

    world.lab.faults.add("projects$", page(1, "2"))
    world.lab.faults.add("projects$", page(2, ""), at=2)
    assert list(pulls.client().pages("/projects", {})) == [[{"id": 1}], [{"id": 2}]]
    assert [request.query.get("page") for request in world.lab.requests] == [None, ["2"]]


def test_what_is_refused_to_one_request_only_is_left_to_the_caller(pulls: Pulls) -> None:
    with pytest.raises(RefusedError, match=r"^status 404$"):
        pulls.client().get("/projects/1234567")
