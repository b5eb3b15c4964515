"""The command ``renku-metrics``."""

from __future__ import annotations

import click


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def renku_metrics() -> None:
    """Who does what with Renku: product metrics of RenkuLab deployments."""


AT_LEAST_ONE = click.IntRange(min=1)


@renku_metrics.command(short_help="Print the latest published numbers.")
@click.option("--weeks", metavar="N", default=10, show_default=True, type=AT_LEAST_ONE, help="The latest N weeks.")
@click.option("--months", metavar="N", default=6, show_default=True, type=AT_LEAST_ONE, help="The latest N months.")
@click.option(
    "--deployment", "deployments", metavar="NAME", multiple=True, help="Only this deployment; may be repeated."
)
def show(weeks: int, months: int, deployments: tuple[str, ...]) -> None:
    """Print the latest weeks and months that are published.

    They are read from the store that RENKU_METRICS_STORE names: a directory or s3://bucket/prefix. If it is not set,
    the store is data/ of the project.

    A line is a week or month. Each core action has two figures: how many users did it at least once, and what share of
    the active users that is. If a line is not complete, its counts may be too low; the reason is printed below.

    Exit code 0 if numbers are shown; 1 if nothing is published, at all or for a deployment that you named, or if the
    store cannot be read; 2 if the command is typed wrongly.
    """
    from renku_metrics.commands.show import show as show_published

    show_published(weeks, months, deployments)


@renku_metrics.command(short_help="Try everything that deployments need.")
@click.argument("deployments", nargs=-1, metavar="[DEPLOYMENT]...")
def check(deployments: tuple[str, ...]) -> None:
    """Try everything that deployments need, and say what to do if something fails.

    If you name no DEPLOYMENT, every file of RENKU_METRICS_DEPLOYMENTS is tried. One line per thing: `ok`, `warning`
    (it works, but numbers may suffer) or `failed` (a pull would fail, or would lose data). Nothing is pulled. One small
    object is written to the store and deleted again. On S3 another one, conditional-writes.probe, stays there: by it
    renku-metrics learns whether the server writes on condition.

    Exit code 0 if nothing failed; 1 if something did, or if a DEPLOYMENT is unknown; 2 if the command is typed wrongly.
    """
    from renku_metrics.commands.check import check as check_everything

    if not check_everything(deployments):
        raise SystemExit(1)


@renku_metrics.command(short_help="Erase what is stored about a person.")
@click.option("--deployment", metavar="NAME", required=True, help="The deployment to erase from.")
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
    """Erase what is stored about one person who asked for it.

    One id or address is enough to find the person's accounts and the addresses of these. Also name every other
    address that the person committed with. The command shows what is stored, asks, erases it, and shows what was
    erased. Later pulls leave this person out. Published numbers stay as they are. If it is interrupted, run it again.
    """
    from renku_metrics.commands.erase import erase as erase_person

    erase_person(deployment, users, emails, confirmed=confirmed)


@renku_metrics.command(short_help="Say what the next pull would cost.")
@click.argument("deployment")
def plan(deployment: str) -> None:
    """Say what the next pull of DEPLOYMENT would cost in requests.

    Nothing is pulled. Only a few lists are read.
    """
    from renku_metrics.commands.plan import plan as plan_pull

    plan_pull(deployment)


@renku_metrics.command(short_help="Pull two simulated deployments, print the numbers.")
def demo() -> None:
    """Pull two simulated deployments into a local store and print the numbers."""
    from renku_metrics.commands.demo import run_demo

    run_demo()


def main() -> None:
    renku_metrics(prog_name="renku-metrics")
