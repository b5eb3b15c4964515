"""Whole objects in a directory or an S3 bucket. An object is replaced whole or not at all."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

from renku_metrics.errors import StoreError
from renku_metrics.object_storage.directory import DirectoryStorage
from renku_metrics.object_storage.interface import PARALLEL_REQUESTS, ObjectInfo, ObjectStorage
from renku_metrics.object_storage.s3 import S3Storage

__all__ = ["PARALLEL_REQUESTS", "DirectoryStorage", "ObjectInfo", "ObjectStorage", "S3Storage", "open_storage"]


def open_storage(address: str, endpoint_url: str | None = None) -> ObjectStorage:
    """The objects at ``s3://bucket/prefix`` or in a directory, which need not exist yet.

    Credentials, region and (where ``endpoint_url`` is not given) the endpoint come from the environment by
    boto3's rules. Raises StoreError for any other kind of address.
    """
    parts = urlsplit(address)
    if parts.scheme == "s3" and parts.netloc:
        return S3Storage(parts.netloc, parts.path.strip("/"), endpoint_url)
    if "://" in address:
        raise StoreError(f"{address}: must be a directory or s3://bucket/prefix")
    return DirectoryStorage(Path(address))
