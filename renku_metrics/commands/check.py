"""``renku-metrics check``: tries everything that deployments need, one line per thing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import click

from renku_metrics.commands.check_amalthea import check_amalthea
from renku_metrics.commands.check_gitlab import check_gitlab
from renku_metrics.commands.check_keycloak import check_keycloak
from renku_metrics.commands.check_pulls import check_pulls
from renku_metrics.commands.check_store import check_store
from renku_metrics.commands.choosing import chosen_files
from renku_metrics.commands.findings import Finding, failed, ok, warning
from renku_metrics.deployments import Deployment, Secret, read_deployment
from renku_metrics.errors import ConfigurationError
from renku_metrics.periods import now

COLOURS = {"ok": "green", "warning": "yellow", "failed": "red"}
SOURCES = ("gitlab", "keycloak", "amalthea")


def check(names: Sequence[str]) -> bool:
    """Prints what is found of the store and of these deployments, or all; whether nothing failed.

    Raises ConfigurationError for an unknown deployment.
    """
    paths = chosen_files(names)
    of_store = list(check_store(now()))
    # Of a store that cannot be used enough is said once.
    store_is_well = of_store[0].level == "ok"
    counts = Counter(_print("store", of_store))
    for path in paths:
        click.echo()
        counts.update(_print(path.stem, check_deployment(path, store_is_well=store_is_well)))
    click.echo("\n" + ", ".join(f"{counts[level]} {level}" for level in COLOURS))
    return not counts["failed"]


def check_deployment(path: Path, *, store_is_well: bool) -> Iterator[Finding]:
    """The file, the variables it names, each source whose variable is set, and when each was last pulled."""
    try:
        deployment = read_deployment(path)
    except ConfigurationError as error:
        for fault in error.message.splitlines():
            yield failed("file", fault, "correct it")
        return
    yield ok("file", f"{path} is valid")
    unset = set()
    for source, key, secret in _secrets(deployment):
        if secret.is_set:
            yield ok("variable", f"{secret.variable} is set")
        else:
            unset.add(source)
            yield failed("variable", f"{secret.variable}, which {source}.{key} names, is not set", "set it")
    for source in SOURCES:
        if getattr(deployment, source) is None:
            yield warning(source, "is not configured: no week or month of this deployment will be complete")
        elif source in unset:
            yield failed(source, "not tried without its variable", "set that first")
        else:
            yield from _check_source(source, deployment)
    if store_is_well:
        yield from check_pulls(deployment, now())


def _check_source(source: str, deployment: Deployment) -> Iterator[Finding]:
    if source == "gitlab":
        return check_gitlab(deployment, now())
    if source == "keycloak":
        return check_keycloak(deployment)
    return check_amalthea(deployment, now())


def _secrets(deployment: Deployment) -> Iterator[tuple[str, str, Secret]]:
    for source in SOURCES:
        for key, value in getattr(deployment, source) or ():
            if isinstance(value, Secret):
                yield source, key, value


def _print(title: str, findings: Iterable[Finding]) -> Iterator[str]:
    click.secho(title, bold=True)
    for found in findings:
        level = click.style(f"{found.level:<7}", fg=COLOURS[found.level])
        click.echo(f"  {level}  {found.what:<24} {found.text}")
        yield found.level
