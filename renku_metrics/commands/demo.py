"""``renku-metrics demo``: two simulated deployments on loopback, pulled through Dagster into a local store."""

from __future__ import annotations

import datetime as dt
import os
import shlex
import sys
import time
from pathlib import Path

import click
import dagster as dg

from renku_metrics.commands.show import show
from renku_metrics.errors import RenkuMetricsError
from renku_metrics.metrics.dictionary import ACTIVE_USERS, CORE_ACTIONS
from renku_metrics.periods import ONE_DAY, Period
from renku_metrics.sources.registry import all_sources

WEEKS = 10
# Everything else as Dagster has it: SQLite and files in the folder, even where the environment names a PostgreSQL.
DAGSTER_SETTINGS = "telemetry: {enabled: false}\nnux: {enabled: false}\n"
METRICS = [metric.key for metric in (ACTIVE_USERS, *CORE_ACTIONS)]


def steps() -> dict[str, list[str]]:
    """The assets that are materialized together, by the name of the step, in this order."""
    return {
        **{
            harvest.name.removeprefix("raw_").replace("_", " "): [table.name for table in harvest.tables]
            for source in all_sources()
            for harvest in source.harvests
        },
        "events": ["events"],
        "user days": ["user_days"],
        "weekly numbers": [f"{key}_weekly" for key in METRICS],
        "monthly numbers": [f"{key}_monthly" for key in METRICS],
        "published": ["published"],
    }


def run_demo() -> None:
    """Pulls ten weeks of each deployment, prints the published numbers and says how to open them in Dagster.

    It writes only below ``data/demo/`` of the folder that it is started in. Raises RenkuMetricsError if a run fails, or
    if the simulated RenkuLab is not installed, as in the image.
    """
    try:
        from renkulab.demo import simulated_deployments
    except ModuleNotFoundError:
        raise RenkuMetricsError(
            "the demo is not installed here; run `make demo` in a checkout of the project"
        ) from None

    begun = time.monotonic()
    today = dt.datetime.now(dt.UTC).date()
    first_day = Period.of("week", today).start - 7 * WEEKS * ONE_DAY
    # One folder a week: the simulated weeks move on with the calendar.
    folder = Path("data", "demo", first_day.isoformat()).absolute()
    variables = _prepare(folder)
    click.echo(f"Two simulated RenkuLab deployments with {WEEKS} weeks of activity are starting on loopback …")
    with simulated_deployments(folder / "deployments", folder / "audit_logs", first_day, today) as secrets:
        os.environ.update(variables | secrets)
        _materialize_everything()
    click.echo(f"\nDone in {time.monotonic() - begun:.0f} s. {folder / 'store' / 'published'} holds:\n")
    show(weeks=WEEKS, months=6, deployments=())
    click.echo("To see the same in Dagster (assets, partitions, runs, metadata):\n")
    click.echo("  export " + " ".join(f"{name}={shlex.quote(value)}" for name, value in variables.items()))
    click.echo(f"  {shlex.quote(str(Path(sys.executable).with_name('dagster')))} dev -m renku_metrics.definitions")


def _prepare(folder: Path) -> dict[str, str]:
    for name in ("dagster", "deployments", "audit_logs"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    (folder / "dagster" / "dagster.yaml").write_text(DAGSTER_SETTINGS, encoding="utf-8")
    return {
        "DAGSTER_HOME": str(folder / "dagster"),
        "RENKU_METRICS_DEPLOYMENTS": str(folder / "deployments"),
        "RENKU_METRICS_STORE": str(folder / "store"),
        # It protects simulated people only.
        "RENKU_METRICS_HASH_KEY": "demo",
    }


def _materialize_everything() -> None:
    from renku_metrics.dagster.partitions import everything
    from renku_metrics.definitions import defs

    assets = [asset for asset in defs.assets or [] if isinstance(asset, dg.AssetsDefinition)]
    with dg.DagsterInstance.get() as instance:
        for what, names in steps().items():
            begun = time.monotonic()
            click.echo(f"  {what:<24}", nl=False)
            selection = dg.AssetSelection.assets(*names)
            grain = defs.resolve_assets_def(names[0]).partitions_def
            result = dg.materialize(
                assets,
                selection=selection,
                instance=instance,
                resources=defs.resources,
                tags=everything(grain) if grain else None,
                run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
                raise_on_error=False,
            )
            if not result.success:
                failures = [event.event_specific_data for event in result.get_step_failure_events()]
                raise RenkuMetricsError(f"the demo's {what} failed: {failures}")
            rows = sum(_rows(event.materialization) for event in result.get_asset_materialization_events())
            click.echo(f"{rows:>9,} rows {time.monotonic() - begun:6.1f} s")


def _rows(materialization: dg.AssetMaterialization) -> int:
    counts = (materialization.metadata.get(f"dagster/{name}") for name in ("partition_row_count", "row_count"))
    return sum(count.value or 0 for count in counts if isinstance(count, dg.IntMetadataValue))
