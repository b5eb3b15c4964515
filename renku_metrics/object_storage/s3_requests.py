"""Requests to an S3 server: how long one lasts, what is checked before it is sent, and what its errors mean."""

from __future__ import annotations

import io
import os
import socket
import struct
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectTimeoutError,
    EndpointConnectionError,
    HTTPClientError,
    IncompleteReadError,
    NoCredentialsError,
    ReadTimeoutError,
    ResponseStreamingError,
)

from renku_metrics.errors import StoreError
from renku_metrics.object_storage.interface import PARALLEL_REQUESTS

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

# Raises StoreError if no try of a request may begin, or go on, any more.
Check = Callable[[], None]

# The server may also take so long over each block that is sent to it.
CONNECT_SECONDS = 10.0
READ_SECONDS = 30.0
# From the last check to the end of a try. botocore waits a second more before it sends a body.
LONGEST_TRY_SECONDS = CONNECT_SECONDS + READ_SECONDS + 1.0
RETRIES = 5
FIRST_PAUSE_SECONDS = 0.2
NO_ANSWER = (EndpointConnectionError, ConnectTimeoutError, HTTPClientError)
# botocore passes on the system's own errors about a file or program of credentials.
S3_ERRORS = (ClientError, BotoCoreError, OSError)

_checks: ContextVar[Sequence[Check]] = ContextVar("checks", default=())


def connect(endpoint_url: str | None) -> S3Client:
    """A client that tries each request up to six times. Raises one of S3_ERRORS or ValueError."""
    # Checksums only if the server requires them, because several S3-compatible servers refuse the newer ones.
    config = Config(
        retries={"mode": "standard", "max_attempts": RETRIES},
        max_pool_connections=PARALLEL_REQUESTS,
        connect_timeout=CONNECT_SECONDS,
        read_timeout=READ_SECONDS,
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )
    # boto3 itself reads only AWS_DEFAULT_REGION.
    session = boto3.session.Session(region_name=os.environ.get("AWS_REGION") or None)
    client: S3Client = session.client("s3", endpoint_url=endpoint_url, config=config)
    # botocore makes the request of each try afresh.
    client.meta.events.register("request-created.s3", lambda **_: _ask())
    _end_tries_at_once(client)
    return client


def _end_tries_at_once(client: Any) -> None:
    # Otherwise the system sends the rest of a try for minutes after the try was given up, and its write might land over
    # that of another. botocore has no option for it.
    client._endpoint.http_session._socket_options.append((socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)))


@contextmanager
def checked(checks: Sequence[Check]) -> Iterator[None]:
    """In the block this thread makes the checks before each try of each request."""
    token = _checks.set(checks)
    try:
        yield
    finally:
        _checks.reset(token)


class Body(io.BytesIO):
    """What is sent, block by block. The checks come before each block."""

    def read(self, size: int | None = -1, /) -> bytes:
        _ask()
        return super().read(size)


def _ask() -> None:
    for check in _checks.get():
        check()


def read_object(client: S3Client, bucket: str, key: str) -> tuple[bytes, str] | None:
    """The object's bytes and version; None if there is no object. Reads again if the connection breaks."""
    pauses = iter([FIRST_PAUSE_SECONDS * 2**retry for retry in range(RETRIES)])
    while True:
        try:
            answer = client.get_object(Bucket=bucket, Key=key)
        except ClientError as error:
            # By its code, because botocore makes its classes of errors lazily: two threads can get two of one name.
            if error.response["Error"].get("Code") == "NoSuchKey":
                return None
            raise
        # botocore tries again only until the body of an answer begins.
        try:
            return answer["Body"].read(), version_of(answer["ETag"])
        except (IncompleteReadError, ReadTimeoutError, ResponseStreamingError):
            pause = next(pauses, None)
            if pause is None:
                raise
        time.sleep(pause)


def version_of(entity_tag: str) -> str:
    """The version in the one form that listing, reading and writing share."""
    return entity_tag.strip('"')


def status_of(error: ClientError) -> int:
    """The HTTP status of the answer."""
    return error.response["ResponseMetadata"]["HTTPStatusCode"]


def explain(error: Exception, bucket: str, address: str) -> StoreError:
    """The error in one line, with what to do."""
    code = error.response["Error"].get("Code", "") if isinstance(error, ClientError) else ""
    if isinstance(error, NoCredentialsError):
        code = "NoCredentials"
    denied = "access denied; let these credentials read, write and list this bucket"
    ended = "the credentials have ended; renew them"
    elsewhere = "the bucket is in another region; set AWS_REGION to it"
    known = {
        "NoCredentials": "no credentials; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give this machine a role",
        "NoSuchBucket": f"there is no bucket {bucket}; create it, or correct the address",
        "AccessDenied": denied,
        # An answer to a HEAD request has no body, so its status is all that is known.
        "403": denied,
        "InvalidAccessKeyId": "the server does not know AWS_ACCESS_KEY_ID; set one that it knows",
        "SignatureDoesNotMatch": "AWS_SECRET_ACCESS_KEY does not fit AWS_ACCESS_KEY_ID; set the one that does",
        "ExpiredToken": ended,
        "InvalidToken": ended,
        "RequestTimeTooSkewed": "the clocks of this machine and the server differ; set them right",
        "PermanentRedirect": elsewhere,
        "AuthorizationHeaderMalformed": elsewhere,
    }.get(code)
    if known:
        return StoreError(f"{address}: {known}")
    endpoint = "AWS_ENDPOINT_URL, or the endpoint_url of an audit log"
    if isinstance(error, NO_ANSWER):
        advice = f"start that server, or correct {endpoint}"
    else:
        advice = f"correct the address, the AWS_ variables, or {endpoint}"
    return StoreError(f"{address}: {' '.join(str(error).split())}; {advice}")
