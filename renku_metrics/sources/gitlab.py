"""A deployment's GitLab: its projects, its users, and the history of what was committed and pushed."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pandas as pd

from renku_metrics.deployments import Deployment
from renku_metrics.errors import SourceError
from renku_metrics.sources.addresses import AddressBook
from renku_metrics.sources.gitlab_client import GitLabClient, Json, RefusedError
from renku_metrics.tables import RAW_GITLAB_PROJECTS, RAW_GITLAB_USERS

KEYSET = {"pagination": "keyset", "order_by": "id", "sort": "asc"}
# The names of Keycloak in GitLab's identities, by the Renku chart and by GitLab's own OpenID Connect.
KEYCLOAK_PROVIDERS = ("oauth2_generic", "openid_connect")
ADMINISTRATOR = "it must be an administrator's, with scope read_api (and admin_mode where the server asks for it)"
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
ACCESS_TOKEN = re.compile(r"(project|group)_\d+_bot")
# GitLab's own accounts, which older versions do not mark as bots.
INTERNAL_ACCOUNTS = frozenset({"ghost", "alert-bot", "support-bot", "migration-bot", "security-bot", "automation-bot"})


def pull_projects(client: GitLabClient, deployment: Deployment, pulled_at: dt.datetime) -> pd.DataFrame:
    """All projects as RAW_GITLAB_PROJECTS. Raises SourceError when the listing cannot be had whole."""
    rows = [project_row(project, deployment.name, pulled_at) for project in list_projects(client, {})]
    return RAW_GITLAB_PROJECTS.frame(rows)


def list_projects(client: GitLabClient, query: dict[str, str]) -> Iterator[Json]:
    """The projects that the query selects, by id. Raises SourceError when GitLab refuses."""
    try:
        for page in client.pages("/projects", {**KEYSET, **query}):
            yield from page
    except RefusedError as error:
        raise SourceError(f"{client.where}: the list of projects was refused with status {error.status}") from None


def check_administrator(client: GitLabClient) -> None:
    """Raises SourceError when the token is no administrator's, to whom GitLab shows some projects and not others."""
    try:
        user = client.get("/user")
    except RefusedError:
        return
    if not user.get("is_admin"):
        raise SourceError(f"{client.where}: {client.token_name} does not see every project; {ADMINISTRATOR}")


def project_row(project: Json, deployment: str, pulled_at: dt.datetime) -> dict[str, Any]:
    """What is kept of a project: a row of RAW_GITLAB_PROJECTS."""
    namespace = project.get("namespace") or {}
    forked_from = project.get("forked_from_project") or {}
    return {
        "deployment": deployment,
        "project_id": project["id"],
        "created_at": _time(project["created_at"]),
        "creator_id": project.get("creator_id"),
        "namespace_id": namespace.get("id"),
        "namespace_kind": namespace.get("kind"),
        "forked_from_id": forked_from.get("id"),
        "visibility": project.get("visibility"),
        "archived": project.get("archived"),
        "last_activity_at": _time(project.get("last_activity_at")),
        "pulled_at": pulled_at,
    }


def pull_users(
    client: GitLabClient, deployment: Deployment, book: AddressBook, stored: pd.DataFrame, pulled_at: dt.datetime
) -> pd.DataFrame:
    """All users as RAW_GITLAB_USERS.

    Secondary addresses cost a request per user, so they are asked for only of those that ``addresses_due`` names.
    Raises SourceError when the token does not see addresses and identities.
    """
    users = list(_list_users(client))
    if not all("identities" in user and "email" in user for user in users):
        raise SourceError(f"{client.where}: {client.token_name} sees no addresses of users; {ADMINISTRATOR}")
    due = addresses_due(users, stored)
    with ThreadPoolExecutor(client.connection.concurrency) as pool:
        secondary = dict(
            zip(
                due,
                pool.map(lambda user_id: _secondary_addresses(client, user_id), due),
                strict=True,
            )
        )
    return RAW_GITLAB_USERS.frame(
        {
            "deployment": deployment.name,
            "gitlab_user_id": user["id"],
            "keycloak_id": keycloak_id(user.get("identities") or []),
            "address_hashes": _hashes(book, [*_confirmed_addresses(user), *secondary.get(user["id"], [])]),
            "bot": is_bot(user),
            "state": user.get("state"),
            "created_at": _time(user.get("created_at")),
            "last_activity_on": user.get("last_activity_on"),
            "pulled_at": pulled_at,
        }
        for user in users
    )


def addresses_due(users: Iterable[Json], stored: pd.DataFrame) -> list[int]:
    """The ids of the people whose addresses can have changed since the pull that ``stored`` comes from.

    They are new, or were active on the last day of which that pull knew of anybody's activity, or later.
    """
    known = set(stored["gitlab_user_id"])
    last_day = max(stored["last_activity_on"].dropna(), default="")
    return [
        user["id"]
        for user in users
        if not is_bot(user)
        and (user["id"] not in known or (user.get("last_activity_on") and user["last_activity_on"] >= last_day))
    ]


def keycloak_id(identities: Iterable[Json]) -> str | None:
    """The Keycloak id among a user's identities: that of Keycloak's provider, else the first that looks like one."""
    known = sorted((str(item["provider"]), item["extern_uid"]) for item in identities if item["extern_uid"])
    for provider in KEYCLOAK_PROVIDERS:
        for name, uid in known:
            if name == provider:
                return str(uid)
    return next((str(uid) for _, uid in known if UUID.fullmatch(uid)), None)


def is_bot(user: Json) -> bool:
    """Whether the account is no person's: a bot, an access token, or one of GitLab's own."""
    name = user["username"]
    return bool(user.get("bot")) or bool(ACCESS_TOKEN.match(name)) or name in INTERNAL_ACCOUNTS


def _list_users(client: GitLabClient) -> Iterator[Json]:
    # Before 16.5 GitLab has no keyset pagination of users: 405, or a plain list if it ignores the parameter.
    try:
        try:
            for page in client.pages("/users", KEYSET):
                yield from page
        except RefusedError as error:
            if error.status != 405:
                raise
            for page in client.pages("/users", {"order_by": "id", "sort": "asc"}):
                yield from page
    except RefusedError as error:
        raise SourceError(f"{client.where}: the list of users was refused with status {error.status}") from None


def _confirmed_addresses(user: Json) -> list[str]:
    # GitLab lets only a confirmed address be made the commit or the public one.
    primary = [user.get("email")] if user.get("confirmed_at") else []
    chosen = [user.get("commit_email"), user.get("public_email")] if primary else []
    return [address for address in (*primary, *chosen) if address and "@users.noreply." not in address]


def _secondary_addresses(client: GitLabClient, user_id: int) -> list[str]:
    try:
        pages = list(client.pages(f"/users/{user_id}/emails", {}))
    except RefusedError as error:
        # Gone since it was listed.
        if error.status == 404:
            return []
        raise SourceError(f"{client.where}: addresses of users were refused with status {error.status}") from None
    return [email["email"] for page in pages for email in page if email.get("confirmed_at")]


def _hashes(book: AddressBook, addresses: Iterable[str]) -> list[str]:
    return sorted({book.hash(address) for address in addresses})


def _time(text: str | None) -> dt.datetime | None:
    return dt.datetime.fromisoformat(text).astimezone(dt.UTC) if text else None
