"""Mutual exclusion on S3: an object that its holder keeps fresh, and that others take over once it is stale.

Only the server's clock tells the age of a lease. Not every server makes conditional writes atomic (OpenStack Swift
does not). So if several take a free lease, each may believe for a moment that it has the lease. The last to write has
it, and each looks again after a time that is longer than a write takes.

If the server writes on condition, no write is lost, even if two hold the same lease. If it does not, the lease alone
keeps writes apart: a try of a write begins only if it ends before another can take over, and this machine sends nothing
more of a try that it has given up. A proxy between here and the server may keep a write for longer, and then deliver
it. It lands over what another has written meanwhile, because only the server could refuse it.
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
from renku_metrics.object_storage import interface
from renku_metrics.object_storage.interface import HeldTooLongError
from renku_metrics.object_storage.s3_conditions import ANY, CONFLICT, NOT_FOUND, NOT_IMPLEMENTED, PRECONDITION_FAILED
from renku_metrics.object_storage.s3_requests import (
    LONGEST_TRY_SECONDS,
    S3_ERRORS,
    Check,
    explain,
    read_object,
    status_of,
)

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

STALE_AFTER_SECONDS = 90.0
REFRESH_SECONDS = 20.0
POLL_SECONDS = 2.0
# Swift writes so small an object in 0.04 seconds. A step of a run takes a lease once, so half a second costs little.
SETTLE_SECONDS = 0.5


@contextmanager
def lease(client: S3Client, bucket: str, key: str, address: str) -> Iterator[Check]:
    """Holds the object ``key`` alone for the length of the block, which gets the check to make before each try.

    The check raises StoreError if the lease is lost, or if it may be lost before a try that begins now ends. The block
    raises StoreError if another held the lease for over an hour. It also does if this holder was suspended, or cut off
    from the server, for so long that another has taken over or may have.
    """
    held = _Lease(client, bucket, key, address)
    try:
        held.acquire()
    except S3_ERRORS as error:
        raise explain(error, bucket, address) from None
    over = threading.Event()
    refresher = threading.Thread(target=held.keep_fresh, args=[over], name="lease", daemon=True)
    refresher.start()
    try:
        yield held.check_before_a_try
    finally:
        over.set()
        refresher.join()
        held.release()
    held.check()


class _Lease:
    """The object as one who wants it sees it."""

    def __init__(self, client: S3Client, bucket: str, key: str, address: str) -> None:
        self._client = client
        self._bucket = bucket
        self._key = key
        self._address = address
        self._holder = uuid.uuid4().hex.encode()
        self._lost = threading.Event()
        # The lease was refreshed at this time of this machine's clock, or later.
        self._refreshed = time.monotonic()

    def acquire(self) -> None:
        until = time.monotonic() + interface.LONGEST_WAIT_SECONDS
        while True:
            age = self.age()
            if age is None:
                self._create()
                # The object is read, because the answer can be lost. The next try is then refused, although the lease
                # is ours.
                if self._is_ours() and self._is_still_ours_after(SETTLE_SECONDS):
                    return
            elif age > STALE_AFTER_SECONDS:
                self._write()
                if self._is_still_ours_after(POLL_SECONDS):
                    return
            if time.monotonic() > until:
                raise HeldTooLongError(self._address)
            time.sleep(POLL_SECONDS)

    def keep_fresh(self, over: threading.Event) -> None:
        while not over.wait(REFRESH_SECONDS):
            # The next refresh may succeed. If it comes too late, the checks raise an error.
            with suppress(*S3_ERRORS):
                if not self._is_ours():
                    self._lost.set()
                    return
                self._write()

    def check(self) -> None:
        """Raises StoreError if another has taken over, or may have."""
        self._check_for(0.0)

    def check_before_a_try(self) -> None:
        """Raises StoreError if another has taken over, or may have before a try that begins now ends."""
        self._check_for(LONGEST_TRY_SECONDS)

    def _check_for(self, seconds: float) -> None:
        if self._lost.is_set() or time.monotonic() - self._refreshed > STALE_AFTER_SECONDS - seconds:
            raise StoreError(
                f"{self._address}: this run was out of touch for so long that another may have begun; run it again"
            )

    def release(self) -> None:
        # If the lease cannot be deleted now, it gives way by its age.
        with suppress(*S3_ERRORS):
            if self._is_ours():
                self._client.delete_object(Bucket=self._bucket, Key=self._key)
            else:
                self._lost.set()

    def age(self) -> float | None:
        """Seconds since anybody refreshed the lease; None if it is free."""
        try:
            answer = self._client.head_object(Bucket=self._bucket, Key=self._key)
        except ClientError as error:
            if status_of(error) == NOT_FOUND:
                return None
            raise
        now = parsedate_to_datetime(answer["ResponseMetadata"]["HTTPHeaders"]["date"])
        return (now - answer["LastModified"]).total_seconds()

    def _create(self) -> None:
        begun = time.monotonic()
        try:
            self._client.put_object(Bucket=self._bucket, Key=self._key, Body=self._holder, IfNoneMatch=ANY)
        except ClientError as error:
            if status_of(error) == NOT_IMPLEMENTED:
                self._write()
                return
            if status_of(error) not in (CONFLICT, PRECONDITION_FAILED):
                raise
        self._refreshed = begun

    def _write(self) -> None:
        begun = time.monotonic()
        self._client.put_object(Bucket=self._bucket, Key=self._key, Body=self._holder)
        self._refreshed = begun

    def _is_ours(self) -> bool:
        found = read_object(self._client, self._bucket, self._key)
        return found is not None and found[0] == self._holder

    def _is_still_ours_after(self, seconds: float) -> bool:
        time.sleep(seconds)
        return self._is_ours()
