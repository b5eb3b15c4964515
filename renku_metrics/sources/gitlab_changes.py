"""Which projects of a GitLab can hold commits that no pull has stored."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from renku_metrics.periods import ONE_DAY
from renku_metrics.sources.gitlab import list_projects, project_row
from renku_metrics.sources.gitlab_client import GitLabClient, Json
from renku_metrics.sources.gitlab_state import GitLabState, ProjectState

# GitLab moves last_activity_at at most once an hour (Event::RESET_PROJECT_ACTIVITY_INTERVAL). The second hour is for
# clocks that differ.
SETTLED_AFTER = dt.timedelta(hours=2)
# A project that was not settled at the last pull must be listed again; to list some more costs next to nothing.
LISTING_OVERLAP = ONE_DAY
IMPORTING = ("scheduled", "started")


@dataclass(frozen=True)
class ListedProject:
    """What a pull needs of a project's JSON, which is large; ``row`` is that of RAW_GITLAB_PROJECTS.

    ``settled``: nothing can be new in it. ``commits``: how many GitLab counted on the default branch, where asked.
    """

    id: int
    last_activity_at: str
    empty: bool
    importing: bool
    settled: bool
    commits: int | None
    row: dict[str, Any]


def list_active(
    client: GitLabClient, state: GitLabState, deployment: str, pulled_at: dt.datetime, *, counted: bool = False
) -> Iterator[ListedProject]:
    """The projects with activity since the state's cursor, settled ones included; all of them without a cursor.

    Raises SourceError when GitLab refuses.
    """
    query = {"statistics": "true"} if counted else {}
    if state.cursor is not None:
        query["last_activity_after"] = (state.cursor - LISTING_OVERLAP).isoformat().replace("+00:00", "Z")
    for project in list_projects(client, query):
        yield listed_project(project, state.projects.get(project["id"]), deployment, pulled_at)


def listed_project(project: Json, known: ProjectState | None, deployment: str, pulled_at: dt.datetime) -> ListedProject:
    """A project as GitLab lists it, beside what is known of it."""
    active_at = project.get("last_activity_at") or project["created_at"]
    return ListedProject(
        id=project["id"],
        last_activity_at=active_at,
        empty=bool(project.get("empty_repo")),
        importing=project.get("import_status") in IMPORTING,
        settled=known is not None and _is_settled(known, active_at),
        commits=(project.get("statistics") or {}).get("commit_count"),
        row=project_row(project, deployment, pulled_at),
    )


def _is_settled(known: ProjectState, active_at: str) -> bool:
    if known.read_at is None or known.unread or known.importing or known.last_activity_at != active_at:
        return False
    return known.read_at >= dt.datetime.fromisoformat(active_at) + SETTLED_AFTER
