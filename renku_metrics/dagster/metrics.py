"""Active users and core actions, weekly and monthly, counted from the user days."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import dagster as dg
import pandas as pd

from renku_metrics.dagster import partitions
from renku_metrics.dagster.resources import CentralStore
from renku_metrics.dagster.running import Materialized, Results, each_deployment, materialized
from renku_metrics.dagster.specifications import ONE_RUN, specification
from renku_metrics.deployments import Deployment
from renku_metrics.metrics.definition import CoreAction, Metric
from renku_metrics.metrics.definitions_document import describe
from renku_metrics.metrics.dictionary import ACTIVE_USERS
from renku_metrics.periods import now
from renku_metrics.pipeline.building import store_counts
from renku_metrics.store.store import Partition
from renku_metrics.tables import USER_DAYS, PeriodKind, Table

GROUP = "metrics"
KINDS: tuple[PeriodKind, ...] = ("week", "month")


def metric_assets(
    deployments: Mapping[str, Deployment], grid: partitions.Grid, core_actions: Sequence[CoreAction]
) -> list[dg.AssetsDefinition]:
    """The denominator and every core action, each weekly and monthly."""
    return [
        _metric_asset(deployments, grid, kind, metric) for kind in KINDS for metric in (ACTIVE_USERS, *core_actions)
    ]


def metric_tables(kind: PeriodKind, core_actions: Sequence[CoreAction]) -> list[Table]:
    """The tables of the denominator and of each core action."""
    return [ACTIVE_USERS.table(kind), *(action.table(kind) for action in core_actions)]


def _metric_asset(
    deployments: Mapping[str, Deployment], grid: partitions.Grid, kind: PeriodKind, metric: Metric
) -> dg.AssetsDefinition:
    table = metric.table(kind)

    @dg.asset(
        name=table.name,
        partitions_def=grid.by_period(kind),
        backfill_policy=ONE_RUN,
        deps=[dg.AssetDep(USER_DAYS.name, partition_mapping=partitions.days_of_period(kind))],
        code_version=metric.version,
        **specification(replace(table, description=describe(metric)), GROUP),
    )
    def counts(context: dg.AssetExecutionContext, central_store: CentralStore) -> Results:
        store = central_store.open()

        def work(name: str, starts: list[str]) -> Iterator[Materialized]:
            rows, written = store_counts(store, deployments[name], kind, metric, starts, now())
            yield from materialized(store, table, written, _facts(rows, kind))

        yield from each_deployment(context, work)

    return counts


def _facts(rows: pd.DataFrame, kind: PeriodKind) -> dict[Partition, dict[str, Any]]:
    """The numbers of each partition: users, and by which rules they are linked."""
    numbers = [name for name in rows.columns if pd.api.types.is_integer_dtype(rows[name])]
    return {
        (row["deployment"], row[kind]): {name: int(row[name]) for name in numbers}
        for row in rows.to_dict(orient="records")
    }
