"""How the sources of a deployment share what its servers may be asked at once and in a minute.

``gitlab.concurrency`` and ``gitlab.requests_per_minute`` are the deployment's, whose GitLab and Keycloak are one
installation. At most one pull of a source runs at a time, on whatever machine, so fixed shares keep the total within
the limit without any counting between machines.
"""

from __future__ import annotations

from dataclasses import dataclass

from renku_metrics.deployments import Deployment
from renku_metrics.sources.gitlab.section import GitLab
from renku_metrics.sources.keycloak.section import Keycloak


@dataclass(frozen=True)
class Share:
    """The requests that one source may have in flight, and make in a minute (None: any number)."""

    concurrency: int
    requests_per_minute: int | None


def gitlab_share(deployment: Deployment) -> Share:
    """What Keycloak leaves; everything without Keycloak, or where the two take turns."""
    gitlab = deployment.configured(GitLab)
    whole = Share(gitlab.concurrency, gitlab.requests_per_minute)
    if deployment.section(Keycloak) is None or takes_turns(deployment):
        return whole
    of_keycloak = keycloak_share(deployment)
    rate = whole.requests_per_minute and whole.requests_per_minute - (of_keycloak.requests_per_minute or 0)
    return Share(whole.concurrency - of_keycloak.concurrency, rate)


def keycloak_share(deployment: Deployment) -> Share:
    """One request in flight, which is all that Keycloak is ever asked at once, with its part of the rate."""
    gitlab = deployment.section(GitLab)
    if gitlab is None:
        return Share(1, None)
    rate = gitlab.requests_per_minute
    # Rounded down, so that the two together never exceed the limit.
    return Share(1, rate and max(1, rate // gitlab.concurrency))


def takes_turns(deployment: Deployment) -> bool:
    """Whether GitLab and Keycloak cannot share what there is, so that one waits for the other."""
    gitlab = deployment.section(GitLab)
    if gitlab is None or deployment.section(Keycloak) is None:
        return False
    return gitlab.concurrency == 1 or gitlab.requests_per_minute == 1


def lock_of_gitlab(_deployment: Deployment) -> str:
    """The name that a pull of GitLab holds alone."""
    return "gitlab"


def lock_of_keycloak(deployment: Deployment) -> str:
    """The name that a pull of Keycloak holds alone: GitLab's where the two take turns."""
    return lock_of_gitlab(deployment) if takes_turns(deployment) else "keycloak"
