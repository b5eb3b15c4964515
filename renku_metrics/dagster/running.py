"""Runs an asset one deployment after the other, so that one that fails does not stop the others.

A run may hold any rectangle of deployments and months. Each partition has an event in Dagster as soon as it is stored,
with its metadata and the version of its content. If the version did not change, declarative automation starts nothing.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from graphlib import TopologicalSorter
from typing import Any

import dagster as dg
from dagster._core.definitions.source_asset import SYSTEM_METADATA_KEY_SOURCE_ASSET_OBSERVATION

from renku_metrics.dagster import partitions
from renku_metrics.errors import RenkuMetricsError
from renku_metrics.schema import Table
from renku_metrics.store.files import Partition
from renku_metrics.store.store import Store, Stored

# The result of a step would record all its partitions again, with one version for all. Dagster does not do that if the
# result has this mark: its own observable assets use it to record partitions one by one.
RECORDED = {SYSTEM_METADATA_KEY_SOURCE_ASSET_OBSERVATION: True}


@dataclass(frozen=True)
class Materialized:
    """One partition of one asset as it is in the store now. ``dimensions``: those of its key, if there are two."""

    asset: str
    key: str
    version: str
    metadata: dict[str, Any] = field(default_factory=dict)
    dimensions: dict[str, str] = field(default_factory=dict)


# Brings weeks or months of a deployment up to date, or all of it if none are given. Yields each partition once it is
# stored, also those that nobody asked for. Dagster knows of a partition before the work goes on.
Work = Callable[[str, list[str]], Iterable[Materialized]]


# What an asset yields to Dagster.
Results = Iterator[dg.MaterializeResult[None] | dg.AssetCheckResult]


def materialized(
    store: Store,
    table: Table,
    stored: Mapping[Partition, Stored],
    facts: Mapping[Partition, dict[str, Any]],
    versions: Mapping[Partition, str] | None = None,
) -> list[Materialized]:
    """The partitions of a table as they are in the store, each with its row count, location and facts.

    ``versions``: what automation follows, if it is not the version of the file.
    """
    return [
        Materialized(
            asset=table.name,
            key=partitions.key(*partition),
            version=(versions or {}).get(partition, state.version),
            dimensions=dict(zip(table.partitioned_by, partition, strict=True)) if len(partition) > 1 else {},
            metadata={
                "dagster/partition_row_count": state.rows,
                "dagster/uri": store.address(table, partition),
                **facts.get(partition, {}),
            },
        )
        for partition, state in stored.items()
    ]


def each_deployment(
    context: dg.AssetExecutionContext, work: Work, checked: Callable[[], Iterable[dg.AssetCheckResult]] = tuple
) -> Results:
    """Does the work of a run for each deployment in it, and then yields what was ``checked``.

    Raises dagster's Failure with one line per failed deployment, after the work of all is done.
    """
    failures = []
    for deployment, times in partitions.by_deployment(context.partition_keys).items():
        try:
            for item in work(deployment, times):
                context.log_event(_event(item))
        except RenkuMetricsError as error:
            failures.append(str(error))
            context.log.error(failures[-1])
        except Exception as error:  # noqa: BLE001
            failures.append(f"{deployment}: unexpected {type(error).__name__}; the run's log says where it came from")
            # The message of the error is left out, because it may be personal.
            context.log.error("\n".join([failures[-1], *traceback.format_tb(error.__traceback__)]))
    yield from checked()
    if failures:
        raise dg.Failure("\n".join(failures), allow_retries=False)
    # Dagster wants the assets of one step in the order of their dependencies.
    for asset in TopologicalSorter(context.assets_def.asset_deps).static_order():
        if asset in context.selected_asset_keys:
            yield dg.MaterializeResult(asset_key=asset, metadata=RECORDED)


def _event(item: Materialized) -> dg.AssetMaterialization:
    return dg.AssetMaterialization(
        item.asset,
        partition=item.key,
        metadata=item.metadata,
        tags={
            "dagster/data_version": item.version,
            "dagster/data_version_is_user_provided": "true",
            **{f"dagster/partition/{name}": value for name, value in item.dimensions.items()},
        },
    )
