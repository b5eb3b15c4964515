"""The command ``renku-metrics``."""

from __future__ import annotations

import click


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def renku_metrics() -> None:
    """Who does what with Renku: product metrics of RenkuLab deployments."""


@renku_metrics.command()
@click.option("--weeks", default=10, show_default=True, type=click.IntRange(min=1), help="How many weeks to show.")
@click.option("--months", default=6, show_default=True, type=click.IntRange(min=1), help="How many months to show.")
@click.option("--deployment", "deployments", multiple=True, help="Show only this deployment; may be repeated.")
def show(weeks: int, months: int, deployments: tuple[str, ...]) -> None:
    """Print the published numbers."""
    from renku_metrics.commands.show import show as show_published

    show_published(weeks, months, deployments)


@renku_metrics.command()
def demo() -> None:
    """Pull two simulated deployments into a local store and print the numbers."""
    from renku_metrics.commands.demo import run_demo

    run_demo()


def main() -> None:
    renku_metrics(prog_name="renku-metrics")
