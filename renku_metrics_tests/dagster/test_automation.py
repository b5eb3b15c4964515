"""What is pulled when, and what follows from which change."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from pathlib import Path

import dagster as dg
import pytest

from renku_metrics.dagster.raw import RECONCILE
from renku_metrics.definitions import build_definitions
from renku_metrics.deployments import Deployment
from renku_metrics.metrics.dictionary import CORE_ACTIONS, CREATING_A_DATASET
from renku_metrics.periods import ONE_DAY, Period, days_between, midnight
from renku_metrics.tables import PeriodKind
from renku_metrics_tests.pipeline.pipeline import (
    METRICS,
    PEOPLE_AND_PROJECTS,
    RAW_DAYS,
    Pipeline,
    change_rules_of_events,
    range_of,
)
from renku_metrics_tests.pipeline.small_lab import HOUR, SmallLab, served
from renku_metrics_tests.present import TODAY, YESTERDAY

# Two weeks that are over, and whole in the grid.
LAST_MONDAY = Period.of("week", YESTERDAY).start
START = LAST_MONDAY - 14 * ONE_DAY

KINDS: tuple[PeriodKind, ...] = ("week", "month")

Requested = Mapping[str, AbstractSet[str | None]]


class Ticks:
    """The automation of a pipeline from now on, tick by tick."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._definitions = pipeline.definitions
        self._instance = pipeline.instance
        self._assets = self._definitions.resolve_asset_graph().get_all_asset_keys()
        self._cursor: dg.AssetDaemonCursor | None = None

    def next(self, at: dt.datetime | None = None) -> Requested:
        """The partitions requested of each asset of which any are; None is the only one of ``published``."""
        result = dg.evaluate_automation_conditions(
            defs=self._definitions, instance=self._instance, cursor=self._cursor, evaluation_time=at
        )
        self._cursor = result.cursor
        requested = {key.to_user_string(): set(result.get_requested_partitions(key)) for key in self._assets}
        return {name: partitions for name, partitions in requested.items() if partitions}

    def upgrade(self, pipeline: Pipeline) -> None:
        """The automation goes on with the code of another version."""
        self._definitions = pipeline.definitions


@dataclass
class World:
    """Deployment a, pulled, counted and published; and deployment b, known but never pulled."""

    a: SmallLab
    pipeline: Pipeline

    def pull_commits(self) -> None:
        """As the schedule does: with the pushes, of yesterday."""
        self.materialize(f"a|{YESTERDAY}", "raw_gitlab_commits", "raw_gitlab_pushes")

    def materialize(self, partition: str | None, *names: str) -> None:
        assert self.pipeline.materialize(names, partition=partition).success

    def do(self, requested: Requested) -> None:
        """What was requested, as the daemon would have it done."""
        for name, partitions in requested.items():
            for partition in partitions:
                self.materialize(partition, name)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("world")
    labs = [SmallLab(name, folder, START - ONE_DAY) for name in "ab"]
    for day in days_between(START, YESTERDAY):
        labs[0].log_in(day)
    for small in labs:
        small.lab.clock.set(midnight(TODAY))
    with (
        pytest.MonkeyPatch.context() as patch,
        served(labs, folder / "deployments", START, patch),
        dg.DagsterInstance.ephemeral() as instance,
    ):
        pipeline = Pipeline(folder / "deployments", str(folder / "store"), instance)
        for names in (
            PEOPLE_AND_PROJECTS,
            [*RAW_DAYS, "events", "user_days"],
            [f"{key}_weekly" for key in METRICS],
            [f"{key}_monthly" for key in METRICS],
        ):
            assert pipeline.materialize(names, of="a").success
        assert pipeline.materialize(["published"]).success
        yield World(labs[0], pipeline)


def periods_of(day: dt.date) -> Requested:
    """The numbers that a day of deployment a is in."""
    week, month = f"a|{Period.of('week', day).start}", f"a|{Period.of('month', day).start}"
    return {f"{key}_weekly": {week} for key in METRICS} | {f"{key}_monthly": {month} for key in METRICS}


def follow(world: World, ticks: Ticks, *expected: Requested) -> None:
    """One tick after the other requests exactly that, and it is done."""
    for requested in expected:
        assert ticks.next() == requested
        world.do(requested)


def test_a_late_commit_is_followed_from_its_day_to_what_is_published(world: World) -> None:
    ticks = Ticks(world.pipeline)
    assert ticks.next() == {}

    late = START + 2 * ONE_DAY
    world.a.commit(late, by="bob@elsewhere.example", late=True)
    world.pull_commits()
    day = {f"a|{late}"}
    follow(world, ticks, {"events": day}, {"user_days": day}, periods_of(late), {"published": {None}})
    assert ticks.next() == {}


