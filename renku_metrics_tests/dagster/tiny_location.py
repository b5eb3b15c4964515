"""A code location of one asset and one schedule, to try Dagster's own storage with."""

from __future__ import annotations

import sys

import dagster as dg

HOURLY = "0 * * * *"


@dg.asset(partitions_def=dg.StaticPartitionsDefinition(["renkulab-io", "dev"]))
def tiny() -> int:
    print("said by tiny")
    print("tiny complains", file=sys.stderr)
    return 1


@dg.schedule(
    job=dg.define_asset_job("tiny_job", selection=[tiny]),
    cron_schedule=HOURLY,
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
)
def tiny_hourly(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
    return dg.RunRequest(run_key=str(context.scheduled_execution_time), partition_key="renkulab-io")


defs = dg.Definitions(assets=[tiny], schedules=[tiny_hourly])
