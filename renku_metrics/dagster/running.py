"""Runs an asset one deployment after the other, so that one that fails does not sink the others.

A run may hold any rectangle of deployments and months. Each partition is recorded in Dagster by an event of its own,
as soon as it is stored, with its metadata and the version of its content: by the version declarative automation
leaves alone what did not change.
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
from renku_metrics.store.store import Partition, Store, Stored

# The result of a step would record all its partitions once more, with one version for all. Dagster leaves that out for
# results marked so, which is how its own observable assets record partitions one by one.
RECORDED = {SYSTEM_METADATA_KEY_SOURCE_ASSET_OBSERVATION: True}


@dataclass(frozen=True)
class Materialized:
    """One partition of one asset as it is in the store now; ``dimensions`` of its key, if there are two."""

    asset: str
    key: str
    version: str
    metadata: dict[str, Any] = field(default_factory=dict)
    dimensions: dict[str, str] = field(default_factory=dict)


# Brings the given weeks or months of a deployment up to date (all of it when there are none), and yields each
# partition once it is stored, those included that it changed on the way. What was yielded is known to Dagster when
# the work goes on.
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
            key="|".join(partition),
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
    """Does the work of a run for each deployment in it, and then tells what was ``checked`` on the way.

    Raises dagster's Failure with one line per deployment that failed, after the work of all is done.
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
            failures.append(f"{deployment}: unexpected {type(error).__name__}; where it came from is in the run's log")
            # Without the error's own words, which may be personal.
            context.log.error("\n".join([failures[-1], *traceback.format_tb(error.__traceback__)]))
    yield from checked()
    if failures:
        raise dg.Failure("\n".join(failures), allow_retries=False)
    # Dagster takes the assets of one step in the order of their dependencies.
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