def test_yesterday_is_followed_to_the_running_week_and_month(world: World) -> None:
    ticks = Ticks(world.pipeline)
    assert ticks.next() == {}

    world.a.commit(YESTERDAY, by="carol@elsewhere.example", late=True)
    world.pull_commits()
    day = {f"a|{YESTERDAY}"}
    follow(world, ticks, {"events": day}, {"user_days": day}, periods_of(YESTERDAY))


def test_pulls_that_bring_nothing_new_start_nothing(world: World) -> None:
    ticks = Ticks(world.pipeline)
    assert ticks.next() == {}

    world.materialize(f"a|{YESTERDAY}", *RAW_DAYS)
    last_week = range_of(f"a|{YESTERDAY - 6 * ONE_DAY}", f"a|{YESTERDAY}")
    assert world.pipeline.materialize(RAW_DAYS, tags=last_week).success
    assert ticks.next() == {}


def test_users_and_projects_alone_start_nothing(world: World) -> None:
    ticks = Ticks(world.pipeline)
    assert ticks.next() == {}

    world.a.lab.gitlab.add_user("dora", "dora@elsewhere.example", midnight(TODAY))
    world.a.add_project("a-new-one")
    world.materialize("a", *PEOPLE_AND_PROJECTS)
    assert ticks.next() == {}


def test_who_becomes_known_later_starts_the_days_of_their_commits_and_no_other(world: World) -> None:
    day = START + 3 * ONE_DAY
    world.a.commit(day, by="ada@home.example", late=True, quiet=True)
    world.a.commit(day, late=True)
    world.pull_commits()
    world.do({"events": {f"a|{day}"}, "user_days": {f"a|{day}"}})
    ticks = Ticks(world.pipeline)
    assert ticks.next() == {}

    world.a.lab.gitlab.add_email(world.a.ada, "ada@home.example", midnight(TODAY))
    world.a.ada.last_activity_on = TODAY
    world.materialize("a", *PEOPLE_AND_PROJECTS)
    follow(world, ticks, {"events": {f"a|{day}"}}, {"user_days": {f"a|{day}"}}, periods_of(day))

    # The same commits pulled again, and the same people, are no news.
    world.materialize(f"a|{day}", *RAW_DAYS)
    world.materialize("a", *PEOPLE_AND_PROJECTS)
    assert "events" not in ticks.next()


def test_a_change_that_comes_while_its_day_is_counted_is_counted_too(world: World) -> None:
    day = START + 4 * ONE_DAY
    ticks = Ticks(world.pipeline)
    assert ticks.next() == {}
    world.a.commit(day, by="erin@elsewhere.example", late=True)
    world.pull_commits()
    assert ticks.next() == {"events": {f"a|{day}"}}

    # After the request and before the count is done: nobody knows whether it read the second commit.
    world.a.commit(day, by="frank@elsewhere.example", late=True)
    world.pull_commits()
    world.do({"events": {f"a|{day}"}})
    assert ticks.next()["events"] == {f"a|{day}"}


def test_days_that_were_never_pulled_start_nothing(world: World) -> None:
    ticks = Ticks(world.pipeline)
    assert ticks.next() == {}

    # The logins and sessions of the day are not there, nor the users.
    world.materialize(f"b|{YESTERDAY}", "raw_gitlab_commits")
    assert ticks.next() == {}


def test_a_week_or_month_that_has_just_begun_waits_for_its_first_day(world: World) -> None:
    ticks = Ticks(world.pipeline)
    assert ticks.next() == {}
    new_week, new_month = (Period.of(kind, TODAY).end + ONE_DAY for kind in KINDS)
    for first in sorted({new_week, new_month}):
        # Once a day everything is published anew.
        assert ticks.next(midnight(first) + 6 * HOUR) == {"published": {None}}


def test_what_was_pulled_before_the_automation_began_is_counted(world: World) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        begun_anew = Pipeline(world.pipeline.deployments, world.pipeline.address, instance)
        assert begun_anew.materialize(PEOPLE_AND_PROJECTS, partition="a").success
        assert begun_anew.materialize(RAW_DAYS, partition=f"a|{YESTERDAY}").success
        ticks = Ticks(begun_anew)
        assert ticks.next()["events"] == {f"a|{YESTERDAY}"}
        assert begun_anew.materialize(["events"], partition=f"a|{YESTERDAY}").success
        assert ticks.next()["user_days"] == {f"a|{YESTERDAY}"}


