"""Which projects of a GitLab can hold commits that no pull has stored."""

from __future__ import annotations

import datetime as dt
from collections.abc import Container, Iterator
from dataclasses import dataclass
from heapq import nsmallest
from typing import Any

from renku_metrics.periods import ONE_DAY
from renku_metrics.sources.gitlab.branches import is_disabled
from renku_metrics.sources.gitlab.client import GitLabClient, Json
from renku_metrics.sources.gitlab.projects import list_projects, project_row
from renku_metrics.sources.gitlab.state import GitLabState, ProjectState

# GitLab moves last_activity_at at most once an hour (docs/sources/gitlab.md#activity-is-an-hour-late). The second hour
# is for clocks that differ.
SETTLED_AFTER = dt.timedelta(hours=2)
# A project that was not settled at the last pull must be listed again. A day is more than enough, because listing more
# projects costs next to nothing.
LISTING_OVERLAP = ONE_DAY
IMPORTING = ("scheduled", "started")
# Looking again at a project that was gone or disabled costs a request.
CLOSED_AT_A_TIME = 20


@dataclass(frozen=True)
class ListedProject:
    """What a pull needs of a project's JSON, which is large. ``row``: its row of RAW_GITLAB_PROJECTS.

    ``disabled``: nobody can read its repository for now. ``settled``: nothing can be new in it. ``in_full``: it shows
    what GitLab shows only to administrators. ``commits``: how many GitLab counts on the default branch, if asked.
    """

    id: int
    last_activity_at: str
    empty: bool
    importing: bool
    disabled: bool
    settled: bool
    in_full: bool
    commits: int | None
    row: dict[str, Any]


def list_active(
    client: GitLabClient, state: GitLabState, deployment: str, pulled_at: dt.datetime, *, counted: bool = False
) -> Iterator[ListedProject]:
    """The projects with activity since the state's cursor, settled ones too; all projects if there is no cursor.

    Raises SourceError if GitLab refuses.
    """
    query = {"statistics": "true"} if counted else {}
    if state.cursor is not None:
        query["last_activity_after"] = (state.cursor - LISTING_OVERLAP).isoformat().replace("+00:00", "Z")
    for project in list_projects(client, query):
        yield listed_project(project, state.projects.get(project["id"]), deployment, pulled_at)


def listed_project(project: Json, known: ProjectState | None, deployment: str, pulled_at: dt.datetime) -> ListedProject:
    """A project as GitLab lists it, compared with what is known of it."""
    active_at = project.get("last_activity_at") or ""
    return ListedProject(
        id=project["id"],
        last_activity_at=active_at,
        empty=bool(project.get("empty_repo")),
        importing=project.get("import_status") in IMPORTING,
        disabled=is_disabled(project),
        settled=known is not None and _is_settled(known, active_at),
        # docs/sources/gitlab.md#repository_storage-is-shown-to-administrators-only
        in_full="repository_storage" in project,
        commits=(project.get("statistics") or {}).get("commit_count"),
        row=project_row(project, deployment, pulled_at),
    )


def is_overdue(project: ListedProject, cursor: dt.datetime | None) -> bool:
    """Whether a pull that began at ``cursor`` and read all changed projects should have seen all of this one.

    It compares only times, because what earlier pulls know of the project may be the very mistake.
    """
    return cursor is not None and (not project.last_activity_at or _settles_at(project.last_activity_at) <= cursor)


def waiting(state: GitLabState, listed: Container[int]) -> list[int]:
    """The projects to read although they are not listed, because their last activity may be long ago.

    These are all that could not be read or were importing. Of those that were gone or disabled there may be thousands,
    so only the few that no pull has looked at for longest are taken.
    """
    due, closed = [], []
    for project_id, known in list(state.projects.items()):
        if project_id in listed:
            continue
        if known.closed_at:
            closed.append((known.closed_at, project_id))
        elif known.unread or known.importing:
            due.append(project_id)
    return due + [project_id for _, project_id in nsmallest(CLOSED_AT_A_TIME, closed)]


def _is_settled(known: ProjectState, active_at: str) -> bool:
    if known.read_at is None or known.unread or known.importing or known.last_activity_at != active_at:
        return False
    return bool(active_at) and known.read_at >= _settles_at(active_at)


def _settles_at(active_at: str) -> dt.datetime:
    return dt.datetime.fromisoformat(active_at) + SETTLED_AFTER
