"""Which days to build anew when users are known otherwise. Addresses stand for their hashes."""

from __future__ import annotations

import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

from renku_metrics.events.links import Identities, Relinked
from renku_metrics.tables import RAW_GITLAB_COMMITS, RAW_GITLAB_USERS, RAW_KEYCLOAK_USERS
from renku_metrics_tests.events.raw_rows import Row, Rows, build, commit, gitlab_user, keycloak_user, raw

NOTHING: tuple[Row, ...] = ()


def identities(gitlab_users: Rows = NOTHING, keycloak_users: Rows = NOTHING) -> Identities:
    frames = raw(gitlab_users=gitlab_users, keycloak_users=keycloak_users)
    return Identities(frames[RAW_GITLAB_USERS.name], frames[RAW_KEYCLOAK_USERS.name])


def frame_of(commits: Rows) -> pd.DataFrame:
    return raw(commits=commits)[RAW_GITLAB_COMMITS.name]


def users_relinked(before: list[Row], after: list[Row], *, keycloak: list[Row] | None = None) -> set[str]:
    """User ids that somebody's events carry before, when GitLab's users change and Keycloak's come to be known."""
    return set(Relinked.between(identities(before), identities(after, keycloak or [])).users)


def test_nothing_changed_concerns_nobody() -> None:
    users = [gitlab_user(7, "ada", keycloak_id="k-7"), gitlab_user(8, "token", bot=True)]
    same = Relinked.between(identities(users), identities(reversed(users)))
    assert same == Relinked(frozenset(), frozenset(), frozenset(), frozenset())
    assert not same.concerns_commits_without_event
    assert Relinked.between(identities(), identities()).users == frozenset()


def test_an_address_confirmed_later_concerns_whoever_was_known_by_it_alone() -> None:
    known, more = [gitlab_user(7, "ada", keycloak_id="k-7")], [gitlab_user(7, "ada", "home", keycloak_id="k-7")]
    assert users_relinked(known, more) == {"email:home"}


def test_an_address_that_comes_to_be_shared_concerns_its_holder_so_far() -> None:
    alone = [gitlab_user(7, "ada", keycloak_id="k-7"), gitlab_user(8)]
    shared = [gitlab_user(7, "ada", keycloak_id="k-7"), gitlab_user(8, "ada")]
    assert users_relinked(alone, shared) == {"k-7"}


def test_a_keycloak_id_learned_concerns_the_gitlab_user_so_far() -> None:
    assert users_relinked([gitlab_user(7)], [gitlab_user(7, keycloak_id="k-7")]) == {"gitlab:7"}
    by_address = users_relinked(
        [gitlab_user(7, "ada")], [gitlab_user(7, "ada")], keycloak=[keycloak_user("k-7", "ada")]
    )
    assert by_address == {"gitlab:7"}


def test_somebody_who_registers_in_keycloak_takes_over_what_the_address_did() -> None:
    changed = Relinked.between(identities(), identities(keycloak_users=[keycloak_user("k-9", "ada")]))
    assert changed.users == {"email:ada"}
    assert changed.addresses == {"ada"}


def test_who_turns_out_a_bot_is_concerned() -> None:
    person, bot = [gitlab_user(7, "ada", keycloak_id="k-7")], [gitlab_user(7, "ada", keycloak_id="k-7", bot=True)]
    assert users_relinked(person, bot) == {"k-7"}


def test_who_was_no_bot_after_all_has_commits_that_made_no_event() -> None:
    bot, person = [gitlab_user(7, "ada", bot=True)], [gitlab_user(7, "ada")]
    changed = Relinked.between(identities(bot), identities(person))
    assert changed.concerns_commits_without_event
    commits = frame_of(
        [
            commit("a", "2026-11-16"),
            commit("b", "2026-11-17", address="other", author_gitlab_id=7),
            commit("c", "2026-11-18", address="other", pusher_id=7, push_addresses=1),
            commit("d", "2026-11-19", address="other", pusher_id=8),
        ]
    )
    assert changed.days_of_commits(commits) == {"2026-11-16", "2026-11-17", "2026-11-18"}


def test_a_commit_that_a_push_had_linked_follows_the_address_once_it_is_known() -> None:
    rows = [commit("a", "2026-11-16", pusher_id=8, push_addresses=1), commit("b", "2026-11-17", address="eve")]
    users = [gitlab_user(8, keycloak_id="k-8")]
    [event, _] = build(commits=rows, gitlab_users=users).events["user_id"]
    changed = Relinked.between(identities(users), identities([*users, gitlab_user(7, "ada")]))
    # Nothing in the event tells that it hangs on this address.
    assert event == "k-8"
    assert "k-8" not in changed.users
    assert changed.days_of_commits(frame_of(rows)) == {"2026-11-16"}


ADDRESSES = st.lists(st.sampled_from(["a", "b", "c"]), max_size=2, unique=True)
GITLAB_IDS = (1, 2, 3)


@st.composite
def people(draw: st.DrawFn) -> tuple[list[Row], list[Row]]:
    gitlab = [
        gitlab_user(
            number,
            *draw(ADDRESSES),
            keycloak_id=draw(st.sampled_from([None, "k-1", "k-2"])),
            bot=draw(st.integers(0, 4)) == 0,
        )
        for number in GITLAB_IDS
        if draw(st.booleans())
    ]
    keycloak = [keycloak_user(name, *draw(ADDRESSES)) for name in ("k-1", "k-2", "k-3") if draw(st.booleans())]
    return gitlab, keycloak


# One commit of each kind a day: every address, with and without a pusher, shared or own, noreply or not.
COMMITS = [
    commit(
        f"{number:03}",
        f"2026-{1 + number // 28:02}-{1 + number % 28:02}",
        address=address,
        author_address_kind="shared" if shared else "personal",
        author_gitlab_id=author,
        pusher_id=pusher,
        push_addresses=None if pusher is None else 1,
    )
    for number, (address, shared, author, pusher) in enumerate(
        (address, shared, author, pusher)
        for address in ("a", "b", "c", "d")
        for shared in (False, True)
        for author in (None, 1, 4)
        for pusher in (None, 2, 4)
    )
]
RAW_COMMITS = frame_of(COMMITS)


def events_of(known: Identities) -> pd.DataFrame:
    """Day, user and rule of each commit that makes an event."""
    links = known.link_commits(RAW_COMMITS, RAW_COMMITS)
    return RAW_COMMITS[["event_day"]].join(links)[~links["bot"].astype(bool)]


@settings(max_examples=30, deadline=None)
@given(people(), people())
def test_every_day_with_an_event_of_another_person_is_found(
    before: tuple[list[Row], list[Row]], after: tuple[list[Row], list[Row]]
) -> None:
    known, now_known = identities(*before), identities(*after)
    events = events_of(known)
    was, now = (rows.set_index("event_day")["user_id"].fillna("nobody") for rows in (events, events_of(now_known)))
    other = {day for day in RAW_COMMITS["event_day"] if was.get(day) != now.get(day)}
    changed = Relinked.between(known, now_known)
    looked_at = RAW_COMMITS
    if not changed.concerns_commits_without_event:
        # Of the commits only those that a push had linked need be looked at.
        pushed = events.loc[events["user_link"] == "push", "event_day"]
        looked_at = RAW_COMMITS[RAW_COMMITS["event_day"].isin(pushed)]
    assert other <= changed.days_of_events(events) | changed.days_of_commits(looked_at)
