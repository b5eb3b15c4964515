"""Short ways to write raw rows; everything a test does not care about is filled in."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from typing import Any

from renku_metrics.events.union import EventsBuilt, Frames, from_commits, from_logins, from_sessions, unite
from renku_metrics.tables import (
    RAW_AMALTHEA_SESSIONS,
    RAW_GITLAB_COMMITS,
    RAW_GITLAB_PROJECTS,
    RAW_GITLAB_USERS,
    RAW_KEYCLOAK_LOGINS,
    RAW_KEYCLOAK_USERS,
)

DEPLOYMENT = "renkulab-io"
Row = dict[str, Any]
Rows = Iterable[Mapping[str, Any]]


def at(text: str) -> dt.datetime:
    """A time in UTC, from ``2026-11-16`` or ``2026-11-16T09:30:00.250``."""
    return dt.datetime.fromisoformat(text).replace(tzinfo=dt.UTC)


PULLED = {"deployment": DEPLOYMENT, "pulled_at": at("2026-11-24")}


def project(project_id: int, created_at: str = "2020-01-01") -> Row:
    return PULLED | {"project_id": project_id, "created_at": at(created_at)}


def gitlab_user(
    gitlab_user_id: int, *addresses: str, keycloak_id: str | None = None, bot: bool = False, **fields: Any
) -> Row:
    own = {"gitlab_user_id": gitlab_user_id, "address_hashes": list(addresses), "keycloak_id": keycloak_id, "bot": bot}
    return PULLED | own | fields


def keycloak_user(keycloak_id: str, *addresses: str, **fields: Any) -> Row:
    return PULLED | {"keycloak_id": keycloak_id, "address_hashes": list(addresses)} | fields


def commit(sha: str, dated_at: str = "2026-11-16T09:30", address: str = "ada", **fields: Any) -> Row:
    return (
        PULLED
        | {
            "event_day": dated_at[:10],
            "project_id": 1,
            "sha": sha,
            "dated_at": at(dated_at),
            "parent_count": 1,
            "author_address_hash": address,
            "author_address_kind": "personal",
            "renku_committer": False,
            "autosave": False,
        }
        | fields
    )


def login(key: str, keycloak_id: str | None = "k-ada", occurred_at: str = "2026-11-16T08:00") -> Row:
    return PULLED | {
        "event_day": occurred_at[:10],
        "login_key": key,
        "occurred_at": at(occurred_at),
        "keycloak_id": keycloak_id,
    }


def session_lines(
    uid: str,
    changed_at: str = "2026-11-16T10:00",
    old_status: str | None = None,
    status: str | None = "starting",
    created_at: str | None = None,
    keycloak_id: str | None = "k-ada",
    **fields: Any,
) -> list[Row]:
    """One line of the audit log, in the file of its day and, where another, of the day of the creation."""
    line = PULLED | {
        "namespace": "renku",
        "session_uid": uid,
        "created_at": at(created_at or changed_at),
        "changed_at": at(changed_at),
        "old_status": old_status,
        "status": status,
        "keycloak_id": keycloak_id,
        "anonymous": False,
    }
    days = sorted({changed_at[:10], (created_at or changed_at)[:10]})
    return [line | fields | {"event_day": day} for day in days]


ONE_PROJECT = (project(1),)


def raw(
    commits: Rows = (),
    logins: Rows = (),
    sessions: Rows = (),
    projects: Rows = ONE_PROJECT,
    gitlab_users: Rows = (),
    keycloak_users: Rows = (),
) -> Frames:
    return {
        RAW_GITLAB_PROJECTS.name: RAW_GITLAB_PROJECTS.frame(projects),
        RAW_GITLAB_USERS.name: RAW_GITLAB_USERS.frame(gitlab_users),
        RAW_KEYCLOAK_USERS.name: RAW_KEYCLOAK_USERS.frame(keycloak_users),
        RAW_GITLAB_COMMITS.name: RAW_GITLAB_COMMITS.frame(commits),
        RAW_KEYCLOAK_LOGINS.name: RAW_KEYCLOAK_LOGINS.frame(logins),
        RAW_AMALTHEA_SESSIONS.name: RAW_AMALTHEA_SESSIONS.frame(sessions),
    }


def build(**rows: Rows) -> EventsBuilt:
    """Events of the rows given; every raw row is accounted for."""
    return build_from(raw(**rows))


def build_from(frames: Frames) -> EventsBuilt:
    """Events of whole raw tables; every raw row is accounted for."""
    built = unite(DEPLOYMENT, [from_commits(frames), from_logins(frames), from_sessions(frames)])
    assert built.conserved
    return built


def links(built: EventsBuilt) -> dict[str, tuple[str | None, str | None]]:
    """User and rule by event key."""
    events = built.events.astype(object).where(built.events.notna(), None)
    return {
        key: (user, rule)
        for key, user, rule in zip(events["event_key"], events["user_id"], events["user_link"], strict=True)
    }
