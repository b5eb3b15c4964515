"""Who somebody is, learned later: no day is missed, whatever is killed and whatever is built meanwhile."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from renku_metrics.deployments import Deployment
from renku_metrics.errors import SourceError
from renku_metrics.events.union import EventsBuilt, Part, unite
from renku_metrics.periods import now
from renku_metrics.pipeline import building
from renku_metrics.pipeline.building import store_events, store_user_days
from renku_metrics.pipeline.pulling import pulling
from renku_metrics.pipeline.relinking import relinking
from renku_metrics.schema import month_of
from renku_metrics.sources.gitlab.source import GITLAB
from renku_metrics.sources.http import say_nothing
from renku_metrics.sources.keycloak.source import KEYCLOAK
from renku_metrics.sources.registry import read_deployments
from renku_metrics.sources.source import Batch, Harvest, Request
from renku_metrics.store.ledger import BEFORE, WHOLE_TABLE, Ledger, Pulled
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
from renku_metrics_tests.pipeline.pulled_rows import bring
from renku_metrics_tests.pipeline.random_schedule import relinked_days
from renku_metrics_tests.pipeline.values import hashed, sha, uuid_of

FILE = """name: renkulab-io
title: Two sources
start: 2026-08-01
domains: [renkulab.io]
gitlab: {url: "http://127.0.0.1:1/gitlab", token: "${TOKEN}"}
keycloak: {url: "http://127.0.0.1:1/auth", realm: Renku, client_id: metrics, client_secret: "${SECRET}"}
"""
NAME = "renkulab-io"
# Two of them are in one month.
ADA, BOB, EVE = "2026-11-16", "2026-11-17", "2026-09-30"
MONTHS = ["2026-09-01", "2026-11-01"]
ALICE = gitlab_user(1, hashed("alice"), keycloak_id=uuid_of("alice"))


@pytest.fixture
def deployment(tmp_path: Path) -> Deployment:
    (tmp_path / "renkulab-io.yaml").write_text(FILE, encoding="utf-8")
    return read_deployments(tmp_path)[NAME]


def begun(deployment: Deployment, storage: MortalStorage, *, logins: bool = True) -> Store:
    """Commits of one address a day that nobody has, the last one pushed by Alice; events and user days are built."""
    store = Store(storage)
    commits = [
        commit(sha("a"), ADA, hashed("ada")),
        commit(sha("b"), BOB, hashed("bob")),
        commit(sha("e"), EVE, hashed("eve"), pusher_id=1, push_addresses=1),
    ]
    for table, rows in (
        (RAW_GITLAB_COMMITS, commits),
        (RAW_GITLAB_PROJECTS, [project(1)]),
        (RAW_GITLAB_USERS, [ALICE]),
        (RAW_KEYCLOAK_USERS, [keycloak_user(uuid_of("alice"))]),
    ):
        bring(store, NAME, table, rows)
    store.ensure(RAW_KEYCLOAK_LOGINS, [(NAME, month) for month in MONTHS])
    store_events(store, deployment, MONTHS)
    store_user_days(store, deployment, MONTHS)
    return store


def told(store: Store, source: str = "gitlab") -> set[str]:
    """The days that Dagster is to be told of, as days of commits; it is told of them by this."""
    days: set[str] = set()

    def tell(document: Pulled) -> None:
        days.update(day for of_month in document.untold.pop(RAW_GITLAB_COMMITS.name, {}).values() for day in of_month)

    Ledger(store, NAME).change_pulled(source, tell)
    return days


def learn(store: Store, *users: Row) -> set[str]:
    """A pull of GitLab's users; returns the days of which it tells Dagster."""
    with relinking(Ledger(store, NAME), GITLAB, RAW_GITLAB_USERS):
        bring(store, NAME, RAW_GITLAB_USERS, users)
    return told(store)


def users_of(store: Store, day: str) -> set[str]:
    events = store.read(EVENTS, [(NAME, month_of(day))])
    return set(events.loc[events["event_day"] == day, "user_id"])


def test_only_the_days_of_whoever_is_known_otherwise_are_stale_until_they_are_built(deployment: Deployment) -> None:
    store = begun(deployment, MortalStorage())
    assert learn(store, ALICE) == set()
    assert learn(store, ALICE, gitlab_user(2, hashed("bob"))) == {BOB}
    assert relinked_days(store, NAME) == {BOB}
    store_events(store, deployment, [month_of(EVE)])
    assert relinked_days(store, NAME) == {BOB}
    store_events(store, deployment, [month_of(BOB)])
    assert relinked_days(store, NAME) == set()
    assert users_of(store, BOB) == {"gitlab:2"}
    # Learned a second time, the day is stale a second time.
    store_user_days(store, deployment, [month_of(BOB)])
    assert learn(store, gitlab_user(2, hashed("bob"), keycloak_id=uuid_of("bob"))) == {BOB}
    assert relinked_days(store, NAME) == {BOB}


