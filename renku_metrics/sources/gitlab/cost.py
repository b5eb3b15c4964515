"""What the next pull of a GitLab would cost in requests. Finding out costs as few requests as possible."""

from __future__ import annotations

import datetime as dt
import time
from collections import Counter
from dataclasses import dataclass
from math import ceil

import pandas as pd

from renku_metrics.deployments import Deployment
from renku_metrics.periods import ONE_DAY
from renku_metrics.sources.cost import Cost, seconds_of
from renku_metrics.sources.gitlab.changes import ListedProject, list_active, waiting
from renku_metrics.sources.gitlab.client import GitLabClient
from renku_metrics.sources.gitlab.projects import check_administrator
from renku_metrics.sources.gitlab.state import GitLabState, ProjectState
from renku_metrics.sources.http import RefusedError


@dataclass(frozen=True)
class GitLabCost(Cost):
    """The cost of a pull that reads so many ``changed_projects``."""

    changed_projects: int


def cost_of_pull(
    client: GitLabClient, deployment: Deployment, state: GitLabState, stored_users: pd.DataFrame, now: dt.datetime
) -> GitLabCost:
    """The cost of the next pull of projects, users, commits and push events.

    Raises SourceError if GitLab refuses.
    """
    begun = time.monotonic()
    check_administrator(client)
    first_reading = state.start is None or deployment.start < state.start or not state.pushes
    since = GitLabState() if first_reading else state
    before = client.connection.requests_made
    active = list(list_active(client, since, deployment.name, now, counted=True))
    listing = client.connection.requests_made - before
    changed = [project for project in active if not project.settled]
    looked_up = waiting(since, {project.id for project in active})
    # A project that was gone or disabled most likely still is.
    to_read = [number for number in looked_up if since.projects[number].closed_at is None]
    known_projects = len(since.projects.keys() | {project.id for project in active})
    requests = Counter(
        {
            "lists of projects": listing + ceil(known_projects / client.page_length) + 1,
            "rights of the token": 1 if changed or to_read or not any(project.in_full for project in active) else 0,
            "single projects": len(looked_up),
        }
    )
    requests.update(dict.fromkeys(("branches", "commits", "push events"), len(to_read)))
    for project in changed:
        requests.update(_of_project(project, since.projects.get(project.id), client.page_length))
    requests.update(_of_users(client, stored_users))
    seconds = seconds_of(requests, client.connection, time.monotonic() - begun)
    exact = frozenset({"lists of projects", "rights of the token", "single projects"})
    asked = client.connection.requests_made
    return GitLabCost(dict(requests), exact, asked, seconds, len(changed) + len(to_read))


def _of_project(project: ListedProject, known: ProjectState | None, page: int) -> dict[str, int]:
    if project.empty or project.disabled:
        return {}
    is_new = known is None or not known.heads
    commits = max(1, ceil((project.commits or 0) / page)) if is_new else 1
    return {"branches": 1, "commits": commits, "push events": 1}


def _of_users(client: GitLabClient, stored: pd.DataFrame) -> dict[str, int]:
    try:
        users = client.count("/users")
    except RefusedError:
        users = None
    number = len(stored) if users is None else users
    last_day = max(stored["last_activity_on"].dropna(), default=None)
    # As many users as were active on the last two days are likely to be active again.
    lately = (dt.date.fromisoformat(last_day) - ONE_DAY).isoformat() if last_day else ""
    read = stored["addresses_on"].notna()
    active = int((read & (stored["last_activity_on"].fillna("") >= lately)).sum()) if last_day else 0
    unread = int((~read & ~stored["bot"]).sum())
    return {
        "lists of users": ceil(number / client.page_length) or 1,
        "addresses of users": max(0, number - len(stored)) + active + unread,
    }
