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
@click.argument("deployments", nargs=-1, metavar="[DEPLOYMENT]...")
def check(deployments: tuple[str, ...]) -> None:
    """Try everything that deployments need, and say what to do about what fails.

    Without a DEPLOYMENT every file of RENKU_METRICS_DEPLOYMENTS is tried. One line per thing: `ok`, `warning` (works,
    but numbers may suffer) or `failed` (a pull would fail, or lose what happens). Nothing is pulled; the store is
    only written to for a moment. Exit code 1 when anything failed.
    """
    from renku_metrics.commands.check import check as check_everything

    if not check_everything(deployments):
        raise SystemExit(1)


@renku_metrics.command()
@click.option("--deployment", required=True, help="The deployment to erase from.")
@click.option(
    "--user",
    "users",
    multiple=True,
    metavar="ID",
    help="Keycloak id, gitlab:<number>, or email:<hash> as in the table of events; may be repeated.",
)
@click.option(
    "--email",
    "emails",
    multiple=True,
    metavar="ADDRESS",
    help="Email address, also one that only commits carry; may be repeated.",
)
@click.option("--yes", "confirmed", is_flag=True, help="Erase without asking.")
def erase(deployment: str, users: tuple[str, ...], emails: tuple[str, ...], confirmed: bool) -> None:
    """Erase what is stored of one person, on their request.

    One id or address is enough to find the person's accounts and the addresses these have; name every further
    address that the person committed with. Shows what is stored, asks, erases it, and shows what was erased. Pulls
    leave this person out from then on. Published numbers stay as they are. Interrupted, it is to be run again.
    """
    from renku_metrics.commands.erase import erase as erase_person

    erase_person(deployment, users, emails, confirmed=confirmed)


@renku_metrics.command()
@click.argument("deployment")
def plan(deployment: str) -> None:
    """Say what the next pull of DEPLOYMENT's GitLab would cost in requests.

    Nothing is pulled; a few lists are looked at.
    """
    from renku_metrics.commands.plan import plan as plan_pull

    plan_pull(deployment)


@renku_metrics.command()
def demo() -> None:
    """Pull two simulated deployments into a local store and print the numbers."""
    from renku_metrics.commands.demo import run_demo

    run_demo()


def main() -> None:
    renku_metrics(prog_name="renku-metrics")
