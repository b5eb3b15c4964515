"""Writes of an S3 object on the condition that nobody else has changed it.

AWS, Ceph and moto honour the conditions `If-Match` and `If-None-Match`. OpenStack Swift ignores the first.
"""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, NamedTuple

from botocore.exceptions import ClientError

from renku_metrics.object_storage.s3_requests import Body, status_of, version_of

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

OK, NOT_FOUND, CONFLICT, PRECONDITION_FAILED, NOT_IMPLEMENTED = 200, 404, 409, 412, 501
ANY = "*"
NOBODYS = "0" * 32
PROBE = b"This object only serves to see whether the server writes on condition.\n"
# The name of the one write that stored an object, kept as its metadata.
WRITE = "write"


def honours_conditions(client: S3Client, bucket: str, key: str) -> bool:
    """Whether the server refuses what it should, tried with an object that is only there for this; 2 or 3 requests."""
    created = _try(client, bucket, key, IfNoneMatch=ANY)
    wrong = _try(client, bucket, key, IfMatch=NOBODYS)
    again = _try(client, bucket, key, IfNoneMatch=ANY) if created == OK else created
    return wrong == again == PRECONDITION_FAILED


def _try(client: S3Client, bucket: str, key: str, **condition: str) -> int:
    try:
        client.put_object(Bucket=bucket, Key=key, Body=PROBE, **condition)  # type: ignore[arg-type]
    except ClientError as error:
        if status_of(error) in (PRECONDITION_FAILED, NOT_IMPLEMENTED):
            return status_of(error)
        raise
    return OK


def put_on_condition(client: S3Client, bucket: str, key: str, content: bytes, version: str | None) -> str | None:
    """The new version; None when another has changed the object."""
    write = uuid.uuid4().hex
    # Ceph 16 takes an ETag without its quotes alone, and others may take it with them alone.
    conditions = [{"IfNoneMatch": ANY}] if version is None else [{"IfMatch": version}, {"IfMatch": f'"{version}"'}]
    for condition in conditions:
        try:
            answer = client.put_object(
                Bucket=bucket,
                Key=key,
                Body=Body(content),
                Metadata={WRITE: write},
                **condition,  # type: ignore[arg-type]
            )
        except ClientError as error:
            if not _is_refusal(error):
                raise
        else:
            return version_of(answer["ETag"])
        found = head(client, bucket, key)
        # botocore tries again when an answer is lost, and the write that was heard is then in its own way.
        if found is not None and found.write == write:
            return found.version
        if found is None or found.version != version:
            return None
    return None


def _is_refusal(error: ClientError) -> bool:
    missing = status_of(error) == NOT_FOUND and error.response["Error"].get("Code") != "NoSuchBucket"
    return missing or status_of(error) in (CONFLICT, PRECONDITION_FAILED)


class Head(NamedTuple):
    """What is known of an object without reading it; ``write`` names the write on condition that stored it."""

    version: str
    write: str | None


def head(client: S3Client, bucket: str, key: str) -> Head | None:
    """None when there is no object."""
    try:
        answer = client.head_object(Bucket=bucket, Key=key)
    except ClientError as error:
        if status_of(error) == NOT_FOUND:
            return None
        raise
    return Head(version_of(answer["ETag"]), answer["Metadata"].get(WRITE))
