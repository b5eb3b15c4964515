"""What the parameters of a GitLab request choose: users, projects, commits, times and days."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable

from renkulab.git import Commit, Repository
from renkulab.gitlab import Project, User
from renkulab.gitlab_pages import refuse, whole_number
from renkulab.web import Request


def log_of(repository: Repository, revision: str, since: dt.datetime | None, until: dt.datetime | None) -> list[Commit]:
    """``git log`` of a branch, a sha or a range ``a..b``; no commits if the revision does not exist.

    docs/sources/gitlab.md#a-vanished-commit-gives-an-empty-page. Raises Refused (400) if the text cannot be a revision
    (docs/sources/gitlab.md#a-revision-of-the-wrong-form-is-refused).
    """
    if revision.startswith("-") or re.search(r"\s", revision):
        raise refuse(400, message="ref_name is invalid")
    old, dots, new = revision.rpartition("..")
    tip = repository.resolve(new)
    without = repository.resolve(old) if dots else None
    if tip is None or (dots and without is None):
        return []
    return repository.log([tip], without=[without] if without else [], since=since, until=until)


def repeating_first_page(commits: list[Commit], length: int) -> list[Commit]:
    """A listing with ``all=true``: docs/sources/gitlab.md#alltrue-repeats-its-first-page"""
    return [commits[place % length] for place in range(len(commits))]


def chosen_users(request: Request, users: Iterable[User], admin: bool) -> list[User]:
    """The users that the query asks for. Only an administrator may ask by the id at the identity provider."""
    if username := request.first("username"):
        users = [user for user in users if user.username == username]
    if request.first("active") == "true":
        users = [user for user in users if user.state == "active"]
    if request.first("humans") == "true":
        users = [user for user in users if not user.bot]
    extern_uid = request.first("extern_uid")
    if extern_uid and admin and request.first("provider") == "oauth2_generic":
        users = [user for user in users if user.keycloak_id == extern_uid]
    return list(users)


def chosen_projects(request: Request, projects: Iterable[Project]) -> list[Project]:
    """The projects that the query asks for."""
    active_after = moment(request, "last_activity_after")
    active_before = moment(request, "last_activity_before")
    id_after, id_before = whole_number(request, "id_after", 0), whole_number(request, "id_before", 0)
    archived, visibility = request.first("archived"), request.first("visibility")
    return [
        project
        for project in projects
        if (active_after is None or project.last_activity_at >= active_after)
        and (active_before is None or project.last_activity_at <= active_before)
        and project.id > id_after
        and (not id_before or project.id < id_before)
        and (archived is None or project.archived == (archived == "true"))
        and (visibility is None or project.visibility == visibility)
    ]


def moment(request: Request, name: str) -> dt.datetime | None:
    """A time of the query, in UTC unless it has an offset. Raises Refused (400) if it is no time."""
    text = request.first(name)
    if not text:
        return None
    try:
        at = dt.datetime.fromisoformat(text)
    except ValueError:
        raise refuse(400, error=f"{name} is invalid") from None
    return at if at.tzinfo else at.replace(tzinfo=dt.UTC)


def whole_day(request: Request, name: str) -> dt.date | None:
    """A date of the query; a time after it is ignored. Raises Refused (400) if it is no date."""
    text = request.first(name)
    if not text:
        return None
    try:
        return dt.date.fromisoformat(text[:10])
    except ValueError:
        raise refuse(400, error=f"{name} is invalid") from None
