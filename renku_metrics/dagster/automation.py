"""When things run: the schedules that pull, and the conditions that start everything else.

Schedules and sensor are off in a development instance (``dagster dev``) and on in production.
"""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import dagster as dg

from renku_metrics.dagster import partitions
from renku_metrics.dagster.partitions import Grid
from renku_metrics.dagster.raw import RAW_GROUP, RECONCILE
from renku_metrics.metrics.dictionary import ACTIVE_USERS
from renku_metrics.periods import ONE_DAY, ONE_HOUR
from renku_metrics.sources.registry import raw_tables, source_of
from renku_metrics.sources.source import OFTEN
from renku_metrics.tables import EVENTS, RAW_GITLAB_COMMITS, RAW_GITLAB_PUSHES

_ACTIVE_USERS_WEEKLY = ACTIVE_USERS.table("week").name
When = dg.AutomationCondition
# Dagster types what it makes of dependencies as conditions of checks too.
Condition = dg.AutomationCondition[Any]


def whole_tables() -> list[str]:
    """The raw tables of users and projects, with one file for each deployment."""
    return [table.name for table in raw_tables() if not table.by_month]


def monthly_tables(*, often: bool = False) -> list[str]:
    """The raw tables of what happened, by month; with ``often`` only those of sources that forget."""
    return [table.name for table in raw_tables() if table.by_month and (source_of(table).often or not often)]


def follow_changed_tables() -> Condition:
    """True for the partitions, of any age, that an upstream partition with new content belongs to.

    Users and projects change with every pull, so they alone start nothing; else all history would be counted each day.
    """
    return _due(_changed()) & _quiet()


def follow_built_months() -> Condition:
    """True for the months whose upstream month is requested in this tick, so that one run builds both.

    Also for a month that is older than what it is made from, because a run built only that, or failed after it. A build
    holds a lock, so what was built later has read everything that was built before.
    """
    along = _until_requested(When.any_deps_match(When.will_be_requested()))
    built = When.any_deps_match(When.newly_updated())
    behind = built.since(When.newly_updated()) & ~When.newly_requested().since(built)
    return _due(along | behind) & _quiet()


def follow_changed_numbers() -> Condition:
    """True if any number changed, and once a day, because coverage can change without any number.

    Months are counted before the weeks in them. It waits for the weeks; else it would publish old ones.
    """
    changed = When.any_deps_match(When.data_version_changed())
    # Every weekly number follows the same months, so one of them tells.
    weeks = When.any_deps_match(_due(_changed())).allow(dg.AssetSelection.assets(_ACTIVE_USERS_WEEKLY))
    return _until_requested(When.cron_tick_passed("0 5 * * *") | changed) & ~weeks & _quiet()


def _due(follow: Condition) -> Condition:
    """True where these are to follow, or are missing, or other rules made them, once that can be done."""
    missing = When.newly_missing().since(When.newly_requested() | When.newly_updated())
    return (missing | follow | _other_rules() | _unfinished()) & _all_there()


def _changed() -> Condition:
    changed = When.any_deps_match(When.data_version_changed()).ignore(dg.AssetSelection.assets(*whole_tables()))
    return _until_requested(changed)


def _other_rules() -> Condition:
    # The code version is that of the whole asset, so it also changes for partitions that were never made.
    return _until_requested(When.code_version_changed() & ~When.missing())


def _unfinished() -> Condition:
    """True once a day for what failed, and for what was requested but never made: its run or backfill never began."""
    unanswered = When.newly_requested().since(When.newly_updated())
    left = When.execution_failed() | (unanswered & ~When.in_progress())
    return _until_requested(When.cron_tick_passed("0 4 * * *") & left)


def _until_requested(trigger: Condition) -> Condition:
    """True from the trigger until the partition is requested for it.

    An update does not reset it, because that run may have read the old data. A request from the previous tick does not
    reset it either if the trigger fired again.
    """
    return trigger.since(When.newly_requested() & ~trigger)


def _all_there() -> Condition:
    """Everything that the partition is made from is stored, or will be in the same run."""
    return ~When.any_deps_missing() & When.any_deps_match(~When.missing() | When.will_be_requested())


def _quiet() -> Condition:
    """Neither the partition nor anything that it is made from is in progress."""
    return ~When.any_deps_in_progress() & ~When.in_progress()


def automated(assets: Iterable[dg.AssetsDefinition], grid: Grid) -> list[dg.AssetsDefinition]:
    """The same assets, those that are not raw with the condition they follow."""

    def with_condition(asset: dg.AssetsDefinition) -> dg.AssetsDefinition:
        if {spec.group_name for spec in asset.specs} == {RAW_GROUP}:
            return asset
        if asset.partitions_def is None:
            condition = follow_changed_numbers()
        elif asset.partitions_def == grid.by_month and dg.AssetKey(EVENTS.name) not in asset.keys:
            condition = follow_built_months()
        else:
            condition = follow_changed_tables()
        return asset.map_asset_specs(lambda spec: spec.replace_attributes(automation_condition=condition))

    return [with_condition(asset) for asset in assets]


