"""Who somebody is, learned later: no day is missed, whatever is killed and whatever is built meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from renku_metrics.deployments import Deployment, read_deployments
from renku_metrics.errors import SourceError
from renku_metrics.events.union import EventsBuilt, RawFrames, build_events
from renku_metrics.periods import now
from renku_metrics.pipeline import building
from renku_metrics.pipeline import pulling as pulls
from renku_metrics.pipeline.building import store_events, store_user_days
from renku_metrics.pipeline.pulling import Pull
from renku_metrics.pipeline.relinking import BEFORE, PEOPLE, relinking
from renku_metrics.sources.gitlab.users import UsersBatch
from renku_metrics.store import ledger as freshness
from renku_metrics.store.store import Store
from renku_metrics.tables import (
    EVENTS,
    RAW_GITLAB_COMMITS,
    RAW_GITLAB_PROJECTS,
    RAW_GITLAB_USERS,
    RAW_KEYCLOAK_LOGINS,
    RAW_KEYCLOAK_USERS,
)
from renku_metrics_tests.events.raw_rows import Row, commit, gitlab_user, keycloak_user, project
from renku_metrics_tests.pipeline.mortal_storage import KilledError, MortalStorage
from renku_metrics_tests.pipeline.random_schedule import relinked_days

FILE = """name: renkulab-io
title: Two sources
start: 2026-11-01
domains: [renkulab.io]
gitlab: {url: "http://127.0.0.1:1/gitlab", token: "${TOKEN}"}
keycloak: {url: "http://127.0.0.1:1/auth", realm: Renku, client_id: metrics, client_secret: "${SECRET}"}
"""
NAME = "renkulab-io"
ADA, BOB, EVE = "2026-11-16", "2026-11-17", "2026-11-18"
DAYS = [ADA, BOB, EVE]
ALICE = gitlab_user(1, "alice", keycloak_id="k-alice")


@pytest.fixture
def deployment(tmp_path: Path) -> Deployment:
    (tmp_path / "renkulab-io.yaml").write_text(FILE, encoding="utf-8")
    return read_deployments(tmp_path)[NAME]


def begun(deployment: Deployment, storage: MortalStorage, *, logins: bool = True) -> Store:
    """Commits of one address a day that nobody has, the last one pushed by Alice; events and user days are built."""
    store = Store(storage)
    rows = [commit("a", ADA, "ada"), commit("b", BOB, "bob"), commit("e", EVE, "eve", pusher_id=1, push_addresses=1)]
    written = store.write(RAW_GITLAB_COMMITS, RAW_GITLAB_COMMITS.frame(rows), [(NAME, day) for day in DAYS])
    freshness.record_partitions(store, RAW_GITLAB_COMMITS, written, {})
    for table, of_deployment in (
        (RAW_GITLAB_PROJECTS, [project(1)]),
        (RAW_GITLAB_USERS, [ALICE]),
        (RAW_KEYCLOAK_USERS, []),
    ):
        store.write(table, table.frame(of_deployment), [(NAME,)])
    store.ensure(RAW_KEYCLOAK_LOGINS, [(NAME, day) for day in DAYS])
    store_events(store, deployment, DAYS)
    store_user_days(store, deployment, DAYS)
    return store


def learn(store: Store, *users: Row) -> set[str]:
    """A pull of GitLab's users; returns the days it reports."""
    reported: set[str] = set()
    with relinking(store, NAME, RAW_GITLAB_USERS, reported.update):
        store.merge(RAW_GITLAB_USERS, RAW_GITLAB_USERS.frame(users))
    return reported


def test_only_the_days_of_whoever_is_known_otherwise_are_stale_until_they_are_built(deployment: Deployment) -> None:
    store = begun(deployment, MortalStorage())
    assert learn(store, ALICE) == set()
    assert learn(store, ALICE, gitlab_user(2, "bob")) == {BOB}
    assert relinked_days(store, NAME) == {BOB}
    store_events(store, deployment, [ADA])
    assert relinked_days(store, NAME) == {BOB}
    store_events(store, deployment, [BOB])
    assert relinked_days(store, NAME) == set()
    assert set(store.read(EVENTS, [(NAME, BOB)])["user_id"]) == {"gitlab:2"}
    # Learned a second time, the day is stale a second time.
    store_user_days(store, deployment, [BOB])
    assert learn(store, gitlab_user(2, "bob", keycloak_id="k-bob")) == {BOB}
    assert relinked_days(store, NAME) == {BOB}


