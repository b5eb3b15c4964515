"""The partitions of the assets (by deployment, by deployment and month or week) and how they map onto each other.

One grid serves all deployments, because Dagster splits backfills at random if assets have different starts. The grid
begins with the month of the earliest start, and its weeks with the first Monday of that month. Dagster sorts the
dimensions of a key by name, so every key is ``deployment|month`` or ``deployment|week``.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterable
from dataclasses import dataclass

import dagster as dg

from renku_metrics.deployments import Deployment
from renku_metrics.periods import ONE_DAY, Period, days_between
from renku_metrics.tables import PeriodKind

DEPLOYMENT_DIMENSION = "deployment"
MONTH_DIMENSION: PeriodKind = "month"


@dataclass(frozen=True)
class Grid:
    """The partitions of some deployments. ``first_month``: the first one that any of them can have."""

    first_month: dt.date
    by_deployment: dg.StaticPartitionsDefinition
    by_month: dg.MultiPartitionsDefinition
    by_week: dg.MultiPartitionsDefinition

    @classmethod
    def of(cls, deployments: Collection[Deployment]) -> Grid:
        first = min(deployment.start for deployment in deployments).replace(day=1)
        first_monday = next(day for day in days_between(first, first + 6 * ONE_DAY) if day.weekday() == 0)
        names = dg.StaticPartitionsDefinition(sorted(deployment.name for deployment in deployments))

        def each_deployment(kind: PeriodKind, time: dg.TimeWindowPartitionsDefinition) -> dg.MultiPartitionsDefinition:
            return dg.MultiPartitionsDefinition({DEPLOYMENT_DIMENSION: names, kind: time})

        # The running month and week are in the grid: they are published as `period not over`.
        return cls(
            first_month=first,
            by_deployment=names,
            by_month=each_deployment("month", dg.MonthlyPartitionsDefinition(first.isoformat(), end_offset=1)),
            by_week=each_deployment(
                "week", dg.WeeklyPartitionsDefinition(first_monday.isoformat(), day_offset=1, end_offset=1)
            ),
        )

    @property
    def deployments(self) -> list[str]:
        """The names of the deployments, sorted."""
        return list(self.by_deployment.get_partition_keys())

    def by_period(self, kind: PeriodKind) -> dg.MultiPartitionsDefinition:
        return self.by_week if kind == "week" else self.by_month

    def holds(self, partition: tuple[str, ...], now: dt.datetime) -> bool:
        """Whether a deployment, or a deployment and month, is a partition at this time."""
        if len(partition) == 1:
            return True
        # Compared, not looked up: a first pull asks for hundreds, and for each look-up Dagster lists all months.
        return self.first_month <= dt.date.fromisoformat(partition[1]) <= now.astimezone(dt.UTC).date()


def key(deployment: str, time: str) -> str:
    """The partition key of a deployment and a week or month."""
    return f"{deployment}|{time}"


def range_tags(deployment: str, first: dt.date, last: dt.date) -> dict[str, str]:
    """The tags of a run of every month of a deployment, from that of the first day to that of the last."""
    months = [Period.of("month", day).start.isoformat() for day in (first, last)]
    return {
        "dagster/asset_partition_range_start": key(deployment, months[0]),
        "dagster/asset_partition_range_end": key(deployment, months[1]),
    }


def everything(grain: dg.PartitionsDefinition) -> dict[str, str]:
    """The tags of a run that materializes every partition."""
    keys = grain.get_partition_keys()
    return {"dagster/asset_partition_range_start": keys[0], "dagster/asset_partition_range_end": keys[-1]}


def by_deployment(keys: Iterable[str]) -> dict[str, list[str]]:
    """The weeks or months of each deployment in the keys of a run, sorted; none if the keys are only deployments."""
    found: dict[str, list[str]] = {}
    for partition in sorted(keys):
        deployment, _, time = partition.partition("|")
        found.setdefault(deployment, []).extend([time] if time else [])
    return found


def months_of_week() -> dg.MultiPartitionMapping:
    """A week needs the one or two months that it is in, of the same deployment, without those that have not begun."""
    months = dg.TimeWindowPartitionMapping(allow_nonexistent_upstream_partitions=True)
    return dg.MultiPartitionMapping(
        {
            DEPLOYMENT_DIMENSION: dg.DimensionPartitionMapping(DEPLOYMENT_DIMENSION, dg.IdentityPartitionMapping()),
            MONTH_DIMENSION: dg.DimensionPartitionMapping("week", months),
        }
    )


def deployment_of_month() -> dg.MultiToSingleDimensionPartitionMapping:
    """A month needs the users and projects of its deployment."""
    return dg.MultiToSingleDimensionPartitionMapping(DEPLOYMENT_DIMENSION)
