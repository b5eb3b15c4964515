"""What is pulled when, and what follows from which change."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import dagster as dg
import pytest
import yaml

from renku_metrics.dagster.raw import RECONCILE
from renku_metrics.definitions import build_definitions
from renku_metrics.deployments import Deployment
from renku_metrics.metrics.dictionary import CORE_ACTIONS, CREATING_A_DATASET
from renku_metrics.periods import ONE_DAY, Period, days_between, midnight
from renku_metrics.tables import KINDS
from renku_metrics_tests.pipeline.pipeline import (
    METRICS,
    PEOPLE_AND_PROJECTS,
    RAW_DAYS,
    Pipeline,
    change_rules_of_events,
    range_of,
)
from renku_metrics_tests.pipeline.small_lab import HOUR, SmallLab
from renku_metrics_tests.present import TODAY, YESTERDAY, constant_present
from renku_metrics_tests.served import served

# A Monday: the grid has two months and eight weeks.
START = dt.date(2026, 10, 5)
OCTOBER, NOVEMBER, DECEMBER = (dt.date(2026, month, 1) for month in (10, 11, 12))
# The Mondays of the weeks with a day in each month, from the first in the grid to the running one.
WEEKS = {
    OCTOBER: [dt.date(2026, 10, day) for day in (5, 12, 19, 26)],
    NOVEMBER: [dt.date(2026, 10, 26), *(dt.date(2026, 11, day) for day in (2, 9, 16, 23))],
}
COMMITS = ["raw_gitlab_commits", "raw_gitlab_pushes"]
WEEKLY, MONTHLY = ([f"{key}_{kind}ly" for key in METRICS] for kind in KINDS)
BY_MONTH = ["events", "user_days", *MONTHLY]

Requested = Mapping[str, AbstractSet[str | None]]


class Ticks:
    """The automation of a pipeline from now on, tick by tick."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._definitions = pipeline.definitions
        self._instance = pipeline.instance
        self._cursor: dg.AssetDaemonCursor | None = None

    def next(self, at: dt.datetime | None = None) -> Requested:
        """The partitions requested of each asset of which any are; None is the only one of ``published``."""
        result = dg.evaluate_automation_conditions(
            defs=self._definitions, instance=self._instance, cursor=self._cursor, evaluation_time=at
        )
        self._cursor = result.cursor
        assets = self._definitions.resolve_asset_graph().get_all_asset_keys()
        requested = {key.to_user_string(): set(result.get_requested_partitions(key)) for key in assets}
        return {name: partitions for name, partitions in requested.items() if partitions}

    def upgrade(self, pipeline: Pipeline) -> None:
        """The automation goes on with other code, or other deployment files."""
        self._definitions = pipeline.definitions


@dataclass
class World:
    """Some deployments, and the pipeline that pulls, counts and publishes them."""

    labs: Sequence[SmallLab]
    pipeline: Pipeline

    @property
    def a(self) -> SmallLab:
        return self.labs[0]

    def pull_commits(self, deployment: str = "a") -> None:
        """As the schedule does: with the pushes, of the running month."""
        self.materialize(f"{deployment}|{NOVEMBER}", *COMMITS)

    def bring_late(self, day: dt.date, by: str, of: int = 0) -> None:
        """Somebody whom nobody knows turns out to have committed on that day, and so has Ada."""
        self.labs[of].commit(day, by=f"{by}@elsewhere.example", late=True, quiet=True)
        self.labs[of].commit(day, late=True)
        self.pull_commits(self.labs[of].name)

    def materialize(self, partition: str | None, *names: str) -> None:
        assert self.pipeline.materialize(names, partition=partition).success

    def do(self, requested: Requested) -> None:
        """What was requested, as the daemon would have it done: one run of what shares the same partitions."""
        names_of: dict[frozenset[str | None], list[str]] = {}
        for name, keys in requested.items():
            names_of.setdefault(frozenset(keys), []).append(name)
        for partitions, names in names_of.items():
            if partitions == {None}:
                self.materialize(None, *names)
            for deployment in {str(key).split("|")[0] for key in partitions - {None}}:
                its = sorted(str(key) for key in partitions if str(key).startswith(f"{deployment}|"))
                assert self.pipeline.materialize(names, tags=range_of(its[0], its[-1])).success


