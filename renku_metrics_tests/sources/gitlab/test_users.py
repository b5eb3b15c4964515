"""The table of users: what a row holds, who is a bot, and whose addresses are asked for."""

from __future__ import annotations

import re

import pandas as pd
import pytest

from renku_metrics.sources.gitlab.client import GitLabClient
from renku_metrics.sources.gitlab.users import is_bot, keycloak_id
from renku_metrics.sources.http import Patience
from renku_metrics_tests.sources.answers import json_answer
from renku_metrics_tests.sources.gitlab.world import BOOK, DAY, KEYCLOAK_ID, NOON, Pulls, World


def hashes(*addresses: str) -> list[str]:
    return sorted(BOOK.hash(address) for address in addresses)


def test_a_user_has_the_hash_of_every_confirmed_address_and_no_other(world: World, pulls: Pulls) -> None:
    ada = world.gitlab.add_user("ada", "Ada@University.example", NOON - 9 * DAY, keycloak_id=KEYCLOAK_ID)
    ada.public_email = "ada@public.example"
    ada.commit_email = f"{ada.id}-ada@users.noreply.lab.example"
    world.gitlab.add_email(ada, "ada@home.example", NOON)
    world.gitlab.add_email(ada, "boss@university.example", NOON, confirmed=False)
    bob = world.gitlab.add_user("bob", "bob@university.example", NOON, confirmed=False)
    pulls.pull_users()
    row = pulls.user(ada)
    addresses = ("ada@university.example", "ada@public.example", "ada@home.example")
    assert list(row["address_hashes"]) == hashes(*addresses)
    assert row["keycloak_id"] == KEYCLOAK_ID
    assert row["created_at"] == NOON - 9 * DAY
    assert not row["bot"]
    assert list(pulls.user(bob)["address_hashes"]) == []
    assert pd.isna(pulls.user(bob)["keycloak_id"])
    assert len(pulls.users) == 3


def test_bots_are_told_from_people(world: World, pulls: Pulls) -> None:
    project = world.project()
    token = world.gitlab.add_project_bot(project, "lab.example", NOON)
    blocked = world.gitlab.add_user("spammer", "spam@spam.example", NOON)
    blocked.state = "blocked"
    pulls.pull_users()
    assert pulls.user(token)["bot"]
    assert not pulls.user(blocked)["bot"]
    assert pulls.user(blocked)["state"] == "blocked"


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
def test_users_of_old_and_new_versions_are_whole(world: World, pulls: Pulls, version: tuple[int, int, int]) -> None:
    world.gitlab.version = version
    made = [world.gitlab.add_user(f"u{number}", f"u{number}@x.example", NOON).id for number in range(230)]
    pulls.pull_users()
    assert list(pulls.users["gitlab_user_id"]) == [world.lab.administrator.id, *made]


def test_a_version_that_refuses_to_page_users_by_key_is_paged_by_number(world: World, pulls: Pulls) -> None:
    world.gitlab.version = (16, 4, 0)
    made = [world.gitlab.add_user(f"u{number}", f"u{number}@x.example", NOON).id for number in range(230)]
    world.lab.faults.add("users$", json_answer({"error": "Keyset pagination is not yet available"}, 405))
    pulls.pull_users()
    assert list(pulls.users["gitlab_user_id"]) == [world.lab.administrator.id, *made]


def test_secondary_addresses_are_asked_for_only_where_they_can_have_changed(world: World, pulls: Pulls) -> None:
    def asked() -> set[int]:
        return {int(request.path.split("/")[-2]) for request in world.lab.requests.matching(r"/users/\d+/emails")}

    asleep, awake, lately, never = (
        world.gitlab.add_user(name, f"{name}@x.example", NOON - 90 * DAY)
        for name in ("asleep", "awake", "lately", "never")
    )
    for user, days in ((asleep, 40), (awake, 40), (lately, 2)):
        user.last_activity_on = (NOON - days * DAY).date()
    pulls.pull_users()
    assert asked() == {world.lab.administrator.id, asleep.id, awake.id, lately.id, never.id}
    world.advance(DAY)
    awake.last_activity_on = world.now.date()
    new = world.gitlab.add_user("new", "new@x.example", NOON)
    world.gitlab.add_email(awake, "awake@home.example", NOON)
    world.gitlab.add_email(lately, "lately@home.example", NOON)
    pulls.pull_users()
    assert asked() == {awake.id, lately.id, new.id}
    assert list(pulls.user(awake)["address_hashes"]) == hashes("awake@x.example", "awake@home.example")
    assert list(pulls.user(lately)["address_hashes"]) == hashes("lately@x.example", "lately@home.example")
    never.last_activity_on = world.now.date()
    pulls.pull_users()
    assert never.id in asked()


def test_a_user_deleted_while_users_are_read_is_no_fault(world: World, pulls: Pulls) -> None:
    ada = world.gitlab.add_user("ada", "ada@x.example", NOON)
    world.lab.faults.add(f"users/{ada.id}/emails", json_answer({"message": "404 User Not Found"}, 404))
    pulls.pull_users()
    assert list(pulls.user(ada)["address_hashes"]) == hashes("ada@x.example")


@pytest.mark.usefixtures("people")
def test_pulling_again_changes_no_row(pulls: Pulls) -> None:
    pulls.pull_users()
    before = pulls.users
    pulls.pull_users()
    pd.testing.assert_frame_equal(pulls.users, before)


@pytest.mark.usefixtures("people")
def test_progress_is_told_to_the_log(world: World, pulls: Pulls, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(GitLabClient, "page_length", 3)
    said: list[str] = []
    pulls.say = said.append
    pulls.patience = Patience(sleep=lambda seconds: None, clock=lambda: 2.0 * len(world.lab.requests))
    pulls.pull_users()
    *others, last = said
    assert others[0] == "lab: gitlab: 8 users so far, 3 requests, 0 requests/s"
    assert all(
        re.fullmatch(r"lab: gitlab: \d of 8 users, \d+ requests, [01] requests/s.*", line) for line in others[1:]
    )
    assert last == "lab: gitlab: 8 of 8 users, 11 requests, 0 requests/s"
    # In 22 seconds, at least five apart.
    assert 2 <= len(others) <= 4
