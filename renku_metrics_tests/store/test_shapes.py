"""The store's door: a text that does not have the shape of its column is refused, and nothing is stored."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

from renku_metrics.schema import STRINGS, Table
from renku_metrics.store.files import Partition, partitions_of
from renku_metrics.store.store import Store
from renku_metrics.tables import RAW_GITLAB_USERS, RAW_KEYCLOAK_LOGINS
from renku_metrics_tests.every_table import TABLES, row_of
from renku_metrics_tests.store.rows import DAY, LATER_DAY, MONTH, NEXT_MONTH, login, user

PERSONAL = "ada@university.example"
TEXTS = [
    pytest.param(table, column, id=f"{table.name}.{column.name}")
    for table in TABLES
    for column in table.columns
    if column.shape and column.name not in table.partitioned_by
]


def write(store: Store, table: Table, frame: pd.DataFrame) -> object:
    return store.write(table, frame, sorted(partitions_of(table, frame)))


def ways_in(store: Store, table: Table) -> list[Callable[[pd.DataFrame], object]]:
    """The ways by which rows come into the store."""
    merges: list[Callable[[pd.DataFrame], object]] = [lambda frame: store.merge(table, frame)]
    return [lambda frame: write(store, table, frame), *(merges if table.partitioned_by else [])]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.at(str(tmp_path / "store"))


def objects(store: Store) -> list[str]:
    return [info.key for info in store.storage.list()]


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_a_row_that_fits_is_stored(store: Store, table: Table) -> None:
    for way_in in ways_in(store, table):
        way_in(table.frame([row_of(table)]))
    places: list[Partition] = sorted(partitions_of(table, table.frame([row_of(table)])))
    assert len(store.read(table, places)) == 1


@pytest.mark.parametrize(("table", "column"), TEXTS)
def test_a_text_of_another_shape_is_refused_without_repeating_it(store: Store, table: Table, column: Any) -> None:
    fitting = row_of(table)
    text = [*fitting[column.name], PERSONAL] if column.type == STRINGS else PERSONAL
    wrong = table.frame([fitting | {column.name: text}])

    for way_in in ways_in(store, table):
        with pytest.raises(ValueError, match=rf"^{table.name}: {column.name} holds 1 texts that are not ") as error:
            way_in(wrong)
        assert column.shape.meaning in str(error.value)
        assert_not_told(error.value)
    assert objects(store) == []


def assert_not_told(error: BaseException) -> None:
    """Neither the error nor what a traceback shows with it holds the text."""
    assert "ada" not in str(error).replace("keycloak", "").lower().split()
    assert PERSONAL not in str(error)
    assert PERSONAL not in repr(error.args)
    assert error.__cause__ is None
    assert error.__context__ is None or error.__suppress_context__


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_the_name_of_a_deployment_is_one(store: Store, table: Table) -> None:
    wrong = table.frame([row_of(table) | {"deployment": "../Ada"}])
    for way_in in ways_in(store, table):
        with pytest.raises(ValueError, match=r": deployment holds 1 texts that are not the name of a deployment$"):
            way_in(wrong)
    assert objects(store) == []


@pytest.mark.parametrize("day", [f"{DAY}T09:00", "ada@university.example", "2026-1-1", "2026-13-01", "2026-12-32"])
def test_a_day_is_a_day(store: Store, day: str) -> None:
    for way_in in ways_in(store, RAW_KEYCLOAK_LOGINS):
        with pytest.raises(
            ValueError, match=r"^raw_keycloak_logins: (month|event_day) holds 1 texts that are not "
        ) as error:
            way_in(RAW_KEYCLOAK_LOGINS.frame([login("1", event_day=day)]))
        assert_not_told(error.value)
    assert objects(store) == []


def test_one_wrong_row_of_many_months_leaves_all_as_they_were(store: Store) -> None:
    store.merge(RAW_KEYCLOAK_LOGINS, RAW_KEYCLOAK_LOGINS.frame([login("1")]))
    before = {key: store.storage.read(key) for key in objects(store)}
    months = [f"2026-{number:02}-01" for number in range(1, 13)]
    rows = [login(month, month) for month in months]
    rows[-1] |= {"keycloak_id": PERSONAL}

    for way_in in ways_in(store, RAW_KEYCLOAK_LOGINS):
        with pytest.raises(ValueError, match="keycloak_id holds 1 texts"):
            way_in(RAW_KEYCLOAK_LOGINS.frame(rows))
    assert {key: store.storage.read(key) for key in objects(store)} == before


@pytest.mark.parametrize(
    ("column", "value"),
    [("gitlab_user_id", PERSONAL), ("bot", PERSONAL), ("created_at", PERSONAL), ("address_hashes", [PERSONAL, 7])],
)
def test_a_value_of_another_type_is_refused_without_repeating_it(store: Store, column: str, value: Any) -> None:
    wrong = RAW_GITLAB_USERS.frame([user(1)]).astype({column: object})
    wrong.at[0, column] = value

    for way_in in ways_in(store, RAW_GITLAB_USERS):
        with pytest.raises(ValueError, match=r"^raw_gitlab_users: a value does not fit its column") as error:
            way_in(wrong)
        assert_not_told(error.value)
    assert objects(store) == []


def test_what_is_not_a_text_has_no_shape_to_keep(store: Store) -> None:
    frame = RAW_KEYCLOAK_LOGINS.frame([login("1", keycloak_id=None), login("2", LATER_DAY, client_id=None)])
    store.merge(RAW_KEYCLOAK_LOGINS, frame)
    assert store.partitions(RAW_KEYCLOAK_LOGINS, "lab") == [("lab", MONTH), ("lab", NEXT_MONTH)]
    assert pa.types.is_string(RAW_KEYCLOAK_LOGINS.schema.field("client_id").type)
