"""What is pulled when."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import dagster as dg
import pytest

from renku_metrics.dagster.raw import RECONCILE
from renku_metrics.definitions import build_definitions
from renku_metrics.deployments import Deployment
from renku_metrics_tests.dagster.automated import tick
from renku_metrics_tests.pipeline.pipeline import PEOPLE_AND_PROJECTS, RAW_DAYS

RANGE_START, RANGE_END = "dagster/asset_partition_range_start", "dagster/asset_partition_range_end"
LOGINS = {"raw_keycloak_logins"}
ALL_MONTHS = set(RAW_DAYS)
EXPECTED = {
    "people_and_projects_daily": ("30 1 * * *", set(PEOPLE_AND_PROJECTS)),
    "logins_every_four_hours": ("15 */4 * * *", LOGINS),
    "all_sources_daily": ("0 2 * * *", ALL_MONTHS),
    "last_week": ("0 3 * * 1", ALL_MONTHS),
    "last_month": ("30 3 1 * *", ALL_MONTHS),
    "reconciliation_monthly": ("0 18 15 * *", {"raw_gitlab_commits", "raw_gitlab_pushes"}),
}


def definitions_of(start: str, folder: Path) -> dg.Definitions:
    deployments = [Deployment(name=name, title=name, start=dt.date.fromisoformat(start)) for name in ("alps", "jura")]
    return build_definitions({deployment.name: deployment for deployment in deployments}, str(folder))


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_schedules_pull_their_tables_at_their_time(name: str, tmp_path: Path) -> None:
    definitions = definitions_of("2026-09-17", tmp_path)
    cron, tables = EXPECTED[name]
    schedule = definitions.resolve_schedule_def(name)
    assert (schedule.cron_schedule, schedule.execution_timezone) == (cron, "UTC")
    job = definitions.resolve_job_def(schedule.job_name)
    assert {key.to_user_string() for key in job.asset_layer.selected_asset_keys} == tables


@pytest.mark.parametrize(
    ("name", "at", "first", "last"),
    [
        ("logins_every_four_hours", "2026-11-24T04:15", "2026-11-01", "2026-11-01"),
        # The day that is over is of the month before.
        ("logins_every_four_hours", "2026-12-01T00:15", "2026-11-01", "2026-12-01"),
        ("all_sources_daily", "2026-11-24T02:00", "2026-11-01", "2026-11-01"),
        ("all_sources_daily", "2026-12-01T02:00", "2026-11-01", "2026-12-01"),
        ("all_sources_daily", "2026-12-02T02:00", "2026-12-01", "2026-12-01"),
        # Mondays: the last week is of one month, and of world.
        ("last_week", "2026-11-23T03:00", "2026-11-01", "2026-11-01"),
        ("last_week", "2026-11-02T03:00", "2026-10-01", "2026-11-01"),
        ("last_month", "2026-12-01T03:30", "2026-11-01", "2026-12-01"),
        ("last_month", "2027-03-01T03:30", "2027-02-01", "2027-03-01"),
        ("reconciliation_monthly", "2026-11-15T18:00", "2026-11-01", "2026-11-01"),
    ],
)
def test_a_tick_asks_for_months_up_to_the_running_one_in_one_run_for_each_deployment(
    name: str, at: str, first: str, last: str, tmp_path: Path
) -> None:
    requests = tick(definitions_of("2026-09-17", tmp_path), name, at).run_requests or []
    assert [request.tags["deployment"] for request in requests] == ["alps", "jura"]
    for request, deployment in zip(requests, ("alps", "jura"), strict=True):
        assert request.tags[RANGE_START] == f"{deployment}|{first}"
        assert request.tags[RANGE_END] == f"{deployment}|{last}"
    assert len({request.run_key for request in requests}) == 2


def test_only_the_reconciliation_lists_everything_again(tmp_path: Path) -> None:
    definitions = definitions_of("2026-09-17", tmp_path)
    jobs = {name: definitions.resolve_job_def(definitions.resolve_schedule_def(name).job_name) for name in EXPECTED}
    assert [name for name, job in jobs.items() if job.tags.get(RECONCILE) == "true"] == ["reconciliation_monthly"]


def test_each_tick_of_a_day_is_a_run_of_its_own(tmp_path: Path) -> None:
    definitions = definitions_of("2026-09-17", tmp_path)
    keys = [
        request.run_key
        for hour in ("00", "04", "08", "12", "16", "20")
        for request in tick(definitions, "logins_every_four_hours", f"2026-11-24T{hour}:15").run_requests or []
    ]
    assert len(set(keys)) == 12


def test_people_and_projects_are_pulled_whole_for_each_deployment(tmp_path: Path) -> None:
    requests = tick(definitions_of("2026-09-17", tmp_path), "people_and_projects_daily", "2026-11-24T01:30")
    assert [request.partition_key for request in requests.run_requests or []] == ["alps", "jura"]


def test_a_range_begins_no_earlier_than_the_first_month_there_is(tmp_path: Path) -> None:
    # The Monday after the first of November: most of its last week lies before any deployment.
    requests = tick(definitions_of("2026-11-01", tmp_path), "last_week", "2026-11-02T03:00").run_requests or []
    assert [request.tags[RANGE_START] for request in requests] == ["alps|2026-11-01", "jura|2026-11-01"]
    assert [request.tags[RANGE_END] for request in requests] == ["alps|2026-11-01", "jura|2026-11-01"]


def test_nothing_is_asked_for_before_the_first_day_is_over(tmp_path: Path) -> None:
    data = tick(definitions_of("2026-11-01", tmp_path), "all_sources_daily", "2026-11-01T02:00")
    assert data.run_requests == []
    assert "2026-11-01" in str(data.skip_message)


@pytest.mark.parametrize(("development", "expected"), [("1", "STOPPED"), (None, "RUNNING")])
def test_schedules_and_sensor_are_off_in_development_and_on_in_production(
    development: str | None, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if development:
        monkeypatch.setenv("DAGSTER_IS_DEV_CLI", development)
    else:
        monkeypatch.delenv("DAGSTER_IS_DEV_CLI", raising=False)
    repository = definitions_of("2026-09-17", tmp_path).get_repository_def()
    assert {schedule.name for schedule in repository.schedule_defs} == EXPECTED.keys()
    assert {schedule.default_status.value for schedule in repository.schedule_defs} == {expected}
    assert [(sensor.name, sensor.default_status.value) for sensor in repository.sensor_defs] == [
        ("follow_changed_months", expected)
    ]
