"""The simulated GitLab against docs/sources/gitlab.md, asked over HTTP."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gitlab as python_gitlab
import pytest
import requests

from renkulab.git import Identity, Repository
from renkulab.gitlab import Project, User
from renkulab.server import RenkuLab

NOON = dt.datetime(2026, 11, 16, 12, tzinfo=dt.UTC)
MINUTE, HOUR, DAY = dt.timedelta(minutes=1), dt.timedelta(hours=1), dt.timedelta(days=1)
AUTHOR = Identity("person-0001", "person-0001@university.example")


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[RenkuLab]:
    with RenkuLab("one", tmp_path / "audit", now=NOON) as lab:
        yield lab


@pytest.fixture
def person(lab: RenkuLab) -> User:
    return lab.gitlab.add_user("person-0001", AUTHOR.email, NOON, keycloak_id="0001")


def history(count: int, start: dt.datetime = NOON) -> Repository:
    repository = Repository()
    for number in range(count):
        repository.commit(f"commit {number}\n", AUTHOR, start + number * MINUTE, branch="master")
    return repository


def project_of(lab: RenkuLab, person: User, repository: Repository | None, path: str = "flights") -> Project:
    home = lab.gitlab.personal_namespace(person)
    return lab.gitlab.create_project(path, home, person, NOON, repository=repository)


def get(lab: RenkuLab, path: str, token: str | None = None, **query: Any) -> requests.Response:
    headers = {"PRIVATE-TOKEN": lab.gitlab_token if token is None else token}
    return requests.get(f"{lab.gitlab_url}/api/v4{path}", query, headers=headers, timeout=5)


def ids(response: requests.Response) -> list[Any]:
    return [row["id"] for row in response.json()]


def test_a_full_page_of_commits_announces_a_next_one_which_may_be_empty(lab: RenkuLab, person: User) -> None:
    project = project_of(lab, person, history(200))
    second = get(lab, f"/projects/{project.id}/repository/commits", per_page=100, page=2)
    assert (second.headers["X-Next-Page"], len(second.json())) == ("3", 100)
    assert "X-Total" not in second.headers
    assert 'rel="last"' not in second.headers["Link"]
    last = get(lab, f"/projects/{project.id}/repository/commits", per_page=100, page=3)
    assert last.json() == []
    assert last.headers["X-Next-Page"] == ""
    assert 'rel="next"' not in last.headers["Link"]


def test_pages_are_20_long_and_never_longer_than_100(lab: RenkuLab, person: User) -> None:
    project = project_of(lab, person, history(150))
    assert len(get(lab, f"/projects/{project.id}/repository/commits").json()) == 20
    assert len(get(lab, f"/projects/{project.id}/repository/commits", per_page=500).json()) == 100


def test_all_repeats_its_first_page(lab: RenkuLab, person: User) -> None:
    project = project_of(lab, person, history(250))
    pages = [
        ids(get(lab, f"/projects/{project.id}/repository/commits", all="true", per_page=100, page=page))
        for page in (1, 2, 3)
    ]
    assert [len(page) for page in pages] == [100, 100, 50]
    assert pages[1] == pages[0]
    assert pages[2] == pages[0][:50]


def test_a_commit_looks_like_gitlabs(lab: RenkuLab, person: User) -> None:
    repository = Repository()
    zone = dt.timezone(dt.timedelta(hours=2))
    message = "renku run " + "x " * 60 + "\n\nrenku-transaction: 0123\n"
    commit = repository.commit(message, AUTHOR, dt.datetime(2026, 11, 16, 0, 30, tzinfo=zone), branch="master")
    project = project_of(lab, person, repository)
    [content] = get(lab, f"/projects/{project.id}/repository/commits", trailers="true").json()
    assert content["id"] == commit.sha
    assert content["short_id"] == commit.sha[:8]
    assert content["committed_date"] == content["created_at"] == "2026-11-16T00:30:00.000+02:00"
    assert content["message"] == message
    assert content["title"].endswith("...")
    assert content["author_email"] == AUTHOR.email
    assert content["trailers"] == {"renku-transaction": "0123"}
    assert get(lab, f"/projects/{project.id}/repository/commits").json()[0]["trailers"] == {}


def test_a_listing_can_be_pinned_to_a_sha_a_branch_and_a_range(lab: RenkuLab, person: User) -> None:
    repository = history(3)
    third, second, first = [commit.sha for commit in repository.log([repository.branches["master"]])]
    path = f"/projects/{project_of(lab, person, repository).id}/repository/commits"
    assert ids(get(lab, path, ref_name=second)) == [second, first]
    assert ids(get(lab, path, ref_name="master")) == [third, second, first]
    assert ids(get(lab, path, ref_name=f"{first}..{third}")) == [third, second]
    assert ids(get(lab, path, since=(NOON + MINUTE).isoformat(), until=(NOON + MINUTE).isoformat())) == [second]


def test_an_unknown_revision_is_an_empty_list_and_an_unknown_commit_a_404(lab: RenkuLab, person: User) -> None:
    repository = history(3)
    head, gone = repository.branches["master"], "0" * 40
    path = f"/projects/{project_of(lab, person, repository).id}/repository/commits"
    for revision in (gone, "no-branch", f"{gone}..{head}"):
        answer = get(lab, path, ref_name=revision)
        assert (answer.status_code, answer.json()) == (200, [])
    answer = get(lab, f"{path}/{gone}")
    assert (answer.status_code, answer.json()) == (404, {"message": "404 Commit Not Found"})


def test_projects_without_repository_or_with_it_disabled_refuse(lab: RenkuLab, person: User) -> None:
    missing, disabled = project_of(lab, person, None), project_of(lab, person, history(1), "closed")
    disabled.repository_enabled = False
    empty = project_of(lab, person, Repository(), "empty")
    answer = get(lab, f"/projects/{missing.id}/repository/commits")
    assert (answer.status_code, answer.json()) == (404, {"message": "404 Repository Not Found"})
    assert get(lab, f"/projects/{disabled.id}/repository/commits").status_code == 403
    assert get(lab, f"/projects/{empty.id}/repository/commits").json() == []
    lab.gitlab.disabled_repository_status = 404
    assert get(lab, f"/projects/{disabled.id}/repository/branches").status_code == 404


def test_keyset_pages_of_projects_end_with_an_empty_one(lab: RenkuLab, person: User) -> None:
    made = [project_of(lab, person, None, f"p{number}").id for number in range(4)]
    query: dict[str, Any] = {"pagination": "keyset", "order_by": "id", "sort": "asc", "per_page": 2}
    page, seen, answers = get(lab, "/projects", **query), [], []
    while True:
        answers.append(page)
        seen.extend(ids(page))
        if "next" not in page.links:
            break
        page = requests.get(page.links["next"]["url"], headers={"PRIVATE-TOKEN": lab.gitlab_token}, timeout=5)
    assert seen == made
    assert [len(answer.json()) for answer in answers] == [2, 2, 0]
    assert "X-Page" not in answers[0].headers
    assert get(lab, "/projects", pagination="keyset", order_by="name").status_code == 405


def test_offset_pages_of_projects_carry_totals_up_to_a_limit(lab: RenkuLab, person: User) -> None:
    for number in range(3):
        project_of(lab, person, None, f"p{number}")
    answer = get(lab, "/projects", per_page=2)
    assert (answer.headers["X-Total"], answer.headers["X-Total-Pages"]) == ("3", "2")
    assert 'rel="last"' in answer.headers["Link"]
    assert get(lab, "/projects", per_page=100, page=501).status_code == 405


def test_users_go_by_cursor_from_16_5_and_by_page_before(lab: RenkuLab, person: User) -> None:
    query: dict[str, Any] = {"pagination": "keyset", "order_by": "id", "sort": "asc", "per_page": 1}
    assert "cursor=" in get(lab, "/users", **query).headers["Link"]
    lab.gitlab.version = (14, 10, 5)
    assert get(lab, "/users", **query).headers["X-Next-Page"] == "2"


def test_only_an_administrator_sees_addresses_identities_and_private_projects(lab: RenkuLab, person: User) -> None:
    lab.gitlab.add_email(person, "person-0001@home.example", NOON, confirmed=False)
    other = lab.gitlab.add_user("person-0002", "person-0002@university.example", NOON)
    project_of(lab, person, None)
    lab.gitlab.add_token("somebody", other)
    content = get(lab, f"/users/{person.id}").json()
    assert content["identities"] == [{"provider": "oauth2_generic", "extern_uid": "0001", "saml_provider_id": None}]
    [email] = get(lab, f"/users/{person.id}/emails").json()
    assert (email["email"], email["confirmed_at"]) == ("person-0001@home.example", None)
    assert "email" not in get(lab, f"/users/{person.id}", token="somebody").json()
    assert get(lab, f"/users/{person.id}/emails", token="somebody").status_code == 403
    assert get(lab, "/projects", token="somebody").json() == []
    assert "is_admin" not in get(lab, "/user", token="somebody").json()
    lab.gitlab.admin_mode = True
    assert "email" not in get(lab, f"/users/{person.id}").json()


def test_tokens_are_refused_as_gitlab_does(lab: RenkuLab, person: User) -> None:
    lab.gitlab.add_token("narrow", person, scopes=["read_user"])
    lab.gitlab.add_token("old", person, expires_on=dt.date(2026, 11, 16))
    lab.gitlab.add_token("revoked", person).revoked = True
    unknown = get(lab, "/projects", token="nobody's")
    assert (unknown.status_code, unknown.json()) == (401, {"message": "401 Unauthorized"})
    narrow = get(lab, "/projects", token="narrow")
    assert (narrow.status_code, narrow.json()["error"]) == (403, "insufficient_scope")
    assert get(lab, "/user", token="narrow").status_code == 200
    assert get(lab, "/personal_access_tokens/self", token="narrow").json()["scopes"] == ["read_user"]
    for token in ("old", "revoked"):
        answer = get(lab, "/projects", token=token)
        assert (answer.status_code, answer.json()["error"]) == (401, "invalid_token")


def test_a_push_leaves_one_event_with_its_range(lab: RenkuLab, person: User) -> None:
    project = project_of(lab, person, Repository())
    assert project.repository is not None
    first = project.repository.commit("one\n", AUTHOR, NOON, parents=[]).sha
    second = project.repository.commit("two\n", AUTHOR, NOON, parents=[first]).sha
    third = project.repository.commit("three\n", AUTHOR, NOON, parents=[second]).sha
    lab.gitlab.push(project, person, {"master": first}, NOON)
    lab.gitlab.push(project, person, {"master": third}, NOON + DAY)
    lab.gitlab.push(project, person, {f"b{number}": third for number in range(4)}, NOON + DAY)
    lab.gitlab.push(project, person, {"b0": None}, NOON + 2 * DAY)
    events = get(lab, f"/projects/{project.id}/events", action="pushed", sort="asc").json()
    data = [event["push_data"] for event in events]
    assert [event["action_name"] for event in events] == ["pushed new", "pushed to", "pushed new", "deleted"]
    assert (data[0]["commit_from"], data[0]["commit_count"]) == (None, 1)
    assert (data[1]["commit_from"], data[1]["commit_to"], data[1]["commit_count"]) == (first, third, 2)
    assert (data[2]["ref_count"], data[2]["commit_to"]) == (4, None)
    assert (data[3]["commit_from"], data[3]["commit_to"]) == (third, None)
    within = get(lab, f"/projects/{project.id}/events", after="2026-11-16", before="2026-11-18").json()
    assert {event["created_at"][:10] for event in within} == {"2026-11-17"}
    lab.gitlab.delete_user(person)
    assert "author" not in get(lab, f"/projects/{project.id}/events").json()[0]
    lab.clock.advance(4 * 365 * DAY)
    assert get(lab, f"/projects/{project.id}/events").json() == []


def test_last_activity_moves_once_an_hour(lab: RenkuLab, person: User) -> None:
    repository = history(3)
    project = project_of(lab, person, repository)
    head = repository.branches["master"]
    lab.gitlab.push(project, person, {"a": head}, NOON + 30 * MINUTE)
    assert project.last_activity_at == NOON
    lab.gitlab.push(project, person, {"b": head}, NOON + HOUR)
    lab.gitlab.push(project, person, {"c": head}, NOON + HOUR + 59 * MINUTE)
    assert project.last_activity_at == NOON + HOUR
    assert ids(get(lab, "/projects", last_activity_after=(NOON + MINUTE).isoformat())) == [project.id]
    assert get(lab, "/projects", last_activity_after=(NOON + 2 * HOUR).isoformat()).json() == []
    assert get(lab, "/projects", last_activity_after="yesterday").json() == {"error": "last_activity_after is invalid"}


def test_a_fork_has_the_same_shas_and_names_its_origin(lab: RenkuLab, person: User) -> None:
    project = project_of(lab, person, history(2))
    fork = lab.gitlab.fork(project, lab.gitlab.add_group("group-0001"), person, NOON + DAY)
    listings = [ids(get(lab, f"/projects/{number}/repository/commits")) for number in (project.id, fork.id)]
    assert listings[0] == listings[1]
    content = get(lab, f"/projects/{fork.id}").json()
    assert content["forked_from_project"]["id"] == project.id
    assert content["namespace"]["kind"] == "group"
    lab.gitlab.delete_project(project)
    assert get(lab, f"/projects/{project.id}").json() == {"message": "404 Project Not Found"}
    assert "forked_from_project" not in get(lab, f"/projects/{fork.id}").json()


def test_branches_tell_which_are_merged(lab: RenkuLab, person: User) -> None:
    repository = history(2)
    head = repository.branches["master"]
    repository.move("done", head)
    repository.commit("more\n", AUTHOR, NOON, branch="open", parents=[head])
    content = get(lab, f"/projects/{project_of(lab, person, repository).id}/repository/branches").json()
    assert [(row["name"], row["merged"], row["default"]) for row in content] == [
        ("done", True, False),
        ("master", True, True),
        ("open", False, False),
    ]
    assert content[1]["commit"]["id"] == head


def test_links_point_where_the_server_believes_to_be(lab: RenkuLab, person: User) -> None:
    lab.gitlab.external_url = "https://gitlab.one.example"
    project = project_of(lab, person, history(30))
    link = get(lab, f"/projects/{project.id}/repository/commits").links["next"]["url"]
    assert link.startswith("https://gitlab.one.example/api/v4/projects/")


def test_python_gitlab_lists_everything(lab: RenkuLab, person: User) -> None:
    project = project_of(lab, person, history(200))
    client = python_gitlab.Gitlab(lab.gitlab_url, private_token=lab.gitlab_token, per_page=100)
    client.auth()
    found = list(client.projects.list(iterator=True, pagination="keyset", order_by="id", sort="asc"))
    assert [row.id for row in found] == [project.id]
    assert len(list(found[0].commits.list(iterator=True))) == 200
    assert [row.name for row in found[0].branches.list(iterator=True)] == ["master"]
    users = list(client.users.list(iterator=True, pagination="keyset", order_by="id", sort="asc", per_page=1))
    assert [row.id for row in users] == [lab.administrator.id, person.id]
    assert len(lab.requests.matching("/repository/commits")) == 3
