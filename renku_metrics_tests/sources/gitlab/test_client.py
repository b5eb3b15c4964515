"""Tokens that are refused, pages that lead on, and answers that are none."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from renku_metrics.errors import SourceError
from renku_metrics.sources.gitlab.client import GitLabClient
from renku_metrics.sources.gitlab.projects import check_administrator, pull_projects
from renku_metrics.sources.http import NoAnswerError, RefusedError
from renku_metrics_tests.sources.gitlab.keeping import (
    NOW,
    VARIABLE,
    client_of,
    deployment_of,
    make_project,
    users_of,
)
from renkulab.faults import Instead, json_object, unauthorized
from renkulab.server import RenkuLab


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RenkuLab]:
    with RenkuLab("lab", tmp_path / "audit", now=NOW) as lab:
        monkeypatch.setenv(VARIABLE, lab.gitlab_token)
        yield lab


def json_answer(content: Any, status: int = 200) -> Instead:
    return Instead(status, orjson.dumps(content), {"Content-Type": "application/json"})


# Tokens


def test_a_token_that_is_no_administrators_is_named(lab: RenkuLab, monkeypatch: pytest.MonkeyPatch) -> None:
    lab.gitlab.add_token("plain-token", lab.gitlab.add_user("plain", "plain@x.example", NOW))
    monkeypatch.setenv(VARIABLE, "plain-token")
    with pytest.raises(SourceError) as users:
        users_of(lab)
    assert str(users.value) == (
        "lab: gitlab: the token in LAB_GITLAB_TOKEN sees no addresses of users; "
        "set an administrator's token with scope read_api (and admin_mode if the server asks for it)"
    )
    with pytest.raises(SourceError, match=r"^lab: gitlab: the token in LAB_GITLAB_TOKEN does not see every project"):
        check_administrator(client_of(lab))


def test_an_administrators_token_without_admin_mode_is_nobodys(lab: RenkuLab) -> None:
    check_administrator(client_of(lab))
    lab.gitlab.admin_mode = True
    with pytest.raises(SourceError, match="LAB_GITLAB_TOKEN"):
        check_administrator(client_of(lab))
    lab.gitlab.tokens[lab.gitlab_token].scopes = ("read_api", "admin_mode")
    check_administrator(client_of(lab))


def test_a_refused_token_is_named_and_never_shown(lab: RenkuLab) -> None:
    token = lab.gitlab.tokens[lab.gitlab_token]
    refusal = (
        r"^lab: gitlab: the token in LAB_GITLAB_TOKEN was refused \(status {}\); "
        r"set an administrator's token that is valid and has scope read_api$"
    )
    token.scopes = ("read_user",)
    with pytest.raises(SourceError, match=refusal.format(403)):
        pull_projects(client_of(lab), deployment_of(lab), NOW)
    token.scopes = ("read_api",)
    token.expires_on = dt.date(2026, 11, 16)
    with pytest.raises(SourceError, match=refusal.format(401)):
        pull_projects(client_of(lab), deployment_of(lab), NOW)


def test_a_token_refused_between_two_pages_ends_the_pull(lab: RenkuLab) -> None:
    for number in range(150):
        make_project(lab, path=f"p{number}")
    lab.faults.add("projects$", unauthorized(), at=2)
    with pytest.raises(SourceError, match="LAB_GITLAB_TOKEN was refused"):
        pull_projects(client_of(lab), deployment_of(lab), NOW)


@pytest.mark.parametrize("token", ["glpat-secret\nline", "glpat-secrét", "glpat-\x00secret"])
def test_a_token_that_no_request_can_carry_is_never_shown(
    lab: RenkuLab, monkeypatch: pytest.MonkeyPatch, token: str
) -> None:
    # The environment of a process cannot hold a zero byte; a file that is read into it can.
    monkeypatch.setattr("renku_metrics.deployments.Secret.reveal", lambda self: token)
    with pytest.raises(SourceError) as caught:
        client_of(lab)
    assert str(caught.value) == (
        "lab: gitlab: the token in LAB_GITLAB_TOKEN has characters that no token has; set it alone, without quotes"
    )


# Answers that are none


def test_a_refusal_of_a_list_is_told_by_its_status(lab: RenkuLab) -> None:
    lab.faults.add("projects$", json_answer({"message": "403 Forbidden - Your account has been blocked."}, 403))
    with pytest.raises(
        SourceError, match=r"^lab: gitlab: the list of projects was refused with status 403; set an admin"
    ):
        pull_projects(client_of(lab), deployment_of(lab), NOW)


def test_an_object_is_no_list(lab: RenkuLab) -> None:
    lab.faults.add("projects$", json_object())
    with pytest.raises(
        NoAnswerError, match=r"^lab: gitlab: /api/v4/projects gave something else than a list; correct the url$"
    ):
        pull_projects(client_of(lab), deployment_of(lab), NOW)


def test_a_page_that_leads_to_itself_ends_the_list(lab: RenkuLab) -> None:
    page = Instead(
        200, b'[{"id": 1}]', {"Content-Type": "application/json", "Link": '<https://x/projects?id_after=1>; rel="next"'}
    )
    lab.faults.add("projects$", page, times=None)
    with pytest.raises(NoAnswerError, match="gave a page again"):
        list(client_of(lab).pages("/projects", {}))


def test_projects_that_lead_to_no_next_page_are_not_the_last(lab: RenkuLab) -> None:
    for number in range(3):
        make_project(lab, path=f"p{number}")
    page = json_answer([{"id": 1, "created_at": "2026-01-01T00:00:00.000Z"}])
    lab.faults.add("projects$", page)
    with pytest.raises(NoAnswerError, match=r"^lab: gitlab: /api/v4/projects ended without the link to a next page"):
        pull_projects(client_of(lab), deployment_of(lab), NOW)


def test_projects_by_number_end_with_the_last_page(lab: RenkuLab) -> None:
    headers = {"Content-Type": "application/json", "X-Page": "1", "X-Next-Page": ""}
    lab.faults.add("projects$", Instead(200, b'[{"id": 1, "created_at": null}]', headers))
    assert list(pull_projects(client_of(lab), deployment_of(lab), NOW)["project_id"]) == [1]


@pytest.mark.parametrize("status", [400, 403, 404])
def test_rights_that_cannot_be_asked_for_are_none(lab: RenkuLab, status: int) -> None:
    lab.faults.add("user$", json_answer({"message": "no"}, status))
    with pytest.raises(SourceError, match=rf"the token in LAB_GITLAB_TOKEN was refused \(status {status}\); set an"):
        check_administrator(client_of(lab))


def test_the_next_page_is_also_known_by_its_number(lab: RenkuLab) -> None:
    def page(number: int, following: str) -> Instead:
        headers = {"Content-Type": "application/json", "X-Next-Page": following}
        return Instead(200, orjson.dumps([{"id": number}]), headers)

    lab.faults.add("projects$", page(1, "2"))
    lab.faults.add("projects$", page(2, ""), at=2)
    assert list(client_of(lab).pages("/projects", {})) == [[{"id": 1}], [{"id": 2}]]
    assert [request.query.get("page") for request in lab.requests] == [None, ["2"]]


def test_what_is_refused_to_one_request_only_is_left_to_the_caller(lab: RenkuLab) -> None:
    with pytest.raises(RefusedError, match=r"^status 404$"):
        GitLabClient(deployment_of(lab)).get("/projects/1234567")