def test_the_holder_of_an_address_is_found_where_a_push_had_told_somebody_else(deployment: Deployment) -> None:
    store = begun(deployment, MortalStorage())
    assert users_of(store, EVE) == {uuid_of("alice")}
    assert learn(store, ALICE, gitlab_user(3, hashed("eve"))) == {EVE}


def test_events_whose_user_days_are_behind_are_found_as_well(deployment: Deployment) -> None:
    store = begun(deployment, MortalStorage())
    bring(store, NAME, RAW_GITLAB_COMMITS, [commit(sha("late"), ADA, hashed("zoe"))])
    store_events(store, deployment, [month_of(ADA)])
    assert learn(store, gitlab_user(4, hashed("zoe"))) == {ADA}


@pytest.mark.parametrize("writes", range(8))
def test_a_pull_of_users_that_is_killed_is_made_good_by_the_next_one(deployment: Deployment, writes: int) -> None:
    storage = MortalStorage()
    store = begun(deployment, storage)
    storage.writes_left = writes
    try:
        learn(store, gitlab_user(2, hashed("bob")))
    except KilledError:
        # The copy, the users, that they changed, whose days it is, the copy's end, that Dagster was told.
        assert writes < 6
    storage.writes_left = None
    learn(store, gitlab_user(2, hashed("bob")))
    assert relinked_days(store, NAME) == {BOB}
    assert store.partitions(BEFORE[RAW_GITLAB_USERS.name], NAME) == []


def test_whoever_was_learned_of_before_a_pull_failed_is_found_without_another_one(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = begun(deployment, MortalStorage())

    def learn_bob_and_fail(_: Request) -> Iterator[Batch]:
        yield Batch({RAW_GITLAB_USERS.name: RAW_GITLAB_USERS.frame([gitlab_user(2, hashed("bob"))])})
        raise SourceError("the token was refused")

    monkeypatch.setenv("RENKU_METRICS_HASH_KEY", "a key of tests")
    with pulling(store, deployment, GITLAB, now, say_nothing) as pull:
        with pytest.raises(SourceError, match="the token was refused"):
            pull.bring(Harvest("raw_gitlab_users", (RAW_GITLAB_USERS,), learn_bob_and_fail))
        assert relinked_days(store, NAME) == {BOB}
        assert pull.untold(RAW_GITLAB_COMMITS) == [(NAME, month_of(BOB))]
    assert told(store) == {BOB}


def test_two_pulls_of_users_at_once_miss_nothing_between_them(deployment: Deployment) -> None:
    store = begun(deployment, MortalStorage())
    ledger = Ledger(store, NAME)
    with relinking(ledger, GITLAB, RAW_GITLAB_USERS), relinking(ledger, KEYCLOAK, RAW_KEYCLOAK_USERS):
        bring(store, NAME, RAW_GITLAB_USERS, [gitlab_user(2, hashed("bob"))])
        bring(store, NAME, RAW_KEYCLOAK_USERS, [keycloak_user(uuid_of("ada"), hashed("ada"))])
    assert told(store, "gitlab") | told(store, "keycloak") == {ADA, BOB}
    assert relinked_days(store, NAME) == {ADA, BOB}


def test_users_pulled_while_events_are_built_are_in_the_events(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = begun(deployment, MortalStorage())
    pulls = iter([gitlab_user(2, hashed("bob")), gitlab_user(3, hashed("ada"))])

    def build(deployment: str, parts: Sequence[Part]) -> EventsBuilt:
        if user := next(pulls, None):
            # It looks for Bob's and Ada's days before the events built meanwhile are stored.
            learn(store, user)
        return unite(deployment, parts)

    monkeypatch.setattr(building, "unite", build)
    store_events(store, deployment, MONTHS)
    found = {day: users_of(store, day) for day in (ADA, BOB, EVE)}
    assert found == {ADA: {"gitlab:3"}, BOB: {"gitlab:2"}, EVE: {uuid_of("alice")}}
    assert relinked_days(store, NAME) == set()
    [entry] = [Ledger(store, NAME).pulled("gitlab").tables[RAW_GITLAB_USERS.name][WHOLE_TABLE]]
    assert set(entry.days) == {ADA, BOB}
