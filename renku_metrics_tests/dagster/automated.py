"""Deployments whose schedules and automation tick as often as a test wants."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
import pytest

from renku_metrics.periods import ONE_DAY, days_between, midnight
from renku_metrics.tables import KINDS
from renku_metrics_tests.pipeline.pipeline import METRICS, PEOPLE_AND_PROJECTS, RAW_DAYS, Pipeline, range_of
from renku_metrics_tests.pipeline.small_lab import SmallLab
from renku_metrics_tests.present import TODAY, YESTERDAY
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


def tick(definitions: dg.Definitions, name: str, at: str) -> dg.ScheduleExecutionData:
    schedule = definitions.resolve_schedule_def(name)
    with dg.DagsterInstance.ephemeral() as instance:
        context = dg.build_schedule_context(
            instance=instance,
            scheduled_execution_time=dt.datetime.fromisoformat(at).replace(tzinfo=dt.UTC),
            repository_def=definitions.get_repository_def(),
        )
        return schedule.evaluate_tick(context)
