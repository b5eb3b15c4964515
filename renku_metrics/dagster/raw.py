"""The raw tables: pulls of the sources in the registry, by deployment or by deployment and month.

A run for a month brings the whole deployment up to date, and then the file of that month is there. Every other
partition that the pull changed is reported to Dagster as materialized too.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import dagster as dg

from renku_metrics.dagster import partitions
from renku_metrics.dagster.resources import CentralStore
from renku_metrics.dagster.running import Materialized, Results, each_deployment, materialized
from renku_metrics.dagster.specifications import ONE_RUN, specification
from renku_metrics.deployments import Deployment
from renku_metrics.periods import now
from renku_metrics.pipeline.pulling import Pull, pulling
from renku_metrics.schema import Table
from renku_metrics.sources.registry import all_sources, raw_tables
from renku_metrics.sources.source import Harvest, Source
from renku_metrics.store.files import Partition

RAW_GROUP = "raw"
# The tag of a run that lists every project and branch in full.
RECONCILE = "renku_metrics/reconcile"


def raw_assets(deployments: Mapping[str, Deployment], grid: partitions.Grid) -> list[dg.AssetsDefinition]:
    """One asset per raw table; those that one pull brings together are one step."""
    return [_asset(source, harvest, deployments, grid) for source in all_sources() for harvest in source.harvests]


def _asset(
    source: Source, harvest: Harvest, deployments: Mapping[str, Deployment], grid: partitions.Grid
) -> dg.AssetsDefinition:
    first = harvest.tables[0]

    @dg.multi_asset(
        name=harvest.name,
        specs=[
            dg.AssetSpec(
                table.name,
                # They are stored in this order.
                deps=[first.name] if table is not first else [],
                **specification(table, RAW_GROUP, {source.name}),
            )
            for table in harvest.tables
        ],
        partitions_def=grid.by_month if first.by_month else grid.by_deployment,
        backfill_policy=ONE_RUN,
        can_subset=len(harvest.tables) > 1,
    )
    def pulled(context: dg.AssetExecutionContext, central_store: CentralStore) -> Results:
        store = central_store.open()
        selected = {asset.to_user_string() for asset in context.selected_asset_keys}
        tables = [table for table in harvest.tables if table.name in selected]
        whole = context.run.tags.get(RECONCILE) == "true"

        def work(name: str, months: list[str]) -> Iterator[Materialized]:
            places: list[Partition] = [(name, month) for month in months] or [(name,)]
            with pulling(store, deployments[name], source, now, context.log.info) as pull:
                try:
                    if source.is_in(deployments[name]):
                        pull.bring(harvest, selected, whole=whole)
                except Exception:
                    # What it stored stays and must be counted. What it was asked for stays failed.
                    yield from _changed(pull, grid, tables, places)
                    raise
                yield from _changed(pull, grid, tables, places)
                for table in tables:
                    yield from _standing(pull, table, places, {places[-1]: dict(pull.facts)})

        yield from each_deployment(context, work)

    return pulled


def _changed(
    pull: Pull, grid: partitions.Grid, asked_tables: Collection[Table], asked: Collection[Partition]
) -> Iterator[Materialized]:
    """The partitions that nobody asked for, but that this pull, or an earlier one that was killed, changed."""
    for table in raw_tables():
        places = [place for place in pull.untold(table) if not (table in asked_tables and place in asked)]
        yield from _standing(pull, table, [place for place in places if grid.holds(place, pull.now)], {})


def _standing(
    pull: Pull, table: Table, places: Sequence[Partition], facts: Mapping[Partition, dict[str, Any]]
) -> Iterator[Materialized]:
    """The partitions as they are in the store. Dagster knows them afterwards."""
    if places:
        stored = pull.ensure(table, places)
        yield from materialized(pull.ledger.store, table, stored, facts, pull.versions(table, stored))
        pull.told(table, places)
