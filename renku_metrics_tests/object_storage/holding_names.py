"""What tests of names that are held alone share."""

from __future__ import annotations

import datetime as dt
from typing import Any

from renku_metrics.object_storage import ObjectStorage, S3Storage

NAME = "state/locks/renkulab-io-gitlab"


def grow_older(storage: ObjectStorage, seconds: float) -> None:
    """Makes the lease look as if it had been refreshed that much earlier, until it is refreshed."""
    assert isinstance(storage, S3Storage)
    key = f"{storage._prefix}{NAME}.lease"
    before = storage._client.head_object(Bucket=storage._bucket, Key=key)

    def set_back(parsed: dict[str, Any], **_: object) -> None:
        if (parsed.get("ETag"), parsed.get("LastModified")) == (before["ETag"], before["LastModified"]):
            parsed["LastModified"] -= dt.timedelta(seconds=seconds)

    storage._client.meta.events.register("after-call.s3.HeadObject", set_back)


def count_one_more(held: ObjectStorage) -> None:
    content, version = held.read_versioned("count")
    held.replace("count", str(int(content) + 1).encode(), version)
