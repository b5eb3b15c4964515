"""The names that pulls hold alone in the store, so that of some of them no two are under way at once."""

from __future__ import annotations

from typing import Literal

from renku_metrics.deployments import Deployment
from renku_metrics.sources.budget import takes_turns

SourceName = Literal["gitlab", "keycloak", "amalthea"]


def lock(deployment: str, source: SourceName) -> str:
    """The name that a pull of the source holds alone."""
    return f"{deployment}-{source}"


def locks_of_pull(deployment: Deployment, source: SourceName) -> list[str]:
    """What a pull of the source holds, in this order: its own name, and that of GitLab and Keycloak's turns."""
    turns = [f"{deployment.name}-turns"] if source != "amalthea" and takes_turns(deployment) else []
    return [lock(deployment.name, source), *turns]
