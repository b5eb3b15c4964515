"""Linking of commits to users, rule by rule and against adversarial users. Addresses stand for their hashes."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

from renku_metrics.merging import merge
from renku_metrics.tables import RAW_GITLAB_USERS
from renku_metrics_tests.events.raw_rows import (
    Row,
    Rows,
    build,
    build_from,
    commit,
    gitlab_user,
    keycloak_user,
    links,
    project,
    raw,
)

Link = tuple[str | None, str | None]


def link_of(row: Row, **rows: Rows) -> Link | None:
    """User and rule of the event that one commit makes; None where it makes no event."""
    return links(build(commits=[row], **rows)).get(f"commit:{row['sha']}")


def link_among(gitlab_users: pd.DataFrame) -> Link:
    """User and rule of a commit of the address ada, given a frame of users."""
    frames = {**raw(commits=[commit("c", "2024-01-01")]), RAW_GITLAB_USERS.name: gitlab_users}
    return links(build_from(frames))["commit:c"]


def noreply(gitlab_user_id: int) -> dict[str, Any]:
    return {"author_address_kind": "noreply", "author_gitlab_id": gitlab_user_id}


def pushed_by(gitlab_user_id: int, addresses: int = 1) -> dict[str, Any]:
    return {"pusher_id": gitlab_user_id, "push_addresses": addresses}


def test_a_noreply_address_of_this_deployment_names_the_gitlab_user() -> None:
    users = [gitlab_user(7, "other", keycloak_id="k-7")]
    assert link_of(commit("c", **noreply(7)), gitlab_users=users) == ("k-7", "noreply")


def test_a_noreply_address_of_a_user_gitlab_no_longer_lists_keeps_the_number() -> None:
    assert link_of(commit("c", **noreply(7))) == ("gitlab:7", "noreply")


def test_a_noreply_address_of_another_host_is_an_address_like_any_other() -> None:
    # The sources give the kind noreply, and the number, to addresses of this deployment only.
    users = [gitlab_user(7, "ada", keycloak_id="k-7")]
    row = commit("c", address="7-ada at another host")
    assert link_of(row, gitlab_users=users) == ("email:7-ada at another host", "address_hash")


def test_noreply_goes_before_an_address_that_somebody_else_confirmed() -> None:
    users = [gitlab_user(7, keycloak_id="k-7"), gitlab_user(8, "ada", keycloak_id="k-8")]
    assert link_of(commit("c", **noreply(7)), gitlab_users=users) == ("k-7", "noreply")


def test_any_confirmed_address_links_to_its_gitlab_user() -> None:
    users = [gitlab_user(7, "ada", "ada2", keycloak_id="k-7")]
    assert link_of(commit("c", address="ada2"), gitlab_users=users) == ("k-7", "gitlab_address")


def test_gitlab_goes_before_keycloak() -> None:
    users = [gitlab_user(7, "ada", keycloak_id="k-7")]
    found = link_of(commit("c"), gitlab_users=users, keycloak_users=[keycloak_user("k-9", "ada")])
    assert found == ("k-7", "gitlab_address")


def test_a_gitlab_user_without_identity_is_the_keycloak_user_of_the_same_address() -> None:
    users = [gitlab_user(7, "ada", "ada2")]
    found = link_of(commit("c", address="ada2"), gitlab_users=users, keycloak_users=[keycloak_user("k-9", "ada")])
    assert found == ("k-9", "gitlab_address")


def test_a_gitlab_user_whose_addresses_two_keycloak_users_hold_is_neither() -> None:
    users = [gitlab_user(7, "ada", "ada2")]
    both = [keycloak_user("k-8", "ada"), keycloak_user("k-9", "ada2")]
    assert link_of(commit("c"), gitlab_users=users, keycloak_users=both) == ("gitlab:7", "gitlab_address")


def test_a_keycloak_account_made_anew_with_the_same_address_links_to_neither() -> None:
    anew = [keycloak_user("k-old", "ada", enabled=False), keycloak_user("k-new", "ada")]
    assert link_of(commit("c"), keycloak_users=anew) == ("email:ada", "address_hash")
    assert link_of(commit("c"), gitlab_users=[gitlab_user(7, "ada")], keycloak_users=anew) == (
        "gitlab:7",
        "gitlab_address",
    )


def test_a_keycloak_account_made_anew_follows_the_identity_that_gitlab_has_now() -> None:
    anew = [keycloak_user("k-old", "ada", enabled=False), keycloak_user("k-new", "ada")]
    users = [gitlab_user(7, "ada", keycloak_id="k-new")]
    assert link_of(commit("c"), gitlab_users=users, keycloak_users=anew) == ("k-new", "gitlab_address")


def test_an_address_only_keycloak_knows_links_to_its_user() -> None:
    assert link_of(commit("c"), keycloak_users=[keycloak_user("k-9", "ada")]) == ("k-9", "keycloak_address")


@pytest.mark.parametrize("holders", [1, 2])
def test_an_address_that_several_gitlab_users_hold_links_to_nobody_not_even_in_keycloak(holders: int) -> None:
    # Two users with the same secondary address, or an address that moved from one to the other.
    users = [gitlab_user(id_, "ada", keycloak_id=f"k-{id_}") for id_ in (7, 8)]
    in_keycloak = [keycloak_user(f"k-{number}", "ada") for number in range(holders)]
    found = link_of(commit("c"), gitlab_users=users, keycloak_users=in_keycloak)
    assert found == ("email:ada", "address_hash")


def test_a_push_decides_where_an_address_has_several_holders() -> None:
    users = [gitlab_user(id_, "ada", keycloak_id=f"k-{id_}") for id_ in (7, 8)]
    assert link_of(commit("c", **pushed_by(8)), gitlab_users=users) == ("k-8", "push")


def test_a_shared_secondary_address_does_not_make_two_gitlab_users_one_keycloak_user() -> None:
    users = [gitlab_user(7, "ada", "lab"), gitlab_user(8, "bob", "lab")]
    in_keycloak = [keycloak_user("k-9", "lab")]
    rows = [commit("a", address="ada"), commit("b", address="bob")]
    found = links(build(commits=rows, gitlab_users=users, keycloak_users=in_keycloak))
    assert found == {"commit:a": ("gitlab:7", "gitlab_address"), "commit:b": ("gitlab:8", "gitlab_address")}


def test_a_push_of_one_address_links_an_unknown_address_to_the_pusher() -> None:
    users = [gitlab_user(7, "office", keycloak_id="k-7")]
    assert link_of(commit("c", address="home", **pushed_by(7)), gitlab_users=users) == ("k-7", "push")


def test_a_known_address_goes_before_the_push() -> None:
    users = [gitlab_user(7, "ada", keycloak_id="k-7"), gitlab_user(8, "bob", keycloak_id="k-8")]
    assert link_of(commit("c", **pushed_by(8)), gitlab_users=users) == ("k-7", "gitlab_address")


def test_a_push_of_several_addresses_links_nobody() -> None:
    assert link_of(commit("c", **pushed_by(7, addresses=2))) == ("email:ada", "address_hash")


def test_a_pusher_who_was_deleted_and_never_listed_keeps_the_number() -> None:
    assert link_of(commit("c", **pushed_by(7))) == ("gitlab:7", "push")


def test_a_push_by_a_bot_links_nobody() -> None:
    users = [gitlab_user(7, bot=True)]
    assert link_of(commit("c", **pushed_by(7)), gitlab_users=users) == ("email:ada", "address_hash")


def test_pushes_by_two_people_to_two_projects_link_nobody() -> None:
    # A fast-forward merge from a fork pushes the author's commit under the name of whoever merged.
    rows = [commit("c", project_id=1, **pushed_by(7)), commit("c", project_id=2, **pushed_by(8))]
    found = links(build(commits=rows, projects=[project(1), project(2)]))
    assert found == {"commit:c": ("email:ada", "address_hash")}


def test_the_push_to_a_fork_links_a_commit_that_was_merged_with_others() -> None:
    rows = [commit("c", project_id=1, **pushed_by(7, addresses=2)), commit("c", project_id=2, **pushed_by(8))]
    found = links(build(commits=rows, projects=[project(1), project(2, "2021-01-01")]))
    assert found == {"commit:c": ("gitlab:8", "push")}


def test_whoever_pushes_it_to_a_project_made_later_does_not_matter() -> None:
    rows = [commit("c", project_id=1, **pushed_by(7)), commit("c", project_id=2, **pushed_by(8))]
    found = links(build(commits=rows, projects=[project(1), project(2, "2026-11-20")]))
    assert found == {"commit:c": ("gitlab:7", "push")}


def test_a_shared_address_is_linked_by_its_push_alone() -> None:
    shared = {"address": "root", "author_address_kind": "shared"}
    users = [gitlab_user(7, "root", keycloak_id="k-7")]
    assert link_of(commit("c", **shared, **pushed_by(8)), gitlab_users=users) == ("gitlab:8", "push")
    assert link_of(commit("c", **shared), gitlab_users=users) == (None, None)
    assert link_of(commit("c", **shared), keycloak_users=[keycloak_user("k-9", "root")]) == (None, None)


@pytest.mark.parametrize("moved_from", [7, 8])
def test_an_address_that_moved_is_of_nobody_whichever_pull_saw_it_where(moved_from: int) -> None:
    first = [gitlab_user(7, *["ada"] * (moved_from == 7)), gitlab_user(8, *["ada"] * (moved_from == 8))]
    then = [gitlab_user(7, *["ada"] * (moved_from == 8)), gitlab_user(8, *["ada"] * (moved_from == 7))]
    known = merge(RAW_GITLAB_USERS, RAW_GITLAB_USERS.frame(first), RAW_GITLAB_USERS.frame(then))
    assert link_among(known) == ("email:ada", "address_hash")


def test_past_commits_follow_when_a_later_pull_learns_whose_address_it_is() -> None:
    stranger = RAW_GITLAB_USERS.frame([gitlab_user(7)])
    known = merge(RAW_GITLAB_USERS, stranger, RAW_GITLAB_USERS.frame([gitlab_user(7, "ada", keycloak_id="k-7")]))
    assert link_among(stranger) == ("email:ada", "address_hash")
    assert link_among(known) == ("k-7", "gitlab_address")


def test_two_addresses_nobody_knows_are_two_users() -> None:
    found = links(build(commits=[commit("a", address="ada"), commit("b", address="bob")]))
    assert found == {"commit:a": ("email:ada", "address_hash"), "commit:b": ("email:bob", "address_hash")}


def test_blocked_disabled_and_deleted_users_count() -> None:
    users = [gitlab_user(7, "ada", keycloak_id="k-7", state="deleted")]
    assert link_of(commit("c"), gitlab_users=users) == ("k-7", "gitlab_address")
    disabled = [keycloak_user("k-9", "ada", enabled=False)]
    assert link_of(commit("c"), keycloak_users=disabled) == ("k-9", "keycloak_address")


@pytest.mark.parametrize(
    "fields", [{"author_address_kind": "bot"}, noreply(7), {"address": "token"}], ids=["address", "noreply", "account"]
)
def test_bots_and_access_tokens_make_no_event(fields: dict[str, Any]) -> None:
    built = build(commits=[commit("c", **fields)], gitlab_users=[gitlab_user(7, "token", bot=True)])
    assert built.events.empty
    assert built.dropped["commit by a bot"] == 1


def test_events_by_rule_are_counted_nobody_included() -> None:
    built = build(
        commits=[
            commit("a"),
            commit("b", address="bob", renku_surface="cli", renku_command="run"),
            commit("c", author_address_kind="shared"),
        ],
        gitlab_users=[gitlab_user(7, "ada")],
    )
    assert {rule: count for rule, count in built.linked.items() if count} == {
        "gitlab_address": 1,
        "address_hash": 2,
        "nobody": 1,
    }
