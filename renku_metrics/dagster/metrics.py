"""Active users and core actions, weekly and monthly: one asset each, counted in one step from user days read once."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import dagster as dg
import pandas as pd

from renku_metrics.dagster import partitions
from renku_metrics.dagster.resources import CentralStore
from renku_metrics.dagster.running import Materialized, Results, each_deployment
from renku_metrics.dagster.specifications import ONE_RUN, specification
from renku_metrics.deployments import Deployment
from renku_metrics.metrics.definition import CoreAction, Metric
from renku_metrics.metrics.dictionary import ACTIVE_USERS
from renku_metrics.metrics.documents import describe
from renku_metrics.periods import now
from renku_metrics.pipeline.building import store_counts
from renku_metrics.store.store import Store
from renku_metrics.tables import KINDS, USER_DAYS, PeriodKind

METRICS_GROUP = "metrics"


def metric_assets(
    deployments: Mapping[str, Deployment], grid: partitions.Grid, core_actions: Sequence[CoreAction]
) -> list[dg.AssetsDefinition]:
    """The denominator and every core action, each weekly and monthly."""
    return [_counts(deployments, grid, kind, [ACTIVE_USERS, *core_actions]) for kind in KINDS]


def _counts(
    deployments: Mapping[str, Deployment], grid: partitions.Grid, kind: PeriodKind, metrics: Sequence[Metric]
) -> dg.AssetsDefinition:
    tables = {metric.table(kind).name: metric for metric in metrics}

    @dg.multi_asset(
        name=f"{kind}ly_counts",
        specs=[
            dg.AssetSpec(
                name,
                deps=[
                    dg.AssetDep(
                        USER_DAYS.name, partition_mapping=partitions.months_of_week() if kind == "week" else None
                    )
                ],
                code_version=metric.version,
                **specification(replace(metric.table(kind), description=describe(metric)), METRICS_GROUP),
            )
            for name, metric in tables.items()
        ],
        partitions_def=grid.by_period(kind),
        backfill_policy=ONE_RUN,
        can_subset=True,
    )
    def counts(context: dg.AssetExecutionContext, central_store: CentralStore) -> Results:
        store = central_store.open()
        selected = {asset.to_user_string() for asset in context.selected_asset_keys}
        wanted = [metric for name, metric in tables.items() if name in selected]

        def work(name: str, starts: list[str]) -> Iterator[Materialized]:
            counted = store_counts(store, deployments[name], kind, wanted, starts, now())
            for metric in wanted:
                rows = counted[metric.table(kind).name][0]
                yield from _materialized(store, metric, kind, name, starts, rows)

        yield from each_deployment(context, work)

    return counts


def _materialized(
    store: Store, metric: Metric, kind: PeriodKind, deployment: str, starts: Sequence[str], rows: pd.DataFrame
) -> Iterator[Materialized]:
    """Each week or month with its numbers: users, and how many of them each rule linked."""
    table = metric.table(kind)
    numbers = [name for name in rows.columns if pd.api.types.is_integer_dtype(rows[name])]
    by_start = {row[kind]: row for row in rows.to_dict(orient="records")}
    for start in starts:
        row = by_start.get(start, {})
        facts: dict[str, Any] = {name: int(row[name]) for name in numbers if name in row}
        # The version follows from the numbers of this period, because the file holds all periods.
        version = f"{metric.version} {' '.join(str(facts[name]) for name in facts)} {row.get('computed_at', '')}"
        metadata = {
            "dagster/partition_row_count": 1 if row else 0,
            "dagster/uri": store.address(table, (deployment,)),
            **facts,
        }
        yield Materialized(
            table.name, f"{deployment}|{start}", version, metadata, {"deployment": deployment, kind: start}
        )
