"""What is published, what stops it, and what is left when it is killed on its way."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import dagster as dg
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from renku_metrics.metrics.definition import CoreAction
from renku_metrics.metrics.dictionary import CORE_ACTIONS, RUNNING_A_WORKFLOW
from renku_metrics.pipeline.publishing import read_numbers, write_published
from renku_metrics.schema import month_of
from renku_metrics.sources.registry import read_deployments
from renku_metrics.store.files import WHOLE
from renku_metrics.store.ledger import Built, Ledger, Of
from renku_metrics.store.store import Store
from renku_metrics.tables import (
    COVERAGE,
    EVENTS,
    KINDS,
    RAW_KEYCLOAK_LOGINS,
    RAW_KEYCLOAK_USERS,
    REVISIONS,
    published_table,
)
from renku_metrics_tests.pipeline.mortal_storage import KilledError, MortalStorage
from renku_metrics_tests.pipeline.pipeline import Pipeline
from renku_metrics_tests.pipeline.planted import (
    MONTHS,
    SOURCES,
    START,
    WEEKS,
    cover_everything,
    plant,
    plant_everything,
    write_deployment_file,
)
from renku_metrics_tests.pipeline.values import hashed, uuid_of
from renku_metrics_tests.present import NOW

HOUR = dt.timedelta(hours=1)
NOON = dt.datetime(2026, 10, 5, 12, tzinfo=dt.UTC)


@pytest.fixture
def pipeline(tmp_path: Path) -> Iterator[Pipeline]:
    write_deployment_file(tmp_path / "deployments")
    with dg.DagsterInstance.ephemeral() as instance:
        pipeline = Pipeline(tmp_path / "deployments", str(tmp_path / "store"), instance)
        plant_everything(pipeline.store)
        yield pipeline


def files(pipeline: Pipeline) -> dict[str, bytes]:
    folder = Path(pipeline.address) / "published"
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def failed_checks(result: dg.ExecuteInProcessResult) -> set[str]:
    return {check.check_name for check in result.get_asset_check_evaluations() if not check.passed}


def test_everything_that_was_counted_is_published(pipeline: Pipeline) -> None:
    result = pipeline.materialize(["published"])
    assert result.success
    assert set(files(pipeline)) == {
        *("weekly.parquet", "weekly.csv", "monthly.parquet", "monthly.csv"),
        *("coverage.parquet", "coverage.csv", "revisions.parquet", "definitions.json", "README.md"),
    }
    weekly, monthly = (pipeline.published(kind) for kind in KINDS)
    assert (len(weekly), len(monthly)) == (len(WEEKS) * len(CORE_ACTIONS), len(MONTHS) * len(CORE_ACTIONS))
    assert set(weekly["share"]) == {0.375}
    assert set(weekly["missing"]) == {"logins:not configured; commits:not configured; sessions:not configured"}
    coverage = pipeline.store.read(COVERAGE, [WHOLE])
    assert list(coverage["period"]) == ["2026-08", "2026-09", "2026-W37", "2026-W38", "2026-W39"]
    assert list(coverage["linked_by_push"]) == [12, 12, 8, 8, 8]
    for name in ("weekly", "monthly", "coverage"):
        folder = Path(pipeline.address) / "published"
        stored = pd.read_parquet(folder / f"{name}.parquet")
        assert pd.read_csv(folder / f"{name}.csv").shape == stored.shape
        assert list(pd.read_csv(folder / f"{name}.csv").columns) == list(stored.columns)


def login(**fields: Any) -> dict[str, Any]:
    row = {"deployment": "lab", "login_key": hashed("8f1a2b"), "occurred_at": NOW, "client_id": "renku"}
    return row | {"pulled_at": NOW, "event_day": NOW.date().isoformat()} | fields


def plant_address_of_a_user(store: Store) -> None:
    hashes = ["ada@university.example"]
    row = {"deployment": "lab", "keycloak_id": uuid_of("k"), "address_hashes": hashes, "pulled_at": NOW}
    store.write(RAW_KEYCLOAK_USERS, RAW_KEYCLOAK_USERS.frame([row]), [("lab",)])


def plant_address_in_a_login(store: Store) -> None:
    store.merge(RAW_KEYCLOAK_LOGINS, RAW_KEYCLOAK_LOGINS.frame([login(client_id="from 130.60.24.7")]))


def plant_address_in_an_old_login(store: Store) -> None:
    old = login(event_day="2026-08-03", keycloak_id="ada@uni.example")
    store.merge(RAW_KEYCLOAK_LOGINS, RAW_KEYCLOAK_LOGINS.frame([login(), old]))


@pytest.mark.parametrize(
    ("plant_it", "column"),
    [
        (plant_address_of_a_user, "raw_keycloak_users: address_hashes holds 1 texts that are not a keyed hash"),
        (
            plant_address_in_a_login,
            "raw_keycloak_logins: client_id holds 1 texts that are not the id of an OAuth client",
        ),
        (
            plant_address_in_an_old_login,
            "raw_keycloak_logins: keycloak_id holds 1 texts that are not a UUID or a keyed hash",
        ),
    ],
)
def test_what_is_personal_is_refused_before_it_is_stored(plant_it: Any, column: str) -> None:
    store = Store(MortalStorage())
    with pytest.raises(ValueError, match=f"^{column}$"):
        plant_it(store)
    assert [*store.storage.list("raw/")] == []


def plant_address_in_a_count(pipeline: Pipeline) -> None:
    table = RUNNING_A_WORKFLOW.table("week")
    row = {"deployment": "lab", "week": WEEKS[0], "users": 3, "definition": "ada@uni.example", "computed_at": NOW}
    # The store itself refuses such a row.
    rows = pa.Table.from_pandas(table.frame([row]), schema=table.schema, preserve_index=False)
    pq.write_table(rows.select(table.file_schema.names), pipeline.store.address(table, ("lab",)))


def plant_an_event_twice(pipeline: Pipeline) -> None:
    days_and_keys = [(f"2026-08-{day:02}", f"login:{hashed(str(day))}") for day in range(1, 32)]
    days_and_keys += [("2026-11-02", f"login:{hashed('7')}")]
    row = {"deployment": "lab", "event_type": "login", "occurred_at": NOW, "source": "keycloak"}
    rows = [row | {"event_day": day, "event_key": key} for day, key in days_and_keys]
    places = sorted({("lab", month_of(day)) for day, _ in days_and_keys})
    written = pipeline.store.write(EVENTS, EVENTS.frame(rows), places)
    ledger = Ledger(pipeline.store, "lab")

    def note(built: Built) -> None:
        of: dict[str, Of] = {place[1]: {"raw_keycloak_logins": 1} for place in places}
        ledger.record(built.tables.setdefault(EVENTS.name, {}), EVENTS, written, of)

    ledger.change_built(note)


def plant_a_share_above_one(pipeline: Pipeline) -> None:
    write_deployment_file(pipeline.deployments, sources=SOURCES)
    cover_everything(pipeline.store)
    plant(pipeline.store, "week", WEEKS[1], 9, 8)
    plant(pipeline.store, "month", MONTHS[1], 9, 12)


@pytest.mark.parametrize(
    ("plant_it", "failing"),
    [
        (plant_address_in_a_count, {"nothing_personal"}),
        (plant_an_event_twice, {"event_keys_are_unique"}),
        (plant_a_share_above_one, {"users_are_active_users", "shares_are_shares"}),
    ],
)
def test_what_cannot_be_true_or_must_not_be_leaves_what_was_published_as_it_was(
    pipeline: Pipeline, plant_it: Any, failing: set[str]
) -> None:
    assert pipeline.materialize(["published"]).success
    before = files(pipeline)
    plant(pipeline.store, "week", WEEKS[0], 4, 8)
    plant_it(pipeline)
    result = pipeline.materialize(["published"])
    assert not result.success
    assert failed_checks(result) == failing
    assert files(pipeline) == before
    assert all("@" not in str(check.metadata) for check in result.get_asset_check_evaluations())


def test_numbers_that_are_counted_of_unlike_days_are_published_as_incomplete(pipeline: Pipeline) -> None:
    plant(pipeline.store, "week", WEEKS[1], 9, 8)
    plant(pipeline.store, "month", MONTHS[1], 9, 12)
    result = pipeline.materialize(["published"])
    assert result.success
    assert failed_checks(result) == {"users_are_active_users", "shares_are_shares"}
    weekly = pipeline.published("week")
    assert not weekly["complete"].any()
    assert set(weekly.loc[weekly["share"] > 1, "period"]) == {"2026-W38"}


def publish(
    store: Store, deployments: Path, at: dt.datetime, core_actions: Sequence[CoreAction] = CORE_ACTIONS
) -> None:
    known = read_deployments(deployments)
    numbers = read_numbers(store, known, core_actions, at)
    write_published(store, numbers, core_actions, at)


def revised(store: Store) -> list[tuple[Any, ...]]:
    """Period, users before and after of each revision."""
    rows = store.read(REVISIONS, [WHOLE]).sort_values(["changed_at", "period"])
    return [*rows[["period", "users_before", "users_after"]].itertuples(index=False, name=None)]


def test_a_publication_killed_anywhere_and_run_again_records_each_revision_once(tmp_path: Path) -> None:
    write_deployment_file(tmp_path / "deployments")
    deaths = 0
    for writes in range(7):
        storage = MortalStorage()
        store = Store(storage)

        def publish_at(hour: int, store: Store = store) -> None:
            publish(store, tmp_path / "deployments", NOON + hour * HOUR, [RUNNING_A_WORKFLOW])

        plant(store, "week", WEEKS[0], 3, 8)
        plant(store, "week", WEEKS[1], 3, 8)
        plant(store, "month", MONTHS[0], 6, 12)
        publish_at(0)
        plant(store, "week", WEEKS[1], 4, 8)
        plant(store, "month", MONTHS[0], 7, 12)
        storage.writes_left = writes
        try:
            publish_at(1)
        except KilledError:
            deaths += 1
        storage.writes_left = None
        # By the next time one of the numbers has gone back, and another has changed.
        plant(store, "month", MONTHS[0], 6, 12)
        plant(store, "week", WEEKS[0], 5, 8)
        publish_at(2)
        changes = revised(store)
        # The month's number was published or not, by how far the killed one came.
        month = [change for change in changes if change[0] == "2026-08"]
        assert month == ([("2026-08", 6, 7), ("2026-08", 7, 6)] if writes >= 4 else []), writes
        assert sorted(change for change in changes if change not in month) == [("2026-W37", 3, 5), ("2026-W38", 3, 4)]
        assert set(store.read(published_table("month"), [WHOLE])["users"]) == {6}
    assert deaths == 6


def test_a_deployment_that_is_removed_and_a_start_that_is_moved_are_revisions(tmp_path: Path) -> None:
    folder, store = tmp_path / "deployments", Store(MortalStorage())
    write_deployment_file(folder, "lab")
    write_deployment_file(folder, "other")
    for name in ("lab", "other"):
        plant_everything(store, name)
    publish(store, folder, NOON)

    (folder / "other.yaml").unlink()
    write_deployment_file(folder, "lab", start=dt.date(2026, 9, 10))
    publish(store, folder, NOON + HOUR)
    weekly = store.read(published_table("week"), [WHOLE])
    assert sorted(set(weekly["period"])) == ["2026-W38", "2026-W39"]
    assert store.read(published_table("month"), [WHOLE]).empty
    assert set(store.read(COVERAGE, [WHOLE])["period"]) == {"2026-W38", "2026-W39"}
    revisions = store.read(REVISIONS, [WHOLE])
    assert set(revisions["reason"]) == {"no longer published"}
    of_lab = revisions[revisions["deployment"] == "lab"]
    assert set(of_lab["period"]) == {"2026-W37", "2026-08", "2026-09"}
    assert len(revisions) == len(CORE_ACTIONS) * (3 + 5)

    # That they are back with the same numbers is no revision, nor are those of before forgotten.
    write_deployment_file(folder, "other")
    write_deployment_file(folder, "lab", start=START)
    publish(store, folder, NOON + 2 * HOUR)
    assert store.read(REVISIONS, [WHOLE]).equals(revisions)
    assert len(store.read(published_table("week"), [WHOLE])) == 2 * len(WEEKS) * len(CORE_ACTIONS)


def test_a_number_that_is_back_as_another_one_is_a_revision(tmp_path: Path) -> None:
    folder, store = tmp_path / "deployments", Store(MortalStorage())
    write_deployment_file(folder)
    plant_everything(store)
    publish(store, folder, NOON, [RUNNING_A_WORKFLOW])
    write_deployment_file(folder, start=dt.date(2026, 9, 10))
    publish(store, folder, NOON + HOUR, [RUNNING_A_WORKFLOW])
    gone = store.read(REVISIONS, [WHOLE])

    plant(store, "week", WEEKS[0], 4, 8)
    write_deployment_file(folder, start=START)
    publish(store, folder, NOON + 2 * HOUR, [RUNNING_A_WORKFLOW])
    revisions = store.read(REVISIONS, [WHOLE])
    [new] = revisions[revisions["changed_at"] > NOON + HOUR].to_dict("records")
    assert (new["period"], new["users_before"], new["users_after"]) == ("2026-W37", 3, 4)
    assert new["reason"] == "published again"
    assert len(revisions) == len(gone) + 1
