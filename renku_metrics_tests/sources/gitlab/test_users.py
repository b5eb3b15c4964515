"""Whatever happens while users are read: what came is kept, what did not is asked for again."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from renku_metrics.errors import SourceError
from renku_metrics.sources.gitlab import client as gitlab_client
from renku_metrics.sources.gitlab import users as gitlab_users
from renku_metrics.sources.gitlab.client import GitLabClient
from renku_metrics.sources.gitlab.users import pull_users
from renku_metrics.sources.http import Patience
from renku_metrics.sources.source import Batch
from renku_metrics.store.merging import merge
from renku_metrics.tables import RAW_GITLAB_USERS
from renku_metrics_tests.sources.gitlab.keeping import BOOK, DAY, NOW, VARIABLE, deployment_of
from renkulab.faults import (
    PASSING,
    Fault,
    json_object,
    redirect,
    refused,
    server_error,
    unauthorized,
)
from renkulab.gitlab import User
from renkulab.server import RenkuLab

LASTING = {
    **{str(status): refused(status) for status in (400, 403)},
    "500 for good": server_error(500),
    "502 for good": server_error(502),
    "object": json_object(),
}
FATAL = {"token refused": unauthorized(), "redirect": redirect("https://elsewhere.example/login")}
# Tenths of a second, for the faults that only time ends.
HASTY = Patience(timeout=0.2, longest_body=0.2, sleep=lambda seconds: None)
PEOPLE = 7


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RenkuLab]:
    monkeypatch.setattr(gitlab_users, "USERS_A_BATCH", 2)
    with RenkuLab("lab", tmp_path / "audit", now=NOW) as lab:
        monkeypatch.setenv(VARIABLE, lab.gitlab_token)
        yield lab


@pytest.fixture
def people(lab: RenkuLab, monkeypatch: pytest.MonkeyPatch) -> list[User]:
    """Each with a second address, and active on another day; short pages, so that they are on several."""
    monkeypatch.setattr(gitlab_client, "PAGE", 3)
    made = [lab.gitlab.add_user(f"u{number}", f"u{number}@x.example", NOW - 90 * DAY) for number in range(PEOPLE)]
    for number, user in enumerate(made):
        lab.gitlab.add_email(user, f"u{number}@home.example", NOW - 80 * DAY)
        user.last_activity_on = (NOW - number * DAY).date()
    return made


class Kept:
    """The users as the store unites what pulls bring, whether they come to their end or not."""

    def __init__(self, lab: RenkuLab) -> None:
        self.lab = lab
        self.rows = RAW_GITLAB_USERS.frame()
        self.asked: list[int] = []
        self.unread = 0
        self.said: list[str] = []

    def pull(self, patience: Patience = HASTY) -> bool:
        """Whether it came to its end; ``asked`` are then those whose addresses it asked for."""
        self.lab.requests.clear()
        self.unread = 0
        deployment = deployment_of(self.lab)
        client = GitLabClient(deployment, patience, self.said.append)
        try:
            for batch in pull_users(client, deployment, BOOK, self.rows, self.lab.clock.now()):
                self._keep(batch)
        except SourceError:
            return False
        finally:
            paths = [request.path for request in self.lab.requests.matching("/emails$")]
            self.asked = sorted({int(re.sub(r"\D", "", path.partition("/users/")[2])) for path in paths})
        return True

    def _keep(self, batch: Batch) -> None:
        self.rows = merge(RAW_GITLAB_USERS, self.rows, batch.rows[RAW_GITLAB_USERS.name])
        unread = batch.facts.get("users_unread", 0)
        assert isinstance(unread, int)
        self.unread += unread

    def addresses(self) -> dict[int, list[str]]:
        held = zip(self.rows["gitlab_user_id"], self.rows["address_hashes"], strict=True)
        return {user_id: list(hashes) for user_id, hashes in held}


def all_addresses(lab: RenkuLab) -> dict[int, list[str]]:
    return {
        user.id: sorted(BOOK.hash(address) for address in [user.email, *(email.email for email in user.emails)])
        for user in lab.gitlab.users.values()
    }


def requests_of_a_clean_pull(lab: RenkuLab) -> int:
    kept = Kept(lab)
    assert kept.pull()
    assert kept.addresses() == all_addresses(lab)
    # Three pages of the administrator and the people, and the addresses of each.
    assert len(lab.requests) == 3 + 8
    return len(lab.requests)


@pytest.mark.parametrize("fault", PASSING.values(), ids=PASSING)
def test_what_passes_changes_nothing_at_any_request(lab: RenkuLab, people: list[User], fault: Fault) -> None:
    for place in range(1, requests_of_a_clean_pull(lab) + 1):
        kept = Kept(lab)
        lab.faults.clear()
        lab.faults.add("", fault, at=place)
        assert kept.pull()
        assert kept.unread == 0
        assert kept.addresses() == all_addresses(lab)


@pytest.mark.parametrize("fault", [*LASTING.values(), *FATAL.values()], ids=[*LASTING, *FATAL])
def test_what_does_not_pass_is_made_good_by_the_next_pull(lab: RenkuLab, people: list[User], fault: Fault) -> None:
    for place in range(1, requests_of_a_clean_pull(lab) + 1):
        kept = Kept(lab)
        lab.faults.clear()
        lab.faults.add("", fault, at=place, times=7)
        kept.pull()
        before = set(kept.rows.dropna(subset="addresses_on")["gitlab_user_id"])
        lab.faults.clear()
        lab.clock.set(NOW + DAY)
        assert kept.pull()
        assert kept.addresses() == all_addresses(lab)
        # Not again, but for who was active on the very last day.
        assert set(kept.asked) & before <= {people[0].id}


def test_addresses_read_before_the_token_is_refused_are_kept_and_not_asked_for_again(lab: RenkuLab) -> None:
    made = [lab.gitlab.add_user(f"u{number}", f"u{number}@x.example", NOW - 90 * DAY) for number in range(300)]
    for number, user in enumerate(made):
        lab.gitlab.add_email(user, f"u{number}@home.example", NOW - 80 * DAY)
    lab.faults.add("/emails$", unauthorized(), at=250, times=None)
    kept = Kept(lab)
    assert not kept.pull()
    # Those in flight beside the one that was refused may have been asked before or after it.
    assert 249 <= len(kept.rows) <= 252
    lab.faults.clear()
    assert kept.pull()
    assert len(kept.asked) <= 52
    assert kept.addresses() == all_addresses(lab)


@pytest.mark.parametrize("fault", LASTING.values(), ids=LASTING)
def test_one_user_whose_addresses_cannot_be_had_stops_nobody_and_is_asked_for_again(
    lab: RenkuLab, people: list[User], fault: Fault
) -> None:
    broken = people[5]
    lab.faults.add(f"/users/{broken.id}/emails", fault, times=None)
    kept = Kept(lab)
    for _ in range(3):
        assert kept.pull()
        assert kept.unread == 1
        expected = all_addresses(lab) | {broken.id: [BOOK.hash(broken.email)]}
        assert kept.addresses() == expected
        # Nobody is active any more, and the others' addresses are known.
        lab.clock.advance(DAY)
    assert kept.asked == [people[0].id, broken.id]
    lab.faults.clear()
    assert kept.pull()
    assert kept.unread == 0
    assert kept.addresses() == all_addresses(lab)
    assert kept.pull()
    assert kept.asked == [people[0].id]


def test_a_known_user_whose_new_address_cannot_be_had_is_asked_for_again(lab: RenkuLab, people: list[User]) -> None:
    kept = Kept(lab)
    assert kept.pull()
    lab.clock.advance(DAY)
    changed, other = people[5], people[6]
    lab.gitlab.add_email(changed, "new@home.example", lab.clock.now())
    changed.last_activity_on = lab.clock.now().date()
    lab.faults.add(f"/users/{changed.id}/emails", refused(403), times=None)
    assert kept.pull()
    assert kept.unread == 1
    # Meanwhile somebody else moves the last day on.
    lab.clock.advance(3 * DAY)
    other.last_activity_on = lab.clock.now().date()
    lab.faults.clear()
    assert kept.pull()
    assert kept.asked == [changed.id, other.id]
    assert kept.addresses() == all_addresses(lab)


@pytest.mark.parametrize(("fault", "why"), [(refused(403), "status 403"), (server_error(502), "status 502")])
def test_a_server_that_gives_nobodys_addresses_ends_the_pull(lab: RenkuLab, fault: Fault, why: str) -> None:
    for number in range(60):
        lab.gitlab.add_user(f"u{number}", f"u{number}@x.example", NOW)
    lab.faults.add("/emails$", fault, times=None)
    client = GitLabClient(deployment_of(lab), HASTY)
    with pytest.raises(SourceError, match=rf"^lab: gitlab: .*{why}"):
        list(pull_users(client, deployment_of(lab), BOOK, RAW_GITLAB_USERS.frame(), NOW))
    assert len({request.path for request in lab.requests}) < 25


def test_pulling_again_changes_no_row(lab: RenkuLab, people: list[User]) -> None:
    kept = Kept(lab)
    kept.pull()
    before = kept.rows
    kept.pull()
    pd.testing.assert_frame_equal(kept.rows, before)


def test_progress_is_told_to_the_log(lab: RenkuLab, people: list[User]) -> None:
    kept = Kept(lab)
    kept.pull(Patience(sleep=lambda seconds: None, clock=lambda: 2.0 * len(lab.requests)))
    *others, last = kept.said
    assert others[0] == "lab: gitlab: 8 users so far, 3 requests, 0 requests/s"
    assert all(
        re.fullmatch(r"lab: gitlab: \d of 8 users, \d+ requests, [01] requests/s.*", line) for line in others[1:]
    )
    assert last == "lab: gitlab: 8 of 8 users, 11 requests, 0 requests/s"
    # In 22 seconds, at least five apart.
    assert 2 <= len(others) <= 4
