"""Amalthea's audit log as a source. It is a log: it tells of sessions as long as somebody keeps its files."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

from renku_metrics.deployments import Deployment
from renku_metrics.events.union import from_sessions
from renku_metrics.object_storage import ObjectStorage, open_storage
from renku_metrics.schema import Shape
from renku_metrics.shapes import DATE, NOTHING, TIME, WORD, any_of
from renku_metrics.sources.amalthea.audit_log import FilesRead, count_unread, pull_sessions
from renku_metrics.sources.amalthea.check import check_amalthea
from renku_metrics.sources.amalthea.section import Amalthea
from renku_metrics.sources.http import Say
from renku_metrics.sources.source import Batch, Harvest, Request, Source, Stored
from renku_metrics.tables import RAW_AMALTHEA_SESSIONS

FILE = Shape("a file of the audit log", r"(?:[\s\S]*/)?amalthea_audit_log_[^\s@/]*\.txt")
FILE_VERSION = Shape("the hash of a file's version", r"[0-9a-f]{16}")


def _sessions(request: Request) -> Iterator[Batch]:
    state = FilesRead.from_json(request.state)
    return pull_sessions(_audit_log(request.deployment), request.deployment, state, request.pulled_at)


def _plan(deployment: Deployment, state: bytes | None, _stored: Stored, _now: dt.datetime, _say: Say) -> Iterator[str]:
    unread = count_unread(_audit_log(deployment), deployment, FilesRead.from_json(state))
    yield f"{deployment.name}: amalthea: {unread:,} files to read"


def _audit_log(deployment: Deployment) -> ObjectStorage:
    section = deployment.configured(Amalthea)
    return open_storage(section.audit_log, section.endpoint_url)


def _lock(_deployment: Deployment) -> str:
    return "amalthea"


AMALTHEA = Source(
    name="amalthea",
    activity="sessions",
    section=Amalthea,
    harvests=(Harvest("raw_amalthea_sessions", (RAW_AMALTHEA_SESSIONS,), _sessions),),
    events_from=(RAW_AMALTHEA_SESSIONS,),
    events=from_sessions,
    state_texts=any_of(NOTHING, WORD, TIME, DATE, FILE, FILE_VERSION),
    check=check_amalthea,
    plan=_plan,
    lock=_lock,
)
