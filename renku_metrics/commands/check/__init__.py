"""``renku-metrics check``: tries everything that deployments need, one line per thing.

What is tried of the store and of pulls belongs here. What is tried of a source does not: it is in sources/.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import click

from renku_metrics.commands.check.pulls import check_pulls
from renku_metrics.commands.check.store import check_store
from renku_metrics.commands.choosing import chosen_files
from renku_metrics.errors import ConfigurationError
from renku_metrics.periods import now
from renku_metrics.sources.findings import Finding, failed, ok, warning
from renku_metrics.sources.registry import all_sources, read_deployment

COLOURS = {"ok": "green", "warning": "yellow", "failed": "red"}


def check(names: Sequence[str]) -> bool:
    """Prints what it finds about the store and these deployments, or all. Returns whether nothing failed.

    Raises ConfigurationError for an unknown deployment.
    """
    paths = chosen_files(names)
    of_store = list(check_store(now()))
    # If the store cannot be used, it is enough to say so once.
    store_is_well = of_store[0].level == "ok"
    counts = Counter(_print("store", of_store))
    for path in paths:
        click.echo()
        counts.update(_print(path.stem, check_deployment(path, store_is_well=store_is_well)))
    click.echo("\n" + ", ".join(f"{counts[level]} {level}" for level in COLOURS))
    return not counts["failed"]


def check_deployment(path: Path, *, store_is_well: bool) -> Iterator[Finding]:
    """The file, the variables it names, each source whose variables are set, and when each was last pulled."""
    try:
        deployment = read_deployment(path)
    except ConfigurationError as error:
        for fault in error.message.splitlines():
            yield failed("file", fault, "correct it")
        return
    yield ok("file", f"{path} is valid")
    unset = set()
    for name, key, secret in deployment.secrets:
        if secret.is_set:
            yield ok("variable", f"{secret.variable} is set")
        else:
            unset.add(name)
            yield failed("variable", f"{secret.variable}, which {name}.{key} names, is not set", "set it")
    for source in all_sources():
        if not source.is_in(deployment):
            yield warning(source.name, "is not configured: no week or month of this deployment will be complete")
        elif source.name in unset:
            yield failed(source.name, "not tried without its variable", "set that first")
        else:
            yield from source.check(deployment, now())
    if store_is_well:
        yield from check_pulls(deployment, now())


def _print(title: str, findings: Iterable[Finding]) -> Iterator[str]:
    click.secho(title, bold=True)
    for found in findings:
        level = click.style(f"{found.level:<7}", fg=COLOURS[found.level])
        click.echo(f"  {level}  {found.what:<24} {found.text}")
        yield found.level
