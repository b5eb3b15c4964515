"""Active users and core actions, weekly and monthly, counted from the user days."""

import datetime as dt
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import dagster as dg
import pandas as pd

from renku_metrics import partitions
from renku_metrics.assets.per_deployment import Materialized, each_deployment, materialized
from renku_metrics.assets.resources import CentralStore
from renku_metrics.assets.specifications import ONE_RUN, specification
from renku_metrics.deployments import Deployment
from renku_metrics.metrics.counting import count_active_users, count_core_action
from renku_metrics.metrics.definition import CoreAction
from renku_metrics.metrics.dictionary import ACTIVE_USERS
from renku_metrics.periods import Period, now
from renku_metrics.store import freshness
from renku_metrics.store.store import Partition, Store
from renku_metrics.tables import USER_DAYS, PeriodKind, Table

GROUP = "metrics"
KINDS: tuple[PeriodKind, ...] = ("week", "month")
# Counts the user days of some periods of a deployment, at a time: one row per period.
Count = Callable[[pd.DataFrame, str, Sequence[Period], dt.datetime], pd.DataFrame]
Results = Iterator[dg.MaterializeResult[None]]


def metric_assets(
    deployments: Mapping[str, Deployment], grid: partitions.Grid, core_actions: Sequence[CoreAction]
) -> list[dg.AssetsDefinition]:
    """The denominator and every core action, each weekly and monthly."""
    counts: list[Count] = [count_active_users, *(partial(count_core_action, action) for action in core_actions)]
    return [
        _metric_asset(deployments, grid, kind, table, count)
        for kind in KINDS
        for table, count in zip(metric_tables(kind, core_actions), counts, strict=True)
    ]


def metric_tables(kind: PeriodKind, core_actions: Sequence[CoreAction]) -> list[Table]:
    """The tables of the denominator and of each core action."""
    return [ACTIVE_USERS.table(kind), *(action.table(kind) for action in core_actions)]


def _metric_asset(
    deployments: Mapping[str, Deployment], grid: partitions.Grid, kind: PeriodKind, table: Table, count: Count
) -> dg.AssetsDefinition:
    @dg.asset(
        name=table.name,
        partitions_def=grid.by_period(kind),
        backfill_policy=ONE_RUN,
        deps=[dg.AssetDep(USER_DAYS.name, partition_mapping=partitions.days_of_period(kind))],
        **specification(table, GROUP),
    )
    def metric(context: dg.AssetExecutionContext, central_store: CentralStore) -> Results:
        store = central_store.open()

        def work(name: str, starts: list[str]) -> Iterator[Materialized]:
            counted_at = now()
            periods = [Period(dt.date.fromisoformat(start), kind) for start in starts]
            # Nothing is published for a period that begins before the deployment does.
            counted = [period for period in periods if period.start >= deployments[name].start]
            over = set(grid.days(counted_at))
            needed = sorted({day.isoformat() for period in counted for day in period.days} & over)
            found = store.read(USER_DAYS, [(name, day) for day in needed])
            places: list[Partition] = [(name, start) for start in starts]
            numbers = count(found, name, counted, counted_at) if counted else table.frame()
            rows = _keep_unchanged(store, table, places, numbers)
            written = store.write(table, rows, places)
            freshness.record_partitions(store, table, written, counted_at)
            yield from materialized(store, table, written, _facts(rows, kind))

        yield from each_deployment(context, work)

    return metric


def _keep_unchanged(store: Store, table: Table, places: list[Partition], counted: pd.DataFrame) -> pd.DataFrame:
    """The counted rows; where the count is what it was, the stored row with the time it was first counted."""
    numbers = [column.name for column in table.columns if column.name != "computed_at"]
    before = store.read_if_there(table, places)
    known = counted.merge(before, on=numbers, how="left", suffixes=("", "_before"))
    return counted.assign(computed_at=known["computed_at_before"].fillna(known["computed_at"]).to_numpy())


def _facts(rows: pd.DataFrame, kind: PeriodKind) -> dict[Partition, dict[str, Any]]:
    numbers = [name for name in ("users", "unlinked_users") if name in rows.columns]
    return {
        (row["deployment"], row[kind]): {name: int(row[name]) for name in numbers}
        for row in rows.to_dict(orient="records")
    }
