"""Users and logins of the simulated Keycloak, in the versions that RenkuLab has run on."""

from __future__ import annotations

import datetime as dt
import hashlib
import hmac
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from renku_metrics.errors import ConfigurationError, SourceError
from renku_metrics.periods import Span
from renku_metrics.sources.addresses import AddressBook
from renku_metrics.sources.http import Patience
from renku_metrics.sources.keycloak.realm import KeycloakSource, LoginsState
from renku_metrics.tables import RAW_KEYCLOAK_LOGINS
from renku_metrics_tests.sources.keycloak.keycloak_pulls import (
    DAY,
    HOUR,
    IMPATIENT,
    KEY,
    MINUTE,
    NOW,
    START,
    pull_logins,
    source,
    united,
)
from renkulab.faults import (
    Instead,
)
from renkulab.keycloak import Version
from renkulab.server import RenkuLab

VERSIONS: list[Version] = [(15, 1, 1), (20, 0, 1), (25, 0, 0), (26, 0, 0), (26, 2, 0), (26, 4, 0)]


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RenkuLab]:
    with RenkuLab("lab", tmp_path / "audit-log", now=NOW) as running:
        monkeypatch.setenv("LAB_KEYCLOAK_SECRET", running.keycloak_secret)
        yield running


def json_answer(content: Any, status: int = 200) -> Instead:
    return Instead(status, orjson.dumps(content), {"Content-Type": "application/json"})


def logins(rows: pd.DataFrame) -> list[tuple[str, str, pd.Timestamp]]:
    return sorted(zip(rows["keycloak_id"], rows["client_id"], rows["occurred_at"], strict=True), key=lambda row: row[2])


def ms(time: dt.datetime) -> pd.Timestamp:
    return pd.Timestamp(time)


# Logins


@pytest.mark.parametrize("version", VERSIONS)
def test_every_login_is_pulled_with_user_client_and_time(lab: RenkuLab, version: Version) -> None:
    lab.keycloak.version = version
    ada = lab.keycloak.add_user("ada@example.org", NOW - 9 * DAY)
    at = NOW - 5 * HOUR
    lab.keycloak.log_in(ada, at)
    lab.keycloak.fail_to_log_in(ada, at)
    lab.keycloak.record("LOGIN", at, ada.id, "renku", error="user_disabled")

    pull = pull_logins(lab)

    moments = [at, at + dt.timedelta(milliseconds=700), at + dt.timedelta(milliseconds=1400)]
    assert logins(pull.rows) == [
        (ada.id, client, ms(moment)) for client, moment in zip(("renku", "renku-cli", "gitlab"), moments, strict=True)
    ]
    assert set(pull.rows["event_day"]) == {"2026-11-20"}
    assert pull.seen == Span(at, NOW)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("zone", [-12, 0, 14])
def test_later_pulls_find_each_login_once(lab: RenkuLab, version: Version, zone: int) -> None:
    lab.keycloak.version = version
    lab.keycloak.time_zone = dt.timezone(zone * HOUR)
    ada = lab.keycloak.add_user("ada@example.org", NOW - 9 * DAY)
    merged, state = RAW_KEYCLOAK_LOGINS.frame(), None
    seen: list[Span | None] = []
    for hours in range(0, 70, 7):
        lab.clock.set(NOW + hours * HOUR)
        for minutes in (5, 100, 359):
            lab.keycloak.log_in(ada, lab.clock.now() - dt.timedelta(minutes=minutes), ("renku",))
        pull = pull_logins(lab, state)
        state, seen = pull.state, [*seen, pull.seen]
        merged = RAW_KEYCLOAK_LOGINS.merge(merged, pull.rows)

    assert len(merged) == 30
    assert merged["occurred_at"].is_unique
    assert seen[0] == Span(NOW - dt.timedelta(minutes=359), NOW)
    assert seen[1:] == [Span(NOW + (hours - 7) * HOUR, NOW + hours * HOUR) for hours in range(7, 70, 7)]


