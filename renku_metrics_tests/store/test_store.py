"""The store: the same promises on a directory and on S3."""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Sequence

import pandas as pd
import pytest

from renku_metrics.errors import StoreError
from renku_metrics.object_storage import ObjectInfo
from renku_metrics.store.store import WHOLE, Store
from renku_metrics.tables import (
    EVENTS,
    RAW_GITLAB_COMMITS,
    RAW_GITLAB_USERS,
    RAW_KEYCLOAK_LOGINS,
    published_table,
)
from renku_metrics_tests.plain_rows import plain
from renku_metrics_tests.store.rows import DAY, NEXT_DAY, at, commit, event, login, user


def keys_of(store: Store, days: Sequence[tuple[str, str]] = (("lab", DAY),)) -> list[str]:
    return list(store.read(EVENTS, days)["event_key"])


def objects(store: Store) -> list[str]:
    return [info.key for info in store.storage.list()]


def test_what_is_written_is_read_with_every_column(store: Store) -> None:
    frame = RAW_GITLAB_COMMITS.frame(
        [commit("a", renku_options=["template-id", "force"], pusher_id=7), commit("b", renku_options=[]), commit("c")]
    )

    store.write(RAW_GITLAB_COMMITS, frame, [("lab", DAY)])

    read = store.read(RAW_GITLAB_COMMITS, [("lab", DAY)])
    pd.testing.assert_frame_equal(read, frame)
    assert plain(read)[0]["renku_options"] == ["template-id", "force"]
    assert plain(read)[0]["project_id"] == 2**53 + 1
    assert plain(read)[2]["pusher_id"] is None


def test_rows_go_to_the_file_of_their_partition(store: Store) -> None:
    rows = [event("1"), event("2", NEXT_DAY), event("3", deployment="alps"), event("4")]
    places = [("lab", DAY), ("lab", NEXT_DAY), ("alps", DAY)]

    written = store.write(EVENTS, EVENTS.frame(rows), places)

    assert {place: stored.rows for place, stored in written.items()} == dict(zip(places, [2, 1, 1], strict=True))
    assert keys_of(store) == ["1", "4"]
    assert keys_of(store, [("lab", NEXT_DAY)]) == ["2"]
    # In the order asked for.
    assert keys_of(store, [("lab", NEXT_DAY), ("alps", DAY), ("lab", DAY)]) == ["2", "3", "1", "4"]
    assert list(store.read(EVENTS, [("alps", DAY)])["deployment"]) == ["alps"]


def test_a_write_replaces_the_whole_partition_and_no_other(store: Store) -> None:
    places = [("lab", DAY), ("lab", NEXT_DAY)]
    store.write(EVENTS, EVENTS.frame([event("1"), event("2"), event("3", NEXT_DAY)]), places)
    store.write(EVENTS, EVENTS.frame([event("9")]), [("lab", DAY)])

    assert keys_of(store) == ["9"]
    assert keys_of(store, [("lab", NEXT_DAY)]) == ["3"]


def test_a_partition_may_be_empty(store: Store) -> None:
    store.write(EVENTS, EVENTS.frame([event("1")]), [("lab", DAY)])
    written = store.write(EVENTS, EVENTS.frame(), [("lab", DAY), ("lab", NEXT_DAY)])

    assert [stored.rows for stored in written.values()] == [0, 0]
    read = store.read(EVENTS, [("lab", DAY), ("lab", NEXT_DAY)])
    pd.testing.assert_frame_equal(read, EVENTS.frame())


def test_rows_of_other_partitions_are_refused_before_anything_is_written(store: Store) -> None:
    frame = EVENTS.frame([event("1"), event("2", NEXT_DAY)])

    with pytest.raises(ValueError, match=r"^events: rows of lab\|2026-11-17 in a write of other partitions$"):
        store.write(EVENTS, frame, [("lab", DAY)])
    assert objects(store) == []


