"""A write that was held on its way, and lands when another has taken over: the other's stays."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from renku_metrics.errors import StoreError
from renku_metrics.object_storage import ChangedError, ObjectStorage, S3Storage, lease, open_storage, s3_requests
from renku_metrics_tests.servers.holding import Holding, holding
from renku_metrics_tests.servers.unreliable import Unreliable, unreliable

NAME = "state/locks/renkulab-io-gitlab"
# More than the connection that holds back takes, and less than this machine's system takes to send it.
LARGE = b"late" * 50_000


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3_requests, "CONNECT_SECONDS", 1.5)
    monkeypatch.setattr(s3_requests, "READ_SECONDS", 1.5)
    monkeypatch.setattr(s3_requests, "RETRIES", 1)
    monkeypatch.setattr(lease, "POLL_SECONDS", 0.1)
    monkeypatch.setattr(lease, "SETTLE_SECONDS", 0.1)


@pytest.fixture
def between(s3_server: str) -> Iterator[Holding]:
    with holding(s3_server) as between:
        yield between


@pytest.fixture
def ours(bucket: str, between: Holding) -> S3Storage:
    """The storage of a machine that is cut off now and then."""
    storage = open_storage(f"s3://{bucket}/p", between.address)
    assert isinstance(storage, S3Storage)
    return storage


@pytest.fixture
def others(bucket: str) -> ObjectStorage:
    """The storage of another machine."""
    return open_storage(f"s3://{bucket}/p")


@pytest.fixture
def conditional(storage_kind: str) -> None:
    if storage_kind == "swift":
        pytest.skip("Swift does not write on condition; see s3_conditions.py")


@pytest.mark.usefixtures("conditional")
@pytest.mark.parametrize("content", [b"late", LARGE])
def test_a_late_replacement_is_refused(
    ours: ObjectStorage, others: ObjectStorage, between: Holding, content: bytes
) -> None:
    version = others.replace("x", b"old", None)
    assert ours.read_versioned("x") == (b"old", version)
    # Makes itself known what the server can do.
    ours.replace("before", b"", None)

    between.hold(swallow=True)
    with pytest.raises(StoreError, match=rf"^{ours.address('x')}: [^\n]*timeout[^\n]*$"):
        ours.replace("x", content, version)
    others.replace("x", b"of the other", version)
    between.let_go()

    assert others.read("x") == b"of the other"


@pytest.mark.usefixtures("conditional")
def test_a_late_creation_is_refused(ours: ObjectStorage, others: ObjectStorage, between: Holding) -> None:
    ours.replace("before", b"", None)

    between.hold(swallow=True)
    with pytest.raises(StoreError):
        ours.replace("x", b"late", None)
    others.replace("x", b"of the other", None)
    between.let_go()

    assert others.read("x") == b"of the other"


def write_without_condition(storage: S3Storage, content: bytes) -> None:
    body = s3_requests.Body(content)
    storage._client.put_object(Bucket=storage._bucket, Key=f"{storage._prefix}x", Body=body)


def test_a_late_write_without_condition_lands(ours: S3Storage, others: ObjectStorage, between: Holding) -> None:
    # So the tests above are able to fail.
    between.hold(swallow=True)
    with pytest.raises(s3_requests.S3_ERRORS):
        write_without_condition(ours, b"late")
    others.replace("x", b"of the other", None)
    between.let_go()

    assert others.read("x") == b"late"


def test_what_this_machine_still_holds_of_a_try_ends_with_it(
    ours: S3Storage, others: ObjectStorage, between: Holding
) -> None:
    between.hold(swallow=False)
    with pytest.raises(s3_requests.S3_ERRORS):
        write_without_condition(ours, LARGE)
    others.replace("x", b"of the other", None)
    between.let_go()

    assert others.read("x") == b"of the other"


@pytest.fixture
def short_lease(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in earnest, in a tenth of the time. A try still ends within the time that the lease allows it."""
    monkeypatch.setattr(lease, "STALE_AFTER_SECONDS", 9.0)
    monkeypatch.setattr(lease, "REFRESH_SECONDS", 2.0)
    monkeypatch.setattr(lease, "LONGEST_TRY_SECONDS", 4.0)


