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

    They come from the store that RENKU_METRICS_STORE names, a directory or s3://bucket/prefix; by default from data/
    of the project.

    A line is a week or month. Each core action has two figures: how many users did it at least once, and what share of
    the active users that is. If a line is not complete, its numbers may be too low; a footnote says why.

    Exit code 0 when numbers are shown; 1 when nothing is published, of one of the deployments or at all, or the store
    cannot be read; 2 when the command is typed wrongly.
    """
    from renku_metrics.commands.show import show as show_published

    show_published(weeks, months, deployments)


@renku_metrics.command(short_help="Try everything that deployments need.")
@click.argument("deployments", nargs=-1, metavar="[DEPLOYMENT]...")
def check(deployments: tuple[str, ...]) -> None:
    """Try everything that deployments need, and say what to do about what fails.

    Without a DEPLOYMENT it tries every file of RENKU_METRICS_DEPLOYMENTS. It prints one line per thing: `ok`, `warning`
    (works, but numbers may suffer) or `failed` (a pull would fail, or lose what happens). It pulls nothing. It writes
    one object to the store and deletes it again.

    Exit code 0 when nothing failed; 1 when anything did, or a DEPLOYMENT is unknown; 2 when the command is typed
    wrongly.
    """
    from renku_metrics.commands.check import check as check_everything

    if not check_everything(deployments):
        raise SystemExit(1)


@renku_metrics.command(short_help="Erase what is stored of a person, on their request.")
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
    """Erase what is stored of one person, on their request.

    One id or address is enough to find the person's accounts and the addresses these have; name every further
    address that the person committed with. Shows what is stored, asks, erases it, and shows what was erased. Pulls
    leave this person out from then on. Published numbers stay as they are. If it is interrupted, run it again.
    """
    from renku_metrics.commands.erase import erase as erase_person

    erase_person(deployment, users, emails, confirmed=confirmed)


@renku_metrics.command(short_help="Say what the next pull would cost.")
@click.argument("deployment")
def plan(deployment: str) -> None:
    """Say what the next pull of DEPLOYMENT would cost in requests.

    It pulls nothing; it only looks at a few lists.
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