def test_a_later_pull_reads_no_more_than_it_must(lab: RenkuLab) -> None:
    # 26.2.0 ignores dateFrom, so only the client can know when to stop.
    lab.keycloak.version = (26, 2, 0)
    ada = lab.keycloak.add_user("ada@example.org", NOW - 30 * DAY)
    for minutes in range(1000):
        lab.keycloak.log_in(ada, NOW - DAY - minutes * dt.timedelta(minutes=1), ("renku",))
    first = pull_logins(lab)
    assert len(first.rows) == 1000
    assert len(lab.requests.matching("/events$")) == 11

    lab.clock.advance(HOUR)
    pull_logins(lab, first.state)

    last = lab.requests.matching("/events$")[11:]
    assert [(request.query["first"], request.query["dateFrom"]) for request in last] == [(["0"], ["2026-11-19"])]
    assert not any("dateTo" in request.query for request in lab.requests)


def test_an_upgrade_that_brings_ids_doubles_nothing(lab: RenkuLab) -> None:
    lab.keycloak.version = (25, 0, 0)
    ada = lab.keycloak.add_user("ada@example.org", NOW - 9 * DAY)
    lab.keycloak.log_in(ada, NOW - HOUR)
    old = pull_logins(lab)

    lab.keycloak.version = (26, 4, 0)
    new = pull_logins(lab)

    pd.testing.assert_frame_equal(old.rows, new.rows)


def test_the_key_tells_apart_what_happened_apart(lab: RenkuLab) -> None:
    ada = lab.keycloak.add_user("ada@example.org", NOW - 9 * DAY)
    bob = lab.keycloak.add_user("bob@example.org", NOW - 9 * DAY)
    at = NOW - HOUR
    for user, session, code in ((ada, "s1", "c1"), (ada, "s2", "c1"), (ada, "s1", "c2"), (bob, "s1", "c1")):
        lab.keycloak.record("LOGIN", at, user.id, "renku", session_id=session, details={"code_id": code})
    lab.keycloak.record("LOGIN", at, ada.id, "renku", session_id="s1", details={"code_id": "c1"})

    assert len(pull_logins(lab).rows) == 4


def test_nothing_personal_is_kept(lab: RenkuLab) -> None:
    ada = lab.keycloak.add_user("ada@example.org", NOW - 9 * DAY)
    lab.keycloak.log_in(ada, NOW - HOUR)

    kept = pull_logins(lab).rows.to_csv() + source(lab).pull_users(NOW).to_csv()

    assert not any(word in kept for word in ("ada@", "192.0.2.1", "example.org", "redirect"))


def test_pages_that_shift_repeat_and_lose_nothing(lab: RenkuLab) -> None:
    ada = lab.keycloak.add_user("ada@example.org", NOW - 9 * DAY)
    for minutes in range(250):
        lab.keycloak.log_in(ada, NOW - minutes * dt.timedelta(minutes=1), ("renku",))
    before = {row[2] for row in logins(pull_logins(lab).rows)}
    events = lab.keycloak.events

    def one_more_each_time() -> Any:
        lab.clock.advance(dt.timedelta(seconds=1))
        lab.keycloak.log_in(ada, lab.clock.now(), ("renku",))
        return events()

    lab.keycloak.events = one_more_each_time  # type: ignore[method-assign]
    after = [row[2] for row in logins(pull_logins(lab).rows)]

    assert len(after) == len(set(after))
    assert before <= set(after)


def test_pulling_again_gives_the_same_rows(lab: RenkuLab) -> None:
    ada = lab.keycloak.add_user("ada@example.org", NOW - 9 * DAY)
    lab.keycloak.log_in(ada, NOW - HOUR)

    pd.testing.assert_frame_equal(pull_logins(lab).rows, pull_logins(lab).rows)


def test_logins_before_the_deployment_began_are_left_out(lab: RenkuLab) -> None:
    ada = lab.keycloak.add_user("ada@example.org", NOW - 90 * DAY)
    before, after = dt.datetime(2026, 9, 30, 23, 59, tzinfo=dt.UTC), dt.datetime(2026, 10, 1, tzinfo=dt.UTC)
    for at in (before, after):
        lab.keycloak.log_in(ada, at, ("renku",))

    pull = pull_logins(lab)

    assert logins(pull.rows) == [(ada.id, "renku", ms(after))]
    assert pull.seen == Span(before, NOW)


# What was seen


