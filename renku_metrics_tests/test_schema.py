"""What a table is made of: what its frames are, what they refuse, and the shapes of texts."""

from __future__ import annotations

import datetime as dt
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from renku_metrics.schema import STRINGS, Shape, month_of, new_keys
from renku_metrics.tables import EVENTS, RAW_GITLAB_USERS, RAW_KEYCLOAK_LOGINS
from renku_metrics_tests.plain_rows import THINGS, known, user


def test_conform_sorts_by_key_and_keeps_only_the_columns_of_the_table() -> None:
    frame = RAW_GITLAB_USERS.frame([user(gitlab_user_id=number) for number in (30, 4, 100)])
    shuffled = frame.assign(email="ada@example.net")[["email", *reversed(frame.columns)]]

    conformed = RAW_GITLAB_USERS.conform(shuffled)

    assert list(conformed.columns) == RAW_GITLAB_USERS.schema.names
    assert list(conformed["gitlab_user_id"]) == [4, 30, 100]
    assert list(conformed.index) == [0, 1, 2]


def test_conform_brings_other_types_into_those_of_the_table() -> None:
    frame = pd.DataFrame([{**dict.fromkeys(RAW_GITLAB_USERS.schema.names), **user(gitlab_user_id=np.int32(7))}])
    frame["pulled_at"] = pd.to_datetime(["2026-11-16T10:00:00+01:00"])

    row = RAW_GITLAB_USERS.conform(frame).iloc[0]

    assert row["gitlab_user_id"] == 7
    assert row["pulled_at"] == pd.Timestamp("2026-11-16T09:00:00Z")


def test_times_are_kept_to_the_millisecond_in_utc() -> None:
    zone = dt.timezone(dt.timedelta(hours=2))
    frame = RAW_GITLAB_USERS.frame([user(created_at=dt.datetime(2026, 11, 16, 1, 0, 0, 123000, zone))])

    assert frame["created_at"][0].isoformat() == "2026-11-15T23:00:00.123000+00:00"
    assert frame["created_at"].dtype == "datetime64[ms, UTC]"


def test_large_ids_and_gaps_stay_whole_numbers() -> None:
    frame = RAW_GITLAB_USERS.frame([user(gitlab_user_id=2**53 + 1), user(gitlab_user_id=None)])

    assert frame["gitlab_user_id"][0] == 2**53 + 1
    assert frame["gitlab_user_id"][1] is pd.NA


def test_a_missing_column_is_refused() -> None:
    frame = RAW_GITLAB_USERS.frame([user()]).drop(columns=["bot", "state"])

    with pytest.raises(ValueError, match=r"^raw_gitlab_users: there is no column bot, state$"):
        RAW_GITLAB_USERS.conform(frame)


@pytest.mark.parametrize("name", ["deployment", "gitlab_user_id", "address_hashes", "bot", "pulled_at"])
def test_a_missing_required_value_is_refused(name: str) -> None:
    frame = RAW_GITLAB_USERS.frame([user(), user(**{"gitlab_user_id": 8, name: None})])

    with pytest.raises(ValueError, match=rf"^raw_gitlab_users: {name} is missing in some rows$"):
        RAW_GITLAB_USERS.conform(frame)


def test_a_key_that_is_there_twice_is_refused() -> None:
    expected = r"^raw_gitlab_users: a key \(deployment, gitlab_user_id\) is there twice$"
    with pytest.raises(ValueError, match=expected):
        RAW_GITLAB_USERS.conform(RAW_GITLAB_USERS.frame([user(), user(bot=True)]))
    # A missing part of a key is a value like any other.
    things = [{"deployment": "x", "thing_id": 1, "part": None}] * 2
    with pytest.raises(ValueError, match="is there twice"):
        THINGS.conform(THINGS.frame(things))


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("gitlab_user_id", "ada@example.net"),
        ("gitlab_user_id", 10**20),
        ("keycloak_id", b"\xffada@example.net"),
        ("keycloak_id", "ada@example.net\ud800"),
        ("address_hashes", ["ada@example.net", 7]),
        ("bot", "ada@example.net"),
        ("created_at", "ada@example.net"),
    ],
)
def test_a_value_that_does_not_fit_is_refused_without_repeating_it(column: str, value: Any) -> None:
    with pytest.raises(ValueError, match=rf"^raw_gitlab_users: {column} holds a value that is no \S+") as one:
        RAW_GITLAB_USERS.frame([user(**{column: value})])
    wrong = RAW_GITLAB_USERS.frame([user()]).astype({column: object})
    wrong.at[0, column] = value
    with pytest.raises(ValueError, match=r"^raw_gitlab_users: a value does not fit its column") as other:
        RAW_GITLAB_USERS.conform(wrong)

    for error in (one.value, other.value):
        assert "ada" not in str(error)
        assert "100000" not in str(error)
        assert error.__cause__ is None
        assert error.__suppress_context__


