"""How the sources of a deployment share its limits: requests in flight, and requests a minute.

``gitlab.concurrency`` and ``gitlab.requests_per_minute`` limit GitLab and Keycloak together, because both belong to
one installation. At most one pull per source runs at a time, on any machine, so fixed shares keep the total within the
limits without any counting between machines.
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
    """The limits less Keycloak's share; the whole limits if there is no Keycloak or if the two take turns."""
    gitlab = deployment.configured(GitLab)
    whole = Share(gitlab.concurrency, gitlab.requests_per_minute)
    if deployment.section(Keycloak) is None or takes_turns(deployment):
        return whole
    of_keycloak = keycloak_share(deployment)
    rate = whole.requests_per_minute and whole.requests_per_minute - (of_keycloak.requests_per_minute or 0)
    return Share(whole.concurrency - of_keycloak.concurrency, rate)


def keycloak_share(deployment: Deployment) -> Share:
    """One request in flight, because Keycloak is asked one thing at a time, and its part of the rate."""
    gitlab = deployment.section(GitLab)
    if gitlab is None:
        return Share(1, None)
    rate = gitlab.requests_per_minute
    # Rounded down, so that the two together never exceed the limit.
    return Share(1, rate and max(1, rate // gitlab.concurrency))


def takes_turns(deployment: Deployment) -> bool:
    """Whether a limit is too small for GitLab and Keycloak to share, so that one waits for the other."""
    gitlab = deployment.section(GitLab)
    if gitlab is None or deployment.section(Keycloak) is None:
        return False
    return gitlab.concurrency == 1 or gitlab.requests_per_minute == 1


def lock_of_gitlab(_deployment: Deployment) -> str:
    """The name of the lock that a pull of GitLab holds."""
    return "gitlab"


def lock_of_keycloak(deployment: Deployment) -> str:
    """The name of the lock that a pull of Keycloak holds: GitLab's lock if the two take turns."""
    return lock_of_gitlab(deployment) if takes_turns(deployment) else "keycloak"