def test_nothing_is_covered_before_the_first_login_seen(lab: RenkuLab) -> None:
    pull = pull_logins(lab)
    assert (len(pull.rows), pull.seen) == (0, None)

    lab.clock.advance(3 * HOUR)
    assert pull_logins(lab, pull.state).seen == Span(NOW, NOW + 3 * HOUR)


def test_memory_shorter_than_the_time_since_the_last_pull_leaves_a_gap(lab: RenkuLab) -> None:
    lab.keycloak.events_expiration = DAY
    ada = lab.keycloak.add_user("ada@example.org", NOW - 9 * DAY)
    lab.keycloak.log_in(ada, NOW - 20 * HOUR)
    first = pull_logins(lab)
    assert first.seen == Span(NOW - 20 * HOUR, NOW)

    lab.clock.advance(3 * DAY)
    lab.keycloak.log_in(ada, NOW + 70 * HOUR)
    pull = pull_logins(lab, first.state)

    assert pull.seen == Span(NOW + 2 * DAY + HOUR, NOW + 3 * DAY)
    assert pull.notes == ("logins before 2026-11-22 13:00 UTC may be forgotten: pull more often than every 86400 s",)


def test_an_event_that_should_have_expired_is_no_witness(lab: RenkuLab) -> None:
    ada = lab.keycloak.add_user("ada@example.org", NOW - 9 * DAY)
    lab.keycloak.log_in(ada, NOW - DAY - dt.timedelta(minutes=10), ("renku",))
    lab.keycloak.events_expiration = DAY
    lab.clock.set(NOW + dt.timedelta(minutes=1) - dt.timedelta(minutes=10))

    pull = pull_logins(lab)

    assert len(pull.rows) == 1
    assert pull.seen == Span(lab.clock.now() - DAY + HOUR, lab.clock.now())


def test_memory_made_longer_does_not_bring_back_what_was_forgotten(lab: RenkuLab) -> None:
    lab.keycloak.events_expiration = 3 * HOUR
    first = pull_logins(lab)
    lab.clock.advance(12 * HOUR)
    lab.keycloak.events_expiration = DAY

    assert pull_logins(lab, first.state).seen == Span(NOW + 10 * HOUR, NOW + 12 * HOUR)


def test_a_memory_no_longer_than_clocks_may_differ_covers_nothing(lab: RenkuLab) -> None:
    lab.keycloak.events_expiration = HOUR
    first = pull_logins(lab)
    lab.clock.advance(12 * HOUR)

    pull = pull_logins(lab, first.state)

    assert pull.seen is None
    assert pull.notes == ("logins before 2026-11-21 00:00 UTC may be forgotten: pull more often than every 3600 s",)


@pytest.mark.parametrize("ahead", [-40, 0, 20, 50])
def test_nothing_forgotten_by_a_keycloak_whose_clock_differs_is_covered(lab: RenkuLab, ahead: int) -> None:
    lab.keycloak.events_expiration = DAY
    ada = lab.keycloak.add_user("ada@example.org", NOW - 9 * DAY)
    lab.clock.advance(ahead * MINUTE)
    state = pull_logins(lab, at=NOW).state
    # By Keycloak's own clock; the last of these are remembered until the next pull.
    times = [NOW + 2 * DAY + minutes * MINUTE for minutes in range(0, 121, 10)]
    for time in times:
        lab.keycloak.log_in(ada, time, ("renku",))
    lab.clock.set(NOW + 3 * DAY + ahead * MINUTE)

    pull = pull_logins(lab, state, at=NOW + 3 * DAY)

    forgotten = {ms(time) for time in times} - set(pull.rows["occurred_at"])
    assert (forgotten != set()) == (ahead > 0)
    assert pull.seen is not None
    assert not [time for time in forgotten if pull.seen.start <= time < pull.seen.end]


def test_what_is_forgotten_while_the_pages_are_read_is_not_covered(lab: RenkuLab) -> None:
    lab.keycloak.events_expiration = DAY
    state = pull_logins(lab).state
    lab.clock.advance(3 * DAY)
    times = iter([0.0, 2 * 3600.0])
    waiting = Patience(sleep=lambda seconds: None, clock=lambda: next(times, 2 * 3600.0))

    pull = united(source(lab, waiting).pull_logins(state, NOW + 3 * DAY))

    assert pull.seen == Span(NOW + 2 * DAY + 3 * HOUR, NOW + 3 * DAY)


