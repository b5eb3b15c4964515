"""Short ways to write rows; everything a test does not care about is filled in."""

from __future__ import annotations

import datetime as dt
from typing import Any

# Two days of a month, and one of the next.
DAY, NEXT_DAY, LATER_DAY = "2026-11-16", "2026-11-17", "2026-12-01"
MONTH, NEXT_MONTH = "2026-11-01", "2026-12-01"
ADA = "ada00000-0000-4000-8000-000000000001"
Row = dict[str, Any]


def at(day: str, hour: int = 9) -> dt.datetime:
    return dt.datetime.fromisoformat(day).replace(hour=hour, tzinfo=dt.UTC)


def hash_of(text: str) -> str:
    """A keyed hash that stands for the text, and is sorted as it is."""
    return text.encode().hex().ljust(64, "0")


def sha_of(text: str) -> str:
    """The same as a commit id."""
    return hash_of(text)[:40]


def login_key(text: str) -> str:
    """The key of the event of that name."""
    return f"login:{hash_of(text)}"


def name_of(event_key: str) -> str:
    """The name that ``login_key`` was given."""
    return bytes.fromhex(event_key.removeprefix("login:")).rstrip(b"\0").decode()


def event(key: str, day: str = DAY, **fields: Any) -> Row:
    return {
        "deployment": "lab",
        "event_type": "login",
        "occurred_at": at(day),
        "event_day": day,
        "user_id": ADA,
        "user_link": "keycloak_id",
        "project_id": None,
        "source": "keycloak",
        "event_key": login_key(key),
    } | fields


def login(key: str, day: str = DAY, **fields: Any) -> Row:
    return {
        "deployment": "lab",
        "event_day": day,
        "login_key": hash_of(key),
        "occurred_at": at(day),
        "keycloak_id": ADA,
        "client_id": None,
        "pulled_at": at("2026-11-20"),
    } | fields


def commit(key: str, **fields: Any) -> Row:
    return {
        "deployment": "lab",
        "event_day": DAY,
        "project_id": 2**53 + 1,
        "sha": sha_of(key),
        "dated_at": at(DAY),
        "parent_count": 1,
        "author_address_hash": hash_of("ada"),
        "author_address_kind": "personal",
        "renku_options": None,
        "renku_committer": False,
        "autosave": True,
        "pulled_at": at("2026-11-20"),
    } | fields


def user(number: int, *addresses: str, **fields: Any) -> Row:
    own = {"gitlab_user_id": number, "address_hashes": [hash_of(address) for address in addresses], "bot": False}
    return {"deployment": "lab", "pulled_at": at("2026-11-20")} | own | fields
