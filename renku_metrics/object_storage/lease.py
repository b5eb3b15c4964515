"""Mutual exclusion on S3: an object that its holder keeps fresh, and that others take over once it is stale.

The age of a lease is told by the server's clock alone. Not every server makes conditional writes atomic (OpenStack
Swift does not), so that of several who take a free lease each may believe to have it for a moment: the last to write
has it, and each looks again after longer than a write takes.

Where the server writes on condition, no write is lost even if two hold the same lease. Where it does not, the lease
alone keeps writes apart: each try of a write is begun only if it ends before another can take over, and when it is
given up this machine sends nothing of it any more. What a proxy between here and the server keeps for longer than that,
and then delivers, lands over what another has written meanwhile; only the server could refuse it.
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
# Swift writes so small an object in 0.04 seconds, and a lease is taken once in a step of a run.
SETTLE_SECONDS = 0.5


@contextmanager
def lease(client: S3Client, bucket: str, key: str, address: str) -> Iterator[Check]:
    """Holds the object ``key`` alone for the length of the block, which gets what is to be asked before each try.

    That raises StoreError once the lease is lost, or may be before a try that begins now has ended. Raises StoreError
    when another held it for over an hour, or when this holder was suspended, or cut off from the server, for so long
    that another has taken over or may have.
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
        # Since when the lease is at least that fresh, by this machine's clock.
        self._refreshed = time.monotonic()

    def acquire(self) -> None:
        until = time.monotonic() + interface.LONGEST_WAIT_SECONDS
        while True:
            age = self.age()
            if age is None:
                self._create()
                # Asked of the object and not of the answer: one that was lost is a refusal at the next try.
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
            # The next time may be better; until when that will do, check knows.
            with suppress(*S3_ERRORS):
                if not self._is_ours():
                    self._lost.set()
                    return
                self._write()

    def check(self) -> None:
        """Raises StoreError when another has taken over, or may have."""
        self._check_for(0.0)

    def check_before_a_try(self) -> None:
        """Raises StoreError when another has taken over, or may have before a try that begins now has ended."""
        self._check_for(LONGEST_TRY_SECONDS)

    def _check_for(self, seconds: float) -> None:
        if self._lost.is_set() or time.monotonic() - self._refreshed > STALE_AFTER_SECONDS - seconds:
            raise StoreError(
                f"{self._address}: this pull was out of touch for so long that another may have begun; run it again"
            )

    def release(self) -> None:
        # Whatever cannot be deleted now gives way by its age.
        with suppress(*S3_ERRORS):
            if self._is_ours():
                self._client.delete_object(Bucket=self._bucket, Key=self._key)
            else:
                self._lost.set()

    def age(self) -> float | None:
        """Seconds since the lease was refreshed, by whomever; None when it is free."""
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