def test_a_count_that_failed_is_tried_again_once_a_day(world: World) -> None:
    day = START + 5 * ONE_DAY
    place = ("a", day.isoformat())
    lost = Path(world.pipeline.address) / "raw" / "raw_keycloak_logins" / "deployment=a" / f"event_day={day}"
    lost.rename(lost.with_name("lost"))
    assert not world.pipeline.materialize(["events"], partition="|".join(place)).success
    lost.with_name("lost").rename(lost)

    early = midnight(TODAY) + dt.timedelta(hours=27)
    ticks = Ticks(world.pipeline)
    assert ticks.next(early) == {}
    assert ticks.next(early + dt.timedelta(minutes=50)) == {}
    assert ticks.next(early + dt.timedelta(minutes=70)) == {"events": {"|".join(place)}}
    assert ticks.next(early + dt.timedelta(minutes=71)) == {}


def test_other_rules_of_events_build_every_day_there_is_again_and_no_other(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    ticks = Ticks(world.pipeline)
    assert ticks.next() == {}
    days = world.pipeline.instance.get_materialized_partitions(dg.AssetKey("events"))
    assert len(days) > 14

    change_rules_of_events(monkeypatch)
    ticks.upgrade(world.pipeline)
    assert ticks.next() == {"events": days, "user_days": days}
    assert ticks.next() == {}


def test_another_definition_counts_every_week_and_month_of_its_metric_again(world: World) -> None:
    ticks = Ticks(world.pipeline)
    assert ticks.next() == {}

    new = replace(CREATING_A_DATASET, version="2")
    actions = [new if action is CREATING_A_DATASET else action for action in CORE_ACTIONS]
    ticks.upgrade(replace(world.pipeline, core_actions=actions))
    names = [f"creating_a_dataset_{kind}ly" for kind in KINDS]
    counted = {name: world.pipeline.instance.get_materialized_partitions(dg.AssetKey(name)) for name in names}
    assert all(len(partitions) > 0 for partitions in counted.values())
    assert ticks.next() == counted
    assert ticks.next() == {}


# Schedules

RANGE_START, RANGE_END = "dagster/asset_partition_range_start", "dagster/asset_partition_range_end"
LOGINS = {"raw_keycloak_logins"}
ALL_DAYS = set(RAW_DAYS)
EXPECTED = {
    "people_and_projects_daily": ("30 1 * * *", set(PEOPLE_AND_PROJECTS)),
    "logins_every_four_hours": ("15 */4 * * *", LOGINS),
    "all_sources_daily": ("0 2 * * *", ALL_DAYS),
    "last_week": ("0 3 * * 1", ALL_DAYS),
    "last_month": ("30 3 1 * *", ALL_DAYS),
    "reconciliation_monthly": ("0 18 15 * *", {"raw_gitlab_commits", "raw_gitlab_pushes"}),
}


def definitions_of(start: str, folder: Path) -> dg.Definitions:
    deployments = [Deployment(name=name, title=name, start=dt.date.fromisoformat(start)) for name in ("alps", "jura")]
    return build_definitions({deployment.name: deployment for deployment in deployments}, str(folder))


def tick(definitions: dg.Definitions, name: str, at: str) -> dg.ScheduleExecutionData:
    schedule = definitions.resolve_schedule_def(name)
    with dg.DagsterInstance.ephemeral() as instance:
        context = dg.build_schedule_context(
            instance=instance,
            scheduled_execution_time=dt.datetime.fromisoformat(at).replace(tzinfo=dt.UTC),
            repository_def=definitions.get_repository_def(),
        )
        return schedule.evaluate_tick(context)


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
        ("logins_every_four_hours", "2026-11-24T04:15", "2026-11-23", "2026-11-23"),
        ("all_sources_daily", "2026-11-24T02:00", "2026-11-23", "2026-11-23"),
        # A Monday.
        ("last_week", "2026-11-23T03:00", "2026-11-16", "2026-11-22"),
        ("last_month", "2026-12-01T03:30", "2026-11-01", "2026-11-30"),
        ("last_month", "2027-03-01T03:30", "2027-02-01", "2027-02-28"),
        ("reconciliation_monthly", "2026-11-15T18:00", "2026-11-14", "2026-11-14"),
    ],
)
def test_a_tick_asks_for_days_up_to_yesterday_in_one_run_for_each_deployment(
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


def test_a_range_begins_no_earlier_than_the_first_day_there_is(tmp_path: Path) -> None:
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
        ("follow_changed_days", expected)
    ]
