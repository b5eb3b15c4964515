"""Replacing on S3: what servers answer, and what is lost of an answer on the way."""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO
from typing import Any

import pytest
from botocore.awsrequest import AWSPreparedRequest, AWSResponse, HTTPHeaders
from urllib3 import HTTPResponse

from renku_metrics.errors import StoreError
from renku_metrics.object_storage import ChangedError, ObjectStorage, S3Storage, open_storage
from renku_metrics_tests.object_storage.put import put
from renku_metrics_tests.servers.unreliable import Fault, Unreliable, unreliable

ANSWERS: list[Fault] = ["busy", "slow down", "unheard", "unanswered"]


@pytest.fixture
def between(s3_server: str) -> Iterator[Unreliable]:
    with unreliable(s3_server) as between:
        yield between


@pytest.fixture
def held(bucket: str, between: Unreliable, monkeypatch: pytest.MonkeyPatch) -> Iterator[ObjectStorage]:
    """A storage over a bad connection, which knows what the server can do."""
    monkeypatch.setattr("time.sleep", lambda _: None)
    # Held, so that the next PUT is that of the object wherever the server does not write on condition.
    with open_storage(f"s3://{bucket}/p", between.address).alone("name") as held:
        held.replace("before", b"", None)
        yield held


@pytest.mark.parametrize("fault", ANSWERS)
def test_our_own_write_is_no_conflict(held: ObjectStorage, between: Unreliable, fault: Fault) -> None:
    between.fail("PUT", fault, fault)
    first = held.replace("x", b"1", None)
    assert held.read_versioned("x") == (b"1", first)

    between.fail("PUT", fault, fault)
    second = held.replace("x", b"2", first)
    assert held.read_versioned("x") == (b"2", second)
    assert not between.faults


def test_another_write_is_a_conflict_though_it_is_equal_and_an_answer_was_lost(
    held: ObjectStorage, between: Unreliable, bucket: str, storage_kind: str
) -> None:
    if storage_kind == "swift":
        pytest.skip("where conditions are ignored, nobody is quicker than who holds the name")
    version = held.replace("x", b"1", None)
    other = open_storage(f"s3://{bucket}/p")
    assert isinstance(held, S3Storage)

    def be_quicker(request: AWSPreparedRequest, **_: object) -> None:
        if request.method == "PUT" and not between.faults:
            events.unregister("before-send.s3", be_quicker)
            put(other, "x", b"2")

    events = held._client.meta.events
    events.register("before-send.s3", be_quicker)
    between.fail("PUT", "unheard")
    with pytest.raises(ChangedError):
        held.replace("x", b"2", version)


@pytest.mark.parametrize("fault", ANSWERS)
def test_an_object_that_could_not_be_written_is_as_it_was(
    held: ObjectStorage, between: Unreliable, fault: Fault
) -> None:
    version = held.replace("x", b"old", None)
    between.fail("PUT", *6 * [fault])
    begun = len(between.requests)

    with pytest.raises(StoreError, match=rf"^{held.address('x')}: [^\n]*$"):
        held.replace("x", b"new", version)
    assert between.requests[begun:].count("PUT") == 6
    # What was heard was done, though nobody could say so.
    assert held.read("x") == (b"new" if fault == "unanswered" else b"old")


def answers(storage: ObjectStorage, status: int, *, also_quoted: bool) -> None:
    """The server answers so to each write on condition of a version without quotes, or of any."""
    assert isinstance(storage, S3Storage)

    def refuse(request: AWSPreparedRequest, **_: object) -> Any:
        condition = str(request.headers.get("If-Match", ""))
        if not condition or ('"' in condition and not also_quoted):
            return None
        body = HTTPResponse(BytesIO(b"<Error><Code>No</Code></Error>"), preload_content=False)
        return AWSResponse(request.url, status, HTTPHeaders(), body)

    storage._client.meta.events.register("before-send.s3.PutObject", refuse)


@pytest.fixture
def conditional(bucket: str, storage_kind: str) -> ObjectStorage:
    """A storage that is known to write on condition."""
    if storage_kind == "swift":
        pytest.skip("where conditions are ignored, none is sent")
    storage = open_storage(f"s3://{bucket}/p")
    storage.replace("x", b"1", None)
    return storage


def test_a_server_that_wants_the_version_in_quotes_gets_it_so(conditional: ObjectStorage, storage_kind: str) -> None:
    if storage_kind == "ceph":
        pytest.skip("this one wants it without")
    answers(conditional, 412, also_quoted=False)
    conditional.replace("x", b"2", conditional.read_versioned("x")[1])
    assert conditional.read("x") == b"2"


def test_a_conflict_of_the_moment_is_tried_again_by_who_merges(conditional: ObjectStorage) -> None:
    answers(conditional, 409, also_quoted=True)
    with pytest.raises(ChangedError):
        conditional.replace("x", b"2", conditional.read_versioned("x")[1])


def test_a_server_that_refuses_what_it_should_not_is_one_clear_line(conditional: ObjectStorage) -> None:
    # Whoever merges again would do so for ever.
    version = conditional.read_versioned("x")[1]
    answers(conditional, 412, also_quoted=True)
    with pytest.raises(
        StoreError, match=rf"^{conditional.address('x')}: the server refuses .*{version}; use .*$"
    ) as error:
        conditional.replace("x", b"2", version)
    assert not isinstance(error.value, ChangedError)


def test_a_server_that_refuses_every_condition_is_used_without(bucket: str, storage_kind: str) -> None:
    if storage_kind == "ceph":
        pytest.skip("this one knows conditions, and writes on them are tested above")
    storage = open_storage(f"s3://{bucket}/p")
    assert isinstance(storage, S3Storage)

    def refuse(request: AWSPreparedRequest, **_: object) -> Any:
        if not {"If-Match", "If-None-Match"} & set(request.headers.keys()):
            return None
        body = HTTPResponse(BytesIO(b"<Error><Code>NotImplemented</Code></Error>"), preload_content=False)
        return AWSResponse(request.url, 501, HTTPHeaders(), body)

    storage._client.meta.events.register("before-send.s3.PutObject", refuse)
    with storage.alone("name") as held:
        version = held.replace("x", b"1", None)
        held.replace("x", b"2", version)
        with pytest.raises(ChangedError):
            held.replace("x", b"3", version)
    assert storage.read("x") == b"2"


def test_what_the_server_can_do_is_asked_once_with_three_requests(bucket: str, between: Unreliable) -> None:
    storage = open_storage(f"s3://{bucket}/p", between.address)
    with storage.alone("name") as held:
        begun = len(between.requests)
        held.replace("x", b"1", None)
        first = between.requests[begun:]
        storage.read("x")
        begun = len(between.requests)
        held.replace("y", b"1", None)
        second = between.requests[begun:]

    assert second in (["PUT"], ["HEAD", "PUT"])
    assert first == ["PUT", "PUT", "PUT", *second]
    with pytest.raises(StoreError, match="there is no bucket"):
        open_storage(f"s3://{bucket}-not", between.address).replace("x", b"1", None)
