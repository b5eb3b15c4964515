"""When: the schedules that pull, and the conditions by which everything else follows.

Schedules and sensor are off in a development instance (``dagster dev``) and on in production.
"""

import datetime as dt
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import dagster as dg

from renku_metrics import partitions
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

Condition = dg.AutomationCondition

PEOPLE_AND_PROJECTS = [table.name for table in (RAW_GITLAB_PROJECTS, RAW_GITLAB_USERS, RAW_KEYCLOAK_USERS)]
DAYS = [table.name for table in (RAW_GITLAB_PUSHES, RAW_GITLAB_COMMITS, RAW_KEYCLOAK_LOGINS, RAW_AMALTHEA_SESSIONS)]

IN_PRODUCTION = not os.environ.get("DAGSTER_IS_DEV_CLI")
SCHEDULE_STATUS = dg.DefaultScheduleStatus.RUNNING if IN_PRODUCTION else dg.DefaultScheduleStatus.STOPPED
SENSOR_STATUS = dg.DefaultSensorStatus.RUNNING if IN_PRODUCTION else dg.DefaultSensorStatus.STOPPED


def follow_changed_days() -> dg.AutomationCondition[dg.AssetKey | dg.AssetCheckKey]:
    """True for the partitions, of whatever age, that an upstream partition with new content belongs to.

    Users and projects change with every pull; alone they start nothing, or all history would be counted each day.
    """
    changed = Condition.any_deps_match(Condition.data_version_changed() | Condition.will_be_requested()).ignore(
        dg.AssetSelection.assets(*PEOPLE_AND_PROJECTS)
    )
    return (
        (Condition.newly_missing() | changed).since_last_handled()
        & ~Condition.any_deps_missing()
        & ~Condition.any_deps_in_progress()
        & ~Condition.in_progress()
    ).with_label("follow_changed_days")


def follow_changed_numbers() -> dg.AutomationCondition[dg.AssetKey | dg.AssetCheckKey]:
    """True when any number changed, and once a day, since coverage can change where no number does."""
    changed: Condition[dg.AssetKey | dg.AssetCheckKey] = Condition.any_deps_match(Condition.data_version_changed())
    return (
        (Condition.cron_tick_passed("0 5 * * *") | changed).since_last_handled()
        & ~Condition.any_deps_in_progress()
        & ~Condition.in_progress()
    ).with_label("follow_changed_numbers")


def automated(assets: Iterable[dg.AssetsDefinition]) -> list[dg.AssetsDefinition]:
    """The same assets, those that are not raw with the condition they follow."""

    def with_condition(spec: dg.AssetSpec) -> dg.AssetSpec:
        if spec.group_name == "raw":
            return spec
        condition = follow_changed_numbers() if spec.group_name == "published" else follow_changed_days()
        return spec.replace_attributes(automation_condition=condition)

    return list(dg.map_asset_specs(with_condition, list(assets)))


def sensor() -> dg.AutomationConditionSensorDefinition:
    return dg.AutomationConditionSensorDefinition(
        "follow_changed_days",
        target=dg.AssetSelection.all(),
        default_status=SENSOR_STATUS,
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
)


def schedules(deployments: Sequence[str]) -> list[dg.ScheduleDefinition]:
    """Each pull as one run per deployment, so that one that is down holds up no other."""

    @dg.schedule(
        name="people_and_projects_daily",
        job=dg.define_asset_job("pull_people_and_projects", selection=PEOPLE_AND_PROJECTS),
        cron_schedule="30 1 * * *",
        execution_timezone="UTC",
        default_status=SCHEDULE_STATUS,
        description="Users and projects, before the events of the day need them.",
    )
    def people_and_projects_daily(context: dg.ScheduleEvaluationContext) -> Iterator[dg.RunRequest]:
        for deployment in deployments:
            yield dg.RunRequest(
                run_key=f"{deployment} {context.scheduled_execution_time:%Y-%m-%d}",
                partition_key=deployment,
                tags={"deployment": deployment},
            )

    return [people_and_projects_daily, *(_schedule(pull, deployments) for pull in PULLS)]


def _schedule(pull: PullSchedule, deployments: Sequence[str]) -> dg.ScheduleDefinition:
    @dg.schedule(
        name=pull.name,
        job=dg.define_asset_job(f"pull_{pull.name}", selection=pull.tables),
        cron_schedule=pull.cron,
        execution_timezone="UTC",
        default_status=SCHEDULE_STATUS,
        description=pull.description,
    )
    def schedule(context: dg.ScheduleEvaluationContext) -> Iterator[dg.RunRequest]:
        at = context.scheduled_execution_time
        yesterday = at.date() - ONE_DAY
        for deployment in deployments:
            yield dg.RunRequest(
                run_key=f"{deployment} {at:%Y-%m-%dT%H}",
                tags={
                    "deployment": deployment,
                    **partitions.range_tags(deployment, pull.first_day(yesterday), yesterday),
                },
            )

    return schedule
