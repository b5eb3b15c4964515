"""What the pull of commits remembers of a GitLab: the heads up to which commits are stored, and what is left open."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field
from typing import Any

import orjson


@dataclass
class ProjectState:
    """One project, as it was when it was last read.

    ``heads``: head of each branch, by the keyed hash of the branch's name. ``default_head``: that of the default
    branch. ``unread``: why the last try to read it failed. ``pushes_until``: when its push events were last read.
    ``unpushed``: young rows of RAW_GITLAB_COMMITS (with their ``parents``) that no push explains so far.
    """

    last_activity_at: str = ""
    read_at: str = ""
    heads: dict[str, str] = field(default_factory=dict)
    default_head: str | None = None
    unread: str | None = None
    pushes_until: str | None = None
    unpushed: list[dict[str, Any]] = field(default_factory=list)


@dataclass
class GitLabState:
    """All projects of a deployment.

    ``cursor``: when the last pull that read all changed projects began. ``start``: first day whose commits were
    kept; an earlier one makes every project be read anew. ``redated``: commits dated later than they were first
    seen, with the time that counts.
    """

    cursor: dt.datetime | None = None
    start: dt.date | None = None
    redated: dict[str, dt.datetime] = field(default_factory=dict)
    projects: dict[int, ProjectState] = field(default_factory=dict)

    def to_json(self) -> bytes:
        return orjson.dumps(self, option=orjson.OPT_NON_STR_KEYS)

    @classmethod
    def from_json(cls, content: bytes | None) -> GitLabState:
        """What ``to_json`` wrote; that of no pull at all for None."""
        if content is None:
            return cls()
        known = orjson.loads(content)
        for project in known["projects"].values():
            for row in project["unpushed"]:
                for name in ("dated_at", "pulled_at"):
                    row[name] = dt.datetime.fromisoformat(row[name])
        return cls(
            cursor=known["cursor"] and dt.datetime.fromisoformat(known["cursor"]),
            start=known["start"] and dt.date.fromisoformat(known["start"]),
            redated={sha: dt.datetime.fromisoformat(at) for sha, at in known["redated"].items()},
            projects={int(project): ProjectState(**state) for project, state in known["projects"].items()},
        )
