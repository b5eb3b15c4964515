"""Objects below a prefix of an S3 bucket."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import boto3
from boto3.exceptions import S3UploadFailedError
from boto3.s3.transfer import TransferConfig
from botocore.config import Config

from renku_metrics.errors import StoreError
from renku_metrics.object_storage.held import HeldStorage
from renku_metrics.object_storage.interface import PARALLEL_REQUESTS, ObjectInfo, ObjectStorage
from renku_metrics.object_storage.lease import lease
from renku_metrics.object_storage.s3_errors import S3_ERRORS, explain
from renku_metrics.object_storage.s3_reading import read_object

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

MULTIPART_FROM_BYTES = 64 * 1024**2


class S3Storage:
    """Objects below a prefix of an S3 bucket."""

    def __init__(self, bucket: str, prefix: str, endpoint_url: str | None = None) -> None:
        self._bucket = bucket
        self._prefix = f"{prefix}/" if prefix else ""
        # Checksums only where the server asks for them: several S3-compatible servers refuse the newer ones.
        config = Config(
            retries={"mode": "standard", "max_attempts": 5},
            max_pool_connections=PARALLEL_REQUESTS,
            connect_timeout=10,
            read_timeout=60,
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        )
        try:
            # boto3 itself reads AWS_DEFAULT_REGION alone.
            session = boto3.session.Session(region_name=os.environ.get("AWS_REGION") or None)
            self._client: S3Client = session.client("s3", endpoint_url=endpoint_url, config=config)
        except (*S3_ERRORS, ValueError) as error:
            raise self._explain("", error) from None

    def address(self, key: str = "") -> str:
        return f"s3://{self._bucket}/{self._prefix}{key}"

    def read(self, key: str) -> bytes:
        try:
            content = read_object(self._client, self._bucket, self._prefix + key)
        except S3_ERRORS as error:
            raise self._explain(key, error) from None
        if content is None:
            raise FileNotFoundError(self.address(key))
        return content

    def write(self, key: str, content: bytes) -> None:
        # A single put, or a multipart upload that becomes visible when it is complete.
        transfer = TransferConfig(multipart_threshold=MULTIPART_FROM_BYTES, use_threads=False)
        try:
            self._client.upload_fileobj(io.BytesIO(content), self._bucket, self._prefix + key, Config=transfer)
        except (*S3_ERRORS, S3UploadFailedError) as error:
            raise self._explain(key, error) from None

    def delete(self, key: str) -> None:
        try:
            self._client.delete_object(Bucket=self._bucket, Key=self._prefix + key)
        except S3_ERRORS as error:
            raise self._explain(key, error) from None

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        pages = self._client.get_paginator("list_objects_v2").paginate(
            Bucket=self._bucket, Prefix=self._prefix + prefix
        )
        try:
            for page in pages:
                for item in page.get("Contents", []):
                    key = item["Key"].removeprefix(self._prefix)
                    yield ObjectInfo(key, item["Size"], item["ETag"].strip('"'))
        except S3_ERRORS as error:
            raise self._explain(prefix, error) from None

    @contextmanager
    def alone(self, name: str) -> Iterator[ObjectStorage]:
        with lease(self._client, self._bucket, f"{self._prefix}{name}.lease", self.address(name)) as check:
            yield HeldStorage(self, check)

    def _explain(self, key: str, error: Exception) -> StoreError:
        return explain(error, self._bucket, self.address(key))
