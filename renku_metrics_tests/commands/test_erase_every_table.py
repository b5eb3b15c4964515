"""No table that names people can be forgotten by an erasure: tables and columns are read off the declarations."""

from __future__ import annotations

import datetime as dt
import io
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from renku_metrics.cli import renku_metrics
from renku_metrics.pipeline.erasing import cleared_tables
from renku_metrics.schema import DAY, STRINGS, TIMESTAMP, Column, Shape, Table
from renku_metrics.shapes import KEYCLOAK_ID, USER_ID
from renku_metrics.sources.addresses import AddressBook
from renku_metrics.store.files import partitions_of
from renku_metrics.store.ledger import BEFORE
from renku_metrics.store.store import Store
from renku_metrics.tables import RAW_GITLAB_COMMITS, RAW_GITLAB_PROJECTS, RAW_GITLAB_USERS, RAW_KEYCLOAK_USERS
from renku_metrics_tests import every_table
from renku_metrics_tests.pipeline.planted import SOURCES, write_deployment_file
from renku_metrics_tests.pipeline.values import hashed, sha, uuid_of

KEY = "a key of tests"
AT = dt.datetime(2026, 9, 14, 8, tzinfo=dt.UTC)
TABLES = [*every_table.TABLES, *BEFORE.values()]
# Columns that begin with linked_by count people.
NAMES_PEOPLE = re.compile(r"(?!linked_by_)(?:(?:.*_)?user_id|pusher_id|creator_id|.*_gitlab_id|.*address_hash(?:es)?)")
# The person who is erased, and another one, by the kinds of columns; the numbers are nowhere else.
Ids = dict[str, Any]


def ids(name: str, number: int) -> Ids:
    address = AddressBook(KEY.encode(), []).hash(f"{name}@university.example")
    keycloak_id = uuid_of(name)
    return {"keycloak": keycloak_id, "gitlab": number, "address": address, "user": keycloak_id}


ADA, BOB, EVE = ids("ada", 987654321), ids("bob", 123454321), ids("eve", 678909876)
# Ways to write the user id of an event.
USER_IDS = [ADA["keycloak"], f"gitlab:{ADA['gitlab']}", f"email:{ADA['address']}"]


def undeclared(table: Table) -> list[str]:
    """The columns that hold somebody's id or address, and are not declared as theirs."""
    return [
        column.name
        for column in table.columns
        if not column.person and (column.shape in (KEYCLOAK_ID, USER_ID) or NAMES_PEOPLE.fullmatch(column.name))
    ]


def test_each_column_that_names_a_person_is_declared_so() -> None:
    assert {table.path: undeclared(table) for table in TABLES} == {table.path: [] for table in TABLES}


@pytest.mark.parametrize(
    "forgotten",
    [
        Column("owner", pa.string(), "", shape=KEYCLOAK_ID),
        Column("by", pa.string(), "", shape=USER_ID),
        *(
            Column(name, pa.int64(), "")
            for name in ("user_id", "gitlab_user_id", "pusher_id", "creator_id", "committer_gitlab_id")
        ),
        Column("committer_address_hash", pa.string(), ""),
        Column("address_hashes", STRINGS, ""),
    ],
    ids=lambda column: column.name,
)
def test_one_that_is_not_would_be_found(forgotten: Column) -> None:
    assert undeclared(replace(RAW_GITLAB_PROJECTS, columns=(*RAW_GITLAB_PROJECTS.columns, forgotten))) == [
        forgotten.name
    ]


def test_every_table_that_names_people_is_cleared() -> None:
    assert {table.path for table in cleared_tables()} == {table.path for table in TABLES if table.personal}
    assert len(cleared_tables()) >= 10


def sample(shape: Shape, number: int) -> str:
    """A text that fits; another one for another number, where the shape has as many."""
    name = f"{number}"
    texts = [hashed(name), sha(name), uuid_of(name), f"login:{hashed(name)}", "2026-09-14", "2026-09-01", "gitlab:1"]
    texts += ["lab", "dataset create", "--create", f"{number:026}", *shape.pattern.split("|")]
    return next(text for text in texts if shape.fits(text))


def value(column: Column, number: int) -> Any:
    if column.name == "deployment":
        return "lab"
    if column.name == DAY:
        return AT.date().isoformat()
    if column.type == STRINGS:
        return [sample(column.shape, number)] if column.shape else []
    if column.type == TIMESTAMP:
        return AT
    if column.type == pa.int64():
        return number
    if column.type == pa.bool_():
        return False
    return sample(column.shape, number) if column.shape else None


