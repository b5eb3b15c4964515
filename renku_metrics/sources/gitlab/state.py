"""What the pull of commits remembers of a GitLab: the heads up to which commits are stored, and what is left open."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field
from typing import Any

import orjson

from renku_metrics.sources.addresses import Address
from renku_metrics.sources.gitlab.commits import Commit
from renku_metrics.sources.gitlab.renku_commits import RenkuMessage

# Raise it if the meaning of the state changes. Of a state with another version only the redated commits are kept, and
# the next pull reads every project from the start.
STATE_VERSION = 5


@dataclass
class ProjectState:
    """One project, as it was when it was last read.

    ``last_activity_at``: as GitLab wrote it then. ``heads``: head of each branch, by the keyed hash of the branch's
    name. ``default_head``: that of the default branch. ``unread``: whether the last try to read it failed.
    ``importing``: whether its import was still running. ``closed_at``: when it was last found gone or its repository
    disabled; this may change without any activity. ``pushes_until``: when its push events were last read.
    ``unpushed``: commits whose push event may still come.
    """

    last_activity_at: str = ""
    read_at: dt.datetime | None = None
    heads: dict[str, str] = field(default_factory=dict)
    default_head: str | None = None
    unread: bool = False
    importing: bool = False
    closed_at: dt.datetime | None = None
    pushes_until: dt.datetime | None = None
    unpushed: list[Commit] = field(default_factory=list)


@dataclass
class GitLabState:
    """All projects of a deployment.

    ``cursor``: when the last pull that read all changed projects began. ``start``: first day whose commits were
    kept. ``pushes``: whether the first pull asked who pushed. ``redated``: commits dated later than they were first
    seen, with the time that counts.
    """

    version: int = STATE_VERSION
    cursor: dt.datetime | None = None
    start: dt.date | None = None
    pushes: bool = False
    redated: dict[str, dt.datetime] = field(default_factory=dict)
    projects: dict[int, ProjectState] = field(default_factory=dict)

    def to_json(self) -> bytes:
        return orjson.dumps(self, option=orjson.OPT_NON_STR_KEYS)

    @classmethod
    def from_json(cls, content: bytes | None) -> GitLabState:
        """What ``to_json`` wrote; a blank state for None."""
        if content is None:
            return cls()
        known = orjson.loads(content)
        redated = {sha: dt.datetime.fromisoformat(at) for sha, at in known["redated"].items()}
        if known.get("version") != STATE_VERSION:
            return cls(redated=redated)
        return cls(
            cursor=_time(known["cursor"]),
            start=known["start"] and dt.date.fromisoformat(known["start"]),
            pushes=known["pushes"],
            redated=redated,
            projects={int(project): _project(state) for project, state in known["projects"].items()},
        )


def _project(known: dict[str, Any]) -> ProjectState:
    return ProjectState(
        **known
        | {
            "read_at": _time(known["read_at"]),
            "closed_at": _time(known["closed_at"]),
            "pushes_until": _time(known["pushes_until"]),
            "unpushed": [_commit(commit) for commit in known["unpushed"]],
        }
    )


def _commit(known: dict[str, Any]) -> Commit:
    message = known["message"]
    return Commit(
        **known
        | {
            "dated_at": dt.datetime.fromisoformat(known["dated_at"]),
            "seen_at": dt.datetime.fromisoformat(known["seen_at"]),
            "address": Address(**known["address"]),
            "message": RenkuMessage(**message | {"options": tuple(message["options"])}),
        }
    )


def _time(text: str | None) -> dt.datetime | None:
    return dt.datetime.fromisoformat(text) if text else None