@pytest.mark.parametrize("column", ["event_day", "deployment"])
def test_rows_without_a_partition_are_refused_and_not_dropped(store: Store, column: str) -> None:
    rows = EVENTS.frame([event("1"), event("2") | {column: None}])
    with pytest.raises(ValueError, match=r"^events: rows of .*nan.* in a write of other partitions"):
        store.write(EVENTS, rows, [("lab", DAY)])

    with pytest.raises(ValueError, match=f"raw_keycloak_logins: {column} is missing in some rows"):
        store.merge(RAW_KEYCLOAK_LOGINS, RAW_KEYCLOAK_LOGINS.frame([login("1") | {column: None}]))
    assert objects(store) == []


def test_a_partition_never_written_says_what_to_materialize(store: Store) -> None:
    store.write(EVENTS, EVENTS.frame(), [("lab", DAY)])

    with pytest.raises(StoreError) as one:
        store.read(EVENTS, [("lab", DAY), ("lab", NEXT_DAY)])
    assert str(one.value) == "events of lab|2026-11-17 is not in the store yet: materialize events first"
    with pytest.raises(StoreError) as several:
        store.read(EVENTS, [("lab", "2026-11-18"), ("lab", DAY), ("lab", NEXT_DAY), ("alps", DAY)])
    assert str(several.value) == (
        "events of lab|2026-11-18 and 2 more is not in the store yet: materialize events first"
    )
    with pytest.raises(StoreError) as whole:
        store.read(published_table("week"), [WHOLE])
    assert str(whole.value) == "weekly is not in the store yet: materialize weekly first"


def test_what_is_there_can_be_read_alone(store: Store) -> None:
    store.write(EVENTS, EVENTS.frame([event("1")]), [("lab", DAY)])

    assert list(store.read_if_there(EVENTS, [("lab", NEXT_DAY), ("lab", DAY)])["event_key"]) == ["1"]
    pd.testing.assert_frame_equal(store.read_if_there(EVENTS, [("lab", NEXT_DAY)]), EVENTS.frame())
    pd.testing.assert_frame_equal(store.read(EVENTS, []), EVENTS.frame())


def test_more_partitions_than_go_at_once_stay_in_order(store: Store) -> None:
    days = [(dt.date(2026, 1, 1) + dt.timedelta(days=number)).isoformat() for number in range(18)]
    places = [("lab", day) for day in days]

    store.write(EVENTS, EVENTS.frame([event(day, day) for day in reversed(days)]), places)

    assert keys_of(store, places) == days
    assert store.partitions(EVENTS, "lab") == places


