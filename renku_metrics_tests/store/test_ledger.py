"""What is remembered of a deployment, and what has changed since something was built of it."""

from __future__ import annotations

import datetime as dt
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from renku_metrics.errors import StoreError
from renku_metrics.object_storage import lease
from renku_metrics.periods import Span
from renku_metrics.store.ledger import (
    FORMATS,
    WHOLE_TABLE,
    Built,
    Count,
    Counted,
    Entries,
    Entry,
    Erasures,
    Ledger,
    Of,
    Published,
    Pulled,
    StoreLedger,
    days_of_month,
    place_of,
)
from renku_metrics.store.store import Store, Stored
from renku_metrics.tables import EVENTS, RAW_GITLAB_USERS, USER_DAYS
from renku_metrics_tests.object_storage.put import put
from renku_metrics_tests.store.rows import DAY, LATER_DAY, MONTH, NEXT_DAY, NEXT_MONTH, Row, at, event, user

NOVEMBER, DECEMBER = ("lab", MONTH), ("lab", NEXT_MONTH)
# One document that is changed by another process: adds so many tombstones, each alone, as `python -c`.
CHANGER = """
import sys
from renku_metrics.object_storage import lease
from renku_metrics.store.ledger import Ledger
from renku_metrics.store.store import Store

address, name, times = sys.argv[1], sys.argv[2], int(sys.argv[3])
lease.POLL_SECONDS = lease.SETTLE_SECONDS = 0.01
ledger = Ledger(Store.at(address), "lab")
for number in range(times):
    ledger.change_erased(lambda erased: erased.tombstones.append(f"{name}-{number}"))
"""


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    # Where the server does not write on condition, each change takes a lease.
    monkeypatch.setattr(lease, "POLL_SECONDS", 0.01)
    monkeypatch.setattr(lease, "SETTLE_SECONDS", 0.01)


@pytest.fixture
def ledger(store: Store) -> Ledger:
    return Ledger(store, "lab")


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


# Of each document: how it is read, how it is changed, and one that has a value in every field.
DOCUMENTS: dict[str, tuple[Callable[[Ledger], Any], Callable[[Ledger, Callable[[Any], None]], Any], Any]] = {
    "pulled": (
        lambda ledger: ledger.pulled("gitlab"),
        lambda ledger, change: ledger.change_pulled("gitlab", change),
        Pulled(
            {"raw": {MONTH: Entry("v", "m", 2, {DAY: 2}, {"of": 1})}},
            [Span(at(DAY), at(NEXT_DAY))],
            {"raw": {MONTH: [DAY, NEXT_DAY]}},
        ),
    ),
    "built": (
        Ledger.built,
        Ledger.change_built,
        Built(
            {"events": {MONTH: Entry("v", "m", 1, {DAY: 1}, {"rules": "1", "raw": 3})}}, {"amalthea": {MONTH: [DAY]}}
        ),
    ),
    "counted": (
        Ledger.counted,
        Ledger.change_counted,
        Counted({"active_users_weekly": Count("v", {DAY: {MONTH: 3, "rules": "1"}})}),
    ),
    "published": (
        Ledger.published,
        Ledger.change_published,
        Published({"week": {MONTH: {"raw": 3}}, "month": {MONTH: {"rules": "1"}}}),
    ),
    "erased": (Ledger.erased, Ledger.change_erased, Erasures(["a hash"], [DAY])),
}


