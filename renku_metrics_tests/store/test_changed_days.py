"""Which days have changed since something was built of them."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from renku_metrics.store.ledger import WHOLE_TABLE, Entries, Entry, Ledger, Of, days_of_month, place_of
from renku_metrics.store.store import Store, Stored
from renku_metrics.tables import EVENTS, RAW_GITLAB_USERS, USER_DAYS
from renku_metrics_tests.store.rows import DAY, LATER_DAY, MONTH, NEXT_DAY, NEXT_MONTH, Row, event

NOVEMBER, DECEMBER = ("lab", MONTH), ("lab", NEXT_MONTH)


def written(version: str, *days: str, before: str = "") -> Stored:
    """A write that found the version ``before``; one that found its own has changed nothing."""
    changed = version != before
    mark = f"mark of {version}"
    return Stored(rows=1, version=version, mark=mark, changed=changed, before=before, days=frozenset(days))


def noted(ledger: Ledger, entries: Entries, stored: Stored, of: Of | None = None, month: str = MONTH) -> Entry:
    ledger.record(entries, EVENTS, {("lab", month): stored}, {month: of} if of else {})
    return entries[month]


def test_each_change_raises_the_serial_and_is_noted_for_its_days(ledger: Ledger) -> None:
    entries: Entries = {}
    first = noted(ledger, entries, written("a", DAY, NEXT_DAY), {"raw": 4})
    assert first == Entry("a", "mark of a", 1, {DAY: 1, NEXT_DAY: 1}, {"raw": 4})
    second = noted(ledger, entries, written("b", NEXT_DAY, "2026-11-30", before="a"), {"raw": 5})
    assert second == Entry("b", "mark of b", 2, {DAY: 1, NEXT_DAY: 2, "2026-11-30": 2}, {"raw": 5})
    # Another month has a serial of its own.
    assert noted(ledger, entries, written("c", LATER_DAY), month=NEXT_MONTH).serial == 1
    assert entries[MONTH] == second


def test_what_was_written_again_as_it_was_has_not_changed(ledger: Ledger) -> None:
    entries: Entries = {}
    before = noted(ledger, entries, written("a", DAY), {"raw": 4})
    same = Stored(rows=1, version="a", mark="copied", changed=False, before="a")
    assert noted(ledger, entries, same) == Entry("a", "copied", 1, before.days, {"raw": 4})
    assert noted(ledger, entries, same, {"raw": 7}).of == {"raw": 7}


def test_a_file_that_nobody_noted_may_have_any_of_its_days(ledger: Ledger) -> None:
    # A writer was killed after the write and before its note; what it changed is not known any more.
    entries: Entries = {}
    found = noted(ledger, entries, written("a", before="a"))
    assert found.days == dict.fromkeys(days_of_month(MONTH), 1)

    noted(ledger, entries, written("b", DAY, before="a"))
    again = noted(ledger, entries, written("c", before="c"))
    assert (again.serial, again.days) == (3, dict.fromkeys(days_of_month(MONTH), 3))
    # But not where there is nothing, and nothing was.
    empty = noted(ledger, {}, Stored(rows=0, version="e", mark="m", changed=False, before="e"))
    assert empty.days == {}


def test_a_table_of_one_file_has_a_serial_and_no_days(ledger: Ledger) -> None:
    entries: Entries = {}
    for stored in (written("a"), written("b"), written("c", before="c")):
        ledger.record(entries, RAW_GITLAB_USERS, {("lab",): stored}, {})
    assert entries == {WHOLE_TABLE: Entry("c", "mark of c", 3)}
    assert (place_of(RAW_GITLAB_USERS, ("lab",)), place_of(EVENTS, NOVEMBER)) == (WHOLE_TABLE, MONTH)


def test_what_changed_since_a_serial() -> None:
    entry = Entry("v", "m", 5, {DAY: 2, NEXT_DAY: 5})
    assert entry.changed_since(None) == entry.changed_since(0) == {DAY, NEXT_DAY}
    assert entry.changed_since(2) == {NEXT_DAY}
    assert entry.changed_since(5) == set()
    # A version of rules is no serial.
    assert entry.changed_since("2") == {DAY, NEXT_DAY}


CHANGES = st.lists(
    st.one_of(st.just("build"), st.sets(st.sampled_from([DAY, NEXT_DAY, "2026-11-30"]), min_size=1)), max_size=12
)


@settings(deadline=None)
@given(CHANGES)
def test_what_was_built_lacks_exactly_the_days_that_changed_since(changes: list[Any]) -> None:
    # Nothing is written.
    ledger = Ledger(Store.at("/nowhere"), "lab")
    raw: Entries = {}
    built: int | None = None
    open_days: set[str] = set()
    for number, change in enumerate(changes):
        if change == "build":
            built, open_days = (raw[MONTH].serial if raw else None), set()
        else:
            before = raw[MONTH].version if raw else ""
            noted(ledger, raw, written(f"version {number}", *change, before=before))
            open_days |= change
    assert (raw[MONTH].changed_since(built) if raw else set()) == open_days


def test_a_table_is_fresh_until_the_one_it_is_built_of_has_other_rows(ledger: Ledger) -> None:
    store = ledger.store

    def write(*rows: Row) -> None:
        stored = store.write(EVENTS, EVENTS.frame(rows), [NOVEMBER, DECEMBER])
        ledger.change_built(lambda built: ledger.record(built.tables.setdefault("events", {}), EVENTS, stored, {}))

    def build() -> None:
        known = ledger.built().tables["events"]
        of: dict[str, Of] = {month: {"events": entry.serial} for month, entry in known.items()}
        stored = store.write(USER_DAYS, USER_DAYS.frame(), [NOVEMBER, DECEMBER])
        ledger.change_built(
            lambda built: ledger.record(built.tables.setdefault("user_days", {}), USER_DAYS, stored, of)
        )

    def open_days() -> set[str]:
        tables = ledger.built().tables
        made = tables.get("user_days", {})
        return {
            day
            for month, entry in tables["events"].items()
            for day in entry.changed_since(made[month].of["events"] if month in made else None)
        }

    write(event("a"), event("b", NEXT_DAY), event("z", LATER_DAY))
    assert open_days() == {DAY, NEXT_DAY, LATER_DAY}
    build()
    assert open_days() == set()
    write(event("a"), event("b", NEXT_DAY), event("z", LATER_DAY))
    assert open_days() == set()
    write(event("a"), event("b", NEXT_DAY), event("c", NEXT_DAY), event("z", LATER_DAY))
    assert open_days() == {NEXT_DAY}
    # Content that is as it was is not known to be: it has changed twice.
    write(event("a"), event("b", NEXT_DAY), event("z", LATER_DAY))
    assert open_days() == {NEXT_DAY}
    build()
    write(event("a"), event("b", NEXT_DAY))
    assert open_days() == {LATER_DAY}
