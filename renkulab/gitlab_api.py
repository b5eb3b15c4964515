"""The REST API v4 of the simulated GitLab: what a pull may ask."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from renkulab import gitlab_entities as entities
from renkulab.git import Repository
from renkulab.gitlab import GitLab, Project, Token, User
from renkulab.gitlab_pages import (
    Refused,
    keyset_page_by_cursor,
    keyset_page_by_id,
    keyset_page_by_name,
    offset_page,
    page_length,
    refuse,
)
from renkulab.gitlab_queries import (
    chosen_projects,
    chosen_users,
    log_of,
    moment,
    repeating_first_page,
    whole_day,
)
from renkulab.web import Request, Response, json_response


@dataclass(frozen=True)
class Caller:
    user: User
    token: Token
    admin: bool

    def may_see(self, project: Project) -> bool:
        return self.admin or project.visibility != "private" or project.creator_id == self.user.id


READS_EVERYTHING = ("api", "read_api")
READS_USERS = ("api", "read_api", "read_user")


class GitLabApi:
    """Answers requests below ``/api/v4``."""

    def __init__(self, gitlab: GitLab) -> None:
        self.gitlab = gitlab

    def answer(self, request: Request, path: str) -> Response:
        """``path`` is what follows ``/api/v4``, still percent-encoded."""
        address = f"{self.gitlab.external_url}/api/v4{path}"
        for pattern, scopes, call in _ROUTES:
            match = pattern.fullmatch(path)
            if match and request.method == "GET":
                try:
                    caller = self._caller(request, scopes)
                    return call(self, request, caller, *(match.groups() or (address,)))
                except Refused as refused:
                    return refused.response
        return json_response({"error": "404 Not Found"}, 404)

    def _caller(self, request: Request, scopes: tuple[str, ...]) -> Caller:
        value = request.headers.get("private-token") or _bearer(request)
        token = self.gitlab.tokens.get(value or "")
        user = self.gitlab.users.get(token.user_id) if token else None
        if token is None or user is None:
            raise refuse(401, message="401 Unauthorized")
        if token.revoked:
            raise _invalid_token("Token was revoked. You have to re-authorize from the user.")
        if token.expires_on and self.gitlab.clock.now().date() >= token.expires_on:
            raise _invalid_token("Token is expired. You can either do re-authorization or token refresh.")
        if user.state != "active":
            raise refuse(403, message="403 Forbidden - Your account has been blocked.")
        if scopes and not set(scopes) & set(token.scopes):
            description = "The request requires higher privileges than provided by the access token."
            raise refuse(403, error="insufficient_scope", error_description=description, scope=" ".join(scopes))
        admin = user.is_admin and (not self.gitlab.admin_mode or "admin_mode" in token.scopes)
        return Caller(user, token, admin)

    # The caller

    def version(self, request: Request, caller: Caller, address: str) -> Response:
        number = ".".join(str(part) for part in self.gitlab.version)
        return json_response({"version": number, "revision": "0123456789a"})

    def own_token(self, request: Request, caller: Caller, address: str) -> Response:
        return json_response(entities.token_entity(caller.token, self.gitlab.clock.now()))

    def own_user(self, request: Request, caller: Caller, address: str) -> Response:
        content = entities.user_entity(self.gitlab, caller.user, admin=True)
        if not caller.admin:
            # GitLab's UserPublic of oneself lacks only what administrators alone see.
            content = {key: value for key, value in content.items() if key not in ("is_admin", "note")}
        return json_response(content)

    # Users

    def users(self, request: Request, caller: Caller, address: str) -> Response:
        ascending = request.first("sort") == "asc"
        users = sorted(
            chosen_users(request, self.gitlab.users.values(), caller.admin),
            key=lambda user: user.id,
            reverse=not ascending,
        )

        def render(user: User) -> dict[str, Any]:
            return entities.user_entity(self.gitlab, user, caller.admin)

        if request.first("pagination") == "keyset" and self.gitlab.version >= (16, 5):
            if request.first("order_by") not in (None, "id", "name", "username"):
                raise refuse(405, error="Keyset pagination is not yet available for this type of request")
            return keyset_page_by_cursor(request, address, users, render)
        return offset_page(request, address, users, render, limited="User")

    def user(self, request: Request, caller: Caller, user_id: str) -> Response:
        user = self._find_user(user_id)
        return json_response(entities.user_entity(self.gitlab, user, caller.admin))

    def emails(self, request: Request, caller: Caller, user_id: str) -> Response:
        if not caller.admin:
            raise refuse(403, message="403 Forbidden")
        user = self._find_user(user_id)
        address = f"{self.gitlab.external_url}/api/v4/users/{user_id}/emails"
        return offset_page(
            request,
            address,
            user.emails,
            lambda email: {
                "id": email.id,
                "email": email.email,
                "confirmed_at": entities.utc(email.confirmed_at),
            },
        )

    def _find_user(self, user_id: str) -> User:
        user = self.gitlab.users.get(int(user_id))
        if user is None:
            raise refuse(404, message="404 User Not Found")
        return user

    # Projects

    def projects(self, request: Request, caller: Caller, address: str) -> Response:
        keyset = request.first("pagination") == "keyset"
        order = request.first("order_by") or "created_at"
        keys: dict[str, Callable[[Project], Any]] = {
            "id": lambda project: project.id,
            "created_at": lambda project: (project.created_at, project.id),
            "last_activity_at": lambda project: (project.last_activity_at, project.id),
            "updated_at": lambda project: (project.last_activity_at, project.id),
            "name": lambda project: (project.path, project.id),
            "path": lambda project: (project.path, project.id),
        }
        if order not in keys:
            raise refuse(400, error="order_by does not have a valid value")
        visible = [p for p in self.gitlab.projects.values() if not p.deleted and caller.may_see(p)]
        found = chosen_projects(request, visible)
        found.sort(key=keys["id" if keyset else order], reverse=request.first("sort") != "asc")
        simple = request.first("simple") == "true"

        def render(project: Project) -> dict[str, Any]:
            entity = entities.project_entity(self.gitlab, project, simple)
            return entities.with_storage(entity) if caller.admin and not simple else entity

        if keyset:
            return keyset_page_by_id(request, address, found, render)
        return offset_page(request, address, found, render, limited="Project")

    def project(self, request: Request, caller: Caller, project_id: str) -> Response:
        entity = entities.project_entity(self.gitlab, self._find_project(caller, project_id), simple=False)
        return json_response(entities.with_storage(entity) if caller.admin else entity)

    def _find_project(self, caller: Caller, project_id: str) -> Project:
        wanted = unquote(project_id)
        projects = self.gitlab.projects
        if wanted.isdigit():
            project = projects.get(int(wanted))
        else:
            project = next((p for p in projects.values() if p.path_with_namespace == wanted), None)
        if project is None or project.deleted or not caller.may_see(project):
            raise refuse(404, message="404 Project Not Found")
        return project

    def _repository(self, project: Project) -> Repository:
        if not project.repository_enabled:
            if self.gitlab.disabled_repository_status == 403:
                raise refuse(403, message="403 Forbidden")
            raise refuse(404, message="404 Repository Not Found")
        if project.repository is None:
            raise refuse(404, message="404 Repository Not Found")
        return project.repository

    def branches(self, request: Request, caller: Caller, project_id: str) -> Response:
        project = self._find_project(caller, project_id)
        repository = self._repository(project)
        address, names = self._address(project, "repository/branches"), sorted(repository.branches)

        def render(name: str) -> dict[str, Any]:
            head = repository.commits[repository.branches[name]]
            cache = self.gitlab.merged_branches
            merged = cache.among(project.id, repository, project.default_branch, [name])
            return entities.branch_entity(self.gitlab, project, name, head, name in merged)

        by_gitaly = self.gitlab.branch_list_keyset_pagination
        if by_gitaly and request.first("pagination") == "keyset":
            return keyset_page_by_name(request, address, names, render)
        return offset_page(request, address, names, render, second_page_announced=by_gitaly)

    def commits(self, request: Request, caller: Caller, project_id: str) -> Response:
        project = self._find_project(caller, project_id)
        repository = self._repository(project)
        since, until = moment(request, "since"), moment(request, "until")
        trailers = request.first("trailers") == "true"
        everything = request.first("all") == "true"
        if everything:
            found = repository.log(sorted(repository.branches.values()), since=since, until=until)
            found = repeating_first_page(found, page_length(request))
        else:
            revision = request.first("ref_name") or project.default_branch
            found = log_of(repository, revision, since, until)
        return offset_page(
            request,
            self._address(project, "repository/commits"),
            found,
            lambda commit: entities.commit_entity(self.gitlab, project, commit, trailers),
            counted=False,
        )

    def commit(self, request: Request, caller: Caller, project_id: str, revision: str) -> Response:
        project = self._find_project(caller, project_id)
        repository = self._repository(project)
        sha = repository.resolve(unquote(revision))
        if sha is None:
            raise refuse(404, message="404 Commit Not Found")
        content = entities.commit_entity(self.gitlab, project, repository.commits[sha], trailers=False)
        return json_response({**content, "status": None, "project_id": project.id, "last_pipeline": None})

    def events(self, request: Request, caller: Caller, project_id: str) -> Response:
        project = self._find_project(caller, project_id)
        after, before = whole_day(request, "after"), whole_day(request, "before")
        if request.first("action") not in (None, "pushed"):
            # This GitLab has no other events.
            return offset_page(request, self._address(project, "events"), [], dict)
        forgotten = self.gitlab.clock.now() - self.gitlab.event_retention
        found = [
            event
            for event in self.gitlab.events
            if event.project_id == project.id
            and event.created_at >= forgotten
            and (after is None or event.created_at.astimezone(dt.UTC).date() > after)
            and (before is None or event.created_at.astimezone(dt.UTC).date() < before)
        ]
        found.sort(key=lambda event: (event.created_at, event.id), reverse=request.first("sort") != "asc")
        return offset_page(
            request,
            self._address(project, "events"),
            found,
            lambda event: entities.event_entity(self.gitlab, event),
        )

    def _address(self, project: Project, rest: str) -> str:
        return f"{self.gitlab.external_url}/api/v4/projects/{project.id}/{rest}"


def _bearer(request: Request) -> str | None:
    kind, _, value = request.headers.get("authorization", "").partition(" ")
    return value if kind.lower() == "bearer" else None


def _invalid_token(description: str) -> Refused:
    headers = {"WWW-Authenticate": 'Bearer realm="Protected by OAuth 2.0", error="invalid_token"'}
    return Refused(json_response({"error": "invalid_token", "error_description": description}, 401, headers))


_ROUTES: list[tuple[re.Pattern[str], tuple[str, ...], Callable[..., Response]]] = [
    (re.compile(r"/version"), READS_USERS, GitLabApi.version),
    (re.compile(r"/personal_access_tokens/self"), (), GitLabApi.own_token),
    (re.compile(r"/user"), READS_USERS, GitLabApi.own_user),
    (re.compile(r"/users"), READS_USERS, GitLabApi.users),
    (re.compile(r"/users/(\d+)"), READS_USERS, GitLabApi.user),
    (re.compile(r"/users/(\d+)/emails"), READS_USERS, GitLabApi.emails),
    (re.compile(r"/projects"), READS_EVERYTHING, GitLabApi.projects),
    (re.compile(r"/projects/([^/]+)"), READS_EVERYTHING, GitLabApi.project),
    (re.compile(r"/projects/([^/]+)/events"), READS_EVERYTHING, GitLabApi.events),
    (re.compile(r"/projects/([^/]+)/repository/branches"), READS_EVERYTHING, GitLabApi.branches),
    (re.compile(r"/projects/([^/]+)/repository/commits"), READS_EVERYTHING, GitLabApi.commits),
    (re.compile(r"/projects/([^/]+)/repository/commits/([^/]+)"), READS_EVERYTHING, GitLabApi.commit),
]
