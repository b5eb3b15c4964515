"""The Dagster code location of Renku Metrics: gathers, decides nothing."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence

import dagster as dg

# In Dagster 1.13 partition mappings between dimensions, and backfill policies, are beta.
warnings.filterwarnings("ignore", category=dg.BetaWarning)

from renku_metrics import environment  # noqa: E402
from renku_metrics.dagster import automation  # noqa: E402
from renku_metrics.dagster.events import event_assets  # noqa: E402
from renku_metrics.dagster.metrics import metric_assets  # noqa: E402
from renku_metrics.dagster.partitions import Grid  # noqa: E402
from renku_metrics.dagster.published import published_asset  # noqa: E402
from renku_metrics.dagster.raw import raw_assets  # noqa: E402
from renku_metrics.dagster.resources import CentralStore  # noqa: E402
from renku_metrics.deployments import Deployment  # noqa: E402
from renku_metrics.metrics.definition import CoreAction  # noqa: E402
from renku_metrics.metrics.dictionary import CORE_ACTIONS  # noqa: E402
from renku_metrics.sources.registry import read_deployments  # noqa: E402


def build_definitions(
    deployments: Mapping[str, Deployment], store_address: str, core_actions: Sequence[CoreAction] = CORE_ACTIONS
) -> dg.Definitions:
    """Every asset, schedule and sensor for the deployments, on the store at the address."""
    grid = Grid.of(deployments.values())
    assets = [
        *raw_assets(deployments, grid),
        *event_assets(deployments, grid),
        *metric_assets(deployments, grid, core_actions),
        published_asset(deployments, core_actions),
    ]
    return dg.Definitions(
        assets=automation.automated(assets, grid),
        schedules=automation.schedules(grid),
        sensors=[automation.sensor()],
        resources={"central_store": CentralStore(address=store_address)},
        # The steps of a run depend on each other anyway. One process starts faster and takes half the memory.
        executor=dg.in_process_executor,
    )


defs = build_definitions(read_deployments(environment.deployments_folder()), environment.store_address())
