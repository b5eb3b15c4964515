"""What is remembered of a deployment, and of the store as a whole."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from renku_metrics.errors import StoreError
from renku_metrics.periods import Span
from renku_metrics.store.ledger import (
    FORMATS,
    WHOLE_TABLE,
    Built,
    Count,
    Counted,
    Entry,
    Erasures,
    Ledger,
    Published,
    Pulled,
)
from renku_metrics.store.store import Store
from renku_metrics.store.store_ledger import StoreLedger
from renku_metrics_tests.object_storage.put import put
from renku_metrics_tests.store.rows import DAY, MONTH, NEXT_DAY, at

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
    change(ledger, fill)
    assert read(ledger) == example
    # Neither of another deployment, nor another document.
    assert read(Ledger(ledger.store, "alps")) == type(example)()
    assert [other for other, (of, _, _) in DOCUMENTS.items() if of(ledger) != type(of(ledger))()] == [name]
    assert ledger.pulled("keycloak") == Pulled()

    monkeypatch.setattr(Store, "replace", lambda *_: pytest.fail("was written again"))
    change(ledger, fill)


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
