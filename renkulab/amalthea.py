"""Sessions and the audit log that Amalthea writes about them: immutable files of JSON lines, one per day or restart."""

from __future__ import annotations

import datetime as dt
import json
import os
import uuid
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

Status = Literal["starting", "running", "stopping", "failed", "hibernated"]
ROTATION = dt.timedelta(seconds=86400)
# If auditLog.extraLabels lists these, the log names users and projects: docs/sources/amalthea.md#no-label-by-default
USEFUL_LABELS = ("renku.io/userId", "renku.io/gitlabProjectId", "renku.io/projectId", "renku.io/launcherId")


@dataclass
class Session:
    name: str
    uid: str
    created_at: dt.datetime
    labels: dict[str, str] = field(default_factory=dict)
    namespace: str = "renku"
    status: Status | None = None


class Amalthea:
    """The operator. Its methods must be called in the order of time.

    A file is uploaded when the next one begins: with the first record after a day, or when the operator restarts. So
    the newest records are not in ``audit_log`` yet (docs/sources/amalthea.md#a-file-ends-where-the-next-begins).
    """

    def __init__(
        self, audit_log: Path, started_at: dt.datetime, domain: str, labels: Iterable[str] = USEFUL_LABELS
    ) -> None:
        self.audit_log = audit_log
        self.domain = domain
        self.extra_labels = tuple(labels)
        self._opened_at = started_at
        self._lines: list[str] = []
        self._made = 0
        audit_log.mkdir(parents=True, exist_ok=True)

    def start_session(
        self,
        at: dt.datetime,
        *,
        user_id: str | None = None,
        gitlab_project_id: int | None = None,
        renku_project_id: str | None = None,
        lost: bool = False,
    ) -> Session:
        """A session is created, and runs a minute later. Without a user it is an anonymous visitor's.

        ``lost`` leaves out the record of the creation.
        """
        self._made += 1
        user = user_id or f"anon-{self._made:08x}-{self.domain}"
        labels = {"renku.io/userId": user, "renku.io/safe-username": user[:12], "renku.io/branch": "master"}
        if gitlab_project_id is not None:
            labels["renku.io/gitlabProjectId"] = str(gitlab_project_id)
        if renku_project_id is not None:
            labels |= {"renku.io/projectId": renku_project_id, "renku.io/renkuVersion": "2.0"}
        uid = str(uuid.uuid5(uuid.NAMESPACE_OID, f"{self.domain} {self._made}"))
        # The same user, project and commit give the same name, so it is not a key.
        name = f"{user[:12]}-project-{(gitlab_project_id or 0):08x}"
        session = Session(name, uid, at.replace(microsecond=0), labels)
        if lost:
            session.status = "starting"
        else:
            self.change(session, "starting", at)
        self.change(session, "running", at + dt.timedelta(minutes=1))
        return session

    def change(self, session: Session, status: Status, at: dt.datetime, *, times: int = 1) -> None:
        """The session changes its status: hibernated, running again, failed, stopping.

        ``times``: how often the record is written. An operator that crashed and restarted can write it twice.
        """
        for _ in range(times):
            self._write(session, status, at)
        session.status = status

    def restart(self, at: dt.datetime) -> None:
        """The operator ends, uploads what it has, and begins a new file."""
        self._upload(at)
        self._opened_at = at

    def crash(self, at: dt.datetime) -> None:
        """The operator is killed: the records of its file are lost."""
        self._lines.clear()
        self._opened_at = at

    def objects(self) -> dict[str, bytes]:
        """The content of all uploaded files, by file name, for a bucket."""
        return {path.name: path.read_bytes() for path in sorted(self.audit_log.iterdir())}

    def _write(self, session: Session, status: Status, at: dt.datetime) -> None:
        if at - self._opened_at > ROTATION:
            self.restart(at)
        message: dict[str, Any] = {
            "name": session.name,
            "namespace": session.namespace,
            "uid": session.uid,
            "creation_timestamp": _seconds(session.created_at),
            "resource_request": {
                "cpu_millicores": 500.0,
                "memory_bytes": 1000000000.0,
                "disk_bytes": 1000000000.0,
                "gpus": 0,
            },
            "image": "registry.example/project:8f1a2b3",
            "status": status,
            "old_status": session.status,
            "additional_labels": {key: value for key, value in session.labels.items() if key in self.extra_labels},
        }
        self._lines.append(f'{{"time":"{_seconds(at)}", "message":{json.dumps(message)}}}')

    def _upload(self, at: dt.datetime) -> None:
        if not self._lines:
            return
        start = self._opened_at.astimezone(dt.UTC).strftime("%Y%m%d_%H%M%S%z")
        path = self.audit_log / f"amalthea_audit_log_{start}.txt"
        path.write_text("\n".join(self._lines) + "\n", encoding="utf-8")
        os.utime(path, (at.timestamp(), at.timestamp()))
        self._lines.clear()


def _seconds(at: dt.datetime) -> str:
    """Whole seconds, ``+00:00``."""
    return at.astimezone(dt.UTC).isoformat(timespec="seconds")