def test_event_saving_switched_off_is_not_nobody_logged_in(lab: RenkuLab) -> None:
    ada = lab.keycloak.add_user("ada@example.org", NOW - 9 * DAY)
    lab.keycloak.log_in(ada, NOW - 2 * HOUR, ("renku",))
    lab.keycloak.events_enabled = False

    off = pull_logins(lab)
    assert (len(off.rows), off.seen) == (1, None)
    assert off.notes[0].startswith("event saving is switched off, or without LOGIN: ")

    # Switched on again some time after; of the time before the first login after that nobody knows.
    lab.keycloak.events_enabled = True
    lab.keycloak.log_in(ada, NOW + 5 * HOUR, ("renku",))
    lab.clock.advance(6 * HOUR)
    on = pull_logins(lab, off.state)
    assert on.seen == Span(NOW + 5 * HOUR, NOW + 6 * HOUR)

    lab.clock.advance(HOUR)
    assert pull_logins(lab, on.state).seen == Span(NOW + 6 * HOUR, NOW + 7 * HOUR)


def test_a_login_before_saving_was_switched_off_is_no_witness_by_a_clock_that_is_ahead(lab: RenkuLab) -> None:
    ada = lab.keycloak.add_user("ada@example.org", NOW - 9 * DAY)
    # Keycloak is 20 minutes ahead, and saves nothing from ten minutes later by its clock.
    lab.keycloak.log_in(ada, NOW + 10 * MINUTE, ("renku",))
    lab.keycloak.events_enabled = False
    lab.clock.set(NOW + 20 * MINUTE)
    off = pull_logins(lab, at=NOW)
    lab.keycloak.log_in(ada, NOW + HOUR, ("renku",))
    lab.keycloak.events_enabled = True
    lab.keycloak.log_in(ada, NOW + 5 * HOUR, ("renku",))
    lab.clock.set(NOW + 6 * HOUR + 20 * MINUTE)

    on = pull_logins(lab, off.state, at=NOW + 6 * HOUR)

    assert on.seen == Span(NOW + 5 * HOUR, NOW + 6 * HOUR)


@pytest.mark.parametrize(("types", "saved"), [([], True), (["LOGIN", "LOGOUT"], True), (["LOGOUT"], False)])
def test_saving_other_types_only_is_switched_off_too(lab: RenkuLab, types: list[str], *, saved: bool) -> None:
    ada = lab.keycloak.add_user("ada@example.org", NOW - 9 * DAY)
    lab.keycloak.log_in(ada, NOW - HOUR)
    lab.faults.add("/events/config$", json_answer({"eventsEnabled": True, "enabledEventTypes": types}), times=None)

    assert (pull_logins(lab).seen is not None) == saved


def test_a_deployment_that_begins_earlier_reads_all_again(lab: RenkuLab) -> None:
    ada = lab.keycloak.add_user("ada@example.org", NOW - 90 * DAY)
    lab.keycloak.log_in(ada, NOW - 60 * DAY, ("renku",))
    state = pull_logins(lab).state

    assert len(pull_logins(lab, state).rows) == 0
    deployment = source(lab)._deployment.model_copy(update={"start": START - 90 * DAY})
    earlier = KeycloakSource(deployment, AddressBook(KEY, []), IMPATIENT)
    assert len(united(earlier.pull_logins(state, NOW)).rows) == 1


# Users


def test_all_users_are_pulled_but_service_accounts(lab: RenkuLab) -> None:
    people = [lab.keycloak.add_user(f"person-{number:03}@example.org", NOW - DAY) for number in range(250)]
    people[3].enabled = False
    people[4].email = " Person@Example.ORG "
    people[5].email = ""
    people[6].created_at = None

    rows = {row["keycloak_id"]: row for row in source(lab).pull_users(NOW).to_dict("records")}

    assert set(rows) == {person.id for person in people}
    hashed = hmac.new(KEY, b"person@example.org", hashlib.sha256).hexdigest()
    assert list(rows[people[4].id]["address_hashes"]) == [hashed]
    assert list(rows[people[5].id]["address_hashes"]) == []
    assert [id_ for id_, row in rows.items() if not row["enabled"]] == [people[3].id]
    assert rows[people[0].id]["created_at"] == ms(NOW - DAY)
    assert rows[people[6].id]["created_at"] is pd.NaT


