"""The partitions of the assets: deployment, deployment by day, week and month, and how they map onto each other.

The time dimension is called ``event_day`` because Dagster sorts the dimensions of a key by name: so every key
reads ``deployment|time``. One grid serves all deployments (Dagster cuts backfills of assets with different
starts at random): it begins with the month of the earliest start, its weeks with the first Monday in it.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterable
from dataclasses import dataclass

import dagster as dg

from renku_metrics.deployments import Deployment
from renku_metrics.periods import ONE_DAY, days_between
from renku_metrics.tables import PeriodKind

DEPLOYMENT = "deployment"
EVENT_DAY = "event_day"


@dataclass(frozen=True)
class Grid:
    """The partitions of one set of deployments; ``first_day`` is the first that any of them can have."""

    first_day: dt.date
    by_deployment: dg.StaticPartitionsDefinition
    by_day: dg.MultiPartitionsDefinition
    by_week: dg.MultiPartitionsDefinition
    by_month: dg.MultiPartitionsDefinition

    @classmethod
    def of(cls, deployments: Collection[Deployment]) -> Grid:
        first = min(deployment.start for deployment in deployments).replace(day=1)
        first_monday = next(day for day in days_between(first, first + 6 * ONE_DAY) if day.weekday() == 0)
        names = dg.StaticPartitionsDefinition(sorted(deployment.name for deployment in deployments))

        def each_deployment(name: str, time: dg.TimeWindowPartitionsDefinition) -> dg.MultiPartitionsDefinition:
            return dg.MultiPartitionsDefinition({DEPLOYMENT: names, name: time})

        # Days end with yesterday, since only a day that is over can be complete. Weeks and months hold the
        # running one too: it is published as `period not over`.
        return cls(
            first_day=first,
            by_deployment=names,
            by_day=each_deployment(EVENT_DAY, dg.DailyPartitionsDefinition(first.isoformat())),
            by_week=each_deployment(
                "week", dg.WeeklyPartitionsDefinition(first_monday.isoformat(), day_offset=1, end_offset=1)
            ),
            by_month=each_deployment("month", dg.MonthlyPartitionsDefinition(first.isoformat(), end_offset=1)),
        )

    @property
    def deployments(self) -> list[str]:
        """The names of the deployments, sorted."""
        return list(self.by_deployment.get_partition_keys())

    def by_period(self, kind: PeriodKind) -> dg.MultiPartitionsDefinition:
        return self.by_week if kind == "week" else self.by_month

    def days(self, now: dt.datetime) -> list[str]:
        """Every day of the grid that is over, YYYY-MM-DD."""
        event_days = self.by_day.get_partitions_def_for_dimension(EVENT_DAY)
        return list(event_days.get_partition_keys(current_time=now))

    def holds(self, partition: tuple[str, ...], now: dt.datetime) -> bool:
        """Whether a deployment, or a deployment and day, is a partition by now."""
        if len(partition) == 1:
            return True
        # Compared and not looked up: a first pull asks for thousands, and Dagster lists all days at each.
        return self.first_day <= dt.date.fromisoformat(partition[1]) < now.astimezone(dt.UTC).date()


def key(deployment: str, time: str) -> str:
    """The partition key of a deployment and a day, week or month."""
    return f"{deployment}|{time}"


def range_tags(deployment: str, first: dt.date, last: dt.date) -> dict[str, str]:
    """The tags of a run that materializes every day of a deployment from the first to the last."""
    return {
        "dagster/asset_partition_range_start": key(deployment, first.isoformat()),
        "dagster/asset_partition_range_end": key(deployment, last.isoformat()),
    }


def everything(grain: dg.PartitionsDefinition) -> dict[str, str]:
    """The tags of a run that materializes every partition there is."""
    keys = grain.get_partition_keys()
    return {"dagster/asset_partition_range_start": keys[0], "dagster/asset_partition_range_end": keys[-1]}


def by_deployment(keys: Iterable[str]) -> dict[str, list[str]]:
    """The days, weeks or months of each deployment among the keys of a run, sorted; none for plain keys."""
    found: dict[str, list[str]] = {}
    for partition in sorted(keys):
        deployment, _, time = partition.partition("|")
        found.setdefault(deployment, []).extend([time] if time else [])
    return found


def days_of_period(kind: PeriodKind) -> dg.MultiPartitionMapping:
    """A week or month needs its days, of the same deployment; the running one needs those that exist."""
    days = dg.TimeWindowPartitionMapping(allow_nonexistent_upstream_partitions=True)
    return dg.MultiPartitionMapping(
        {
            DEPLOYMENT: dg.DimensionPartitionMapping(DEPLOYMENT, dg.IdentityPartitionMapping()),
            EVENT_DAY: dg.DimensionPartitionMapping(kind, days),
        }
    )


def deployment_of_day() -> dg.MultiToSingleDimensionPartitionMapping:
    """A day needs the users and projects of its deployment."""
    return dg.MultiToSingleDimensionPartitionMapping(DEPLOYMENT)
