"""What threads see that use a client before botocore has made the classes of its errors."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from botocore.exceptions import ClientError

from renku_metrics.object_storage.s3_requests import connect, read_object


def test_an_object_that_is_not_there_is_known_without_the_class_of_its_error(
    bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = connect(None)
    # botocore makes these classes when they are first needed, without a lock: two threads can get two of one name.
    other = type("NoSuchKey", (ClientError,), {})
    monkeypatch.setattr(client, "_exceptions", SimpleNamespace(NoSuchKey=other, from_code=lambda code: ClientError))
    assert read_object(client, bucket, "nothing") is None
