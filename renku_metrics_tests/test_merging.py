"""How what is stored and what is pulled again unite, against the same rules in plain Python."""

from __future__ import annotations

import datetime as dt
import itertools
from typing import Any

import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

from renku_metrics.merging import merge
from renku_metrics.tables import RAW_GITLAB_COMMITS, RAW_GITLAB_USERS
from renku_metrics_tests.events.raw_rows import commit
from renku_metrics_tests.plain_rows import THINGS, Row, plain, user

WORDS = st.sampled_from(["a", "b", "c", "\u00e9"])
LISTS = st.none() | st.lists(WORDS, max_size=3)
TIMES = st.integers(0, 10**12).map(lambda ms: dt.datetime(2000, 1, 1, tzinfo=dt.UTC) + dt.timedelta(milliseconds=ms))
ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "deployment": st.sampled_from(["x", "y"]),
            "thing_id": st.integers(1, 3),
            "part": st.none() | WORDS,
            "first_text": st.none() | WORDS,
            "first_list": LISTS,
            "first_time": st.none() | TIMES,
            "last_number": st.none() | st.integers(-(2**62), 2**62),
            "last_flag": st.none() | st.booleans(),
            "last_share": st.none() | st.floats(0, 1),
            "last_day": st.none() | st.dates(),
            "every_list": LISTS,
            "read_text": st.none() | WORDS,
            "read_flag": st.none() | st.booleans(),
            "read_list": LISTS,
            "read_by": st.none() | st.integers(0, 2),
        }
    ),
    max_size=6,
)


def key_of(row: Row) -> tuple[Any, ...]:
    # Keys are sorted with the missing ones last.
    return row["deployment"], row["thing_id"], row["part"] is None, row["part"] or ""


def readings(row: Row) -> Row:
    return {name: value for name, value in row.items() if name.startswith("read_")}


def reader(row: Row) -> int:
    return -1 if row["read_by"] is None else int(row["read_by"])


def united(*pulls: list[Row]) -> list[Row]:
    """What is known after the pulls, row by row in plain Python."""
    rows: dict[Any, Row] = {}
    for row in itertools.chain(*pulls):
        now = rows.setdefault(key_of(row), dict.fromkeys(row) | readings(row))
        if reader(row) > reader(now):
            now |= readings(row)
        for name, value in row.items():
            if value is None or name in readings(row):
                continue
            if name == "every_list":
                now[name] = sorted({*(now[name] or []), *value})
            elif name.startswith("last") or now[name] is None:
                now[name] = value
    return [rows[key] for key in sorted(rows)]


@settings(max_examples=40, deadline=None)
@given(ROWS, ROWS)
def test_two_pulls_unite_by_the_rules_of_each_column(stored: list[Row], pulled: list[Row]) -> None:
    first = merge(THINGS, THINGS.frame(), THINGS.frame(stored))

    assert plain(first) == united(stored)
    assert plain(merge(THINGS, first, THINGS.frame(pulled))) == united(stored, pulled)


@settings(max_examples=20, deadline=None)
@given(ROWS, ROWS)
def test_the_same_pull_again_changes_nothing(stored: list[Row], pulled: list[Row]) -> None:
    once = merge(THINGS, merge(THINGS, THINGS.frame(), THINGS.frame(stored)), THINGS.frame(pulled))
    again = merge(THINGS, once, THINGS.frame(pulled))

    pd.testing.assert_frame_equal(again, once)
    # The store writes only what is not equal.
    assert again.equals(once)
    assert merge(THINGS, once, THINGS.frame()).equals(once)


@settings(max_examples=20, deadline=None)
@given(ROWS, ROWS)
def test_no_stored_key_and_no_known_value_is_lost(stored: list[Row], pulled: list[Row]) -> None:
    before = plain(merge(THINGS, THINGS.frame(), THINGS.frame(stored)))
    after = {key_of(row): row for row in plain(merge(THINGS, THINGS.frame(before), THINGS.frame(pulled)))}

    for row in before:
        for name, value in row.items():
            # A newer reader may know that an older one was wrong.
            if value is not None and (name not in readings(row) or reader(row) == reader(after[key_of(row)])):
                assert after[key_of(row)][name] is not None
        assert set(row["every_list"] or []) <= set(after[key_of(row)]["every_list"] or [])


@settings(max_examples=20, deadline=None)
@given(ROWS, ROWS)
def test_what_is_collected_does_not_depend_on_the_order_of_pulls(one: list[Row], other: list[Row]) -> None:
    def collected(*pulls: list[Row]) -> list[tuple[Any, Any]]:
        frame = THINGS.frame()
        for pull in pulls:
            frame = merge(THINGS, frame, THINGS.frame(pull))
        return [(key_of(row), row["every_list"]) for row in plain(frame)]

    assert collected(one, other) == collected(other, one)


def test_a_user_pulled_twice_by_hand() -> None:
    november, december = (dt.datetime(2026, month, 1, tzinfo=dt.UTC) for month in (11, 12))
    stored = RAW_GITLAB_USERS.frame(
        [user(keycloak_id="k", state="active", created_at=november), user(gitlab_user_id=8)]
    )
    pulled = RAW_GITLAB_USERS.frame(
        [
            user(address_hashes=["c", "a"], keycloak_id=None, state="blocked", created_at=december, pulled_at=december),
            user(gitlab_user_id=6),
        ]
    )

    merged = plain(merge(RAW_GITLAB_USERS, stored, pulled))

    assert [row["gitlab_user_id"] for row in merged] == [6, 7, 8]
    assert merged[1] == {
        "deployment": "lab",
        "gitlab_user_id": 7,
        "keycloak_id": "k",
        "address_hashes": ["a", "b", "c"],
        "addresses_on": None,
        "bot": False,
        "state": "blocked",
        "created_at": november,
        "last_activity_on": None,
        "pulled_at": november,
    }


def test_a_newer_reader_corrects_what_an_older_one_read_and_no_fact_beside_it() -> None:
    wrong: Row = {
        "renku_surface": "ui",
        "renku_command": "dataset create",
        "renku_options": [],
        "author_address_kind": "bot",
    }
    pushed: Row = {"pusher_id": 7, "push_addresses": 1}
    # The file of the last one is from before readers had a version.
    stored = RAW_GITLAB_COMMITS.frame(
        [commit("a", **wrong, **pushed, read_by=1), commit("b", read_by=2), commit("c", **wrong)]
    )
    pulled = RAW_GITLAB_COMMITS.frame(
        [commit("a", read_by=2), commit("b", **wrong, read_by=1), commit("c", renku_surface="cli", read_by=0)]
    )
    merged = merge(RAW_GITLAB_COMMITS, stored, pulled)

    of_message = ["renku_surface", "renku_command", "author_address_kind", "read_by"]
    assert [[row[name] for name in of_message] for row in plain(merged)] == [
        [None, None, "personal", 2],
        [None, None, "personal", 2],
        ["cli", None, "personal", 0],
    ]
    assert [row["pusher_id"] for row in plain(merged)] == [7, None, None]
    assert merge(RAW_GITLAB_COMMITS, merged, stored).equals(merged)