def sensor() -> dg.AutomationConditionSensorDefinition:
    """The sensor that requests each asset that is not raw when its condition becomes true."""
    return dg.AutomationConditionSensorDefinition(
        "follow_changed_months",
        target=dg.AssetSelection.all(),
        default_status=dg.DefaultSensorStatus.RUNNING if _in_production() else dg.DefaultSensorStatus.STOPPED,
        description="Counts everything again that a pull changed, of any age, and publishes it.",
    )


@dataclass(frozen=True)
class PullSchedule:
    """When a pull runs, and which tables it brings.

    It begins with the month of ``first_day`` and ends with the running month, because the running week may need both.
    """

    name: str
    cron: str
    tables: Callable[[], Sequence[str]]
    first_day: Callable[[dt.date], dt.date]
    description: str
    tags: Mapping[str, str] = field(default_factory=dict)


PULLS = (
    PullSchedule(
        name="logins_every_four_hours",
        cron=f"15 */{OFTEN // ONE_HOUR} * * *",
        tables=lambda: monthly_tables(often=True),
        first_day=lambda yesterday: yesterday,
        description="Logins, so often that none is lost, although Keycloak by default forgets them after a day.",
    ),
    PullSchedule(
        name="all_sources_daily",
        cron="0 2 * * *",
        tables=monthly_tables,
        first_day=lambda yesterday: yesterday,
        description="Every source, up to yesterday.",
    ),
    PullSchedule(
        name="last_week",
        cron="0 3 * * 1",
        tables=monthly_tables,
        first_day=lambda yesterday: yesterday - 6 * ONE_DAY,
        description="On Monday: every source, with the last week. Its numbers are counted and published then.",
    ),
    PullSchedule(
        name="last_month",
        cron="30 3 1 * *",
        tables=monthly_tables,
        first_day=lambda yesterday: yesterday.replace(day=1),
        description="On the first: every source, with the last month. Its numbers are counted and published then.",
    ),
    PullSchedule(
        name="reconciliation_monthly",
        cron="0 18 15 * *",
        tables=lambda: [RAW_GITLAB_PUSHES.name, RAW_GITLAB_COMMITS.name],
        first_day=lambda yesterday: yesterday,
        description="Lists every project and branch in full, and says what earlier pulls had missed.",
        tags={RECONCILE: "true"},
    ),
)


def schedules(grid: Grid) -> list[dg.ScheduleDefinition]:
    """Each pull as one run per deployment, so that a deployment that is down does not delay the others."""

    @dg.schedule(
        name="people_and_projects_daily",
        job=dg.define_asset_job("pull_people_and_projects", selection=whole_tables()),
        cron_schedule="30 1 * * *",
        execution_timezone="UTC",
        default_status=_schedule_status(),
        description="Users and projects, before the events of the day need them.",
    )
    def people_and_projects_daily(context: dg.ScheduleEvaluationContext) -> Iterator[dg.RunRequest]:
        for deployment in grid.deployments:
            yield dg.RunRequest(
                run_key=f"{deployment} {context.scheduled_execution_time:%Y-%m-%d}",
                partition_key=deployment,
                tags={"deployment": deployment},
            )

    return [people_and_projects_daily, *(_schedule(pull, grid) for pull in PULLS)]


def _schedule(pull: PullSchedule, grid: Grid) -> dg.ScheduleDefinition:
    @dg.schedule(
        name=pull.name,
        job=dg.define_asset_job(f"pull_{pull.name}", selection=pull.tables(), tags=pull.tags),
        cron_schedule=pull.cron,
        execution_timezone="UTC",
        default_status=_schedule_status(),
        description=pull.description,
    )
    def schedule(context: dg.ScheduleEvaluationContext) -> Iterator[dg.RunRequest | dg.SkipReason]:
        at = context.scheduled_execution_time
        yesterday = at.date() - ONE_DAY
        first = max(pull.first_day(yesterday), grid.first_month)
        if first > yesterday:
            yield dg.SkipReason(f"no day of the first month of any deployment, {grid.first_month}, is over")
            return
        for deployment in grid.deployments:
            yield dg.RunRequest(
                run_key=f"{deployment} {at:%Y-%m-%dT%H}",
                tags={"deployment": deployment, **partitions.range_tags(deployment, first, at.date())},
            )

    return schedule


def _schedule_status() -> dg.DefaultScheduleStatus:
    return dg.DefaultScheduleStatus.RUNNING if _in_production() else dg.DefaultScheduleStatus.STOPPED


def _in_production() -> bool:
    return not os.environ.get("DAGSTER_IS_DEV_CLI")
