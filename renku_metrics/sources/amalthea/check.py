"""What ``renku-metrics check`` tries with a deployment's audit log."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from functools import cached_property

import pandas as pd

from renku_metrics.deployments import Deployment
from renku_metrics.object_storage import ObjectStorage, open_storage
from renku_metrics.periods import ONE_DAY
from renku_metrics.sources.amalthea.audit_log import list_files
from renku_metrics.sources.amalthea.lines import Lines, read_lines
from renku_metrics.sources.amalthea.section import Amalthea
from renku_metrics.sources.findings import Finding, attempts, failed, ok, warning
from renku_metrics.tables import RAW_AMALTHEA_SESSIONS

# If anybody uses sessions, Amalthea begins a file every day or so.
SILENT_AFTER = 7 * ONE_DAY
NEARLY_NONE = 0.1
ENOUGH_LINES = 200
FILES_AT_MOST = 5


def check_amalthea(deployment: Deployment, now: dt.datetime) -> Iterator[Finding]:
    """Whether there are files, whether one was begun lately, and whether their lines name users and projects."""
    checks = _Checks(deployment, now)
    return attempts(
        f"{deployment.name}: amalthea",
        [
            ("amalthea", checks.files),
            ("amalthea lines", checks.lines),
            ("amalthea user label", checks.user_label),
            ("amalthea project label", checks.project_label),
        ],
        "see whether audit_log is where Amalthea writes",
    )


class _Checks:
    def __init__(self, deployment: Deployment, now: dt.datetime) -> None:
        # Lines before the deployment's start count too, because any session shows the labels.
        self._deployment = deployment.model_copy(update={"start": dt.date.min})
        self._amalthea = deployment.configured(Amalthea)
        self._now = now

    def files(self) -> Finding:
        what = "amalthea"
        address = self._storage.address()
        if not self._files:
            return warning(
                what,
                f"no amalthea_audit_log_….txt at {address}: correct audit_log, or set auditLog.enabled and auditLog.s3 "
                "of Amalthea; the first file comes a day after the first session",
            )
        newest = max(start for start, _ in self._files.values())
        text = f"{len(self._files):,} files at {address}, the newest begun on {newest:%Y-%m-%d}"
        if newest < self._now - SILENT_AFTER:
            return warning(what, f"{text}: see whether Amalthea still writes; perhaps nobody uses sessions")
        return ok(what, text)

    def lines(self) -> Finding:
        what = "amalthea lines"
        if not self._files:
            return warning(what, "there is no file to read yet")
        lines = self._latest
        if not lines.rows:
            return failed(what, f"none of the latest {lines.lines:,} tells of a session", "correct audit_log")
        if lines.unreadable:
            return warning(
                what, f"{lines.unreadable:,} of the latest {lines.lines:,} cannot be read: their days stay in missing"
            )
        return ok(what, f"the latest {lines.lines:,} are readable")

    def user_label(self) -> Finding:
        return _label("amalthea user label", "renku.io/userId", self._sessions["keycloak_id"].notna(), "nobody")

    def project_label(self) -> Finding:
        named = self._sessions["gitlab_project_id"].notna() | self._sessions["renku_project_id"].notna()
        label = "renku.io/gitlabProjectId (in Renku 2.0 renku.io/projectId)"
        return _label("amalthea project label", label, named, "no project")

    @cached_property
    def _storage(self) -> ObjectStorage:
        return open_storage(self._amalthea.audit_log, self._amalthea.endpoint_url)

    @cached_property
    def _files(self) -> dict[str, tuple[dt.datetime, str]]:
        return list_files(self._storage, self._deployment)[0]

    @cached_property
    def _latest(self) -> Lines:
        found = Lines()
        for key in list(self._files)[: -FILES_AT_MOST - 1 : -1]:
            found.add(read_lines(self._storage.read(key), self._deployment, self._now))
            if found.lines >= ENOUGH_LINES:
                break
        return found

    @cached_property
    def _sessions(self) -> pd.DataFrame:
        """The lines of sessions that no anonymous visitor started."""
        rows = RAW_AMALTHEA_SESSIONS.frame(self._latest.rows)
        return rows[~rows["anonymous"].astype(bool)]


def _label(what: str, label: str, there: pd.Series, nobody: str) -> Finding:
    if there.empty:
        return ok(what, "the latest lines tell of no session of a user who was logged in")
    text = f"{int(there.sum()):,} of the latest {len(there):,} lines of people's sessions carry {label}"
    if there.mean() < NEARLY_NONE:
        return warning(what, f"{text}: add it to auditLog.extraLabels of Amalthea, or sessions belong to {nobody}")
    return ok(what, text)
