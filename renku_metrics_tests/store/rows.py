"""Short ways to write rows; everything a test does not care about is filled in."""

from __future__ import annotations

import datetime as dt
from typing import Any

DAY, NEXT_DAY = "2026-11-16", "2026-11-17"
Row = dict[str, Any]


def at(day: str, hour: int = 9) -> dt.datetime:
    return dt.datetime.fromisoformat(day).replace(hour=hour, tzinfo=dt.UTC)


def event(key: str, day: str = DAY, **fields: Any) -> Row:
    return {
        "deployment": "lab",
        "event_type": "login",
        "occurred_at": at(day),
        "event_day": day,
        "user_id": "ada",
        "user_link": "keycloak_id",
        "project_id": None,
        "source": "keycloak",
        "event_key": key,
    } | fields


def login(key: str, day: str = DAY, **fields: Any) -> Row:
    return {
        "deployment": "lab",
        "event_day": day,
        "login_key": key,
        "occurred_at": at(day),
        "keycloak_id": "ada",
        "client_id": None,
        "pulled_at": at("2026-11-20"),
    } | fields


def commit(sha: str, **fields: Any) -> Row:
    return {
        "deployment": "lab",
        "event_day": DAY,
        "project_id": 2**53 + 1,
        "sha": sha,
        "dated_at": at(DAY),
        "parent_count": 1,
        "author_address_hash": "hash",
        "author_address_kind": "personal",
        "renku_options": None,
        "renku_committer": False,
        "autosave": True,
        "pulled_at": at("2026-11-20"),
    } | fields


def user(number: int, *addresses: str, **fields: Any) -> Row:
    own = {"gitlab_user_id": number, "address_hashes": list(addresses), "bot": False, "pulled_at": at("2026-11-20")}
    return {"deployment": "lab"} | own | fields
