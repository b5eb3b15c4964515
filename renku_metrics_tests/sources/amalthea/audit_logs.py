"""Audit logs in memory, and pulls of them."""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import json
from collections import Counter
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Any

import pandas as pd

from renku_metrics.deployments import Deployment
from renku_metrics.errors import StoreError
from renku_metrics.merging import merge
from renku_metrics.object_storage import ObjectInfo, ObjectStorage
from renku_metrics.sources.amalthea.audit_log import FilesRead, pull_sessions
from renku_metrics.sources.amalthea.source import AMALTHEA
from renku_metrics.sources.source import Batch
from renku_metrics.tables import RAW_AMALTHEA_SESSIONS

ADA = "5f1b2c3d-0000-4000-8000-000000000001"


ULID = "01HZX2K3M4N5P6Q7R8S9T0V1W2"


SESSION = "8f1a2b3c-0000-4000-8000-000000000001"


PULLED_AT = dt.datetime(2026, 11, 23, 12, tzinfo=dt.UTC)


DEPLOYMENT = Deployment(name="lab", title="Lab", start=dt.date(2026, 1, 1))


def utc(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(text).replace(tzinfo=dt.UTC)


class Bucket:
    """Objects in memory; those in ``refused`` cannot be read."""

    def __init__(self, objects: dict[str, bytes] | None = None) -> None:
        self.objects = objects or {}
        self.refused: set[str] = set()
        self.reads: Counter[str] = Counter()

    def address(self, key: str = "") -> str:
        return f"s3://bucket/{key}"

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        for key, content in sorted(self.objects.items()):
            # S3 does not say what an ETag holds; this has what Base64 does.
            yield ObjectInfo(key, len(content), base64.b64encode(hashlib.sha256(content).digest()).decode())

    def read(self, key: str) -> bytes:
        self.reads[key] += 1
        if key in self.refused:
            raise StoreError(f"{self.address(key)}: access denied")
        return self.objects[key]

    def read_versioned(self, key: str) -> tuple[bytes, str]:
        raise AssertionError("a source replaces nothing")

    def replace(self, key: str, content: bytes, version: str | None) -> str:
        raise AssertionError("a source replaces nothing")

    def write(self, key: str, content: bytes) -> None:
        raise AssertionError("a source writes nothing")

    def delete(self, key: str) -> None:
        raise AssertionError("a source deletes nothing")

    def clear_unfinished(self, prefix: str = "") -> None:
        raise AssertionError(prefix)

    def alone(self, name: str) -> AbstractContextManager[ObjectStorage]:
        raise AssertionError("a source locks nothing")


def line(time: str, labels: dict[str, str] | None = None, **message: Any) -> str:
    filled = {
        "name": "ada-project-8f1a2b3c",
        "namespace": "renku",
        "uid": SESSION,
        "creation_timestamp": "2026-11-02T09:12:44+00:00",
        "image": "registry.example/ada/secret-project:8f1a2b3",
        "status": "starting",
        "old_status": None,
        "additional_labels": labels or {},
    } | message
    return json.dumps({"time": time, "message": filled})


def log(*lines: str) -> bytes:
    return "".join(f"{text}\n" for text in lines).encode()


def name(start: str) -> str:
    return f"amalthea_audit_log_{start}.txt"


def days_files(*days: int, content: bytes = b"") -> dict[str, bytes]:
    return {name(f"202611{day:02}_000000+0000"): content or log(line(f"2026-11-{day:02}T10:00:00Z")) for day in days}


def pull(
    bucket: Any, state: FilesRead | None = None, deployment: Deployment = DEPLOYMENT
) -> tuple[pd.DataFrame, FilesRead, list[Batch]]:
    """Everything a pull brings, merged as the store does it, and the state as it comes back from the store."""
    batches = list(pull_sessions(bucket, deployment, state or FilesRead(), PULLED_AT))
    merged = RAW_AMALTHEA_SESSIONS.frame()
    for batch in batches:
        assert batch.state is not None
        AMALTHEA.check_state(batch.state)
        merged = merge(RAW_AMALTHEA_SESSIONS, merged, batch.rows[RAW_AMALTHEA_SESSIONS.name])
    return merged, FilesRead.from_json(batches[-1].state), batches


def one_row(text: str) -> dict[str, Any]:
    rows, _, _ = pull(Bucket({name("20261102_000000+0000"): log(text)}))
    assert len(rows) == 1
    return {str(key): None if pd.isna(value) else value for key, value in rows.iloc[0].to_dict().items()}
