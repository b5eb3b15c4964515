"""An object's bytes from an S3 server, also over a connection that breaks."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from botocore.exceptions import IncompleteReadError, ReadTimeoutError, ResponseStreamingError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

# Between one try and the next, of which there are as many as botocore makes of a request.
PAUSES_SECONDS = (0.2, 0.4, 0.8, 1.6, 3.2)


def read_object(client: S3Client, bucket: str, key: str) -> bytes | None:
    """The object's bytes, or None when there is none."""
    pauses = iter(PAUSES_SECONDS)
    while True:
        try:
            body = client.get_object(Bucket=bucket, Key=key)["Body"]
        except client.exceptions.NoSuchKey:
            return None
        # botocore tries again up to the headers of an answer, and no more once its body has begun.
        try:
            return body.read()
        except (IncompleteReadError, ReadTimeoutError, ResponseStreamingError):
            pause = next(pauses, None)
            if pause is None:
                raise
        time.sleep(pause)