@contextmanager
def begun(folder: Path, names: Sequence[str], counted: str) -> Iterator[World]:
    """Deployments of these names with a login on every day; some are pulled, counted and published."""
    labs = [SmallLab(name, folder, START - ONE_DAY) for name in names]
    for small in labs:
        for day in days_between(START, YESTERDAY):
            small.log_in(day)
        small.lab.clock.set(midnight(TODAY))
    with (
        pytest.MonkeyPatch.context() as patch,
        served([small.lab for small in labs], folder / "deployments", START, patch),
        dg.DagsterInstance.ephemeral() as instance,
    ):
        world = World(labs, Pipeline(folder / "deployments", str(folder / "store"), instance))
        if counted:
            first, last = counted[0], counted[-1]
            months = range_of(f"{first}|{OCTOBER}", f"{last}|{NOVEMBER}")
            weeks = range_of(f"{first}|{WEEKS[OCTOBER][0]}", f"{last}|{WEEKS[NOVEMBER][-1]}")
            for names_of, tags in (
                (PEOPLE_AND_PROJECTS, range_of(first, last)),
                ([*RAW_DAYS, *BY_MONTH], months),
                (WEEKLY, weeks),
                (["published"], None),
            ):
                assert world.pipeline.materialize(names_of, tags=tags).success
        yield world


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Deployments a and b, pulled, counted and published; and deployment c, known but never pulled."""
    with begun(tmp_path_factory.mktemp("world"), "abc", counted="ab") as world:
        yield world


def of_months(*months: dt.date, deployments: str = "a") -> Requested:
    """Everything that is built by month, of these months."""
    keys = {f"{deployment}|{month}" for deployment in deployments for month in months}
    return dict.fromkeys(BY_MONTH, keys)


def of_weeks(*months: dt.date, deployments: str = "a") -> Requested:
    """The weekly numbers of every week with a day in these months."""
    keys = {f"{deployment}|{week}" for deployment in deployments for month in months for week in WEEKS[month]}
    return dict.fromkeys(WEEKLY, keys)


PUBLISHED: Requested = {"published": {None}}


def follow(world: World, ticks: Ticks, *expected: Requested) -> None:
    """One tick after the other requests exactly that, and it is done."""
    for requested in expected:
        assert ticks.next() == requested
        world.do(requested)


# What follows


def test_a_late_commit_is_followed_from_its_month_to_what_is_published(world: World) -> None:
    ticks = Ticks(world.pipeline)
    assert ticks.next() == {}

    world.bring_late(START + 2 * ONE_DAY, by="bob")
    follow(world, ticks, of_months(OCTOBER), of_weeks(OCTOBER), PUBLISHED)
    assert ticks.next() == {}


def test_yesterday_is_followed_to_the_running_week_and_month(world: World) -> None:
    ticks = Ticks(world.pipeline)
    assert ticks.next() == {}

    world.bring_late(YESTERDAY, by="carol")
    follow(world, ticks, of_months(NOVEMBER), of_weeks(NOVEMBER), PUBLISHED)
    assert ticks.next() == {}


def test_months_that_changed_together_are_requested_together(world: World) -> None:
    ticks = Ticks(world.pipeline)
    assert ticks.next() == {}

    for day in (START + ONE_DAY, YESTERDAY):
        world.bring_late(day, by="dave")
    world.bring_late(YESTERDAY, by="dave", of=1)
    requested = {name: {*keys, f"b|{NOVEMBER}"} for name, keys in of_months(OCTOBER, NOVEMBER).items()}
    b_weeks = of_weeks(NOVEMBER, deployments="b")
    weeks = {name: keys | b_weeks[name] for name, keys in of_weeks(OCTOBER, NOVEMBER).items()}
    follow(world, ticks, requested, weeks, PUBLISHED)
    assert ticks.next() == {}


def test_what_comes_out_the_same_is_followed_no_further(world: World) -> None:
    ticks = Ticks(world.pipeline)
    assert ticks.next() == {}

    for day in (START + 11 * ONE_DAY, START + 12 * ONE_DAY):
        world.a.commit(day, late=True)
    world.pull_commits()
    follow(world, ticks, of_months(OCTOBER), of_weeks(OCTOBER), PUBLISHED)
    # Another day of a week in which Ada is counted already: no number changes.
    world.a.commit(START + 13 * ONE_DAY, late=True)
    world.pull_commits()
    follow(world, ticks, of_months(OCTOBER), of_weeks(OCTOBER))
    assert ticks.next() == {}
    # Another commit to the same project on the same day: not even the user days change.
    world.a.commit(START + 13 * ONE_DAY, late=True)
    world.pull_commits()
    follow(world, ticks, of_months(OCTOBER))
    assert ticks.next() == {}


def test_pulls_that_bring_nothing_new_start_nothing(world: World) -> None:
    ticks = Ticks(world.pipeline)
    assert ticks.next() == {}

    world.materialize(f"a|{NOVEMBER}", *RAW_DAYS)
    assert world.pipeline.materialize(RAW_DAYS, tags=range_of(f"a|{OCTOBER}", f"a|{NOVEMBER}")).success
    assert ticks.next() == {}


def test_users_and_projects_alone_start_nothing(world: World) -> None:
    ticks = Ticks(world.pipeline)
    assert ticks.next() == {}

    world.a.lab.gitlab.add_user("dora", "dora@elsewhere.example", midnight(TODAY))
    world.a.add_project("a-new-one")
    world.materialize("a", *PEOPLE_AND_PROJECTS)
    assert ticks.next() == {}


def test_who_becomes_known_later_starts_the_months_of_their_commits_and_no_other(world: World) -> None:
    day = START + 3 * ONE_DAY
    world.a.commit(day, by="ada@home.example", late=True, quiet=True)
    world.a.commit(day, late=True)
    world.pull_commits()
    world.do(of_months(OCTOBER))
    ticks = Ticks(world.pipeline)
    assert ticks.next() == {}

    world.a.lab.gitlab.add_email(world.a.ada, "ada@home.example", midnight(TODAY))
    world.a.ada.last_activity_on = TODAY
    world.materialize("a", *PEOPLE_AND_PROJECTS)
    follow(world, ticks, of_months(OCTOBER), of_weeks(OCTOBER))

    # The same commits pulled again, and the same people, are no news.
    world.materialize(f"a|{OCTOBER}", *RAW_DAYS)
    world.materialize("a", *PEOPLE_AND_PROJECTS)
    assert "events" not in ticks.next()


# While something is under way


def test_a_change_that_comes_while_its_month_is_counted_is_counted_too(world: World) -> None:
    day = START + 4 * ONE_DAY
    ticks = Ticks(world.pipeline)
    assert ticks.next() == {}
    world.bring_late(day, by="erin")
    assert ticks.next() == of_months(OCTOBER)

    # After the request and before the count is done: nobody knows whether it read the second commit.
    world.bring_late(day, by="frank")
    world.do(of_months(OCTOBER))
    requested = ticks.next()
    assert {name: requested.get(name) for name in BY_MONTH} == of_months(OCTOBER)


def test_a_change_between_two_steps_of_a_run_is_counted_too(world: World) -> None:
    """Events are built by hand while the run that was requested counts them."""
    day = START + 5 * ONE_DAY
    ticks = Ticks(world.pipeline)
    assert ticks.next() == {}
    world.bring_late(day, by="grace")
    assert ticks.next() == of_months(OCTOBER)
    world.do(of_months(OCTOBER))

    world.bring_late(day, by="heidi")
    world.materialize(f"a|{OCTOBER}", "events")
    requested = ticks.next()
    assert {name: requested.get(name) for name in BY_MONTH} == of_months(OCTOBER)


def test_what_a_run_of_a_person_changes_is_followed_whether_it_was_asked_for_or_not(world: World) -> None:
    ticks = Ticks(world.pipeline)
    assert ticks.next() == {}

    for day in (START + 8 * ONE_DAY, YESTERDAY):
        world.a.commit(day, by="ivan@elsewhere.example", late=True, quiet=True)
        world.a.commit(day, late=True)
    world.materialize(f"a|{NOVEMBER}", *RAW_DAYS, *BY_MONTH)
    # Dagster cannot tell that the run counted November after it pulled it.
    months_and_weeks = {**of_months(OCTOBER, NOVEMBER), **of_weeks(NOVEMBER)}
    follow(world, ticks, months_and_weeks, of_weeks(OCTOBER), PUBLISHED)
    assert ticks.next() == {}


def test_publication_waits_for_weeks_that_wait(world: World) -> None:
    ticks = Ticks(world.pipeline)
    assert ticks.next() == {}
    world.bring_late(START + 9 * ONE_DAY, by="judy")
    follow(world, ticks, of_months(OCTOBER))
    # The days behind the week of 26 October are being counted again by somebody.
    with under_way(world.pipeline, f"a|{NOVEMBER}", "user_days"):
        later = {f"a|{dt.date(2026, 10, 26)}"}
        expected = {name: weeks - later for name, weeks in of_weeks(OCTOBER).items()}
        follow(world, ticks, expected)
        assert ticks.next() == {}
    follow(world, ticks, dict.fromkeys(WEEKLY, later), PUBLISHED)
    assert ticks.next() == {}


@contextmanager
def under_way(pipeline: Pipeline, partition: str, *names: str) -> Iterator[None]:
    """A run of the assets that has begun; it is cancelled at the end."""
    definitions = pipeline.definitions
    job = definitions.resolve_implicit_global_asset_job_def().get_subset(
        asset_selection={dg.AssetKey(name) for name in names}
    )
    run = pipeline.instance.create_run_for_job(
        job,
        tags={"dagster/partition": partition},
        asset_selection=frozenset(dg.AssetKey(name) for name in names),
        status=dg.DagsterRunStatus.STARTED,
    )
    try:
        yield
    finally:
        pipeline.instance.report_run_canceled(run)


# What does not come


def test_months_that_were_never_pulled_start_nothing(world: World) -> None:
    ticks = Ticks(world.pipeline)
    assert ticks.next() == {}

    # The logins and sessions of the month are not there, nor the users.
    world.materialize(f"c|{NOVEMBER}", "raw_gitlab_commits")
    assert ticks.next() == {}


def test_a_week_or_month_that_has_just_begun_waits_for_its_pull(world: World) -> None:
    new_week, new_month = (Period.of(kind, TODAY).end + ONE_DAY for kind in KINDS)
    assert (new_week, new_month) == (dt.date(2026, 11, 30), DECEMBER)
    # On Monday the week is made of a month that is there; from Tuesday on of another one, too, which is not pulled.
    on_monday, on_tuesday = Ticks(world.pipeline), Ticks(world.pipeline)
    assert on_monday.next(midnight(new_week) + HOUR) == {name: {f"a|{new_week}", f"b|{new_week}"} for name in WEEKLY}
    assert on_tuesday.next(midnight(new_month) + HOUR) == {}
    # Once a day everything is published again.
    assert on_tuesday.next(midnight(new_month) + 6 * HOUR) == PUBLISHED


def test_a_month_that_has_just_begun_is_counted_with_its_week_once_it_is_pulled(tmp_path: Path) -> None:
    monday, tuesday = midnight(DECEMBER) - ONE_DAY + HOUR, midnight(DECEMBER) + 2 * HOUR
    week = {name: {"a|2026-11-30"} for name in WEEKLY}
    with begun(tmp_path, "a", counted="a") as world:
        ticks = Ticks(world.pipeline)
        with constant_present(monday):
            follow(world, ticks, week, PUBLISHED)
            assert ticks.next() == {}
        with constant_present(tuesday):
            world.a.log_in(DECEMBER - ONE_DAY)
            world.a.lab.clock.set(tuesday)
            # Once a day everything is published again.
            follow(world, ticks, PUBLISHED)
            [request] = tick(world.pipeline.definitions, "all_sources_daily", "2026-12-01T02:00").run_requests or []
            assert world.pipeline.materialize(RAW_DAYS, tags=request.tags).success
            weeks = {name: keys | week[name] for name, keys in of_weeks(NOVEMBER).items()}
            follow(world, ticks, of_months(NOVEMBER, DECEMBER), weeks, PUBLISHED)
            assert ticks.next() == {}


def test_what_was_pulled_before_the_automation_began_is_counted(world: World) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        begun_again = replace(world, pipeline=Pipeline(world.pipeline.deployments, world.pipeline.address, instance))
        begun_again.materialize("a", *PEOPLE_AND_PROJECTS)
        begun_again.materialize(f"a|{NOVEMBER}", *RAW_DAYS)
        # Every week but the one that is also in October, of which this automation knows nothing.
        weeks = {f"a|{week}" for week in WEEKS[NOVEMBER][1:]}
        ticks = Ticks(begun_again.pipeline)
        follow(begun_again, ticks, of_months(NOVEMBER), dict.fromkeys(WEEKLY, weeks), PUBLISHED)
        assert ticks.next() == {}


def test_a_deployment_without_some_sources_is_counted_like_any_other(tmp_path: Path) -> None:
    with begun(tmp_path, "a", counted="") as world:
        file = world.pipeline.deployments / "a.yaml"
        only_gitlab = {key: value for key, value in yaml.safe_load(file.read_text()).items() if key != "keycloak"}
        only_gitlab.pop("amalthea")
        file.write_text(yaml.safe_dump(only_gitlab))
        world.a.commit(YESTERDAY)
        ticks = Ticks(world.pipeline)
        assert ticks.next() == {}
        world.materialize("a", *PEOPLE_AND_PROJECTS)
        assert world.pipeline.materialize(RAW_DAYS, tags=range_of(f"a|{OCTOBER}", f"a|{NOVEMBER}")).success
        months = (OCTOBER, NOVEMBER)
        follow(world, ticks, of_months(*months), of_weeks(*months), PUBLISHED)
        assert ticks.next() == {}


# Failures


def test_a_count_that_failed_is_tried_again_once_a_day(world: World) -> None:
    with lost(world, "a", OCTOBER):
        assert not world.pipeline.materialize(BY_MONTH, partition=f"a|{OCTOBER}").success

    early = midnight(TODAY) + dt.timedelta(hours=27)
    ticks = Ticks(world.pipeline)
    assert ticks.next(early) == {}
    assert ticks.next(early + dt.timedelta(minutes=50)) == {}
    assert ticks.next(early + dt.timedelta(minutes=70)) == of_months(OCTOBER)
    assert ticks.next(early + dt.timedelta(minutes=71)) == {}


@contextmanager
def lost(world: World, deployment: str, month: dt.date) -> Iterator[None]:
    """A raw file is gone for a while."""
    table = Path(world.pipeline.address) / "raw" / "raw_keycloak_logins" / f"deployment={deployment}"
    (table / f"month={month}").rename(table / "lost")
    try:
        yield
    finally:
        (table / "lost").rename(table / f"month={month}")


def test_a_deployment_that_fails_in_a_run_holds_up_no_other(world: World) -> None:
    ticks = Ticks(world.pipeline)
    assert ticks.next() == {}
    for number in (0, 1):
        world.bring_late(YESTERDAY, by="kim", of=number)
    assert ticks.next() == of_months(NOVEMBER, deployments="ab")
    with lost(world, "a", NOVEMBER):
        # As Dagster runs it: two deployments and one month are one run.
        assert not world.pipeline.materialize(BY_MONTH, tags=range_of(f"a|{NOVEMBER}", f"b|{NOVEMBER}")).success
    rest = {name: months for name, months in of_months(NOVEMBER, deployments="b").items() if name != "events"}
    follow(world, ticks, rest, of_weeks(NOVEMBER, deployments="b"), PUBLISHED)
    assert ticks.next() == {}

    world.do(of_months(NOVEMBER))
    follow(world, ticks, of_weeks(NOVEMBER), PUBLISHED)


def test_what_was_requested_but_never_ran_is_requested_again_once_a_day(world: World) -> None:
    early = midnight(TODAY) + dt.timedelta(hours=27)
    ticks = Ticks(world.pipeline)
    assert ticks.next(early) == {}
    world.bring_late(START + 9 * ONE_DAY, by="lea")
    assert ticks.next(early + dt.timedelta(minutes=1)) == of_months(OCTOBER)
    # Its backfill failed before there was a run.
    assert ticks.next(early + dt.timedelta(minutes=2)) == {}
    assert ticks.next(early + dt.timedelta(minutes=70)) == of_months(OCTOBER)
    world.do(of_months(OCTOBER))
    assert ticks.next(early + dt.timedelta(minutes=71)) == of_weeks(OCTOBER)


def test_what_is_still_under_way_at_that_time_is_not_requested_again(world: World) -> None:
    early = midnight(TODAY) + dt.timedelta(hours=27)
    ticks = Ticks(world.pipeline)
    assert ticks.next(early) == {}
    world.bring_late(START + 9 * ONE_DAY, by="mia")
    assert ticks.next(early + dt.timedelta(minutes=1)) == of_months(OCTOBER)
    with under_way(world.pipeline, f"a|{OCTOBER}", *BY_MONTH):
        assert ticks.next(early + dt.timedelta(minutes=70)) == {}
        world.do(of_months(OCTOBER))
    assert ticks.next(early + dt.timedelta(minutes=71)) == of_weeks(OCTOBER)


# Other deployments, other rules


def test_a_new_deployment_starts_nothing_until_it_is_pulled(world: World) -> None:
    ticks = Ticks(world.pipeline)
    assert ticks.next() == {}
    world.bring_late(YESTERDAY, by="nora")
    assert ticks.next() == of_months(NOVEMBER)

    new = {"name": "d", "title": "New", "start": START}
    with deployment_file(world, "d", yaml.safe_dump(new)):
        ticks.upgrade(world.pipeline)
        assert ticks.next() == {}
        # What was requested before is still followed.
        world.do(of_months(NOVEMBER))
        follow(world, ticks, of_weeks(NOVEMBER), PUBLISHED)
        assert ticks.next() == {}
        world.materialize("d", *PEOPLE_AND_PROJECTS)
        world.materialize(f"d|{NOVEMBER}", *RAW_DAYS)
        assert ticks.next() == of_months(NOVEMBER, deployments="d")


def test_a_deployment_that_left_takes_no_change_of_another_with_it(world: World) -> None:
    early = midnight(TODAY) + dt.timedelta(hours=27)
    ticks = Ticks(world.pipeline)
    assert ticks.next(early) == {}
    for number in (0, 1):
        world.bring_late(START + 3 * ONE_DAY, by="otto", of=number)
    assert ticks.next(early + dt.timedelta(minutes=1)) == of_months(OCTOBER, deployments="ab")

    # While the one run of both is queued; it cannot run any more.
    with deployment_file(world, "a", None):
        ticks.upgrade(world.pipeline)
        assert ticks.next(early + dt.timedelta(minutes=2)) == {}
        requested = ticks.next(early + dt.timedelta(minutes=70))
        assert requested == of_months(OCTOBER, deployments="b")
        world.do(requested)
        follow(world, ticks, of_weeks(OCTOBER, deployments="b"), PUBLISHED)


@contextmanager
def deployment_file(world: World, name: str, text: str | None) -> Iterator[None]:
    """The file of a deployment has this text for a while, or is not there."""
    path = world.pipeline.deployments / f"{name}.yaml"
    before = path.read_text() if path.exists() else None
    _put(path, text)
    try:
        yield
    finally:
        _put(path, before)


def _put(path: Path, text: str | None) -> None:
    if text is None:
        path.unlink()
    else:
        path.write_text(text)


def test_other_rules_of_events_build_every_month_there_is_again_and_no_other(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    ticks = Ticks(world.pipeline)
    assert ticks.next() == {}
    months = world.pipeline.instance.get_materialized_partitions(dg.AssetKey("events"))
    assert months == {f"{deployment}|{month}" for deployment in "ab" for month in (OCTOBER, NOVEMBER)}

    change_rules_of_events(monkeypatch)
    ticks.upgrade(world.pipeline)
    assert ticks.next() == dict.fromkeys(BY_MONTH, months)
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
