"""S3 over a bad connection, or from a server that is busy: tried again, and one clear line when that is in vain.

How objects are replaced so: test_conditions.py.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from renku_metrics.errors import StoreError
from renku_metrics.object_storage import ObjectStorage, open_storage
from renku_metrics_tests.servers.unreliable import Fault, Unreliable, unreliable

CONTENT = bytes(range(256)) * 400
NO_BODY: list[Fault] = ["busy", "slow down", "unheard", "unanswered"]


@pytest.fixture
def between(s3_server: str) -> Iterator[Unreliable]:
    with unreliable(s3_server) as between:
        yield between


@pytest.fixture
def storage(bucket: str, between: Unreliable, monkeypatch: pytest.MonkeyPatch) -> ObjectStorage:
    """Holds one object, which came over a better connection."""
    open_storage(f"s3://{bucket}/p").replace("x", CONTENT, None)
    monkeypatch.setattr("time.sleep", lambda _: None)
    return open_storage(f"s3://{bucket}/p", between.address)


@pytest.mark.parametrize("fault", [*NO_BODY, "cut off"])
def test_a_read_is_tried_again(storage: ObjectStorage, between: Unreliable, fault: Fault) -> None:
    between.fail("GET", fault, fault)

    assert storage.read("x") == CONTENT
    assert between.requests == ["GET", "GET", "GET"]


@pytest.mark.parametrize("fault", [*NO_BODY, "cut off"])
def test_a_list_is_tried_again(storage: ObjectStorage, between: Unreliable, fault: Fault) -> None:
    between.fail("GET", fault, fault)

    assert [info.key for info in storage.list()] == ["x"]
    assert between.requests == ["GET", "GET", "GET"]


@pytest.mark.parametrize("fault", NO_BODY)
def test_a_deletion_is_tried_again(storage: ObjectStorage, between: Unreliable, fault: Fault) -> None:
    between.fail("DELETE", fault, fault)
    storage.delete("x")

    assert between.requests == ["DELETE", "DELETE", "DELETE"]
    assert list(storage.list()) == []


@pytest.mark.parametrize("fault", NO_BODY)
def test_a_name_is_ours_at_the_second_try(storage: ObjectStorage, between: Unreliable, fault: Fault) -> None:
    # Of a try that was heard the server keeps the lease; the next is refused as if another had it.
    between.fail("PUT", fault)
    with storage.alone("locks/x") as held:
        assert between.requests.count("HEAD") == 1
        held.replace("y", b"1", None)

    assert [info.key for info in storage.list()] == ["x", "y"]


@pytest.mark.parametrize("fault", [*NO_BODY, "cut off"])
def test_after_six_tries_it_is_one_clear_line(storage: ObjectStorage, between: Unreliable, fault: Fault) -> None:
    between.fail("GET", *6 * [fault])

    with pytest.raises(StoreError, match=rf"^{storage.address('x')}: [^\n]*$"):
        storage.read("x")
    assert between.requests == 6 * ["GET"]
