"""``renku-metrics demo``: two simulated deployments on loopback, pulled through Dagster into a local store."""

from __future__ import annotations

import datetime as dt
import os
import shlex
import sys
import time
from pathlib import Path

import click

from renku_metrics.commands.show import show
from renku_metrics.dagster.materializing import materialize
from renku_metrics.dagster.published import PUBLISHED
from renku_metrics.errors import RenkuMetricsError
from renku_metrics.metrics.dictionary import ACTIVE_USERS, CORE_ACTIONS
from renku_metrics.periods import ONE_DAY, Period
from renku_metrics.sources.registry import all_sources
from renku_metrics.tables import EVENTS, KINDS, USER_DAYS

WEEKS = 10
# Everything else as Dagster has it: SQLite and files in the folder, even where the environment names a PostgreSQL.
DAGSTER_SETTINGS = "telemetry: {enabled: false}\nnux: {enabled: false}\n"


def steps() -> dict[str, list[str]]:
    """The assets that are materialized together, by the name of the step, in this order."""
    metrics = (ACTIVE_USERS, *CORE_ACTIONS)
    return {
        **{
            harvest.name.removeprefix("raw_").replace("_", " "): [table.name for table in harvest.tables]
            for source in all_sources()
            for harvest in source.harvests
        },
        "events": [EVENTS.name],
        "user days": [USER_DAYS.name],
        **{f"{kind}ly numbers": [metric.table(kind).name for metric in metrics] for kind in KINDS},
        "published": [PUBLISHED],
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
    # It reads the environment as it is imported.
    from renku_metrics.definitions import defs

    for what, names in steps().items():
        begun = time.monotonic()
        click.echo(f"  {what:<24}", nl=False)
        rows = materialize(defs, names)
        click.echo(f"{rows:>9,} rows {time.monotonic() - begun:6.1f} s")
