"""The store: the same promises on a directory and on S3."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import pandas as pd
import pytest

from renku_metrics.errors import StoreError
from renku_metrics.object_storage import ObjectInfo
from renku_metrics.store.files import WHOLE, Partition
from renku_metrics.store.store import Store, Stored
from renku_metrics.tables import (
    EVENTS,
    RAW_GITLAB_COMMITS,
    RAW_GITLAB_USERS,
    RAW_KEYCLOAK_LOGINS,
    published_table,
)
from renku_metrics_tests.plain_rows import plain
from renku_metrics_tests.store.rows import (
    DAY,
    LATER_DAY,
    MONTH,
    NEXT_DAY,
    NEXT_MONTH,
    Row,
    at,
    commit,
    event,
    hash_of,
    login,
    login_key,
    name_of,
    user,
)

NOVEMBER, DECEMBER = ("lab", MONTH), ("lab", NEXT_MONTH)
OCTOBER = ("lab", "2026-10-01")


def keys_of(store: Store, places: Sequence[Partition] = (NOVEMBER,)) -> list[str]:
    return list(map(name_of, store.read(EVENTS, places)["event_key"]))


def objects(store: Store) -> list[str]:
    return [info.key for info in store.storage.list()]


def test_what_is_written_is_read_with_every_column(store: Store) -> None:
    frame = RAW_GITLAB_COMMITS.frame(
        [
            commit("a", renku_options=["--name", "--force"], pusher_id=7),
            commit("b", renku_options=[]),
            commit("c"),
        ]
    )

    store.write(RAW_GITLAB_COMMITS, frame, [NOVEMBER])

    read = store.read(RAW_GITLAB_COMMITS, [NOVEMBER])
    pd.testing.assert_frame_equal(read, frame)
    assert plain(read)[0]["renku_options"] == ["--name", "--force"]
    assert plain(read)[0]["project_id"] == 2**53 + 1
    assert plain(read)[2]["pusher_id"] is None


def test_rows_go_to_the_file_of_their_partition(store: Store) -> None:
    rows = [event("1"), event("2", LATER_DAY), event("3", deployment="alps"), event("4")]
    places = [NOVEMBER, DECEMBER, ("alps", MONTH)]

    written = store.write(EVENTS, EVENTS.frame(rows), places)

    assert {place: stored.rows for place, stored in written.items()} == dict(zip(places, [2, 1, 1], strict=True))
    assert keys_of(store) == ["1", "4"]
    assert keys_of(store, [DECEMBER]) == ["2"]
    # In the order asked for.
    assert keys_of(store, [DECEMBER, ("alps", MONTH), NOVEMBER]) == ["2", "3", "1", "4"]
    assert list(store.read(EVENTS, [("alps", MONTH)])["deployment"]) == ["alps"]


def test_a_write_replaces_the_whole_partition_and_no_other(store: Store) -> None:
    places = [NOVEMBER, DECEMBER]
    store.write(EVENTS, EVENTS.frame([event("1"), event("2"), event("3", LATER_DAY)]), places)
    store.write(EVENTS, EVENTS.frame([event("9")]), [NOVEMBER])

    assert keys_of(store) == ["9"]
    assert keys_of(store, [DECEMBER]) == ["3"]


def test_a_partition_may_be_empty(store: Store) -> None:
    store.write(EVENTS, EVENTS.frame([event("1")]), [NOVEMBER])
    written = store.write(EVENTS, EVENTS.frame(), [NOVEMBER, DECEMBER])

    assert [stored.rows for stored in written.values()] == [0, 0]
    read = store.read(EVENTS, [NOVEMBER, DECEMBER])
    pd.testing.assert_frame_equal(read, EVENTS.frame())


def test_rows_of_other_partitions_are_refused_before_anything_is_written(store: Store) -> None:
    frame = EVENTS.frame([event("1"), event("2", LATER_DAY)])

    with pytest.raises(ValueError, match=r"^events: rows of lab\|2026-12-01 in a write of other partitions$"):
        store.write(EVENTS, frame, [NOVEMBER])
    assert objects(store) == []


@pytest.mark.parametrize("column", ["event_day", "deployment"])
def test_rows_without_a_partition_are_refused_and_not_dropped(store: Store, column: str) -> None:
    rows = EVENTS.frame([event("1"), event("2") | {column: None}])
    with pytest.raises(ValueError, match=f"^events: {column} is missing in some rows$"):
        store.write(EVENTS, rows, [NOVEMBER])

    with pytest.raises(ValueError, match=f"^raw_keycloak_logins: {column} is missing in some rows$"):
        store.merge(RAW_KEYCLOAK_LOGINS, RAW_KEYCLOAK_LOGINS.frame([login("1") | {column: None}]))
    assert objects(store) == []


def test_a_partition_never_written_says_what_to_materialize(store: Store) -> None:
    store.write(EVENTS, EVENTS.frame(), [NOVEMBER])

    with pytest.raises(StoreError) as one:
        store.read(EVENTS, [NOVEMBER, DECEMBER])
    assert str(one.value) == "events of lab|2026-12-01 is not in the store yet: materialize events first"
    with pytest.raises(StoreError) as several:
        store.read(EVENTS, [("lab", "2026-10-01"), NOVEMBER, DECEMBER, ("alps", MONTH)])
    assert str(several.value) == (
        "events of lab|2026-10-01 and 2 more is not in the store yet: materialize events first"
    )
    with pytest.raises(StoreError) as whole:
        store.read(published_table("week"), [WHOLE])
    assert str(whole.value) == "weekly is not in the store yet: materialize weekly first"


def test_what_is_there_can_be_read_alone(store: Store) -> None:
    store.write(EVENTS, EVENTS.frame([event("1")]), [NOVEMBER])

    assert list(store.read_if_there(EVENTS, [DECEMBER, NOVEMBER])["event_key"]) == [login_key("1")]
    pd.testing.assert_frame_equal(store.read_if_there(EVENTS, [DECEMBER]), EVENTS.frame())
    pd.testing.assert_frame_equal(store.read(EVENTS, []), EVENTS.frame())


def test_more_partitions_than_go_at_once_stay_in_order(store: Store) -> None:
    months = [f"{year}-{number:02}-01" for year in (2025, 2026) for number in range(1, 10)]
    places = [("lab", month) for month in months]

    store.write(EVENTS, EVENTS.frame([event(month, month) for month in reversed(months)]), places)
    assert keys_of(store, places) == months
    assert store.partitions(EVENTS, "lab") == places

    merged = store.merge(RAW_KEYCLOAK_LOGINS, RAW_KEYCLOAK_LOGINS.frame([login(m, m) for m in reversed(months)]))
    assert list(merged) == places
    assert list(store.read(RAW_KEYCLOAK_LOGINS, places)["login_key"]) == list(map(hash_of, months))


def test_partitions_are_read_side_by_side(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    # Breaks unless all are under way at once.
    together = threading.Barrier(8)

    def read_versioned(key: str) -> tuple[bytes, str]:
        together.wait(timeout=10)
        raise FileNotFoundError(key)

    monkeypatch.setattr(store.storage, "read_versioned", read_versioned)
    assert store.read_if_there(EVENTS, [("lab", f"2026-{month:02}-01") for month in range(1, 9)]).empty


def test_a_pull_adds_and_loses_nothing(store: Store) -> None:
    first = store.merge(
        RAW_KEYCLOAK_LOGINS,
        RAW_KEYCLOAK_LOGINS.frame([login("1"), login("2"), login("3", NEXT_DAY), login("5", LATER_DAY)]),
    )
    second = store.merge(
        RAW_KEYCLOAK_LOGINS,
        RAW_KEYCLOAK_LOGINS.frame([login("2", client_id="renku"), login("4"), login("0", "2026-10-15")]),
    )

    # The days are those whose rows changed.
    assert {place: (stored.rows, stored.changed, set(stored.days)) for place, stored in first.items()} == {
        NOVEMBER: (3, True, {DAY, NEXT_DAY}),
        DECEMBER: (1, True, {LATER_DAY}),
    }
    assert {place: (stored.rows, stored.changed, set(stored.days)) for place, stored in second.items()} == {
        OCTOBER: (1, True, {"2026-10-15"}),
        NOVEMBER: (4, True, {DAY}),
    }
    rows = plain(store.read(RAW_KEYCLOAK_LOGINS, [OCTOBER, NOVEMBER, DECEMBER]))
    assert [(row["event_day"], row["login_key"], row["client_id"]) for row in rows] == [
        ("2026-10-15", hash_of("0"), None),
        (DAY, hash_of("1"), None),
        (DAY, hash_of("2"), "renku"),
        (DAY, hash_of("4"), None),
        (NEXT_DAY, hash_of("3"), None),
        (LATER_DAY, hash_of("5"), None),
    ]


def test_the_days_of_a_write_are_those_with_other_rows_than_before(store: Store) -> None:
    def write(*rows: Row) -> Stored:
        return store.write(EVENTS, EVENTS.frame(rows), [NOVEMBER])[NOVEMBER]

    assert write().days == set()
    assert write(event("1"), event("2", NEXT_DAY), event("3", "2026-11-30")).days == {DAY, NEXT_DAY, "2026-11-30"}
    # One more, one other, one gone, and one as it was.
    changed = write(event("1"), event("2", NEXT_DAY, project_id="gitlab:7"), event("0", "2026-11-01"))
    assert changed.days == {NEXT_DAY, "2026-11-30", "2026-11-01"}
    same = write(event("0", "2026-11-01"), event("1"), event("2", NEXT_DAY, project_id="gitlab:7"))
    assert (same.changed, set(same.days), same.mark) == (False, set(), changed.mark)
    # A table that has one file for a deployment has no days.
    users = store.merge(RAW_GITLAB_USERS, RAW_GITLAB_USERS.frame([user(1)]))
    assert [stored.days for stored in users.values()] == [set()]


def test_an_empty_answer_removes_nothing(store: Store) -> None:
    store.merge(RAW_KEYCLOAK_LOGINS, RAW_KEYCLOAK_LOGINS.frame([login("1")]))

    assert store.merge(RAW_KEYCLOAK_LOGINS, RAW_KEYCLOAK_LOGINS.frame()) == {}
    assert len(store.read(RAW_KEYCLOAK_LOGINS, [NOVEMBER])) == 1


def test_the_same_pull_again_writes_nothing(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    users = RAW_GITLAB_USERS.frame([user(2, "b", "a", "b"), user(1), user(3, "c", created_at=at(DAY))])
    commits = RAW_GITLAB_COMMITS.frame([commit("a", renku_options=["--with-siblings", "--all"]), commit("b")])
    before = store.merge(RAW_GITLAB_USERS, users) | store.merge(RAW_GITLAB_COMMITS, commits)

    def refuse(key: str, *_: object) -> None:
        pytest.fail(f"{key} was written again")

    monkeypatch.setattr(store.storage, "replace", refuse)
    again = store.merge(RAW_GITLAB_USERS, users.iloc[::-1]) | store.merge(RAW_GITLAB_COMMITS, commits)

    assert not any(stored.changed for stored in again.values())
    assert {place: (stored.rows, stored.version, stored.mark) for place, stored in again.items()} == {
        place: (stored.rows, stored.version, stored.mark) for place, stored in before.items()
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
    places = [NOVEMBER]
    one = store.write(EVENTS, EVENTS.frame(rows), places)[places[0]]
    same = store.write(EVENTS, EVENTS.frame(reversed(rows)), places)[places[0]]
    other = store.write(EVENTS, EVENTS.frame(rows[:1]), places)[places[0]]

    assert same.version == one.version
    assert other.version != one.version
    assert store.ensure(EVENTS, places)[places[0]].version == other.version


def test_ensure_writes_only_what_is_not_there(store: Store) -> None:
    store.write(EVENTS, EVENTS.frame([event("1"), event("2")]), [NOVEMBER])

    stored = store.ensure(EVENTS, [DECEMBER, NOVEMBER])

    assert {place: (state.rows, state.changed) for place, state in stored.items()} == {
        DECEMBER: (0, True),
        NOVEMBER: (2, False),
    }
    assert keys_of(store) == ["1", "2"]
    assert keys_of(store, [DECEMBER]) == []
    assert not store.ensure(EVENTS, [DECEMBER])[DECEMBER].changed


def test_no_listing_is_needed_to_read_and_write(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(prefix: str = "") -> list[ObjectInfo]:
        pytest.fail("the store was listed")

    monkeypatch.setattr(store.storage, "list", refuse)
    store.merge(RAW_KEYCLOAK_LOGINS, RAW_KEYCLOAK_LOGINS.frame([login("1")]))
    store.write(EVENTS, EVENTS.frame([event("1")]), [NOVEMBER])
    store.ensure(EVENTS, [DECEMBER])
    store.read(EVENTS, [NOVEMBER])
    store.read_if_there(EVENTS, [("alps", MONTH)])


def test_a_few_columns_are_read_of_what_is_there(store: Store) -> None:
    store.write(EVENTS, EVENTS.frame([event("1"), event("2", LATER_DAY)]), [NOVEMBER, DECEMBER])

    found = store.read_columns(EVENTS, [DECEMBER, OCTOBER, NOVEMBER], ["month", "event_key"])
    assert found.to_pylist() == [
        {"month": NEXT_MONTH, "event_key": login_key("2")},
        {"month": MONTH, "event_key": login_key("1")},
    ]
    assert store.read_columns(EVENTS, [], ["event_key"]).to_pylist() == []


def test_rows_come_with_the_version_that_a_write_told(store: Store) -> None:
    written = store.write(EVENTS, EVENTS.frame([event("1")]), [NOVEMBER])[NOVEMBER]

    rows, versions = store.read_versioned(EVENTS, [NOVEMBER, DECEMBER])
    assert (list(rows["event_key"]), versions) == ([login_key("1")], {NOVEMBER: written.version})
    rows, versions = store.read_versioned(EVENTS, [DECEMBER])
    assert (len(rows), versions) == (0, {})
    pd.testing.assert_frame_equal(rows, EVENTS.frame())


def test_an_object_is_put_whatever_was_there_and_not_again_if_it_is_the_same(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.put("published/README.md", b"one")
    store.put("published/README.md", b"two")
    assert store.storage.read("published/README.md") == b"two"

    monkeypatch.setattr(store.storage, "replace", lambda *_: pytest.fail("was written again"))
    store.put("published/README.md", b"two")
