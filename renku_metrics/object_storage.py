"""Whole objects in a directory or an S3 bucket. An object is replaced whole or not at all."""

from __future__ import annotations

import contextlib
import io
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urlsplit

import boto3
from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from renku_metrics.errors import StoreError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

PARALLEL_REQUESTS = 16


@dataclass(frozen=True)
class ObjectInfo:
    """One object of a listing; ``version`` changes whenever its content does."""

    key: str
    size: int
    version: str


class ObjectStorage(Protocol):
    """A set of objects by key, such as ``raw/x/data.parquet``."""

    def address(self, key: str = "") -> str:
        """Where a person finds the object: a path or an s3:// address."""
        ...

    def read(self, key: str) -> bytes:
        """The object's bytes. Raises FileNotFoundError when there is none, StoreError when it cannot be read."""
        ...

    def write(self, key: str, content: bytes) -> None:
        """Replaces the object whole. Raises StoreError when it cannot be written."""
        ...

    def delete(self, key: str) -> None:
        """Removes the object; that it is not there is no error."""
        ...

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        """The objects whose key begins with the prefix, sorted by key."""
        ...


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


class DirectoryStorage:
    """Objects as files below a directory."""

    def __init__(self, root: Path) -> None:
        self._root = root.expanduser().absolute()

    def address(self, key: str = "") -> str:
        return str(self._root / key)

    def read(self, key: str) -> bytes:
        try:
            return (self._root / key).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            raise FileNotFoundError(self.address(key)) from None
        except OSError as error:
            raise StoreError(f"{self.address(key)}: cannot be read: {error.strerror}") from None

    def write(self, key: str, content: bytes) -> None:
        path = self._root / key
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".partial")
            try:
                with os.fdopen(handle, "wb") as file:
                    file.write(content)
                    file.flush()
                    os.fsync(file.fileno())
                Path(temporary).chmod(0o644)
                Path(temporary).replace(path)
            except BaseException:
                with contextlib.suppress(OSError):
                    Path(temporary).unlink()
                raise
        except OSError as error:
            raise StoreError(f"{self.address(key)}: cannot be written: {error.strerror}") from None

    def delete(self, key: str) -> None:
        try:
            (self._root / key).unlink(missing_ok=True)
        except OSError as error:
            raise StoreError(f"{self.address(key)}: cannot be deleted: {error.strerror}") from None

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        folder = self._root / prefix if prefix.endswith("/") or not prefix else (self._root / prefix).parent
        found = []
        for parent, _, names in os.walk(folder):
            for name in names:
                path = Path(parent) / name
                key = path.relative_to(self._root).as_posix()
                if key.startswith(prefix) and not name.endswith(".partial"):
                    status = path.stat()
                    found.append(ObjectInfo(key, status.st_size, f"{status.st_mtime_ns}-{status.st_size}"))
        return iter(sorted(found, key=lambda info: info.key))


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
            self._client: S3Client = boto3.session.Session().client("s3", endpoint_url=endpoint_url, config=config)
        except (BotoCoreError, ValueError) as error:
            raise StoreError(f"{self.address()}: {error}") from None

    def address(self, key: str = "") -> str:
        return f"s3://{self._bucket}/{self._prefix}{key}"

    def read(self, key: str) -> bytes:
        try:
            return self._client.get_object(Bucket=self._bucket, Key=self._prefix + key)["Body"].read()
        except self._client.exceptions.NoSuchKey:
            raise FileNotFoundError(self.address(key)) from None
        except (ClientError, BotoCoreError) as error:
            raise self._explain(key, error) from None

    def write(self, key: str, content: bytes) -> None:
        # A single put, or a multipart upload that becomes visible when it is complete.
        transfer = TransferConfig(multipart_threshold=64 * 1024**2, use_threads=False)
        try:
            self._client.upload_fileobj(io.BytesIO(content), self._bucket, self._prefix + key, Config=transfer)
        except (ClientError, BotoCoreError, boto3.exceptions.S3UploadFailedError) as error:
            raise self._explain(key, error) from None

    def delete(self, key: str) -> None:
        try:
            self._client.delete_object(Bucket=self._bucket, Key=self._prefix + key)
        except (ClientError, BotoCoreError) as error:
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
        except (ClientError, BotoCoreError) as error:
            raise self._explain(prefix, error) from None

    def _explain(self, key: str, error: Exception) -> StoreError:
        code = error.response["Error"].get("Code", "") if isinstance(error, ClientError) else ""
        advice = {
            "NoSuchBucket": f"there is no bucket {self._bucket}; create it, or correct the address",
            "AccessDenied": "access denied; the credentials need to read, write and list this bucket",
            "403": "access denied; the credentials need to read, write and list this bucket",
            "InvalidAccessKeyId": "the server does not know AWS_ACCESS_KEY_ID",
            "SignatureDoesNotMatch": "AWS_SECRET_ACCESS_KEY does not fit AWS_ACCESS_KEY_ID",
        }.get(code)
        return StoreError(f"{self.address(key)}: {advice or error}")
