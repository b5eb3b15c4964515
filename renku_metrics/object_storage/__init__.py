"""Whole objects in a directory or an S3 bucket. An object is replaced whole or not at all.

What belongs here: bytes under a key, how they are read, listed, replaced and deleted, who may do so at the same time,
and what the errors of disks and servers mean. What does not: what the bytes hold (tables, Parquet, JSON), the names of
keys and of what is held alone, and what merging means.
"""

from __future__ import annotations

import re
from pathlib import Path

from renku_metrics.errors import StoreError
from renku_metrics.object_storage.directory import DirectoryStorage
from renku_metrics.object_storage.interface import PARALLEL_REQUESTS, ChangedError, ObjectInfo, ObjectStorage
from renku_metrics.object_storage.s3 import S3Storage

__all__ = [
    "PARALLEL_REQUESTS",
    "ChangedError",
    "DirectoryStorage",
    "ObjectInfo",
    "ObjectStorage",
    "S3Storage",
    "open_storage",
]

S3_ADDRESS = re.compile(r"s3://(?P<bucket>[A-Za-z0-9][A-Za-z0-9._-]*)(/(?P<prefix>.*))?")


def open_storage(address: str, endpoint_url: str | None = None) -> ObjectStorage:
    """The objects at ``s3://bucket/prefix`` or in a directory, which need not exist yet.

    Credentials and region come from the environment by boto3's rules, and so does the endpoint if ``endpoint_url`` is
    not given. Raises StoreError if the address is of another kind.
    """
    if match := S3_ADDRESS.fullmatch(address):
        return S3Storage(match["bucket"], (match["prefix"] or "").strip("/"), endpoint_url)
    if "://" in address:
        # What follows may hold a password.
        raise StoreError(f"{address.partition('://')[0]}://…: must be a directory or s3://bucket/prefix")
    return DirectoryStorage(Path(address))
