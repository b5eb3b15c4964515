"""What is not, or not as it stands by now, in what was built of it."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from renku_metrics.store.ledger import (
    RULES,
    Built,
    by_other_rules,
    read,
    record,
    record_partitions,
    sources_of_days,
    stale,
    stale_periods,
)
from renku_metrics.store.store import Store
from renku_metrics.tables import EVENTS, USER_DAYS
from renku_metrics_tests.store.rows import event

DAYS = [f"2026-11-{number:02}" for number in range(16, 23)]
WEEK = {"2026-11-16": DAYS}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.at(str(tmp_path / "store"))


def versions(**of_days: str) -> dict[str, Built]:
    """Versions by day of November: ``d16="a"``."""
    return {f"2026-11-{day[1:]}": Built(version) for day, version in of_days.items()}


def built_of(source: str, **of_days: str) -> dict[str, Built]:
    return {f"2026-11-{day[1:]}": Built("any", {source: version}) for day, version in of_days.items()}


def test_a_day_is_stale_when_it_was_built_of_another_version_or_never() -> None:
    raw = versions(d16="a", d17="b", d18="c")
    assert stale("raw", raw, built_of("raw", d16="a", d17="before")) == {"2026-11-17", "2026-11-18"}


def test_a_day_built_when_a_source_had_nothing_of_it_is_stale_once_it_has() -> None:
    assert stale("raw", versions(d16="a"), {"2026-11-16": Built("any")}) == {"2026-11-16"}
    assert stale("raw", versions(d16="a"), built_of("other", d16="a")) == {"2026-11-16"}


def test_a_day_that_a_source_has_nothing_of_is_not_stale() -> None:
    assert stale("raw", {}, built_of("raw", d16="a")) == set()


def test_content_that_is_as_it_was_is_fresh_again() -> None:
    assert stale("raw", versions(d16="a"), built_of("raw", d16="a")) == set()


def test_a_period_is_stale_on_the_days_that_it_was_not_counted_with() -> None:
    counted = {"2026-11-16": Built("any", {"2026-11-16": "a", "2026-11-17": "before"})}
    days = versions(d16="a", d17="b", d18="c")
    assert stale_periods(days, counted, WEEK) == {"2026-11-17", "2026-11-18"}
    assert stale_periods(days, {}, WEEK) == {"2026-11-16", "2026-11-17", "2026-11-18"}
    assert stale_periods({}, counted, WEEK) == set()


def test_what_other_rules_built_is_told_from_what_these_built() -> None:
    built = {
        "2026-11-16": Built("any", {RULES: "1"}),
        "2026-11-17": Built("any", {RULES: "2"}),
        # From before rules had a version.
        "2026-11-18": Built("any"),
    }
    assert by_other_rules(built, "2") == {"2026-11-16", "2026-11-18"}
    assert by_other_rules({}, "2") == set()


def test_what_is_recorded_is_read_and_added_to(store: Store) -> None:
    record(store, "lab", "events", {"2026-11-16": Built("a", {"raw": "r"}), "2026-11-17": Built("b")})
    record(store, "lab", "events", {"2026-11-17": Built("c")})
    assert read(store, "lab", "events") == {"2026-11-16": Built("a", {"raw": "r"}), "2026-11-17": Built("c")}
    assert read(store, "lab", "user_days") == {}
    assert read(store, "other", "events") == {}


def test_the_same_recorded_again_writes_nothing(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    record(store, "lab", "events", {"2026-11-16": Built("a")})
    monkeypatch.setattr(Store, "write_state", lambda *_: pytest.fail("written"))
    record(store, "lab", "events", {"2026-11-16": Built("a")})
    record(store, "lab", "events", {})


def test_a_table_is_fresh_until_the_one_it_is_built_of_has_other_rows(store: Store) -> None:
    days = [("lab", day) for day in DAYS[:2]]

    def write(*keys: str) -> None:
        frame = EVENTS.frame(event(key) for key in keys)
        record_partitions(store, EVENTS, store.write(EVENTS, frame, days), {})

    def build() -> None:
        of = sources_of_days(store, "lab", ["events"], DAYS[:2])
        record_partitions(store, USER_DAYS, store.write(USER_DAYS, USER_DAYS.frame(), days), of)

    def open_days() -> set[str]:
        return stale("events", read(store, "lab", "events"), read(store, "lab", "user_days"))

    write("a")
    assert open_days() == set(DAYS[:2])
    build()
    assert open_days() == set()
    write("a")
    assert open_days() == set()
    write("a", "b")
    assert open_days() == {"2026-11-16"}
    write("a")
    assert open_days() == set()


def test_what_changes_while_something_is_built_of_it_is_stale(store: Store) -> None:
    record(store, "lab", "raw", {"2026-11-16": Built("old")})
    of = sources_of_days(store, "lab", ["raw"], DAYS[:1])
    record(store, "lab", "raw", {"2026-11-16": Built("new")})
    record(store, "lab", "events", {day: Built("any", known) for day, known in of.items()})
    assert stale("raw", read(store, "lab", "raw"), read(store, "lab", "events")) == {"2026-11-16"}


VERSIONS = st.dictionaries(st.sampled_from(DAYS), st.sampled_from("abc"))


@given(VERSIONS, VERSIONS)
def test_what_is_not_stale_was_built_of_what_stands(now: dict[str, str], then: dict[str, str]) -> None:
    days = {day: Built(version) for day, version in now.items()}
    one_by_one = {day: Built("any", {"raw": version}) for day, version in then.items()}
    together = {"2026-11-16": Built("any", then)}
    expected = {day for day in now if now[day] != then.get(day)}
    assert stale("raw", days, one_by_one) == expected
    assert stale_periods(days, together, WEEK) == expected
