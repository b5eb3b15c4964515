"""What ``renku-metrics check`` tries with a deployment's GitLab."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from functools import cached_property

from renku_metrics.deployments import Deployment
from renku_metrics.errors import SourceError
from renku_metrics.sources.findings import SHORT_PATIENCE, Finding, attempts, failed, ok, warning
from renku_metrics.sources.gitlab.client import GitLabClient, Json, Query
from renku_metrics.sources.gitlab.projects import ADMINISTRATOR, check_administrator
from renku_metrics.sources.gitlab.section import GitLab
from renku_metrics.sources.gitlab.users import keycloak_id
from renku_metrics.sources.http import NoAnswerError, RefusedError

SCOPES = frozenset({"api", "read_api"})
ENDS_SOON = dt.timedelta(days=30)
# The projects active last. If none of so many has commits, something is wrong.
PROJECTS_TRIED = 20


def check_gitlab(deployment: Deployment, now: dt.datetime) -> Iterator[Finding]:
    """Whether address and token are right, and whether the token sees all that a pull needs."""
    checks = _Checks(deployment, now)
    return attempts(
        f"{deployment.name}: gitlab",
        [
            ("gitlab", checks.answers),
            ("gitlab token", checks.token),
            ("gitlab administrator", checks.administrator),
            ("gitlab people", checks.people),
            ("gitlab private projects", checks.private_projects),
            ("gitlab commits", checks.commits),
            ("gitlab push events", checks.pushes),
        ],
        f"correct url, or the token: {ADMINISTRATOR}",
    )


class _Checks:
    def __init__(self, deployment: Deployment, now: dt.datetime) -> None:
        self._deployment = deployment
        self._url = deployment.configured(GitLab).url
        self._now = now

    @cached_property
    def _client(self) -> GitLabClient:
        return GitLabClient(self._deployment, SHORT_PATIENCE)

    def answers(self) -> Finding:
        try:
            version = self._client.get("/version")
        except RefusedError as error:
            return failed("gitlab", f"{self._url} gives {error} for /api/v4/version", "correct url")
        return ok("gitlab", f"{self._url} is version {version['version']} and accepts {self._client.token_name}")

    def token(self) -> Finding:
        what = "gitlab token"
        try:
            token = self._client.get("/personal_access_tokens/self")
        except NoAnswerError:
            raise
        except (RefusedError, SourceError):
            # Before GitLab 15.5, and for tokens of other kinds.
            # docs/sources/gitlab.md#a-token-tells-its-scopes-since-155
            return ok(what, "this server does not tell the token's scopes or when it ends")
        scopes = set(token["scopes"])
        if not scopes & SCOPES:
            return failed(what, f"has only scope {', '.join(sorted(scopes))}", "make one with scope read_api")
        if token.get("expires_at"):
            ends = dt.date.fromisoformat(token["expires_at"])
            if ends <= (self._now + ENDS_SOON).date():
                return warning(what, f"ends on {ends}: make a new one and put it where the old one is")
            return ok(what, f"has scope {', '.join(sorted(scopes))} and ends on {ends}")
        return ok(what, f"has scope {', '.join(sorted(scopes))} and never ends")

    def administrator(self) -> Finding:
        check_administrator(self._client)
        return ok("gitlab administrator", "the token belongs to an administrator")

    def people(self) -> Finding:
        what = "gitlab people"
        users = self._first_page("/users", {"order_by": "id", "sort": "desc"})
        if not users or not all("identities" in user and "email" in user for user in users):
            return failed(what, "the token sees neither addresses nor identities of users", ADMINISTRATOR)
        if not any(keycloak_id(user["identities"] or []) for user in users):
            return warning(
                what,
                f"none of {len(users)} users has an identity in Keycloak: accounts are only linked by equal addresses",
            )
        return ok(what, "addresses and identities of users are visible")

    def private_projects(self) -> Finding:
        what = "gitlab private projects"
        if self._first_page("/projects", {"visibility": "private", "per_page": 1}):
            return ok(what, "are visible")
        return warning(what, f"none is visible. If there are any, the token does not see them: {ADMINISTRATOR}")

    def commits(self) -> Finding:
        what = "gitlab commits"
        if not self._projects:
            return warning(what, "there is no project yet")
        for project in self._projects:
            try:
                if self._first_page(f"/projects/{project['id']}/repository/commits", {"per_page": 1}):
                    return ok(what, "are readable")
            except RefusedError as error:
                # The repository is empty or switched off.
                if error.status not in (403, 404):
                    raise
        return warning(
            what,
            f"none could be read in the {len(self._projects)} projects active last: see whether any has a repository",
        )

    def pushes(self) -> Finding:
        what = "gitlab push events"
        if not self._projects:
            return warning(what, "there is no project yet")
        try:
            self._first_page(f"/projects/{self._projects[0]['id']}/events", {"action": "pushed", "per_page": 1})
        except RefusedError as error:
            return warning(what, f"refused with {error}: commits with an address that no account has stay unlinked")
        return ok(what, "are readable")

    @cached_property
    def _projects(self) -> list[Json]:
        return self._first_page(
            "/projects", {"order_by": "last_activity_at", "sort": "desc", "per_page": PROJECTS_TRIED}
        )

    def _first_page(self, path: str, query: Query) -> list[Json]:
        return next(self._client.pages(path, query))
