"""``renku-metrics plan``: what the next pull of a deployment's GitLab would cost, before it is made."""

from __future__ import annotations

import click

from renku_metrics import environment
from renku_metrics.assets.pulls import source_state
from renku_metrics.commands.choosing import chosen_files
from renku_metrics.deployments import read_deployment
from renku_metrics.errors import ConfigurationError
from renku_metrics.periods import now
from renku_metrics.sources.gitlab_client import GitLabClient
from renku_metrics.sources.gitlab_cost import Cost, cost_of_pull
from renku_metrics.sources.gitlab_state import GitLabState
from renku_metrics.sources.progress import duration
from renku_metrics.store.store import Store
from renku_metrics.tables import RAW_GITLAB_USERS


def plan(deployment_name: str) -> None:
    """Prints how many requests the next pull would make, by what they are for. Pulls and changes nothing.

    Raises ConfigurationError for an unknown deployment or one without GitLab, SourceError when GitLab refuses.
    """
    [path] = chosen_files([deployment_name])
    deployment = read_deployment(path)
    if deployment.gitlab is None:
        raise ConfigurationError(f"{path}: gitlab: is missing, and no other source is pulled by the request")
    store = Store.at(environment.store_address())
    state = GitLabState.from_json(store.read_state(source_state(deployment.name, "gitlab")))
    users = store.read_if_there(RAW_GITLAB_USERS, [(deployment.name,)])
    client = GitLabClient(deployment, say=click.echo)
    cost = cost_of_pull(client, deployment, state, users, now())
    click.echo(f"{client.where}: the next pull, as far as can be known before")
    for line in lines(cost):
        click.echo(line)
    pace = f"{deployment.gitlab.concurrency} in flight"
    if deployment.gitlab.requests_per_minute:
        pace += f", {deployment.gitlab.requests_per_minute} a minute"
    click.echo(f"about {duration(cost.seconds)} at {pace}; this plan made {cost.asked} requests")


def lines(cost: Cost) -> list[str]:
    """One line for each kind of request, and one for all together."""
    kinds = {kind: number for kind, number in cost.requests.items() if number}
    shown = [
        f"  {kind:<20} {number:>9,}{'' if kind in cost.exact else ' or more'}" for kind, number in sorted(kinds.items())
    ]
    return [*shown, f"  {'in all':<20} {cost.total:>9,} requests, for {cost.changed_projects:,} projects to be read"]