def test_a_user_deleted_while_the_pages_are_read_hides_nobody(lab: RenkuLab) -> None:
    people = [lab.keycloak.add_user(f"person-{number:03}@example.org", NOW - DAY) for number in range(150)]
    visible = lab._keycloak_api._visible_users

    def delete_one_after_the_first_page(request: Any, client: Any) -> Any:
        if request.first("first") == "100" and people[0].id in lab.keycloak.users:
            lab.keycloak.delete_user(people[0])
        return visible(request, client)

    lab._keycloak_api._visible_users = delete_one_after_the_first_page  # type: ignore[method-assign]

    assert set(source(lab).pull_users(NOW)["keycloak_id"]) == {person.id for person in people}


def test_a_realm_without_users_is_no_error(lab: RenkuLab) -> None:
    assert len(source(lab).pull_users(NOW)) == 0


# Access


def test_tokens_that_run_out_are_renewed_in_mid_pull(lab: RenkuLab) -> None:
    lab.keycloak.token_uses = 2
    ada = lab.keycloak.add_user("ada@example.org", NOW - 9 * DAY)
    for minutes in range(450):
        lab.keycloak.log_in(ada, NOW - minutes * dt.timedelta(minutes=1), ("renku",))

    assert len(pull_logins(lab).rows) == 450


def test_a_token_is_asked_for_once_while_it_lasts(lab: RenkuLab) -> None:
    kept = source(lab)
    kept.pull_users(NOW)
    list(kept.pull_logins(LoginsState(), NOW))

    assert len(lab.requests.matching("/token$")) == 1


def test_a_token_about_to_expire_is_renewed_before_it_is_refused(lab: RenkuLab) -> None:
    lab.keycloak.token_lifespan = dt.timedelta(seconds=0)
    lab.faults.add("/admin/", json_answer([]), times=None)
    kept = source(lab)
    for _ in range(2):
        with pytest.raises(SourceError):
            list(kept.pull_logins(LoginsState(), NOW))

    assert len(lab.requests.matching("/token$")) >= 2
    assert not [request for request in lab.requests if request.status == 401]


@pytest.mark.parametrize(
    ("path", "version"), [("/auth", (15, 1, 1)), ("", (26, 4, 0)), ("/somewhere/auth", (20, 0, 1))]
)
def test_the_base_path_is_the_deployments(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str, version: Version
) -> None:
    with RenkuLab("lab", tmp_path, now=NOW, keycloak_path=path, keycloak_version=version) as lab:
        monkeypatch.setenv("LAB_KEYCLOAK_SECRET", lab.keycloak_secret)
        lab.keycloak.add_user("ada@example.org", NOW)

        assert len(source(lab).pull_users(NOW)) == 1


def refusal(action: Any) -> str:
    with pytest.raises(SourceError) as caught:
        action()
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith("lab: keycloak: ")
    return message


def test_a_missing_role_is_named(lab: RenkuLab) -> None:
    lab.keycloak.clients["renku-metrics"].roles = ("view-realm",)

    message = refusal(lambda: pull_logins(lab))
    assert "renku-metrics" in message
    assert "view-events" in message
    message = refusal(lambda: source(lab).pull_users(NOW))
    assert "renku-metrics" in message
    assert "view-users" in message


def test_users_that_are_hidden_are_not_no_users(lab: RenkuLab) -> None:
    lab.keycloak.add_user("ada@example.org", NOW - DAY)
    lab.keycloak.clients["renku-metrics"].roles = ("view-events", "query-users")

    assert "view-users" in refusal(lambda: source(lab).pull_users(NOW))


