"""How the sources of a deployment share what its servers may be asked at once and in a minute.

``gitlab.concurrency`` and ``gitlab.requests_per_minute`` are the deployment's, whose GitLab and Keycloak are one
installation. Of each source one pull at most is under way (``Pull.alone``), wherever it runs; so shares that are
fixed keep their sum within the limits without anybody counting across machines.
"""

from __future__ import annotations

from dataclasses import dataclass

from renku_metrics.deployments import Deployment


@dataclass(frozen=True)
class Share:
    """The requests that one source may have in flight, and make in a minute (None: any number)."""

    concurrency: int
    requests_per_minute: int | None


def gitlab_share(deployment: Deployment) -> Share:
    """What Keycloak leaves; everything without Keycloak, or where the two take turns."""
    assert deployment.gitlab is not None
    whole = Share(deployment.gitlab.concurrency, deployment.gitlab.requests_per_minute)
    if deployment.keycloak is None or takes_turns(deployment):
        return whole
    of_keycloak = keycloak_share(deployment)
    rate = whole.requests_per_minute and whole.requests_per_minute - (of_keycloak.requests_per_minute or 0)
    return Share(whole.concurrency - of_keycloak.concurrency, rate)


def keycloak_share(deployment: Deployment) -> Share:
    """One request in flight, which is all that Keycloak is ever asked at once, with its part of the rate."""
    if deployment.gitlab is None:
        return Share(1, None)
    rate = deployment.gitlab.requests_per_minute
    # Whole requests: half a one more of each source would be one too many in some minutes.
    return Share(1, rate and max(1, rate // deployment.gitlab.concurrency))


def takes_turns(deployment: Deployment) -> bool:
    """Whether GitLab and Keycloak cannot share what there is, so that one waits for the other."""
    if deployment.gitlab is None or deployment.keycloak is None:
        return False
    return deployment.gitlab.concurrency == 1 or deployment.gitlab.requests_per_minute == 1