def row(table: Table, number: int, person: Ids, *, only: str = "") -> dict[str, Any]:
    """A row that names the person; with ``only`` in this column alone, and Eve in all others that name anybody."""
    found = {column.name: value(column, number) for column in table.columns}
    if table is RAW_GITLAB_COMMITS:
        # The project that is known.
        found["project_id"] = 1
    for column in table.personal:
        whose = (person if column.name == only or not only else EVE)[column.person or ""]
        found[column.name] = [whose] if column.type == STRINGS else whose
    return found


def put(store: Store, table: Table, *rows: dict[str, Any]) -> None:
    frame = table.frame(rows)
    store.write(table, frame, partitions_of(table, frame))


def traces(store: Store, person: Ids) -> list[str]:
    """Each object that tells anything of the person."""
    found = []
    for info in store.storage.list():
        content = store.storage.read(info.key)
        text = content.decode(errors="replace")
        if info.key.endswith(".parquet"):
            text = str(pq.read_table(io.BytesIO(content)).to_pylist())
        found += [info.key for told in person.values() if str(told) in text]
    return sorted(set(found))


def people(store: Store, table: Table) -> None:
    """Who the two are, and the project that the commits are in; where another table is not put to the test."""
    for users in (RAW_GITLAB_USERS, RAW_KEYCLOAK_USERS):
        if users is not table:
            put(store, users, row(users, 1, ADA), row(users, 2, BOB))
    if table is not RAW_GITLAB_PROJECTS:
        own = {column.name: value(column, 1) for column in RAW_GITLAB_PROJECTS.columns}
        put(store, RAW_GITLAB_PROJECTS, own | {"creator_id": None, "namespace_id": None, "project_id": 1})


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    write_deployment_file(tmp_path / "deployments", sources=SOURCES)
    monkeypatch.setenv("RENKU_METRICS_DEPLOYMENTS", str(tmp_path / "deployments"))
    monkeypatch.setenv("RENKU_METRICS_STORE", str(tmp_path / "store"))
    monkeypatch.setenv("RENKU_METRICS_HASH_KEY", KEY)
    return Store.at(str(tmp_path / "store"))


def erase() -> None:
    """Everything that Ada is known by."""
    users = [word for user_id in USER_IDS for word in ("--user", user_id)]
    result = CliRunner().invoke(renku_metrics, ["erase", "--deployment", "lab", *users, "--yes"])
    assert result.exit_code == 0, result.output


COLUMNS = {f"{table.path}.{column.name}": (table, column) for table in cleared_tables() for column in table.personal}


@pytest.mark.parametrize("table", cleared_tables(), ids=lambda table: table.path)
def test_what_a_killed_writer_has_left_of_the_person_goes_as_well(store: Store, tmp_path: Path, table: Table) -> None:
    people(store, table)
    put(store, table, row(table, 3, ADA), row(table, 7, BOB))
    [place] = partitions_of(table, table.frame([row(table, 3, ADA)]))
    whole = Path(store.address(table, place))
    left = whole.with_name(f".{whole.name}.partial")
    left.write_bytes(whole.read_bytes())
    # And of a month that was never stored whole.
    never = (
        [tmp_path / "store" / table.path / "deployment=lab" / "month=2026-08-01" / left.name] if table.by_month else []
    )
    for path in never:
        path.parent.mkdir(parents=True)
        path.write_bytes(whole.read_bytes())
    erase()
    assert not [path for path in (left, *never) if path.exists()]


@pytest.mark.parametrize("name", COLUMNS)
def test_a_person_who_is_named_in_one_column_alone_is_nowhere_afterwards(store: Store, name: str) -> None:
    table, column = COLUMNS[name]
    people(store, table)
    hers = [row(table, 3, ADA, only=column.name)]
    if column.person == "user":
        hers = [hers[0] | {column.name: user_id, **_other_key(table, at)} for at, user_id in enumerate(USER_IDS)]
    of_bob = row(table, 7, BOB)
    put(store, table, *hers, of_bob)
    path = store.address(table, next(iter(partitions_of(table, table.frame([of_bob])))))
    key = path.removeprefix(store.storage.address()).removeprefix("/")
    assert key in traces(store, ADA)
    assert key in traces(store, BOB)

    erase()

    assert traces(store, ADA) == []
    assert key in traces(store, BOB)
    left = store.read(table, store.partitions(table, "lab"))
    expected = table.frame([of_bob])
    key_of_bob = [left[name].eq(expected[name].iloc[0]) for name in table.key if of_bob[name] is not None]
    kept = left[[all(of) for of in zip(*key_of_bob, strict=True)]].reset_index(drop=True)
    assert kept.astype(str).equals(expected.astype(str))


def _other_key(table: Table, number: int) -> dict[str, Any]:
    own = next(column for column in reversed(table.columns) if column.name in table.key)
    return {} if own.person else {own.name: value(own, 30 + number)}