def test_a_wrong_secret_is_named_by_its_variable(lab: RenkuLab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAB_KEYCLOAK_SECRET", "not-the-secret")

    message = refusal(lambda: pull_logins(lab))

    assert "LAB_KEYCLOAK_SECRET" in message
    assert "renku-metrics" in message
    assert "not-the-secret" not in message


def test_an_unknown_client_is_named(lab: RenkuLab) -> None:
    assert "somebody-else" in refusal(lambda: source(lab, client_id="somebody-else").pull_users(NOW))


def test_a_client_without_service_account_is_told_so(lab: RenkuLab) -> None:
    lab.keycloak.clients["renku-metrics"].service_account = False

    assert "service account" in refusal(lambda: pull_logins(lab))


@pytest.mark.parametrize("path", ["", "/elsewhere"])
def test_a_wrong_base_path_hints_at_auth(lab: RenkuLab, path: str) -> None:
    url = lab.keycloak_url.removesuffix("/auth") + path

    message = refusal(lambda: source(lab, url=url).pull_users(NOW))

    assert "Renku" in message
    assert "/auth" in message


def test_an_unknown_realm_is_named(lab: RenkuLab) -> None:
    assert "realm Elsewhere" in refusal(lambda: source(lab, realm="Elsewhere").pull_users(NOW))


def test_a_secret_that_is_not_set_is_named(lab: RenkuLab) -> None:
    with pytest.raises(ConfigurationError, match="NOT_SET_ANYWHERE"):
        source(lab, client_secret="${NOT_SET_ANYWHERE}").pull_users(NOW)


@pytest.mark.parametrize("content", [{"a": "b"}, [1], "text", [{"type": "LOGIN"}], [{"type": "LOGIN", "time": "x"}]])
def test_an_answer_that_is_no_list_of_events_stops_the_pull(lab: RenkuLab, content: Any) -> None:
    lab.faults.add("/events$", json_answer(content), times=None)

    refusal(lambda: pull_logins(lab))


DEEDS = st.tuples(
    st.sampled_from(["nothing", "switch", "keep for an hour", "keep for a day", "keep for ever"]),
    st.lists(st.integers(0, 30 * 60 - 1), max_size=4),
    st.integers(1, 30 * 60),
)


@settings(max_examples=30, deadline=None)
@given(st.lists(DEEDS, max_size=6), st.integers(-50, 50))
def test_within_the_time_seen_no_login_is_missing(
    tmp_path_factory: pytest.TempPathFactory, deeds: list[tuple[str, list[int], int]], ahead: int
) -> None:
    """Whatever is done to the realm's settings, at most once between two pulls, and whose clock ever is ahead."""
    with RenkuLab("lab", tmp_path_factory.mktemp("audit-log"), now=NOW) as lab, pytest.MonkeyPatch.context() as patch:
        patch.setenv("LAB_KEYCLOAK_SECRET", lab.keycloak_secret)
        ada = lab.keycloak.add_user("ada@example.org", NOW - 9 * DAY)
        happened: set[pd.Timestamp] = set()
        merged, state = RAW_KEYCLOAK_LOGINS.frame(), None
        seen: list[Span] = []
        for setting, minutes, length in deeds:
            begin, middle = lab.clock.now(), length // 2
            for minute in sorted({minute % length for minute in minutes} | {middle}):
                lab.clock.set(begin + minute * dt.timedelta(minutes=1))
                lab.keycloak.events()
                if minute == middle:
                    if setting == "switch":
                        lab.keycloak.events_enabled = not lab.keycloak.events_enabled
                    elif setting != "nothing":
                        kept = {"keep for an hour": HOUR, "keep for a day": DAY, "keep for ever": None}
                        lab.keycloak.events_expiration = kept[setting]
                if minute != middle or minute in minutes:
                    lab.keycloak.log_in(ada, lab.clock.now(), ("renku",))
                    happened.add(ms(lab.clock.now()))
            lab.clock.set(begin + length * dt.timedelta(minutes=1))
            pull = pull_logins(lab, state, lab.clock.now() + ahead * MINUTE)
            state, merged = pull.state, RAW_KEYCLOAK_LOGINS.merge(merged, pull.rows)
            seen += [pull.seen] if pull.seen else []

        missed = happened - set(merged["occurred_at"])
        assert not [time for time in missed for span in seen if span.start <= time < span.end]
        assert set(merged["occurred_at"]) <= happened
