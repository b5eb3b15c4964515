"""Makes assets in this process, without daemon or web page."""

from __future__ import annotations

from collections.abc import Sequence

import dagster as dg

from renku_metrics.dagster.partitions import everything
from renku_metrics.errors import RenkuMetricsError


def materialize(definitions: dg.Definitions, names: Sequence[str]) -> int:
    """Materializes every partition of the assets, which share their partitions; returns how many rows they have.

    Raises RenkuMetricsError if a step fails.
    """
    grain = definitions.resolve_assets_def(names[0]).partitions_def
    with dg.DagsterInstance.get() as instance:
        result = dg.materialize(
            [asset for asset in definitions.assets or [] if isinstance(asset, dg.AssetsDefinition)],
            selection=dg.AssetSelection.assets(*names),
            instance=instance,
            resources=definitions.resources,
            tags=everything(grain) if grain else None,
            run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
            raise_on_error=False,
        )
        if not result.success:
            failures = [event.event_specific_data for event in result.get_step_failure_events()]
            raise RenkuMetricsError(f"{', '.join(names)} cannot be materialized: {failures}")
        return sum(_rows(event.materialization) for event in result.get_asset_materialization_events())


def _rows(materialization: dg.AssetMaterialization) -> int:
    counts = (materialization.metadata.get(f"dagster/{name}") for name in ("partition_row_count", "row_count"))
    return sum(count.value or 0 for count in counts if isinstance(count, dg.IntMetadataValue))