def test_partitions_are_read_side_by_side(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    # Breaks unless all are under way at once.
    together = threading.Barrier(8)

    def read(key: str) -> bytes:
        together.wait(timeout=10)
        raise FileNotFoundError(key)

    monkeypatch.setattr(store.storage, "read", read)
    assert store.read_if_there(EVENTS, [("lab", f"2026-11-{day:02}") for day in range(1, 9)]).empty


def test_a_pull_adds_and_loses_nothing(store: Store) -> None:
    first = store.merge(RAW_KEYCLOAK_LOGINS, RAW_KEYCLOAK_LOGINS.frame([login("1"), login("2"), login("3", NEXT_DAY)]))
    second = store.merge(
        RAW_KEYCLOAK_LOGINS,
        RAW_KEYCLOAK_LOGINS.frame([login("2", client_id="renku"), login("4"), login("0", "2026-11-15")]),
    )

    assert {place: (stored.rows, stored.changed) for place, stored in first.items()} == {
        ("lab", DAY): (2, True),
        ("lab", NEXT_DAY): (1, True),
    }
    assert {place: (stored.rows, stored.changed) for place, stored in second.items()} == {
        ("lab", "2026-11-15"): (1, True),
        ("lab", DAY): (3, True),
    }
    rows = plain(store.read(RAW_KEYCLOAK_LOGINS, [("lab", day) for day in ("2026-11-15", DAY, NEXT_DAY)]))
    assert [(row["login_key"], row["client_id"]) for row in rows] == [
        ("0", None),
        ("1", None),
        ("2", "renku"),
        ("4", None),
        ("3", None),
    ]


def test_an_empty_answer_removes_nothing(store: Store) -> None:
    store.merge(RAW_KEYCLOAK_LOGINS, RAW_KEYCLOAK_LOGINS.frame([login("1")]))

    assert store.merge(RAW_KEYCLOAK_LOGINS, RAW_KEYCLOAK_LOGINS.frame()) == {}
    assert len(store.read(RAW_KEYCLOAK_LOGINS, [("lab", DAY)])) == 1


def test_the_same_pull_again_writes_nothing(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    users = RAW_GITLAB_USERS.frame([user(2, "b", "a", "b"), user(1), user(3, "c", created_at=at(DAY))])
    commits = RAW_GITLAB_COMMITS.frame([commit("a", renku_options=["z", "a"]), commit("b")])
    before = store.merge(RAW_GITLAB_USERS, users) | store.merge(RAW_GITLAB_COMMITS, commits)

    def refuse(key: str, content: bytes) -> None:
        pytest.fail(f"{key} was written again")

    monkeypatch.setattr(store.storage, "write", refuse)
    again = store.merge(RAW_GITLAB_USERS, users.iloc[::-1]) | store.merge(RAW_GITLAB_COMMITS, commits)

    assert not any(stored.changed for stored in again.values())
    assert {place: (stored.rows, stored.version) for place, stored in again.items()} == {
        place: (stored.rows, stored.version) for place, stored in before.items()
    }


def test_a_change_of_one_value_is_a_change(store: Store) -> None:
    users = [user(1, "a"), user(2, "b", state="active")]
    before = store.merge(RAW_GITLAB_USERS, RAW_GITLAB_USERS.frame(users))[("lab",)]
    after = store.merge(RAW_GITLAB_USERS, RAW_GITLAB_USERS.frame([user(2, "b", state="blocked")]))[("lab",)]

    assert after.changed
    assert list(store.read(RAW_GITLAB_USERS, [("lab",)])["state"].fillna("unknown")) == ["unknown", "blocked"]
    assert (before.rows, after.rows) == (2, 2)
    assert after.version != before.version


def test_the_version_is_that_of_the_rows(store: Store) -> None:
    rows = [event("1"), event("2", project_id="gitlab:1")]
    places = [("lab", DAY)]
    one = store.write(EVENTS, EVENTS.frame(rows), places)[places[0]]
    same = store.write(EVENTS, EVENTS.frame(reversed(rows)), places)[places[0]]
    other = store.write(EVENTS, EVENTS.frame(rows[:1]), places)[places[0]]

    assert same.version == one.version
    assert other.version != one.version
    assert store.ensure(EVENTS, places)[places[0]].version == other.version


def test_ensure_writes_only_what_is_not_there(store: Store) -> None:
    store.write(EVENTS, EVENTS.frame([event("1"), event("2")]), [("lab", DAY)])

    stored = store.ensure(EVENTS, [("lab", NEXT_DAY), ("lab", DAY)])

    assert {place: (state.rows, state.changed) for place, state in stored.items()} == {
        ("lab", NEXT_DAY): (0, True),
        ("lab", DAY): (2, False),
    }
    assert keys_of(store) == ["1", "2"]
    assert keys_of(store, [("lab", NEXT_DAY)]) == []
    assert not store.ensure(EVENTS, [("lab", NEXT_DAY)])["lab", NEXT_DAY].changed


def test_no_listing_is_needed_to_read_and_write(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(prefix: str = "") -> list[ObjectInfo]:
        pytest.fail("the store was listed")

    monkeypatch.setattr(store.storage, "list", refuse)
    store.merge(RAW_KEYCLOAK_LOGINS, RAW_KEYCLOAK_LOGINS.frame([login("1")]))
    store.write(EVENTS, EVENTS.frame([event("1")]), [("lab", DAY)])
    store.ensure(EVENTS, [("lab", NEXT_DAY)])
    store.read(EVENTS, [("lab", DAY)])
    store.read_if_there(EVENTS, [("alps", DAY)])


def test_what_a_pull_remembers_is_kept_as_it_is(store: Store) -> None:
    assert store.read_state("gitlab/deployment=lab/state.json") is None

    store.write_state("gitlab/deployment=lab/state.json", b'{"heads": {}}')
    store.write_state("gitlab/deployment=lab/state.json", b"{}")

    assert store.read_state("gitlab/deployment=lab/state.json") == b"{}"
    assert store.read_state("gitlab/deployment=alps/state.json") is None
