"""Whatever Keycloak does at whatever request: no login and nobody is lost, or the pull ends loudly."""

from __future__ import annotations

from typing import Any

import pytest

from renku_metrics.errors import SourceError
from renku_metrics.sources.http import Patience
from renku_metrics.sources.keycloak import realm as keycloak
from renku_metrics.sources.keycloak.admin import KeycloakAdmin
from renku_metrics.sources.keycloak.realm import LoginsState
from renku_metrics_tests.sources.answers import json_answer
from renku_metrics_tests.sources.keycloak.keycloak_pulls import (
    DAY,
    MINUTE,
    NOW,
    kept_of_failed,
    pull_logins,
    source,
    united,
)
from renkulab.faults import (
    PASSING,
    Fault,
    json_object,
    redirect,
    refused,
    server_error,
    unauthorized,
)
from renkulab.server import RenkuLab

# Tenths of a second, for the faults that only time ends.
HASTY = Patience(timeout=0.2, longest_body=0.2, sleep=lambda seconds: None)


LASTING = {
    **{str(status): refused(status) for status in (400, 403, 404)},
    "redirect": redirect("https://elsewhere.example/login"),
    "object": json_object(),
    "502 for good": server_error(502),
}
PEOPLE, LOGINS = 7, 8


@pytest.fixture
def lab(lab: RenkuLab, monkeypatch: pytest.MonkeyPatch) -> RenkuLab:
    """A realm of a few people and logins, which with short pages make several of each."""
    monkeypatch.setattr(KeycloakAdmin, "page_length", 3)
    monkeypatch.setattr(keycloak, "LOGINS_A_BATCH", 2)
    for number in range(PEOPLE):
        person = lab.keycloak.add_user(f"person-{number}@example.org", NOW - DAY)
    for number in range(LOGINS):
        lab.keycloak.log_in(person, NOW - number * MINUTE, ("renku",))
    return lab


def pull(lab: RenkuLab) -> tuple[int, int]:
    """How many logins and people a pull brings."""
    kept = source(lab, HASTY)
    return len(united(kept.pull_logins(LoginsState(), NOW)).rows), len(kept.pull_users(NOW))


def requests_of_a_clean_pull(lab: RenkuLab) -> int:
    assert pull(lab) == (LOGINS, PEOPLE)
    # The token, the settings, four pages of events, three of people, and how many those are before and after.
    assert len(lab.requests) == 11
    return len(lab.requests)


@pytest.mark.parametrize("fault", PASSING.values(), ids=PASSING)
def test_what_passes_changes_nothing_at_any_request(lab: RenkuLab, fault: Fault) -> None:
    for place in range(1, requests_of_a_clean_pull(lab) + 1):
        lab.faults.clear()
        lab.faults.add("", fault, at=place)
        assert pull(lab) == (LOGINS, PEOPLE)


def test_a_token_refused_once_changes_nothing_at_any_request(lab: RenkuLab) -> None:
    requests_of_a_clean_pull(lab)
    for place in range(1, 11):
        lab.faults.clear()
        lab.faults.add("/admin/", unauthorized(), at=place)
        assert pull(lab) == (LOGINS, PEOPLE)


@pytest.mark.parametrize("fault", LASTING.values(), ids=LASTING)
def test_what_does_not_pass_ends_the_pull_at_any_request(lab: RenkuLab, fault: Fault) -> None:
    for place in range(1, requests_of_a_clean_pull(lab) + 1):
        lab.faults.clear()
        lab.faults.add("", fault, at=place, times=None)
        with pytest.raises(SourceError, match=r"^lab: keycloak: .*[^\n]*$"):
            pull(lab)


def test_what_was_read_of_logins_before_is_kept_at_any_request(lab: RenkuLab) -> None:
    for place in (1, 2, 3, 4):
        lab.faults.clear()
        lab.faults.add("/events$", server_error(502), at=place, times=None)
        kept = kept_of_failed(source(lab, HASTY).pull_logins(LoginsState(), NOW))
        # Pages of three, each of which repeats the last login of the one before.
        assert sorted(kept["occurred_at"], reverse=True) == [
            NOW - number * MINUTE for number in range((0, 3, 5, 7)[place - 1])
        ]


def test_credentials_are_sent_nowhere_else(lab: RenkuLab) -> None:
    lab.faults.add("/token$", redirect("https://elsewhere.example/login"))
    with pytest.raises(SourceError, match=r"redirects to elsewhere\.example; credentials are not sent there"):
        pull(lab)


@pytest.mark.parametrize("content", [{"a": "b"}, [1], "text", [{"type": "LOGIN"}], [{"type": "LOGIN", "time": "x"}]])
def test_an_answer_that_is_no_list_of_events_ends_the_pull(lab: RenkuLab, content: Any) -> None:
    lab.faults.add("/events$", json_answer(content), times=None)
    with pytest.raises(SourceError, match=r"^lab: keycloak: [^\n]*\Z"):
        pull_logins(lab)
