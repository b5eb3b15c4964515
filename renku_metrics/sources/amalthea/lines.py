"""The lines of Amalthea's audit log: one JSON object for each change of a session's status.

Their form: docs/sources/amalthea.md#lines. Names, images and all labels but those of the user and the project are
dropped.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from renku_metrics.deployments import Deployment
from renku_metrics.periods import whole_milliseconds
from renku_metrics.schema import Shape
from renku_metrics.shapes import LABEL, ULID, UUID, WORD

PROJECT_NUMBER = re.compile(r"[0-9]{1,18}")


@dataclass
class Lines:
    """What the lines of one file, or of several, hold: rows of RAW_AMALTHEA_SESSIONS, and counts of lines.

    ``without_session``: lines that name no session. ``without_user``: lines of a session with neither a user's label
    nor an anonymous visitor.
    """

    rows: list[dict[str, Any]] = field(default_factory=list)
    lines: int = 0
    unreadable: int = 0
    without_session: int = 0
    without_user: int = 0

    def add(self, other: Lines) -> None:
        self.rows += other.rows
        self.lines += other.lines
        self.unreadable += other.unreadable
        self.without_session += other.without_session
        self.without_user += other.without_user


def read_lines(content: bytes, deployment: Deployment, pulled_at: dt.datetime) -> Lines:
    """What the content of one file holds. Days before the deployment's start are left out."""
    found = Lines()
    first_day = deployment.start.isoformat()
    for line in content.split(b"\n"):
        if not line.strip():
            continue
        found.lines += 1
        entry = _parse(line)
        if entry is None:
            found.unreadable += 1
            continue
        changed_at, message = entry
        session = _session(message)
        if session is None:
            found.without_session += 1
            continue
        if session["keycloak_id"] is None and not session["anonymous"]:
            found.without_user += 1
        row = {"deployment": deployment.name, "changed_at": changed_at, "pulled_at": pulled_at, **session}
        # Each line is kept for the day of its session's creation too, because the line of the creation may be lost.
        # docs/sources/amalthea.md#lines-can-be-missing-or-come-twice
        days = {changed_at.date().isoformat(), session["created_at"].date().isoformat()}
        found.rows += [{**row, "event_day": day} for day in sorted(days) if day >= first_day]
    return found


def _parse(line: bytes) -> tuple[dt.datetime, Mapping[str, Any]] | None:
    """Time and message of a line; None if it is cut off or is not a line of the log."""
    try:
        entry = orjson.loads(line)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(entry, dict) or not isinstance(entry.get("message"), dict):
        return None
    changed_at = _instant(entry.get("time"))
    return None if changed_at is None else (changed_at, entry["message"])


def _session(message: Mapping[str, Any]) -> dict[str, Any] | None:
    """The columns that a message fills; None if it names no session."""
    uid, created_at = _text(message.get("uid")), _instant(message.get("creation_timestamp"))
    if not UUID.fits(uid) or created_at is None:
        return None
    labels = message.get("additional_labels")
    if not isinstance(labels, dict):
        labels = {}
    user = _text(labels.get("renku.io/userId"))
    # A user may call themself anon-something, so the session's name counts only if the label is missing.
    # docs/sources/amalthea.md#anonymous-visitors
    anonymous = (user or _text(message.get("name")) or "").startswith("anon-")
    return {
        "namespace": _fitting(LABEL, message.get("namespace")),
        "session_uid": uid,
        "created_at": created_at,
        "old_status": _fitting(WORD, message.get("old_status")),
        "status": _fitting(WORD, message.get("status")),
        "keycloak_id": None if anonymous else user,
        "anonymous": anonymous,
        "gitlab_project_id": _project_number(labels.get("renku.io/gitlabProjectId")),
        "renku_project_id": _fitting(ULID, labels.get("renku.io/projectId")),
    }


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _fitting(shape: Shape, value: object) -> str | None:
    return value if isinstance(value, str) and shape.fits(value) else None


def _project_number(value: object) -> int | None:
    return int(str(value)) if PROJECT_NUMBER.fullmatch(str(value)) else None


def _instant(value: object) -> dt.datetime | None:
    """A time of the log in UTC, cut to milliseconds."""
    if not isinstance(value, str):
        return None
    try:
        time = utc(dt.datetime.fromisoformat(value))
    except (ValueError, OverflowError):
        return None
    return whole_milliseconds(time)


def utc(time: dt.datetime) -> dt.datetime:
    """The same instant in UTC; a time without an offset is in UTC already."""
    return time.replace(tzinfo=dt.UTC) if time.tzinfo is None else time.astimezone(dt.UTC)