LOGINS = {"deployment": "lab", "login_key": "l", "occurred_at": dt.datetime(2026, 11, 16, tzinfo=dt.UTC)}


def test_the_month_of_a_row_follows_from_its_day() -> None:
    rows = [{**LOGINS, "event_day": day} for day in ("2026-11-30", "2026-12-01", "2026-11-01")]
    frame = RAW_KEYCLOAK_LOGINS.frame(rows)

    assert list(frame["month"]) == ["2026-11-01", "2026-12-01", "2026-11-01"]
    # Also where it is not there, or says something else.
    told = frame.assign(pulled_at=frame["occurred_at"])
    for months in (told.drop(columns="month"), told.assign(month="2020-01-01")):
        conformed = RAW_KEYCLOAK_LOGINS.conform(months)
        assert list(zip(conformed["event_day"], conformed["month"], strict=True)) == [
            ("2026-11-01", "2026-11-01"),
            ("2026-11-30", "2026-11-01"),
            ("2026-12-01", "2026-12-01"),
        ]
    assert month_of("2024-02-29") == "2024-02-01"


def test_a_row_without_a_day_is_refused_and_gets_no_month() -> None:
    frame = RAW_KEYCLOAK_LOGINS.frame([{**LOGINS, "event_day": None, "pulled_at": LOGINS["occurred_at"]}])
    with pytest.raises(ValueError, match=r"^raw_keycloak_logins: event_day is missing in some rows$"):
        RAW_KEYCLOAK_LOGINS.conform(frame)


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(1, 2), st.none() | st.sampled_from("ab")), max_size=8))
def test_rows_are_sorted_by_key_and_each_new_key_is_told(keys: list[tuple[int, str | None]]) -> None:
    rows = [
        {"deployment": "x", "thing_id": number, "part": part, "last_number": place}
        for place, (number, part) in enumerate(keys)
    ]
    ordered = THINGS.sort(THINGS.typed(THINGS.frame(rows)))

    # Rows of one key stay in their order, and missing parts come last.
    expected = sorted(enumerate(keys), key=lambda item: (item[1][0], item[1][1] is None, item[1][1] or ""))
    assert ordered.column("last_number").to_pylist() == [place for place, _ in expected]
    found = [key for _, key in expected]
    assert new_keys(ordered, THINGS.key).tolist() == [
        place == 0 or found[place] != found[place - 1] for place in range(len(found))
    ]


ODD = Shape("one or two letters, or a number", "[a-z]{1,2}|[0-9]+")


@settings(deadline=None)
@given(st.lists(st.none() | st.text(st.sampled_from("az09-\n é|^$"), max_size=4), max_size=6))
def test_a_text_has_a_shape_when_all_of_it_has(texts: list[str | None]) -> None:
    def fits(text: str) -> bool:
        letters = len(text) in (1, 2) and set(text) <= set("az")
        return letters or (bool(text) and set(text) <= set("09"))

    there = [text for text in texts if text is not None]
    assert [ODD.fits(text) for text in there] == [fits(text) for text in there]
    assert ODD.strays(pa.array(texts, pa.string())) == sum(not fits(text) for text in there)


def test_only_a_text_has_a_shape() -> None:
    assert not ODD.fits(None)
    assert not ODD.fits(7)


def test_lists_are_looked_at_text_by_text() -> None:
    hashes = ["a" * 64, "b" * 64]

    def rows(*lists: list[str] | None) -> pa.Table:
        return pa.table({"address_hashes": pa.array(lists, STRINGS)})

    RAW_GITLAB_USERS.check_shapes(rows(hashes, [], None))
    with pytest.raises(ValueError, match=r"^raw_gitlab_users: address_hashes holds 2 texts that are not a keyed hash$"):
        RAW_GITLAB_USERS.check_shapes(rows(hashes, ["ada@example.net", hashes[0]], ["b"]))


def test_a_frame_of_columns_is_the_frame_of_its_rows() -> None:
    names = [name for name in EVENTS.schema.names if name != "month"]
    times = [dt.datetime(2026, 11, day, tzinfo=dt.UTC) for day in (1, 2)]
    rows = [
        dict.fromkeys(names) | {"deployment": "lab", "event_day": f"{at:%Y-%m-%d}", "occurred_at": at} for at in times
    ]
    columns = {name: [row[name] for row in rows] for name in names}

    pd.testing.assert_frame_equal(EVENTS.frame_of_columns(columns), EVENTS.frame(rows))
    assert [known(month) for month in EVENTS.frame(rows)["month"]] == ["2026-11-01"] * 2
