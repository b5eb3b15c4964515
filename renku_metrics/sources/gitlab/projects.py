"""A deployment's GitLab: its projects, and whether the token sees all of them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from typing import Any

import pandas as pd

from renku_metrics.deployments import Deployment
from renku_metrics.errors import SourceError
from renku_metrics.sources.gitlab.client import GitLabClient, Json
from renku_metrics.sources.http import NoAnswerError, RefusedError
from renku_metrics.sources.progress import Progress
from renku_metrics.tables import RAW_GITLAB_PROJECTS

BY_ID = {"pagination": "keyset", "order_by": "id", "sort": "asc"}
ADMINISTRATOR = "set an administrator's token with scope read_api (and admin_mode if the server asks for it)"
# GitLab may not say when a project was created. This time is before every commit, so none is taken for imported.
UNDATED = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


def pull_projects(client: GitLabClient, deployment: Deployment, pulled_at: dt.datetime) -> pd.DataFrame:
    """All projects as RAW_GITLAB_PROJECTS. Raises SourceError if the list cannot be read whole."""
    progress = Progress(client.where, client.connection.say, client.connection.patience.clock)
    rows = []
    for project in list_projects(client, {}):
        rows.append(project_row(project, deployment.name, pulled_at))
        progress.tell(len(rows), None, None, client.connection.requests_made)
    progress.finish(len(rows), None, client.connection.requests_made)
    return RAW_GITLAB_PROJECTS.frame(rows)


def list_projects(client: GitLabClient, query: dict[str, str]) -> Iterator[Json]:
    """The projects that the query selects, in the order of their ids.

    Raises SourceError if GitLab refuses, NoAnswerError if the list ends too early.
    """
    try:
        for page in client.whole_pages("/projects", {**BY_ID, **query}):
            yield from page.items
            # docs/sources/gitlab.md#projects-by-key-end-with-an-empty-page
            if page.items and page.following is None and not page.numbered:
                raise NoAnswerError(
                    client.where, "/api/v4/projects ended without the link to a next page; let no proxy remove it"
                )
    except RefusedError as error:
        raise SourceError(
            f"{client.where}: the list of projects was refused with status {error.status}; {ADMINISTRATOR}"
        ) from None


def check_administrator(client: GitLabClient) -> None:
    """Raises SourceError unless the token belongs to an administrator, because GitLab hides projects from anybody else.

    Raises it also if the account of the token was blocked.
    """
    try:
        user = client.get("/user")
    except RefusedError as error:
        raise SourceError(
            f"{client.where}: {client.token_name} was refused (status {error.status}); {ADMINISTRATOR}"
        ) from None
    if not user.get("is_admin"):
        raise SourceError(f"{client.where}: {client.token_name} does not see every project; {ADMINISTRATOR}")


def project_row(project: Json, deployment: str, pulled_at: dt.datetime) -> dict[str, Any]:
    """What is kept of a project: a row of RAW_GITLAB_PROJECTS."""
    namespace = project.get("namespace") or {}
    forked_from = project.get("forked_from_project") or {}
    return {
        "deployment": deployment,
        "project_id": project["id"],
        "created_at": read_time(project["created_at"]) or UNDATED,
        "creator_id": project.get("creator_id"),
        "namespace_id": namespace.get("id"),
        "namespace_kind": namespace.get("kind"),
        "forked_from_id": forked_from.get("id"),
        "visibility": project.get("visibility"),
        "archived": project.get("archived"),
        "last_activity_at": read_time(project.get("last_activity_at")),
        "pulled_at": pulled_at,
    }


def read_time(text: str | None) -> dt.datetime | None:
    """A time that GitLab wrote, in UTC."""
    return dt.datetime.fromisoformat(text).astimezone(dt.UTC) if text else None
