"""Runs an asset one deployment after the other, so that one that fails does not sink the others.

A run may hold any rectangle of deployments and days. Each partition gets its own metadata and data version;
the version is the hash of its file, by which declarative automation leaves alone what did not change.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from graphlib import TopologicalSorter
from typing import Any

import dagster as dg

from renku_metrics import partitions
from renku_metrics.errors import RenkuMetricsError
from renku_metrics.store.store import Partition, Store, Stored
from renku_metrics.tables import Table


@dataclass(frozen=True)
class Materialized:
    """One partition of one asset as it now stands in the store."""

    asset: str
    key: str
    version: str
    metadata: dict[str, Any] = field(default_factory=dict)


# Brings the given days, weeks or months of a deployment up to date (all of it when there are none), and returns
# those partitions and every other that it changed on the way.
Work = Callable[[str, list[str]], Iterable[Materialized]]


def materialized(
    store: Store, table: Table, stored: dict[Partition, Stored], facts: dict[Partition, dict[str, Any]] | None = None
) -> list[Materialized]:
    """The partitions of a table as they stand in the store, each with its row count, location and facts."""
    return [
        Materialized(
            asset=table.name,
            key="|".join(partition),
            version=state.version,
            metadata={
                "dagster/partition_row_count": state.rows,
                "dagster/uri": store.address(table, partition),
                **(facts or {}).get(partition, {}),
            },
        )
        for partition, state in stored.items()
    ]


def each_deployment(
    context: dg.AssetExecutionContext,
    work: Work,
    recorded: Callable[[str, list[Materialized]], None] | None = None,
) -> Iterator[dg.MaterializeResult[None]]:
    """Does the work of a run for each deployment in it and records every partition that was stored.

    ``recorded`` is told, deployment by deployment, what Dagster now knows of. Raises dagster's Failure with one
    line per deployment that failed, after everything that was stored is recorded.
    """
    stored: dict[str, list[Materialized]] = {}
    failures: dict[str, str] = {}
    for deployment, times in partitions.by_deployment(context.partition_keys).items():
        done = stored.setdefault(deployment, [])
        try:
            # Work that fails on its way has yielded what it stored before.
            for item in work(deployment, times):
                done.append(item)
        except RenkuMetricsError as error:
            failures[deployment] = str(error)
        except Exception as error:
            context.log.exception(f"{deployment}: unexpected {type(error).__name__}")
            failures[deployment] = f"{deployment}: unexpected {type(error).__name__}; its traceback is in the run's log"
        if deployment in failures:
            context.log.error(failures[deployment])

    selected = {asset.to_user_string() for asset in context.selected_asset_keys}
    requested = set(map(str, context.partition_keys))
    for item in (item for done in stored.values() for item in done):
        asked = item.asset in selected and item.key in requested
        if asked and not failures:
            context.add_asset_metadata(item.metadata, asset_key=item.asset, partition_key=item.key)
        else:
            context.log_event(
                dg.AssetMaterialization(
                    item.asset,
                    partition=item.key,
                    metadata=item.metadata,
                    tags={"dagster/data_version": item.version, "dagster/data_version_is_user_provided": "true"},
                )
            )
    if not failures:
        # Dagster takes the assets of one step in the order of their dependencies.
        for asset in [asset for asset in _in_order(context) if asset in selected]:
            versions = [
                item.version
                for done in stored.values()
                for item in done
                if item.asset == asset and item.key in requested
            ]
            yield dg.MaterializeResult(asset_key=asset, data_version=dg.DataVersion(_version_of(versions)))
    if recorded:
        for deployment, done in stored.items():
            recorded(deployment, done)
    if failures:
        raise dg.Failure("\n".join(failures.values()), allow_retries=False)


def _in_order(context: dg.AssetExecutionContext) -> list[str]:
    keys = context.assets_def.keys
    depends = {key: context.assets_def.asset_deps[key] & keys for key in keys}
    return [key.to_user_string() for key in TopologicalSorter(depends).static_order()]


def _version_of(versions: list[str]) -> str:
    # Dagster takes one version for all partitions of a run; that of a single partition is its file's own.
    return versions[0] if len(versions) == 1 else hashlib.sha256("".join(versions).encode()).hexdigest()[:16]
