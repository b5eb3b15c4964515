"""What GitLab, Keycloak and Amalthea tell, as short as can be; everything a case does not care about is filled in."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]
UID = "5ea1f00d-0000-4000-8000-000000000001"
RENKU: Json = {
    "committer_name": "renku 2.9.4",
    "committer_email": "https://github.com/swissdatasciencecenter/renku-python/tree/v2.9.4",
}


@dataclass(frozen=True)
class Push:
    """A push event of a project: who pushed how many commits up to which."""

    by: int
    head: str
    count: int = 1
    project: int = 1
    number: int = 1


@dataclass(frozen=True)
class Case:
    """All that a deployment's sources tell when they are pulled, once, at a time.

    ``commits`` are GitLab's, by project; ``projects`` with the time they were created; ``addresses`` the secondary
    addresses of GitLab's users, by user; ``lines`` those of Amalthea's audit log.
    """

    commits: dict[int, list[Json]] = field(default_factory=dict)
    projects: dict[int, str] = field(default_factory=lambda: {1: "2020-01-01T00:00:00Z"})
    pushes: Sequence[Push] = ()
    gitlab_users: Sequence[Json] = ()
    addresses: dict[int, list[Json]] = field(default_factory=dict)
    keycloak_users: Sequence[Json] = ()
    logins: Sequence[Json] = ()
    lines: Sequence[Json] = ()
    pulled_at: str = "2026-11-24T00:00:00Z"


def commits(*found: Json, **more: Any) -> Case:
    """Commits of one project."""
    return Case(commits={1: list(found)}, **more)


def commit(
    sha: str = "c",
    message: str = "a change",
    *,
    by: str = "ada@uni.example",
    at: str = "2026-11-16T09:30:00.000+00:00",
    parents: Sequence[str] = ("older",),
    **fields: Any,
) -> Json:
    committer = {"committer_name": "Somebody", "committer_email": by}
    own = {"id": sha, "parent_ids": list(parents), "message": message, "author_email": by, "committed_date": at}
    return own | committer | fields


def gitlab_user(number: int, email: str, keycloak_id: str | None = None, **fields: Any) -> Json:
    """Their primary address is confirmed."""
    identities = [{"provider": "oauth2_generic", "extern_uid": keycloak_id}] if keycloak_id else []
    confirmed = {"email": email, "confirmed_at": "2020-01-01T00:00:00.000Z", "identities": identities}
    return {"id": number, "username": f"user-{number}", "state": "active", "bot": False} | confirmed | fields


def secondary(email: str, *, confirmed: bool = True) -> Json:
    return {"id": 1, "email": email, "confirmed_at": "2020-01-01T00:00:00.000Z" if confirmed else None}


def keycloak_user(keycloak_id: str, email: str, **fields: Any) -> Json:
    return {"id": keycloak_id, "username": email, "email": email, "enabled": True} | fields


def login(user: str | None = "k-ada", at: str = "2026-11-16T08:00:00+00:00", **fields: Any) -> Json:
    time = int(dt.datetime.fromisoformat(at).timestamp() * 1000)
    of_type = {"type": "LOGIN", "realmId": "Renku", "clientId": "renku", "sessionId": "s", "ipAddress": "192.0.2.1"}
    return {"time": time, "userId": user, "details": {"code_id": "s"}} | of_type | fields


def line(
    user: str | None = "k-ada",
    at: str = "2026-11-16T10:00:00+00:00",
    old_status: str | None = None,
    status: str = "starting",
    *,
    created: str | None = None,
) -> Json:
    labels = {"renku.io/userId": user, "renku.io/gitlabProjectId": "1"} if user else {}
    session = {"name": "a-session", "namespace": "renku", "uid": UID, "creation_timestamp": created or at}
    return {
        "time": at,
        "message": session | {"status": status, "old_status": old_status, "additional_labels": labels},
    }


def push_events(pushes: Sequence[Push], project: int) -> Iterator[Json]:
    """GitLab's events of the pushes to the project, made right after the commits of the case."""
    for push in pushes:
        if push.project == project:
            data = {"action": "pushed", "ref_type": "branch", "commit_count": push.count}
            yield {
                "id": push.number,
                "author_id": push.by,
                "created_at": "2026-11-16T09:31:00.000Z",
                "push_data": data | {"commit_from": "older", "commit_to": push.head},
            }