def test_every_kind_of_document_is_tried() -> None:
    assert {type(example) for _, _, example in DOCUMENTS.values()} == set(FORMATS)


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_document_is_read_as_it_was_changed(ledger: Ledger, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    read, change, example = DOCUMENTS[name]

    def fill(document: Any) -> None:
        document.__dict__.update(example.__dict__)

    assert read(ledger) == type(example)()
    assert change(ledger, fill) == example
    assert read(ledger) == example
    # Neither of another deployment, nor another document.
    assert read(Ledger(ledger.store, "alps")) == type(example)()
    assert [other for other, (of, _, _) in DOCUMENTS.items() if of(ledger) != type(of(ledger))()] == [name]
    assert ledger.pulled("keycloak") == Pulled()

    monkeypatch.setattr(Store, "replace", lambda *_: pytest.fail("was written again"))
    assert change(ledger, fill) == example


SPANS = st.lists(
    st.datetimes(timezones=st.just(dt.UTC)).map(lambda time: time.replace(microsecond=time.microsecond // 1000 * 1000)),
    min_size=2,
    max_size=2,
).map(lambda times: Span(min(times), max(times)))


@settings(deadline=None)
@given(st.lists(SPANS, max_size=3))
def test_spans_come_back_as_they_were(covered: list[Span]) -> None:
    adapter = FORMATS[Pulled]
    assert adapter.validate_json(adapter.dump_json(Pulled(covered=covered))) == Pulled(covered=covered)


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b'{"tables": 1}', b'{"added": []}', b'{"tables": {"raw": {"m": {"serial": 1}}}}']
)
def test_a_document_of_somebody_else_is_one_clear_line_and_stays(ledger: Ledger, content: bytes) -> None:
    ledger.change_built(lambda built: built.nameless.update(amalthea={}))
    put(ledger.store.storage, "state/deployment=lab/built.json", content)

    for work in (ledger.built, lambda: ledger.change_built(lambda built: built.tables.clear())):
        with pytest.raises(StoreError) as error:
            work()
        address = ledger.store.storage.address("state/deployment=lab/built.json")
        assert str(error.value) == f"{address}: is not what this version of renku-metrics writes there"
    assert ledger.store.storage.read("state/deployment=lab/built.json") == content


def test_what_a_source_remembers_is_kept_as_it_is(ledger: Ledger) -> None:
    assert ledger.state("gitlab") is None

    ledger.keep_state("gitlab", b'{"heads": {}}')
    ledger.keep_state("gitlab", b"{}")

    assert ledger.state("gitlab") == b"{}"
    assert (ledger.state("keycloak"), Ledger(ledger.store, "alps").state("gitlab")) == (None, None)
    ledger.forget_state("gitlab")
    assert ledger.state("gitlab") is None


def test_what_dagster_is_to_be_told_is_added_to_what_it_was_not_told_before() -> None:
    pulled = Pulled()
    pulled.tell("raw", MONTH, [NEXT_DAY, DAY])
    pulled.tell("raw", MONTH, [NEXT_DAY, "2026-11-01"])
    pulled.tell("users", WHOLE_TABLE, [])
    assert pulled.untold == {"raw": {MONTH: ["2026-11-01", DAY, NEXT_DAY]}, "users": {WHOLE_TABLE: []}}


def test_a_change_that_came_in_between_is_not_lost(ledger: Ledger, storage_address: str) -> None:
    changed: list[list[str]] = []

    def change(erased: Erasures) -> None:
        changed.append(list(erased.tombstones))
        if len(changed) == 1:
            command = [sys.executable, "-c", CHANGER, storage_address, "other", "2"]
            subprocess.run(command, check=True, timeout=120)
        erased.tombstones.append("ours")

    ledger.change_erased(change)

    # Made again to what was there then.
    assert changed == [[], ["other-0", "other-1"]]
    assert ledger.erased().tombstones == ["other-0", "other-1", "ours"]


def test_nothing_that_two_processes_change_at_once_is_lost(
    storage_kind: str, ledger: Ledger, storage_address: str
) -> None:
    if storage_kind == "swift":
        pytest.skip("each change takes a lease there, and 40 of them minutes")
    commands = [[sys.executable, "-c", CHANGER, storage_address, name, "20"] for name in ("one", "other")]
    changers = [subprocess.Popen(command) for command in commands]
    assert [changer.wait(timeout=120) for changer in changers] == [0, 0]

    found = ledger.erased().tombstones
    assert sorted(found) == sorted(f"{name}-{number}" for name in ("one", "other") for number in range(20))
    for name in ("one", "other"):
        of_one = [int(tombstone.split("-")[1]) for tombstone in found if tombstone.startswith(f"{name}-")]
        assert of_one == list(range(20))


def test_who_loses_again_and_again_is_told_so(ledger: Ledger) -> None:
    def lose(erased: Erasures) -> None:
        erased.tombstones.append("ours")
        Ledger(ledger.store, "lab").change_erased(lambda other: other.tombstones.append("other"))

    with pytest.raises(StoreError) as error:
        ledger.change_erased(lose)
    assert str(error.value) == (
        "state/deployment=lab/erased.json: other processes keep changing this; run this again later"
    )


def test_rows_that_another_merges_at_the_same_time_are_not_lost(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    replace, others = store.storage.replace, iter(range(2, 5))

    def after_another(key: str, content: bytes, version: str | None) -> str:
        if key.startswith("raw/") and (number := next(others, None)):
            with monkeypatch.context() as undone:
                undone.setattr(store.storage, "replace", replace)
                store.merge(RAW_GITLAB_USERS, RAW_GITLAB_USERS.frame([user(number), user(1, "a")]))
        return replace(key, content, version)

    monkeypatch.setattr(store.storage, "replace", after_another)
    store.merge(RAW_GITLAB_USERS, RAW_GITLAB_USERS.frame([user(1, "b"), user(9)]))

    users = store.read(RAW_GITLAB_USERS, [("lab",)])
    assert list(users["gitlab_user_id"]) == [1, 2, 3, 4, 9]
    assert list(users["address_hashes"][0]) == [user(1, name)["address_hashes"][0] for name in ("a", "b")]


def test_of_the_store_as_a_whole_two_things_are_remembered(store: Store) -> None:
    whole = StoreLedger(store)
    assert (whole.fingerprint(), whole.published_at()) == (None, None)

    whole.begin_with(b"a fingerprint")
    whole.record_published(at(DAY))
    whole.record_published(at(NEXT_DAY))

    assert (whole.fingerprint(), whole.published_at()) == (b"a fingerprint", at(NEXT_DAY))
    with pytest.raises(StoreError, match="another has changed this meanwhile"):
        whole.begin_with(b"another")
    assert whole.fingerprint() == b"a fingerprint"