@pytest.mark.usefixtures("short_lease")
def test_who_is_cut_off_while_it_writes_gives_way_and_spoils_nothing(
    ours: ObjectStorage, others: ObjectStorage, between: Holding
) -> None:
    version = others.replace("x", b"old", None)
    given_up = threading.Event()

    def work_until_cut_off() -> None:
        with ours.alone(NAME) as held:
            held.replace("before", b"", None)
            assert held.read_versioned("x") == (b"old", version)
            between.hold(swallow=False)
            try:
                held.replace("x", LARGE, version)
            finally:
                given_up.set()

    def take_over() -> None:
        with others.alone(NAME) as held:
            assert given_up.is_set()
            content, found = held.read_versioned("x")
            held.replace("x", content + b" and new", found)

    with ThreadPoolExecutor(1) as pool:
        cut_off = pool.submit(work_until_cut_off)
        assert between.held.wait(timeout=30)
        take_over()
        assert isinstance(cut_off.exception(timeout=30), StoreError)
    between.let_go()

    assert others.read("x") == b"old and new"


@pytest.mark.usefixtures("conditional")
@pytest.mark.usefixtures("short_lease")
def test_two_at_once_spoil_nothing(ours: ObjectStorage, others: ObjectStorage) -> None:
    """Whoever works on after another has begun is told so by the objects themselves."""
    version = others.replace("x", b"old", None)
    with ours.alone(NAME) as late, others.alone(f"{NAME}2") as heir:
        content, found = late.read_versioned("x")
        heir.replace("x", b"of the other", version)
        with pytest.raises(ChangedError):
            late.replace("x", content + b" and late", found)

    assert others.read("x") == b"of the other"


def stop_the_lease(patch: pytest.MonkeyPatch) -> None:
    """Another may have taken the lease from now on."""
    patch.setattr(lease, "STALE_AFTER_SECONDS", -1.0)


def test_no_try_begins_that_could_outlast_the_lease(
    ours: ObjectStorage, between: Holding, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ours.alone(NAME) as held:
        version = held.replace("x", b"old", None)
        puts = between.puts
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(lease, "LONGEST_TRY_SECONDS", lease.STALE_AFTER_SECONDS)
            with pytest.raises(StoreError, match="out of touch"):
                held.replace("x", b"new", version)
            with pytest.raises(StoreError, match="out of touch"):
                held.delete("x")
        assert (held.read("x"), between.puts) == (b"old", puts)
        # The lease is held all the same.
        held.replace("x", b"new", version)


CHANGES: dict[str, tuple[str, str, Callable[[ObjectStorage, str], object]]] = {
    "replace": ("PutObject", "PUT", lambda held, version: held.replace("x", b"new", version)),
    "delete": ("DeleteObject", "DELETE", lambda held, _: held.delete("x")),
}


@pytest.mark.parametrize(("operation", "method", "change"), CHANGES.values(), ids=CHANGES)
def test_each_try_asks_whether_the_lease_still_holds(
    bucket: str,
    s3_server: str,
    operation: str,
    method: str,
    change: Callable[[ObjectStorage, str], object],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def work_on(between: Unreliable) -> None:
        with open_storage(f"s3://{bucket}/p", between.address).alone(NAME) as held:
            assert isinstance(held, S3Storage)
            version = held.replace("x", b"old", None)
            events = held._client.meta.events
            events.register(f"response-received.s3.{operation}", lambda **_: stop_the_lease(monkeypatch))
            between.fail(method, "busy", "busy")
            with pytest.raises(StoreError, match="out of touch"):
                change(held, version)
            # The first try was made, the second was not.
            assert len(between.faults) == 1

    with unreliable(s3_server) as between, pytest.raises(StoreError, match="out of touch"):
        work_on(between)
    assert open_storage(f"s3://{bucket}/p").read("x") == b"old"


def test_each_block_asks_whether_the_lease_still_holds(
    bucket: str, s3_environment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    size, sent = 4 * 1024**2, []
    read = s3_requests.Body.read

    def watch(body: s3_requests.Body, wanted: Any = -1, /) -> bytes:
        block = read(body, wanted)
        # The larger ones are only read to be signed.
        if 0 < wanted < 1024**2:
            sent.append(len(block))
            if sum(sent) > size // 2:
                stop_the_lease(monkeypatch)
        return block

    def work_on() -> None:
        with open_storage(f"s3://{bucket}/p").alone(NAME) as held:
            version = held.replace("x", b"old", None)
            monkeypatch.setattr(s3_requests.Body, "read", watch)
            held.replace("x", b"n" * size, version)

    with pytest.raises(StoreError, match="out of touch"):
        work_on()
    assert size // 2 < sum(sent) < size // 2 + 1024**2
    assert open_storage(f"s3://{bucket}/p").read("x") == b"old"
