"""Rows in = events out + dropped: what would not hold is told as a failed check of events, and is not stored."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import dagster as dg
import pandas as pd
import pytest

from renku_metrics.events.union import EventsBuilt, RawFrames, build_events
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

DAY, NEXT_DAY = "2026-09-14", "2026-09-15"


@pytest.fixture
def pipeline(tmp_path: Path) -> Iterator[Pipeline]:
    """Three logins of one deployment on a Monday, one of another one on the day after; nothing else."""
    with dg.DagsterInstance.ephemeral() as instance:
        pipeline = Pipeline(tmp_path / "deployments", str(tmp_path / "store"), instance)
        rows = {
            "lab": [login(key, occurred_at=f"{DAY}T08:00") for key in "abc"],
            "other": [login("d", occurred_at=f"{NEXT_DAY}T08:00")],
        }
        for name, logins in rows.items():
            write_deployment_file(pipeline.deployments, name, sources=SOURCES)
            for table in (RAW_GITLAB_PROJECTS, RAW_GITLAB_USERS, RAW_KEYCLOAK_USERS):
                pipeline.store.ensure(table, [(name,)])
            for table in (RAW_GITLAB_COMMITS, RAW_AMALTHEA_SESSIONS, RAW_KEYCLOAK_LOGINS):
                pipeline.store.ensure(table, [(name, DAY), (name, NEXT_DAY)])
            pipeline.store.merge(
                RAW_KEYCLOAK_LOGINS, RAW_KEYCLOAK_LOGINS.frame(row | {"deployment": name} for row in logins)
            )
        yield pipeline


def build(pipeline: Pipeline) -> tuple[bool, Sequence[dg.AssetCheckEvaluation]]:
    result = pipeline.materialize(["events"], tags=range_of(f"lab|{DAY}", f"other|{NEXT_DAY}"))
    return result.success, result.get_asset_check_evaluations()


def events_of(pipeline: Pipeline, deployment: str, day: str) -> pd.DataFrame:
    return pipeline.store.read_if_there(EVENTS, [(deployment, day)])


def test_that_rows_are_conserved_is_a_check_of_events(pipeline: Pipeline) -> None:
    success, [check] = build(pipeline)
    assert success
    assert (check.asset_key, check.check_name, check.passed) == (dg.AssetKey("events"), "rows_are_conserved", True)
    assert check.metadata["raw_rows"].value == 4


def lose_one(built: EventsBuilt) -> EventsBuilt:
    return replace(built, events=built.events[built.events["event_key"] != "login:b"])


def invent_one(built: EventsBuilt) -> EventsBuilt:
    invented = built.events[built.events["event_key"] == "login:b"].assign(event_key="login:z")
    return replace(built, events=pd.concat([built.events, invented], ignore_index=True))


@pytest.mark.parametrize(("spoil", "became"), [(lose_one, 2), (invent_one, 4)])
def test_a_row_that_is_lost_or_comes_from_nowhere_is_told_loudly_and_not_stored(
    pipeline: Pipeline, spoil: Callable[[EventsBuilt], EventsBuilt], became: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def spoilt(raw: RawFrames) -> EventsBuilt:
        return spoil(build_events(raw))

    monkeypatch.setattr(building, "build_events", spoilt)
    success, [check] = build(pipeline)
    assert not success
    assert (check.passed, check.severity) == (False, dg.AssetCheckSeverity.ERROR)
    said = f"lab: events of {DAY}: of 3 raw rows {became} became events and 0 were dropped"
    assert check.metadata["violated"].value == [said]
    assert events_of(pipeline, "lab", DAY).empty
    # The other deployment's are.
    assert list(events_of(pipeline, "other", NEXT_DAY)["event_key"]) == ["login:d"]


def test_what_was_corrected_is_in_the_metadata_of_the_day(pipeline: Pipeline) -> None:
    at = dt.datetime.fromisoformat(f"{DAY}T10:00:00+00:00")
    row = {
        "session_uid": "u",
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
    result = pipeline.materialize(["events"], partition=f"lab|{DAY}")
    [stored] = [event.materialization for event in result.get_asset_materialization_events() if event.partition]
    assert stored.metadata["corrected"].value == {"start of a session whose own line was lost": 1}
    assert stored.metadata["raw_rows"].value == 4