def test_the_holder_of_an_address_is_found_where_a_push_had_told_somebody_else(deployment: Deployment) -> None:
    store = begun(deployment, MortalStorage())
    assert set(store.read(EVENTS, [(NAME, EVE)])["user_id"]) == {"k-alice"}
    assert learn(store, ALICE, gitlab_user(3, "eve")) == {EVE}


def test_events_whose_user_days_are_behind_are_found_as_well(deployment: Deployment) -> None:
    store = begun(deployment, MortalStorage())
    late = commit("late", ADA, "zoe")
    written = store.merge(RAW_GITLAB_COMMITS, RAW_GITLAB_COMMITS.frame([late]))
    freshness.record_partitions(store, RAW_GITLAB_COMMITS, written, {})
    store_events(store, deployment, [ADA])
    assert learn(store, gitlab_user(4, "zoe")) == {ADA}


@pytest.mark.parametrize("writes", range(8))
def test_a_pull_of_users_that_is_killed_is_made_good_by_the_next_one(deployment: Deployment, writes: int) -> None:
    storage = MortalStorage()
    store = begun(deployment, storage)
    storage.writes_left = writes
    try:
        learn(store, gitlab_user(2, "bob"))
    except KilledError:
        assert writes < 4
    storage.writes_left = None
    learn(store, gitlab_user(2, "bob"))
    assert relinked_days(store, NAME) == {BOB}
    assert store.partitions(BEFORE[RAW_GITLAB_USERS.name], NAME) == []


def test_whoever_was_learned_of_before_a_pull_failed_is_found_without_another_one(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = begun(deployment, MortalStorage())

    def learn_bob_and_fail(*_: object) -> Iterator[UsersBatch]:
        yield UsersBatch(RAW_GITLAB_USERS.frame([gitlab_user(2, "bob")]), unread=0)
        raise SourceError("the token was refused")

    monkeypatch.setenv("TOKEN", "of tests")
    monkeypatch.setenv("RENKU_METRICS_HASH_KEY", "a key of tests")
    monkeypatch.setattr(pulls, "pull_users", learn_bob_and_fail)
    pull = Pull(deployment, "gitlab", store, now(), lambda _: None)
    with pytest.raises(SourceError, match="the token was refused"):
        pull.gitlab_users()
    assert relinked_days(store, NAME) == {BOB}
    assert pull.unreported(RAW_GITLAB_COMMITS) == [(NAME, BOB)]


def test_two_pulls_of_users_at_once_miss_nothing_between_them(deployment: Deployment) -> None:
    store = begun(deployment, MortalStorage())
    reported: set[str] = set()
    with (
        relinking(store, NAME, RAW_GITLAB_USERS, reported.update),
        relinking(store, NAME, RAW_KEYCLOAK_USERS, reported.update),
    ):
        store.merge(RAW_GITLAB_USERS, RAW_GITLAB_USERS.frame([gitlab_user(2, "bob")]))
        store.merge(RAW_KEYCLOAK_USERS, RAW_KEYCLOAK_USERS.frame([keycloak_user("k-ada", "ada")]))
    assert reported == {ADA, BOB}


def test_users_pulled_while_events_are_built_are_in_the_events(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = begun(deployment, MortalStorage())
    pulls = iter([gitlab_user(2, "bob"), gitlab_user(3, "ada")])

    def build(raw: RawFrames) -> EventsBuilt:
        if user := next(pulls, None):
            # It looks for Bob's and Ada's days before the events built meanwhile are stored.
            learn(store, user)
        return build_events(raw)

    monkeypatch.setattr(building, "build_events", build)
    store_events(store, deployment, DAYS)
    assert list(store.read(EVENTS, [(NAME, day) for day in DAYS])["user_id"]) == ["gitlab:3", "gitlab:2", "k-alice"]
    assert relinked_days(store, NAME) == set()
    assert set(freshness.read(store, NAME, PEOPLE)) == {ADA, BOB}
