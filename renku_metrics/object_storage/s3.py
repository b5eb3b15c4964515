"""Objects below a prefix of an S3 bucket."""

from __future__ import annotations

import copy
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from renku_metrics.errors import StoreError
from renku_metrics.object_storage.interface import ChangedError, ObjectInfo, ObjectStorage
from renku_metrics.object_storage.lease import lease
from renku_metrics.object_storage.s3_conditions import head, honours_conditions, put_on_condition
from renku_metrics.object_storage.s3_requests import (
    S3_ERRORS,
    Body,
    Check,
    checked,
    connect,
    explain,
    read_object,
    version_of,
)

LEASE = ".lease"
PROBE = "conditional-writes.probe"


class S3Storage:
    """Objects below a prefix of an S3 bucket."""

    def __init__(self, bucket: str, prefix: str, endpoint_url: str | None = None) -> None:
        self._bucket = bucket
        self._prefix = f"{prefix}/" if prefix else ""
        # The holder of names makes these before each try of a change.
        self._checks: tuple[Check, ...] = ()
        self._support = _Support()
        try:
            self._client = connect(endpoint_url)
        except (*S3_ERRORS, ValueError) as error:
            raise self._explain("", error) from None

    def address(self, key: str = "") -> str:
        return f"s3://{self._bucket}/{self._prefix}{key}"

    def read(self, key: str) -> bytes:
        return self.read_versioned(key)[0]

    def read_versioned(self, key: str) -> tuple[bytes, str]:
        try:
            found = read_object(self._client, self._bucket, self._prefix + key)
        except S3_ERRORS as error:
            raise self._explain(key, error) from None
        if found is None:
            raise FileNotFoundError(self.address(key))
        return found

    def replace(self, key: str, content: bytes, version: str | None) -> str:
        # If the server ignores conditions, only the holder of a name may compare and write. A caller that holds none
        # takes the object's own name. So everybody who replaces this object must hold the same name, or none.
        if self._server_honours_conditions():
            with self._changing(key):
                address = self.address(key)
                return put_on_condition(self._client, self._bucket, self._prefix + key, content, version, address)
        if not self._checks:
            with self.alone(key) as held:
                return held.replace(key, content, version)
        with self._changing(key):
            found = head(self._client, self._bucket, self._prefix + key)
            if (found.version if found else None) != version:
                raise ChangedError(self.address(key))
            answer = self._client.put_object(Bucket=self._bucket, Key=self._prefix + key, Body=Body(content))
            return version_of(answer["ETag"])

    def delete(self, key: str) -> None:
        with self._changing(key):
            self._client.delete_object(Bucket=self._bucket, Key=self._prefix + key)

    def clear_unfinished(self, prefix: str = "") -> None:  # noqa: ARG002
        # An object that was not sent whole is not there.
        return

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        pages = self._client.get_paginator("list_objects_v2").paginate(
            Bucket=self._bucket, Prefix=self._prefix + prefix
        )
        try:
            for page in pages:
                for item in page.get("Contents", []):
                    key = item["Key"].removeprefix(self._prefix)
                    if key != PROBE and not key.endswith(LEASE):
                        yield ObjectInfo(key, version_of(item["ETag"]))
        except S3_ERRORS as error:
            raise self._explain(prefix, error) from None

    @contextmanager
    def alone(self, name: str) -> Iterator[ObjectStorage]:
        with lease(self._client, self._bucket, f"{self._prefix}{name}{LEASE}", self.address(name)) as check:
            held = copy.copy(self)
            # Whoever holds two names must still hold both.
            held._checks = (*self._checks, check)
            yield held

    @contextmanager
    def _changing(self, key: str) -> Iterator[None]:
        try:
            with checked(self._checks):
                yield
        except S3_ERRORS as error:
            # A check may have ended the try. Its error says more.
            for check in self._checks:
                check()
            raise self._explain(key, error) from None

    def _server_honours_conditions(self) -> bool:
        with self._support.lock:
            if self._support.known is None:
                with self._changing(PROBE):
                    self._support.known = honours_conditions(self._client, self._bucket, self._prefix + PROBE)
            return self._support.known

    def _explain(self, key: str, error: Exception) -> StoreError:
        return explain(error, self._bucket, self.address(key))


class _Support:
    """Whether the server honours conditions, once it is known. A storage shares it with the holders of its names."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.known: bool | None = None
