"""Mutual exclusion on S3: an object that its holder keeps fresh, and that others take over once it is stale.

The age of a lease is told by the server's clock alone. A server that ignores conditional writes, or does not make
them atomic (OpenStack Swift), leaves a window of one round trip in which two could take the same free lease.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from renku_metrics.errors import StoreError
from renku_metrics.object_storage.s3_errors import S3_ERRORS, explain

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

STALE_AFTER_SECONDS = 90.0
REFRESH_SECONDS = 20.0
POLL_SECONDS = 2.0
LONGEST_WAIT_SECONDS = 3600.0


@contextmanager
def lease(client: S3Client, bucket: str, key: str, address: str) -> Iterator[None]:
    """Holds the object ``key`` alone for the length of the block.

    Raises StoreError when another held it for over an hour, or when this holder was suspended, or cut off from the
    server, for so long that another has taken over or may have.
    """
    holder = uuid.uuid4().hex.encode()
    try:
        _acquire(client, bucket, key, address, holder)
    except S3_ERRORS as error:
        raise explain(error, bucket, address) from None
    over = threading.Event()
    lost = threading.Event()

    def keep_fresh() -> None:
        refreshed = time.monotonic()
        while not over.wait(REFRESH_SECONDS):
            try:
                if _holder(client, bucket, key) != holder:
                    lost.set()
                    return
                client.put_object(Bucket=bucket, Key=key, Body=holder)
                refreshed = time.monotonic()
            except S3_ERRORS:
                if time.monotonic() - refreshed > STALE_AFTER_SECONDS:
                    lost.set()

    refresher = threading.Thread(target=keep_fresh, name="lease", daemon=True)
    refresher.start()
    try:
        yield
    finally:
        over.set()
        refresher.join()
        # Whatever cannot be deleted now gives way by its age.
        with suppress(*S3_ERRORS):
            if _holder(client, bucket, key) == holder:
                client.delete_object(Bucket=bucket, Key=key)
            else:
                lost.set()
    if lost.is_set():
        raise StoreError(f"{address}: this pull was out of touch for so long that another may have begun; run it again")


def _acquire(client: S3Client, bucket: str, key: str, address: str, holder: bytes) -> None:
    until = time.monotonic() + LONGEST_WAIT_SECONDS
    while True:
        age = _age(client, bucket, key)
        if age is None:
            if _create(client, bucket, key, holder) and _holder(client, bucket, key) == holder:
                return
        elif age > STALE_AFTER_SECONDS:
            # Of several that take over, the last to write has it.
            client.put_object(Bucket=bucket, Key=key, Body=holder)
            time.sleep(POLL_SECONDS)
            if _holder(client, bucket, key) == holder:
                return
        if time.monotonic() > until:
            raise StoreError(f"{address}: another pull has held this for over an hour")
        time.sleep(POLL_SECONDS)


def _age(client: S3Client, bucket: str, key: str) -> float | None:
    try:
        answer = client.head_object(Bucket=bucket, Key=key)
    except ClientError as error:
        if error.response["ResponseMetadata"]["HTTPStatusCode"] == 404:
            return None
        raise
    now = parsedate_to_datetime(answer["ResponseMetadata"]["HTTPHeaders"]["date"])
    return (now - answer["LastModified"]).total_seconds()


def _create(client: S3Client, bucket: str, key: str, holder: bytes) -> bool:
    try:
        client.put_object(Bucket=bucket, Key=key, Body=holder, IfNoneMatch="*")
    except ClientError as error:
        if error.response["ResponseMetadata"]["HTTPStatusCode"] in (409, 412):
            return False
        raise
    return True


def _holder(client: S3Client, bucket: str, key: str) -> bytes:
    try:
        return client.get_object(Bucket=bucket, Key=key)["Body"].read()
    except client.exceptions.NoSuchKey:
        return b""
