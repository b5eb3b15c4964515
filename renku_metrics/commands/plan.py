"""``renku-metrics plan``: what the next pull of a deployment would cost."""

from __future__ import annotations

import click

from renku_metrics import environment
from renku_metrics.commands.choosing import chosen_files
from renku_metrics.errors import ConfigurationError
from renku_metrics.periods import now
from renku_metrics.sources.registry import all_sources, read_deployment, sources_of
from renku_metrics.store.ledger import Ledger
from renku_metrics.store.store import Store


def plan(deployment_name: str) -> None:
    """Prints how many requests the next pull would make, and what they are for. Pulls and changes nothing.

    Raises ConfigurationError for an unknown deployment or one without sources, SourceError if a source refuses.
    """
    [path] = chosen_files([deployment_name])
    deployment = read_deployment(path)
    store = Store.at(environment.store_address())
    ledger = Ledger(store, deployment.name)
    found = sources_of(deployment)
    if not found:
        *first, last = (source.name for source in all_sources())
        raise ConfigurationError(f"{path}: {', '.join(first)} and {last} are missing: there is nothing to pull")
    for source in found:
        lines = source.plan(
            deployment,
            ledger.state(source.name),
            lambda table: store.read_if_there(table, [(deployment.name,)]),
            now(),
            click.echo,
        )
        for line in lines:
            click.echo(line)
