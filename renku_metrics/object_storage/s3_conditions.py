"""Writes of an S3 object on the condition that nobody else has changed it.

What servers did when they were tried (N: eight threads that read a number, add one and write it on condition):

=====================  ======================  ========================  ================  ===========  ===========
server                 ``If-None-Match: *``    wrong ``If-Match``        right, no quotes  with quotes  N at once
=====================  ======================  ========================  ================  ===========  ===========
Ceph 16.2 (radosgw)    412, and one creates    412, also where is none   written           412 (wrong)  none lost
Swift 2.38 (s3api)     412, but up to seven    501                       501               501          impossible
                       of eight create at once
moto 5.2               412                     412; 404 where is none    written           written      3 of 320 lost
=====================  ======================  ========================  ================  ===========  ===========

AWS documents what Ceph does, 404 if there is no object, and 409 to one of several who write at the same moment. On Ceph
a write without condition at that moment may be lost. So if one replaces an object on condition, everybody should.
"""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, NamedTuple

from botocore.exceptions import ClientError

from renku_metrics.errors import StoreError
from renku_metrics.object_storage.interface import ChangedError
from renku_metrics.object_storage.s3_requests import Body, status_of, version_of

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

OK, NOT_FOUND, CONFLICT, PRECONDITION_FAILED, NOT_IMPLEMENTED = 200, 404, 409, 412, 501
ANY = "*"
NOBODYS = "0" * 32
PROBE_CONTENT = b"This object only serves to see whether the server writes on condition.\n"
# The name of the one write that stored an object, kept as its metadata.
WRITE = "write"


def honours_conditions(client: S3Client, bucket: str, key: str) -> bool:
    """Whether the server refuses what it should. Tries it with an object of its own, in 2 or 3 requests."""
    created = _try(client, bucket, key, IfNoneMatch=ANY)
    wrong = _try(client, bucket, key, IfMatch=NOBODYS)
    again = _try(client, bucket, key, IfNoneMatch=ANY) if created == OK else created
    return wrong == again == PRECONDITION_FAILED


def _try(client: S3Client, bucket: str, key: str, **condition: str) -> int:
    try:
        client.put_object(Bucket=bucket, Key=key, Body=PROBE_CONTENT, **condition)  # type: ignore[arg-type]
    except ClientError as error:
        if status_of(error) in (PRECONDITION_FAILED, NOT_IMPLEMENTED):
            return status_of(error)
        raise
    return OK


def put_on_condition(client: S3Client, bucket: str, key: str, content: bytes, version: str | None, address: str) -> str:
    """Writes the object if it has this version, or if there is none and none is given; returns the new version.

    Raises ChangedError if another has changed it, StoreError if the server refuses what it should not.
    """
    write = uuid.uuid4().hex
    # Ceph 16 takes an ETag only without its quotes. Others may take it only with them.
    conditions = [{"IfNoneMatch": ANY}] if version is None else [{"IfMatch": version}, {"IfMatch": f'"{version}"'}]
    status = OK
    for condition in conditions:
        body, metadata = Body(content), {WRITE: write}
        try:
            answer = client.put_object(Bucket=bucket, Key=key, Body=body, Metadata=metadata, **condition)  # type: ignore[arg-type]
        except ClientError as error:
            status = status_of(error)
            missing = status == NOT_FOUND and error.response["Error"].get("Code") != "NoSuchBucket"
            if status not in (CONFLICT, PRECONDITION_FAILED) and not missing:
                raise
        else:
            return version_of(answer["ETag"])
        found = head(client, bucket, key)
        # botocore tries again if an answer is lost. Its first write is then the change that the second one meets.
        if found is not None and found.write == write:
            return found.version
        if found is None or found.version != version:
            raise ChangedError(address)
    if status == CONFLICT:
        # The server answers so if others write at the same moment.
        raise ChangedError(address)
    raise StoreError(
        f"{address}: the server refuses to replace the very version that it tells, {version}; "
        "use a server that writes on condition (If-Match), or keep the store in a directory"
    )


class Head(NamedTuple):
    """What is known of an object without reading it. ``write`` names the write on condition that stored it."""

    version: str
    write: str | None


def head(client: S3Client, bucket: str, key: str) -> Head | None:
    """What is known of the object; None if there is no object."""
    try:
        answer = client.head_object(Bucket=bucket, Key=key)
    except ClientError as error:
        if status_of(error) == NOT_FOUND:
            return None
        raise
    return Head(version_of(answer["ETag"]), answer["Metadata"].get(WRITE))
