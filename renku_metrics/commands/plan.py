"""``renku-metrics plan``: what the next pull of a deployment would cost, before it is made."""

from __future__ import annotations

from collections.abc import Iterator

import click

from renku_metrics import environment
from renku_metrics.commands.choosing import chosen_files
from renku_metrics.deployments import Deployment, read_deployment
from renku_metrics.errors import ConfigurationError
from renku_metrics.object_storage import open_storage
from renku_metrics.periods import now
from renku_metrics.pipeline.pulling import source_state
from renku_metrics.sources.amalthea.audit_log import FilesRead, count_unread
from renku_metrics.sources.cost import Cost
from renku_metrics.sources.gitlab.client import GitLabClient
from renku_metrics.sources.gitlab.cost import cost_of_pull as cost_of_gitlab
from renku_metrics.sources.gitlab.state import GitLabState
from renku_metrics.sources.http import Connection
from renku_metrics.sources.keycloak.admin import KeycloakAdmin
from renku_metrics.sources.keycloak.cost import cost_of_pull as cost_of_keycloak
from renku_metrics.sources.progress import duration
from renku_metrics.store.store import Store
from renku_metrics.tables import RAW_GITLAB_USERS


def plan(deployment_name: str) -> None:
    """Prints how many requests the next pull would make, by what they are for. Pulls and changes nothing.

    Raises ConfigurationError for an unknown deployment or one without sources, SourceError when a source refuses.
    """
    [path] = chosen_files([deployment_name])
    deployment = read_deployment(path)
    store = Store.at(environment.store_address())
    if not (deployment.gitlab or deployment.keycloak or deployment.amalthea):
        raise ConfigurationError(f"{path}: gitlab, keycloak and amalthea are missing: there is nothing to pull")
    if deployment.gitlab:
        state = GitLabState.from_json(store.read_state(source_state(deployment.name, "gitlab")))
        users = store.read_if_there(RAW_GITLAB_USERS, [(deployment.name,)])
        client = GitLabClient(deployment, say=click.echo)
        cost = cost_of_gitlab(client, deployment, state, users, now())
        _print(client.connection, cost, f", for {cost.changed_projects:,} projects to be read")
    if deployment.keycloak:
        admin = KeycloakAdmin(deployment, say=click.echo)
        _print(admin.connection, cost_of_keycloak(admin))
    if deployment.amalthea:
        click.echo(f"{deployment.name}: amalthea: {_unread_files(store, deployment):,} files to be read")


def _unread_files(store: Store, deployment: Deployment) -> int:
    assert deployment.amalthea is not None
    state = FilesRead.from_json(store.read_state(source_state(deployment.name, "amalthea")))
    storage = open_storage(deployment.amalthea.audit_log, deployment.amalthea.endpoint_url)
    return count_unread(storage, deployment, state)


def _print(connection: Connection, cost: Cost, purpose: str = "") -> None:
    click.echo(f"{connection.where}: the next pull, as far as can be known before")
    for line in _lines(cost):
        click.echo(line)
    click.echo(f"  {'in all':<20} {cost.total:>9,} requests{purpose}")
    pace = f"{connection.concurrency} in flight"
    if connection.requests_per_minute:
        pace += f", {connection.requests_per_minute} a minute"
    click.echo(f"about {duration(cost.seconds)} at {pace}; this plan made {cost.asked} requests")


def _lines(cost: Cost) -> Iterator[str]:
    """One for each kind of request."""
    for kind, number in sorted(cost.requests.items()):
        if number:
            yield f"  {kind:<20} {number:>9,}{'' if kind in cost.exact else ' or more'}"
