"""Pulls as the raw assets make them, without Dagster."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable

from renku_metrics.deployments import Deployment
from renku_metrics.periods import now
from renku_metrics.pipeline.pulling import Pull, pulling
from renku_metrics.sources.http import Say, say_nothing
from renku_metrics.sources.registry import all_sources
from renku_metrics.sources.source import Harvest, Source
from renku_metrics.store.store import Store

PROJECTS, USERS, HISTORY = "raw_gitlab_projects", "raw_gitlab_users", "raw_gitlab_history"
KEYCLOAK_USERS, LOGINS, SESSIONS = "raw_keycloak_users", "raw_keycloak_logins", "raw_amalthea_sessions"
# In the order of the schedules.
HARVESTS = (PROJECTS, USERS, HISTORY, KEYCLOAK_USERS, LOGINS, SESSIONS)


def harvest_named(name: str) -> tuple[Source, Harvest]:
    [found] = [(source, harvest) for source in all_sources() for harvest in source.harvests if harvest.name == name]
    return found


def pull_once(
    store: Store,
    deployment: Deployment,
    name: str,
    *,
    clock: Callable[[], dt.datetime] = now,
    say: Say = say_nothing,
    whole: bool = False,
) -> Pull:
    """A pull of the harvest with this name that comes to its end; returned when it is over."""
    source, harvest = harvest_named(name)
    with pulling(store, deployment, source, clock, say) as pull:
        pull.bring(harvest, whole=whole)
    return pull
