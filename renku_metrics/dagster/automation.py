"""When: the schedules that pull, and the conditions by which everything else follows.

Schedules and sensor are off in a development instance (``dagster dev``) and on in production.
"""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import dagster as dg

from renku_metrics.dagster import partitions
from renku_metrics.dagster.partitions import Grid
from renku_metrics.dagster.raw import RECONCILE
from renku_metrics.periods import ONE_DAY
from renku_metrics.tables import (
    RAW_AMALTHEA_SESSIONS,
    RAW_GITLAB_COMMITS,
    RAW_GITLAB_PROJECTS,
    RAW_GITLAB_PUSHES,
    RAW_GITLAB_USERS,
    RAW_KEYCLOAK_LOGINS,
    RAW_KEYCLOAK_USERS,
)

When = dg.AutomationCondition
Condition = dg.AutomationCondition[dg.AssetKey]

PEOPLE_AND_PROJECTS = [table.name for table in (RAW_GITLAB_PROJECTS, RAW_GITLAB_USERS, RAW_KEYCLOAK_USERS)]
DAYS = [table.name for table in (RAW_GITLAB_PUSHES, RAW_GITLAB_COMMITS, RAW_KEYCLOAK_LOGINS, RAW_AMALTHEA_SESSIONS)]


def follow_changed_days() -> Condition:
    """True for the partitions, of whatever age, that an upstream partition with new content belongs to.

    Users and projects change with every pull; alone they start nothing, or all history would be counted each day.
    What failed is tried again once a day. When the rules become others, it is true for every partition there is.
    """
    people_and_projects = dg.AssetSelection.assets(*PEOPLE_AND_PROJECTS)
    missing = When.newly_missing().since(When.newly_requested() | When.newly_updated())
    changed = _until_requested(When.any_deps_match(When.data_version_changed()).ignore(people_and_projects))
    return (missing | changed | _other_rules() | _failed()) & _all_there() & _quiet()


def follow_changed_numbers() -> Condition:
    """True when any number changed, and once a day, since coverage can change where no number does."""
    changed = When.any_deps_match(When.data_version_changed())
    return _until_requested(When.cron_tick_passed("0 5 * * *") | changed) & _quiet()


def _other_rules() -> Condition:
    # Of an asset as a whole, also for partitions that there is nothing of yet.
    return _until_requested(When.code_version_changed() & ~When.missing())


def _failed() -> Condition:
    return _until_requested(When.cron_tick_passed("0 4 * * *") & When.execution_failed())


def _until_requested(trigger: Condition) -> Condition:
    """True from the trigger until the partition is requested for it.

    That the partition was updated does not end it: a run that was under way may have read before the change. Nor
    does the request of the tick before where the trigger has come again.
    """
    return trigger.since(When.newly_requested() & ~trigger)


def _all_there() -> dg.AutomationCondition[dg.AssetKey | dg.AssetCheckKey]:
    """Whatever the partition is made of was stored; a week that has just begun is made of nothing yet."""
    return ~When.any_deps_match(When.missing()) & When.any_deps_match(~When.missing())


def _quiet() -> dg.AutomationCondition[dg.AssetKey | dg.AssetCheckKey]:
    """Neither the partition nor what it is made of is in progress."""
    return ~When.any_deps_in_progress() & ~When.in_progress()


def automated(assets: Iterable[dg.AssetsDefinition]) -> list[dg.AssetsDefinition]:
    """The same assets, those that are not raw with the condition they follow."""

    def with_condition(spec: dg.AssetSpec) -> dg.AssetSpec:
        if spec.group_name == "raw":
            return spec
        condition = follow_changed_numbers() if spec.group_name == "published" else follow_changed_days()
        return spec.replace_attributes(automation_condition=condition)

    return list(dg.map_asset_specs(with_condition, list(assets)))


def sensor() -> dg.AutomationConditionSensorDefinition:
    """What requests the assets that are not raw as their conditions become true."""
    return dg.AutomationConditionSensorDefinition(
        "follow_changed_days",
        target=dg.AssetSelection.all(),
        default_status=dg.DefaultSensorStatus.RUNNING if _in_production() else dg.DefaultSensorStatus.STOPPED,
        description="Counts again whatever a pull changed, of whatever age, and publishes it.",
    )


@dataclass(frozen=True)
class PullSchedule:
    """When which tables are pulled, from which day up to yesterday."""

    name: str
    cron: str
    tables: Sequence[str]
    first_day: Callable[[dt.date], dt.date]
    description: str
    tags: Mapping[str, str] = field(default_factory=dict)


PULLS = (
    PullSchedule(
        name="logins_every_four_hours",
        cron="15 */4 * * *",
        tables=[RAW_KEYCLOAK_LOGINS.name],
        first_day=lambda yesterday: yesterday,
        description="Logins, often enough that Keycloak's default memory of one day loses none.",
    ),
    PullSchedule(
        name="all_sources_daily",
        cron="0 2 * * *",
        tables=DAYS,
        first_day=lambda yesterday: yesterday,
        description="Every source, up to yesterday.",
    ),
    PullSchedule(
        name="last_week",
        cron="0 3 * * 1",
        tables=DAYS,
        first_day=lambda yesterday: yesterday - 6 * ONE_DAY,
        description="On Monday: every source for each day of the last week; numbers follow and are published.",
    ),
    PullSchedule(
        name="last_month",
        cron="30 3 1 * *",
        tables=DAYS,
        first_day=lambda yesterday: yesterday.replace(day=1),
        description="On the first: every source for each day of the last month; numbers follow and are published.",
    ),
    PullSchedule(
        name="reconciliation_monthly",
        cron="0 18 15 * *",
        tables=[RAW_GITLAB_PUSHES.name, RAW_GITLAB_COMMITS.name],
        first_day=lambda yesterday: yesterday,
        description="Lists every project and branch whole again, and tells what the pulls of changes had missed.",
        tags={RECONCILE: "true"},
    ),
)


def schedules(grid: Grid) -> list[dg.ScheduleDefinition]:
    """Each pull as one run per deployment, so that one that is down holds up no other."""

    @dg.schedule(
        name="people_and_projects_daily",
        job=dg.define_asset_job("pull_people_and_projects", selection=PEOPLE_AND_PROJECTS),
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
        job=dg.define_asset_job(f"pull_{pull.name}", selection=pull.tables, tags=pull.tags),
        cron_schedule=pull.cron,
        execution_timezone="UTC",
        default_status=_schedule_status(),
        description=pull.description,
    )
    def schedule(context: dg.ScheduleEvaluationContext) -> Iterator[dg.RunRequest | dg.SkipReason]:
        at = context.scheduled_execution_time
        yesterday = at.date() - ONE_DAY
        first = max(pull.first_day(yesterday), grid.first_day)
        if first > yesterday:
            yield dg.SkipReason(f"the first day of any deployment is {grid.first_day}")
            return
        for deployment in grid.deployments:
            yield dg.RunRequest(
                run_key=f"{deployment} {at:%Y-%m-%dT%H}",
                tags={"deployment": deployment, **partitions.range_tags(deployment, first, yesterday)},
            )

    return schedule


def _schedule_status() -> dg.DefaultScheduleStatus:
    return dg.DefaultScheduleStatus.RUNNING if _in_production() else dg.DefaultScheduleStatus.STOPPED


def _in_production() -> bool:
    return not os.environ.get("DAGSTER_IS_DEV_CLI")
