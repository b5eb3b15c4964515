"""Projects and users of the simulated GitLab."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pandas as pd
import pytest

from renku_metrics.sources.gitlab.projects import pull_projects
from renku_metrics.sources.gitlab.users import is_bot, keycloak_id
from renku_metrics.store.merging import merge
from renku_metrics.tables import RAW_GITLAB_PROJECTS, RAW_GITLAB_USERS
from renku_metrics_tests.sources.gitlab.keeping import (
    BOOK,
    DAY,
    NOW,
    VARIABLE,
    client_of,
    deployment_of,
    make_project,
    users_of,
)
from renkulab.faults import Instead
from renkulab.gitlab import User
from renkulab.server import RenkuLab

KEYCLOAK_ID = "5f3c1f0e-0c5d-4b3e-9a52-1d6f6f9f0a11"


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RenkuLab]:
    with RenkuLab("lab", tmp_path / "audit", now=NOW) as lab:
        monkeypatch.setenv(VARIABLE, lab.gitlab_token)
        yield lab


def row_of(users: pd.DataFrame, user: User) -> pd.Series:
    [(_, row)] = users[users["gitlab_user_id"] == user.id].iterrows()
    return row


def hashes(*addresses: str) -> list[str]:
    return sorted(BOOK.hash(address) for address in addresses)


def json_answer(content: Any, status: int = 200) -> Instead:
    return Instead(status, orjson.dumps(content), {"Content-Type": "application/json"})


# Projects


def test_every_project_is_pulled_with_what_counting_needs(lab: RenkuLab) -> None:
    owner = lab.administrator
    first = make_project(lab, 3)
    group = lab.gitlab.add_group("institute")
    fork = lab.gitlab.fork(first, group, owner, NOW - DAY)
    fork.archived = True
    fork.visibility = "public"
    rows = pull_projects(client_of(lab), deployment_of(lab), NOW)
    expected = [
        {
            "deployment": "lab",
            "project_id": first.id,
            "created_at": NOW - 30 * DAY,
            "creator_id": owner.id,
            "namespace_id": lab.gitlab.personal_namespace(owner).id,
            "namespace_kind": "user",
            "visibility": "private",
            "archived": False,
            "last_activity_at": NOW - 30 * DAY,
            "pulled_at": NOW,
        },
        {
            "deployment": "lab",
            "project_id": fork.id,
            "created_at": NOW - DAY,
            "creator_id": owner.id,
            "namespace_id": group.id,
            "namespace_kind": "group",
            "forked_from_id": first.id,
            "visibility": "public",
            "archived": True,
            "last_activity_at": NOW - DAY,
            "pulled_at": NOW,
        },
    ]
    pd.testing.assert_frame_equal(RAW_GITLAB_PROJECTS.conform(rows), RAW_GITLAB_PROJECTS.frame(expected))


@pytest.mark.parametrize("count", [0, 1, 99, 100, 101, 250])
def test_lists_of_every_length_are_whole(lab: RenkuLab, count: int) -> None:
    made = [make_project(lab, path=f"p{number}").id for number in range(count)]
    assert list(pull_projects(client_of(lab), deployment_of(lab), NOW)["project_id"]) == made


def test_a_link_to_another_host_is_followed_on_the_host_of_the_deployment_file(lab: RenkuLab, tmp_path: Path) -> None:
    made = [make_project(lab, path=f"p{number}").id for number in range(150)]
    with RenkuLab("other", tmp_path / "other", now=NOW) as other:
        lab.gitlab.external_url = other.gitlab_url
        assert list(pull_projects(client_of(lab), deployment_of(lab), NOW)["project_id"]) == made
        assert other.requests == []


# Users


def test_a_user_has_the_hash_of_every_confirmed_address_and_no_other(lab: RenkuLab) -> None:
    ada = lab.gitlab.add_user("ada", "Ada@University.example", NOW - 9 * DAY, keycloak_id=KEYCLOAK_ID)
    ada.public_email = "ada@public.example"
    ada.commit_email = f"{ada.id}-ada@users.noreply.lab.example"
    lab.gitlab.add_email(ada, "ada@home.example", NOW)
    lab.gitlab.add_email(ada, "boss@university.example", NOW, confirmed=False)
    bob = lab.gitlab.add_user("bob", "bob@university.example", NOW, confirmed=False)
    users = users_of(lab)
    row = row_of(users, ada)
    addresses = ("ada@university.example", "ada@public.example", "ada@home.example")
    assert list(row["address_hashes"]) == hashes(*addresses)
    assert row["keycloak_id"] == KEYCLOAK_ID
    assert row["created_at"] == NOW - 9 * DAY
    assert not row["bot"]
    assert list(row_of(users, bob)["address_hashes"]) == []
    assert pd.isna(row_of(users, bob)["keycloak_id"])
    assert len(users) == 3


def test_bots_are_told_from_people(lab: RenkuLab) -> None:
    project = make_project(lab)
    token = lab.gitlab.add_project_bot(project, "lab.example", NOW)
    blocked = lab.gitlab.add_user("spammer", "spam@spam.example", NOW)
    blocked.state = "blocked"
    users = users_of(lab)
    assert row_of(users, token)["bot"]
    assert not row_of(users, blocked)["bot"]
    assert row_of(users, blocked)["state"] == "blocked"


@pytest.mark.parametrize(
    ("username", "marked", "bot"),
    [
        ("ada", False, False),
        ("robot", True, True),
        ("project_12_bot", False, True),
        ("project_12_bot_1a2b", None, True),
        ("group_3_bot2", False, True),
        ("project_bot", False, False),
        ("ghost", False, True),
        ("support-bot", None, True),
        ("support-botany", False, False),
    ],
)
def test_older_versions_do_not_mark_all_bots(username: str, marked: bool | None, bot: bool) -> None:
    assert is_bot({"username": username} | ({} if marked is None else {"bot": marked})) is bot


@pytest.mark.parametrize(
    ("identities", "expected"),
    [
        ([], None),
        ([("oauth2_generic", KEYCLOAK_ID)], KEYCLOAK_ID),
        ([("google", "0a0a0a0a-0000-4000-8000-000000000000"), ("openid_connect", KEYCLOAK_ID)], KEYCLOAK_ID),
        ([("google", "123"), ("saml", KEYCLOAK_ID)], KEYCLOAK_ID),
        ([("github", "123"), ("google", None)], None),
        ([("oauth2_generic", None), ("renku", KEYCLOAK_ID)], KEYCLOAK_ID),
    ],
)
def test_the_keycloak_id_is_the_identity_at_keycloak(
    identities: list[tuple[str, str | None]], expected: str | None
) -> None:
    given = [{"provider": provider, "extern_uid": uid, "saml_provider_id": None} for provider, uid in identities]
    assert keycloak_id(given) == keycloak_id(list(reversed(given))) == expected


@pytest.mark.parametrize("version", [(14, 10, 5), (16, 4, 0), (16, 5, 0)])
def test_users_of_old_and_new_versions_are_whole(lab: RenkuLab, version: tuple[int, int, int]) -> None:
    lab.gitlab.version = version
    made = [lab.gitlab.add_user(f"u{number}", f"u{number}@x.example", NOW).id for number in range(230)]
    assert list(users_of(lab)["gitlab_user_id"]) == [lab.administrator.id, *made]


def test_a_version_that_refuses_to_page_users_by_key_is_paged_by_number(lab: RenkuLab) -> None:
    lab.gitlab.version = (16, 4, 0)
    made = [lab.gitlab.add_user(f"u{number}", f"u{number}@x.example", NOW).id for number in range(230)]
    lab.faults.add("users$", json_answer({"error": "Keyset pagination is not yet available"}, 405))
    assert list(users_of(lab)["gitlab_user_id"]) == [lab.administrator.id, *made]


def test_secondary_addresses_are_asked_for_only_where_they_can_have_changed(lab: RenkuLab) -> None:
    def asked() -> set[int]:
        seen = {int(request.path.split("/")[-2]) for request in lab.requests.matching(r"/users/\d+/emails")}
        lab.requests.clear()
        return seen

    asleep, awake, lately, never = (
        lab.gitlab.add_user(name, f"{name}@x.example", NOW - 90 * DAY)
        for name in ("asleep", "awake", "lately", "never")
    )
    for user, days in ((asleep, 40), (awake, 40), (lately, 2)):
        user.last_activity_on = (NOW - days * DAY).date()
    stored = users_of(lab)
    assert asked() == {lab.administrator.id, asleep.id, awake.id, lately.id, never.id}
    lab.clock.advance(DAY)
    awake.last_activity_on = lab.clock.now().date()
    new = lab.gitlab.add_user("new", "new@x.example", NOW)
    lab.gitlab.add_email(awake, "awake@home.example", NOW)
    lab.gitlab.add_email(lately, "lately@home.example", NOW)
    users = merge(RAW_GITLAB_USERS, stored, users_of(lab, stored))
    assert asked() == {awake.id, lately.id, new.id}
    assert list(row_of(users, awake)["address_hashes"]) == hashes("awake@x.example", "awake@home.example")
    assert list(row_of(users, lately)["address_hashes"]) == hashes("lately@x.example", "lately@home.example")
    never.last_activity_on = lab.clock.now().date()
    users_of(lab, users)
    assert never.id in asked()


def test_a_user_deleted_while_users_are_read_is_no_fault(lab: RenkuLab) -> None:
    ada = lab.gitlab.add_user("ada", "ada@x.example", NOW)
    lab.faults.add(f"users/{ada.id}/emails", json_answer({"message": "404 User Not Found"}, 404))
    assert list(row_of(users_of(lab), ada)["address_hashes"]) == hashes("ada@x.example")
