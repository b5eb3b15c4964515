"""The version of a store: there before anything else, and a store of another version is left alone."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import orjson
import pytest
from pydantic import TypeAdapter

from renku_metrics.errors import StoreError
from renku_metrics.object_storage import open_storage
from renku_metrics.schema import Table
from renku_metrics.sources.amalthea.audit_log import FilesRead
from renku_metrics.sources.gitlab.state import GitLabState
from renku_metrics.sources.keycloak.realm import LoginsState
from renku_metrics.store.files import WHOLE
from renku_metrics.store.ledger import BEFORE, FORMATS, Ledger
from renku_metrics.store.store import Store
from renku_metrics.store.store_ledger import StoreLedger
from renku_metrics.store.version import FORMAT
from renku_metrics.tables import EVENTS, RAW_KEYCLOAK_LOGINS, published_table
from renku_metrics_tests.every_table import TABLES
from renku_metrics_tests.object_storage.put import put
from renku_metrics_tests.store.rows import DAY, MONTH, at, event, login

# What each source remembers of its last pull.
STATES = (GitLabState, LoginsState, FilesRead)
# What a store of each format holds: a fingerprint of each table and document.
RECORDED = Path(__file__).with_name("formats.json")
WRITES: dict[str, Callable[[Store], object]] = {
    "a write": lambda store: store.write(EVENTS, EVENTS.frame([event("1")]), [("lab", MONTH)]),
    "a merge": lambda store: store.merge(RAW_KEYCLOAK_LOGINS, RAW_KEYCLOAK_LOGINS.frame([login("1")])),
    "an empty file": lambda store: store.ensure(published_table("week"), [WHOLE]),
    "a file for people": lambda store: store.put("published/README.md", b"numbers"),
    "a document": lambda store: Ledger(store, "lab").change_built(lambda built: built.nameless.update(amalthea={})),
    "a state": lambda store: Ledger(store, "lab").keep_state("gitlab", b"{}"),
    "a fingerprint": lambda store: StoreLedger(store).begin_with(b"fingerprint"),
    "a time": lambda store: StoreLedger(store).record_published(at(DAY)),
}


def objects(address: str) -> dict[str, bytes]:
    storage = open_storage(address)
    return {info.key: storage.read(info.key) for info in storage.list()}


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
def test_a_store_has_a_version_before_anything_else(
    storage_address: str, monkeypatch: pytest.MonkeyPatch, write: Callable[[Store], object]
) -> None:
    # As a holder of a name has it: on Swift any other write takes a lease and a copy of the storage.
    with Store.at(storage_address).alone("tests") as store:
        replace, keys = store.storage.replace, list[str]()

        def note(key: str, content: bytes, version: str | None) -> str:
            keys.append(key)
            return replace(key, content, version)

        monkeypatch.setattr(store.storage, "replace", note)
        write(store)

        assert keys[0] == "version.json"
        assert orjson.loads(store.storage.read("version.json")) == {
            "format": FORMAT,
            "program": version("renku-metrics"),
        }
        # Once is enough.
        assert keys.count("version.json") == 1
        WRITES["a file for people"](store)
        WRITES["a file for people"](Store.at(storage_address))
        assert keys.count("version.json") == 1


def test_who_only_reads_leaves_no_version(storage_address: str) -> None:
    store = Store.at(storage_address)
    assert store.read_if_there(EVENTS, [("lab", MONTH)]).empty
    assert Ledger(store, "lab").built().tables == {}
    assert store.partitions(EVENTS, "lab") == []
    assert objects(storage_address) == {}


KNOWN = f"and this version of renku-metrics knows {FORMAT}: use the other version"
STRANGE = "is not what renku-metrics writes there"


@pytest.mark.parametrize(
    ("content", "place", "line"),
    [
        (
            b'{"format": %d, "program": "99.0"}' % (FORMAT + 1),
            "",
            f"the store is of format {FORMAT + 1}, {KNOWN}",
        ),
        (
            b'{"format": %d, "program": "0.0.1"}' % (FORMAT - 1),
            "",
            f"the store is of format {FORMAT - 1}, {KNOWN}",
        ),
        (b"", "version.json", STRANGE),
        (b"{", "version.json", STRANGE),
        (b"2", "version.json", STRANGE),
        (b'{"program": "0.1"}', "version.json", STRANGE),
        (b'{"format": "two"}', "version.json", STRANGE),
        (b'{"format": null}', "version.json", STRANGE),
    ],
    ids=["newer", "older", "empty", "cut short", "a number", "no format", "a word", "nothing"],
)
def test_a_store_of_another_version_is_refused_in_one_line_and_left_alone(
    storage_address: str, content: bytes, place: str, line: str
) -> None:
    WRITES["a merge"](Store.at(storage_address))
    put(open_storage(storage_address), "version.json", content)
    before = objects(storage_address)

    with pytest.raises(StoreError) as error:
        Store.at(storage_address)

    assert str(error.value) == f"{open_storage(storage_address).address(place)}: {line}"
    assert objects(storage_address) == before


@pytest.mark.parametrize("key", ["raw/raw_gitlab_users/deployment=lab/data.parquet", "state/gitlab/deployment=lab/x"])
def test_a_store_from_before_there_were_versions_is_refused(storage_address: str, key: str) -> None:
    put(open_storage(storage_address), key, b"")

    with pytest.raises(StoreError) as error:
        Store.at(storage_address)
    assert str(error.value) == (
        f"{open_storage(storage_address).address()}: the store is of an older version of renku-metrics: "
        "begin a new store and pull again"
    )
    assert list(objects(storage_address)) == [key]


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
def test_a_store_that_another_version_has_begun_meanwhile_is_left_alone(
    storage_address: str, write: Callable[[Store], object]
) -> None:
    store = Store.at(storage_address)
    put(open_storage(storage_address), "version.json", b'{"format": 99}')
    with pytest.raises(StoreError, match=r"^\S+: the store is of format 99, and this version of renku-metrics knows "):
        write(store)
    assert list(objects(storage_address)) == ["version.json"]


def test_two_that_begin_a_store_at_once_both_write(storage_address: str) -> None:
    one, other = Store.at(storage_address), Store.at(storage_address)
    WRITES["a merge"](one)
    WRITES["a write"](other)
    assert list(objects(storage_address)) == [
        "events/deployment=lab/month=2026-11-01/data.parquet",
        "raw/raw_keycloak_logins/deployment=lab/month=2026-11-01/data.parquet",
        "version.json",
    ]


def fingerprint(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:12]


def told(table: Table) -> list[Any]:
    """All of a table that its files depend on."""
    columns = [[c.name, str(c.type), c.required, c.merge] for c in table.columns]
    return [table.path, table.partitioned_by, table.key, columns]


def without_words(schema: Any) -> Any:
    """A JSON schema less what only says to people what it is."""
    if isinstance(schema, dict):
        return {name: without_words(part) for name, part in schema.items() if name != "description"}
    return schema


def test_what_a_store_holds_changes_only_with_its_format() -> None:
    tables = {table.path: fingerprint(told(table)) for table in (*TABLES, *BEFORE.values())}
    documents = {kind.__name__: fingerprint(without_words(adapter.json_schema())) for kind, adapter in FORMATS.items()}
    states = {kind.__name__: fingerprint(without_words(TypeAdapter(kind).json_schema())) for kind in STATES}
    found = {"tables": tables, "documents": documents, "states": states}

    recorded = json.loads(RECORDED.read_text(encoding="utf-8"))
    assert recorded.get(str(FORMAT)) == found, (
        "what a store holds is not what was recorded for this format. If a store may exist that holds it otherwise, "
        f"raise FORMAT in store/version.py; then record in {RECORDED.name} for {FORMAT}: {json.dumps(found)}"
    )
