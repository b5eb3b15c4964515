"""The lease by which a name is held alone on S3: kept fresh, lost, taken over, and given back."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from renku_metrics.errors import StoreError
from renku_metrics.object_storage import ObjectStorage, S3Storage, lease, open_storage
from renku_metrics_tests.object_storage.holding_names import NAME, count_one_more, grow_older

pytestmark = pytest.mark.usefixtures("quick")
OUT_OF_TOUCH = r"out of touch for so long that another may have begun; run it again$"


@pytest.fixture
def lease_storage(bucket: str) -> S3Storage:
    storage = open_storage(f"s3://{bucket}")
    assert isinstance(storage, S3Storage)
    return storage


def age(storage: S3Storage) -> float:
    address = storage.address(NAME)
    seconds = lease._Lease(storage._client, storage._bucket, f"{storage._prefix}{NAME}.lease", address).age()
    assert seconds is not None
    return seconds


def lose_to_an_heir(storage: S3Storage) -> None:
    """Returns once the holder of the lease has seen that another took it over."""
    heir = open_storage(storage.address())
    # The first to be taken is the first to be listed.
    refresher = next(thread for thread in threading.enumerate() if thread.name == "lease")
    storage._client.meta.events.register("before-call.s3.GetObject", lambda **_: write_lease(heir, b"the heir"))
    refresher.join(timeout=10)


def stored(storage: S3Storage) -> list[str]:
    """All that is in the bucket, what is not listed too."""
    return [item["Key"] for item in storage._client.list_objects_v2(Bucket=storage._bucket).get("Contents", [])]


def write_lease(storage: ObjectStorage, holder: bytes) -> None:
    """As another holder does."""
    assert isinstance(storage, S3Storage)
    storage._client.put_object(Bucket=storage._bucket, Key=f"{storage._prefix}{NAME}.lease", Body=holder)


def lease_in(storage: S3Storage) -> bytes:
    return storage.read(f"{NAME}.lease")


@pytest.mark.usefixtures("nobody_waits")
def test_a_lease_is_stale_only_after_several_refreshes_were_missed(lease_storage: S3Storage) -> None:
    write_lease(lease_storage, b"someone else")
    grow_older(lease_storage, 3 * lease.REFRESH_SECONDS)

    with pytest.raises(StoreError, match="another run"), lease_storage.alone(NAME):
        pytest.fail("taken over too early")
    assert lease_in(lease_storage) == b"someone else"


def test_of_several_that_take_over_one_gets_in_at_a_time(lease_storage: S3Storage) -> None:
    lease_storage.replace("count", b"0", None)
    write_lease(lease_storage, b"someone dead")
    grow_older(lease_storage, 2 * lease.STALE_AFTER_SECONDS)

    def count_up(_: int) -> None:
        with lease_storage.alone(NAME) as held:
            count_one_more(held)

    with pytest.MonkeyPatch.context() as patch:
        # Longer than a request takes, as in earnest.
        patch.setattr(lease, "POLL_SECONDS", 0.3)
        with ThreadPoolExecutor(3) as pool:
            list(pool.map(count_up, range(3)))

    assert lease_storage.read("count") == b"3"


def test_a_holder_keeps_its_lease_fresh(lease_storage: S3Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "REFRESH_SECONDS", 0.01)
    refreshed = threading.Semaphore(0)

    with lease_storage.alone(NAME):
        grow_older(lease_storage, 80)
        lease_storage._client.meta.events.register("after-call.s3.PutObject", lambda **_: refreshed.release())
        # The server's clock may take a second to show it.
        while age(lease_storage) > 5:
            assert refreshed.acquire(timeout=10)


def test_nothing_is_left_of_a_lease(lease_storage: S3Storage) -> None:
    with lease_storage.alone(NAME):
        assert stored(lease_storage) == [f"{NAME}.lease"]
        assert list(lease_storage.list()) == []

    assert stored(lease_storage) == []


def test_a_holder_that_was_suspended_leaves_the_lease_to_its_heir(
    lease_storage: S3Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "REFRESH_SECONDS", 0.01)
    looked = threading.Semaphore(0)

    heir = open_storage(lease_storage.address())

    def sleep_through_it() -> None:
        with lease_storage.alone(NAME):
            events = lease_storage._client.meta.events
            events.register("before-call.s3.GetObject", lambda **_: write_lease(heir, b"the heir"))
            events.register("after-call.s3.GetObject", lambda **_: looked.release())
            assert looked.acquire(timeout=10)

    with pytest.raises(StoreError, match=r"out of touch for so long that another may have begun; run it again$"):
        sleep_through_it()
    assert lease_in(lease_storage) == b"the heir"


def test_a_holder_out_of_reach_for_too_long_is_told_so(
    lease_storage: S3Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed = threading.Semaphore(0)

    def unreachable(**_: object) -> None:
        failed.release()
        raise EndpointConnectionError(endpoint_url="http://127.0.0.1:1")

    monkeypatch.setattr(lease, "REFRESH_SECONDS", 0.01)
    monkeypatch.setattr(lease, "STALE_AFTER_SECONDS", -1.0)

    def work_on() -> None:
        with lease_storage.alone(NAME):
            lease_storage._client.meta.events.register("before-call.s3.GetObject", unreachable)
            assert failed.acquire(timeout=10)
            assert failed.acquire(timeout=10)

    with pytest.raises(StoreError, match="out of touch"):
        work_on()


def test_a_short_interruption_does_no_harm(lease_storage: S3Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    failed = threading.Semaphore(0)

    def unreachable(**_: object) -> None:
        failed.release()
        raise EndpointConnectionError(endpoint_url="http://127.0.0.1:1")

    monkeypatch.setattr(lease, "REFRESH_SECONDS", 0.01)
    with lease_storage.alone(NAME):
        lease_storage._client.meta.events.register("before-call.s3.PutObject", unreachable)
        lease_storage._client.meta.events.register("before-call.s3.DeleteObject", unreachable)
        assert failed.acquire(timeout=10)

    # It could not be deleted; its age will free it.
    assert lease_in(lease_storage)


@pytest.mark.usefixtures("nobody_waits")
def test_of_two_that_take_a_free_lease_the_last_to_write_has_it(lease_storage: S3Storage) -> None:
    rival = open_storage(lease_storage.address())
    looks = []

    def be_late(**_: object) -> None:
        looks.append(1)
        if len(looks) == 2:
            write_lease(rival, b"the rival")

    # A server that does not make conditional writes atomic lets the rival's through.
    lease_storage._client.meta.events.register("before-call.s3.GetObject", be_late)
    with pytest.raises(StoreError, match="another run"), lease_storage.alone(NAME):
        pytest.fail("two hold the same name")
    assert lease_in(lease_storage) == b"the rival"


@pytest.mark.usefixtures("nobody_waits")
def test_a_lease_is_ours_though_the_answer_to_taking_it_was_lost(lease_storage: S3Storage) -> None:
    def lose(**_: object) -> None:
        # What botocore's next try is answered when the one before was heard.
        refusal: Any = {"Error": {"Code": "PreconditionFailed"}, "ResponseMetadata": {"HTTPStatusCode": 412}}
        raise ClientError(refusal, "PutObject")

    events = lease_storage._client.meta.events
    events.register("after-call.s3.PutObject", lose)
    with lease_storage.alone(NAME):
        events.unregister("after-call.s3.PutObject", lose)


def test_a_holder_that_lost_its_lease_changes_nothing_any_more(
    lease_storage: S3Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "REFRESH_SECONDS", 0.01)

    def work_on() -> None:
        with lease_storage.alone(NAME) as held:
            version = held.replace("count", b"1", None)
            lose_to_an_heir(lease_storage)
            with pytest.raises(StoreError, match=OUT_OF_TOUCH):
                held.replace("count", b"2", version)
            with pytest.raises(StoreError, match=OUT_OF_TOUCH):
                held.delete("count")
            assert held.read("count") == b"1"

    with pytest.raises(StoreError, match=OUT_OF_TOUCH):
        work_on()
    assert lease_in(lease_storage) == b"the heir"


def test_a_holder_that_was_suspended_is_stopped_before_it_looks_again(
    lease_storage: S3Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def sleep_through_it() -> None:
        with lease_storage.alone(NAME) as held:
            monkeypatch.setattr(lease, "STALE_AFTER_SECONDS", -1.0)
            held.replace("count", b"1", None)

    with pytest.raises(StoreError, match=OUT_OF_TOUCH):
        sleep_through_it()
    with pytest.raises(FileNotFoundError):
        lease_storage.read("count")


def test_who_holds_two_names_needs_both(lease_storage: S3Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "REFRESH_SECONDS", 0.01)

    def lose_the_first() -> None:
        with lease_storage.alone(NAME) as first, first.alone(f"{NAME}2") as both:
            version = both.replace("count", b"1", None)
            lose_to_an_heir(lease_storage)
            both.replace("count", b"2", version)

    with pytest.raises(StoreError, match=OUT_OF_TOUCH):
        lose_the_first()
    assert lease_storage.read("count") == b"1"
