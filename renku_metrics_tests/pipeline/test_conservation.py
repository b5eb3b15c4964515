"""Rows in = events out + dropped: what would not hold is told as a failed check of events, and is not stored."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import dagster as dg
import pandas as pd
import pytest

from renku_metrics.events.union import EventsBuilt, Part, unite
from renku_metrics.pipeline import building
from renku_metrics.tables import (
    EVENTS,
    RAW_AMALTHEA_SESSIONS,
    RAW_GITLAB_COMMITS,
    RAW_GITLAB_PROJECTS,
    RAW_GITLAB_USERS,
    RAW_KEYCLOAK_LOGINS,
    RAW_KEYCLOAK_USERS,
)
from renku_metrics_tests.events.raw_rows import login
from renku_metrics_tests.pipeline.pipeline import Pipeline, range_of
from renku_metrics_tests.pipeline.planted import SOURCES, write_deployment_file
from renku_metrics_tests.pipeline.values import hashed, uuid_of

DAY, NEXT_DAY, MONTH = "2026-09-14", "2026-09-15", "2026-09-01"
LOGIN_B = f"login:{hashed('b')}"


@pytest.fixture
def pipeline(tmp_path: Path) -> Iterator[Pipeline]:
    """Three logins of one deployment on a Monday, one of another one on the day after; nothing else."""
    with dg.DagsterInstance.ephemeral() as instance:
        pipeline = Pipeline(tmp_path / "deployments", str(tmp_path / "store"), instance)
        ada = uuid_of("ada")
        rows = {
            "lab": [login(hashed(key), ada, f"{DAY}T08:00") for key in "abc"],
            "other": [login(hashed("d"), ada, f"{NEXT_DAY}T08:00")],
        }
        for name, logins in rows.items():
            write_deployment_file(pipeline.deployments, name, sources=SOURCES)
            for table in (RAW_GITLAB_PROJECTS, RAW_GITLAB_USERS, RAW_KEYCLOAK_USERS):
                pipeline.store.ensure(table, [(name,)])
            for table in (RAW_GITLAB_COMMITS, RAW_AMALTHEA_SESSIONS, RAW_KEYCLOAK_LOGINS):
                pipeline.store.ensure(table, [(name, MONTH)])
            pipeline.store.merge(
                RAW_KEYCLOAK_LOGINS, RAW_KEYCLOAK_LOGINS.frame(row | {"deployment": name} for row in logins)
            )
        yield pipeline


def build(pipeline: Pipeline) -> tuple[bool, Sequence[dg.AssetCheckEvaluation]]:
    result = pipeline.materialize(["events"], tags=range_of(f"lab|{MONTH}", f"other|{MONTH}"))
    return result.success, result.get_asset_check_evaluations()


def events_of(pipeline: Pipeline, deployment: str) -> pd.DataFrame:
    return pipeline.store.read_if_there(EVENTS, [(deployment, MONTH)])


def test_that_rows_are_conserved_is_a_check_of_events(pipeline: Pipeline) -> None:
    success, [check] = build(pipeline)
    assert success
    assert (check.asset_key, check.check_name, check.passed) == (dg.AssetKey("events"), "rows_are_conserved", True)
    assert check.metadata["raw_rows"].value == 4


def lose_one(built: EventsBuilt) -> EventsBuilt:
    return replace(built, events=built.events[built.events["event_key"] != LOGIN_B])


def invent_one(built: EventsBuilt) -> EventsBuilt:
    invented = built.events[built.events["event_key"] == LOGIN_B].assign(event_key=f"login:{hashed('z')}")
    return replace(built, events=pd.concat([built.events, invented], ignore_index=True))


@pytest.mark.parametrize(("spoil", "became"), [(lose_one, 2), (invent_one, 4)])
def test_a_row_that_is_lost_or_comes_from_nowhere_is_told_loudly_and_not_stored(
    pipeline: Pipeline, spoil: Callable[[EventsBuilt], EventsBuilt], became: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def spoilt(deployment: str, parts: Sequence[Part]) -> EventsBuilt:
        return spoil(unite(deployment, parts))

    monkeypatch.setattr(building, "unite", spoilt)
    success, [check] = build(pipeline)
    assert not success
    assert (check.passed, check.severity) == (False, dg.AssetCheckSeverity.ERROR)
    said = f"lab: events of 2026-09: of 3 raw rows {became} became events and 0 were dropped"
    assert check.metadata["violated"].value == [f"{said}; report this as a fault of renku-metrics"]
    assert events_of(pipeline, "lab").empty
    # The other deployment's are.
    assert list(events_of(pipeline, "other")["event_key"]) == [f"login:{hashed('d')}"]


def test_what_was_corrected_is_in_the_metadata_of_the_month(pipeline: Pipeline) -> None:
    at = dt.datetime.fromisoformat(f"{DAY}T10:00:00+00:00")
    row = {
        "session_uid": uuid_of("u"),
        "created_at": at,
        "changed_at": at,
        "pulled_at": at,
        "anonymous": False,
        "status": "running",
    }
    lines = RAW_AMALTHEA_SESSIONS.frame(
        [{"deployment": "lab", "event_day": DAY, "namespace": "renku", "old_status": "starting", **row}]
    )
    pipeline.store.merge(RAW_AMALTHEA_SESSIONS, lines)
    result = pipeline.materialize(["events"], partition=f"lab|{MONTH}")
    [stored] = [event.materialization for event in result.get_asset_materialization_events() if event.partition]
    assert stored.metadata["corrected"].value == {"start of a session whose own line was lost": 1}
    assert stored.metadata["raw_rows"].value == 4
