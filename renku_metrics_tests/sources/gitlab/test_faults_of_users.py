"""Whatever a server does while users are read: what came is kept, what did not is asked for again."""

from __future__ import annotations

import re

import pytest

from renku_metrics.errors import SourceError
from renku_metrics.sources.gitlab import users as gitlab_users
from renku_metrics.sources.gitlab.client import GitLabClient
from renku_metrics.sources.http import Patience
from renku_metrics_tests.sources.gitlab.world import BOOK, DAY, NOON, Pulls, World
from renkulab.faults import PASSING, Fault, json_object, redirect, refused, server_error, unauthorized
from renkulab.gitlab import User

LASTING = {
    **{str(status): refused(status) for status in (400, 403)},
    "500 for good": server_error(500),
    "502 for good": server_error(502),
    "object": json_object(),
}
FATAL = {"token refused": unauthorized(), "redirect": redirect("https://elsewhere.example/login")}
# Tenths of a second, for the faults that only time ends.
HASTY = Patience(timeout=0.2, longest_body=0.2, sleep=lambda seconds: None)


@pytest.fixture(autouse=True)
def short_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a few people are on several pages, and in several batches."""
    monkeypatch.setattr(GitLabClient, "page_length", 3)
    monkeypatch.setattr(gitlab_users, "USERS_A_BATCH", 2)


@pytest.fixture
def pulls(pulls: Pulls) -> Pulls:
    pulls.patience = HASTY
    return pulls


def ends(pulls: Pulls) -> bool:
    """Whether a pull of users comes to its end."""
    try:
        pulls.pull_users()
    except SourceError:
        return False
    return True


def asked(world: World) -> list[int]:
    """Those whose addresses the last pull asked for."""
    paths = [request.path for request in world.lab.requests.matching("/emails$")]
    return sorted({int(re.sub(r"\D", "", path.partition("/users/")[2])) for path in paths})


def addresses(pulls: Pulls) -> dict[int, list[str]]:
    held = zip(pulls.users["gitlab_user_id"], pulls.users["address_hashes"], strict=True)
    return {user_id: list(hashes) for user_id, hashes in held}


def all_addresses(world: World) -> dict[int, list[str]]:
    return {
        user.id: sorted(BOOK.hash(address) for address in [user.email, *(email.email for email in user.emails)])
        for user in world.gitlab.users.values()
    }


def requests_of_a_clean_pull(world: World) -> int:
    pulls = Pulls(world.lab)
    pulls.pull_users()
    assert addresses(pulls) == all_addresses(world)
    # Three pages of the administrator and the people, and the addresses of each.
    assert len(world.lab.requests) == 3 + 8
    return len(world.lab.requests)


@pytest.mark.parametrize("fault", PASSING.values(), ids=PASSING)
def test_what_passes_changes_nothing_at_any_request(world: World, people: list[User], fault: Fault) -> None:
    for place in range(1, requests_of_a_clean_pull(world) + 1):
        pulls = Pulls(world.lab, patience=HASTY)
        world.lab.faults.clear()
        world.lab.faults.add("", fault, at=place)
        assert ends(pulls)
        assert pulls.addresses_unread == 0
        assert addresses(pulls) == all_addresses(world)


@pytest.mark.parametrize("fault", [*LASTING.values(), *FATAL.values()], ids=[*LASTING, *FATAL])
def test_what_does_not_pass_is_made_good_by_the_next_pull(world: World, people: list[User], fault: Fault) -> None:
    for place in range(1, requests_of_a_clean_pull(world) + 1):
        pulls = Pulls(world.lab, patience=HASTY)
        world.lab.faults.clear()
        world.lab.faults.add("", fault, at=place, times=7)
        ends(pulls)
        before = set(pulls.users.dropna(subset="addresses_on")["gitlab_user_id"])
        world.lab.faults.clear()
        world.lab.clock.set(NOON + DAY)
        assert ends(pulls)
        assert addresses(pulls) == all_addresses(world)
        # Not again, but for who was active on the very last day.
        assert set(asked(world)) & before <= {people[0].id}


def test_addresses_read_before_the_token_is_refused_are_kept_and_not_asked_for_again(
    world: World, pulls: Pulls
) -> None:
    made = [world.gitlab.add_user(f"u{number}", f"u{number}@x.example", NOON - 90 * DAY) for number in range(100)]
    for number, user in enumerate(made):
        world.gitlab.add_email(user, f"u{number}@home.example", NOON - 80 * DAY)
    world.lab.faults.add("/emails$", unauthorized(), at=80, times=None)
    assert not ends(pulls)
    # Those in flight beside the one that was refused may have been asked before or after it.
    assert 79 <= len(pulls.users) <= 82
    world.lab.faults.clear()
    assert ends(pulls)
    assert len(asked(world)) <= 22
    assert addresses(pulls) == all_addresses(world)


@pytest.mark.parametrize("fault", LASTING.values(), ids=LASTING)
def test_one_user_whose_addresses_cannot_be_had_stops_nobody_and_is_asked_for_again(
    world: World, pulls: Pulls, people: list[User], fault: Fault
) -> None:
    broken = people[5]
    world.lab.faults.add(f"/users/{broken.id}/emails", fault, times=None)
    for _ in range(3):
        assert ends(pulls)
        assert pulls.addresses_unread == 1
        expected = all_addresses(world) | {broken.id: [BOOK.hash(broken.email)]}
        assert addresses(pulls) == expected
        # Nobody is active any more, and the others' addresses are known.
        world.advance(DAY)
    assert asked(world) == [people[0].id, broken.id]
    world.lab.faults.clear()
    assert ends(pulls)
    assert pulls.addresses_unread == 0
    assert addresses(pulls) == all_addresses(world)
    assert ends(pulls)
    assert asked(world) == [people[0].id]


def test_a_known_user_whose_new_address_cannot_be_had_is_asked_for_again(
    world: World, pulls: Pulls, people: list[User]
) -> None:
    assert ends(pulls)
    world.advance(DAY)
    changed, other = people[5], people[6]
    world.gitlab.add_email(changed, "new@home.example", world.now)
    changed.last_activity_on = world.now.date()
    world.lab.faults.add(f"/users/{changed.id}/emails", refused(403), times=None)
    assert ends(pulls)
    assert pulls.addresses_unread == 1
    # Meanwhile somebody else moves the last day on.
    world.advance(3 * DAY)
    other.last_activity_on = world.now.date()
    world.lab.faults.clear()
    assert ends(pulls)
    assert asked(world) == [changed.id, other.id]
    assert addresses(pulls) == all_addresses(world)


@pytest.mark.parametrize(("fault", "why"), [(refused(403), "status 403"), (server_error(502), "status 502")])
def test_a_server_that_gives_nobodys_addresses_ends_the_pull(
    world: World, pulls: Pulls, fault: Fault, why: str
) -> None:
    for number in range(60):
        world.gitlab.add_user(f"u{number}", f"u{number}@x.example", NOON)
    world.lab.faults.add("/emails$", fault, times=None)
    with pytest.raises(SourceError, match=rf"^lab: gitlab: .*{why}"):
        pulls.pull_users()
    assert len({request.path for request in world.lab.requests}) < 25
