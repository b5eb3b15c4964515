"""S3 servers, and an empty place to store things on each kind of storage."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest

from renku_metrics.object_storage import lease
from renku_metrics_tests.postgres_server import postgres_server
from renku_metrics_tests.present import constant_present, real_present
from renku_metrics_tests.servers.ceph import ceph_server
from renku_metrics_tests.servers.fetched import NOT_ASKED_FOR, asked_for
from renku_metrics_tests.servers.moto import moto_server
from renku_metrics_tests.servers.swift import swift_server

REAL_S3_SERVERS = {"swift": swift_server, "ceph": ceph_server}
S3_SERVERS = {"moto": moto_server} | (REAL_S3_SERVERS if asked_for() else {})
ACCESS = {"AWS_ACCESS_KEY_ID": "tests:tests", "AWS_SECRET_ACCESS_KEY": "tests-secret", "AWS_REGION": "us-east-1"}
# What a person's own shell or home folder may hold about AWS.
FOREIGN = ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3")
# Few, so that a test needs few objects to see how lists of several pages are read.
PAGE_LENGTH = 50


def pytest_report_header() -> str:
    return "real servers: Swift, Ceph, PostgreSQL, Keycloak" if asked_for() else NOT_ASKED_FOR


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Whatever is said of storage is tested on each kind, whatever is said of S3 on each server."""
    if "storage_kind" in metafunc.fixturenames:
        kinds = ["directory", *S3_SERVERS] if "storage_address" in metafunc.fixturenames else [*S3_SERVERS]
        metafunc.parametrize("storage_kind", kinds, indirect=True, scope="session")


@pytest.fixture(scope="module", autouse=True)
def _present() -> Iterator[None]:
    """Every module begins at the same moment, whatever day the tests run on."""
    with constant_present():
        yield


@pytest.fixture(scope="module")
def real_clock() -> Iterator[None]:
    """For modules whose tests start processes, or ask servers, that tell the time themselves."""
    with real_present():
        yield


@pytest.fixture(scope="session")
def storage_kind(request: pytest.FixtureRequest) -> str:
    """``directory`` or the name of an S3 server."""
    kind: str = request.param
    return kind


@pytest.fixture(scope="session")
def s3_server(storage_kind: str) -> Iterator[str]:
    """Address of an S3 server on the loopback interface."""
    start = S3_SERVERS[storage_kind]
    with start(ACCESS["AWS_ACCESS_KEY_ID"], ACCESS["AWS_SECRET_ACCESS_KEY"], PAGE_LENGTH) as address:
        yield address


@pytest.fixture
def s3_environment(s3_server: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The environment of a program that uses the S3 server, whose address this is; it settles leases sooner."""
    # Swift needs a lease for each write outside of one, and writes in 0.04 seconds on this machine.
    monkeypatch.setattr(lease, "SETTLE_SECONDS", 0.1)
    monkeypatch.setattr(lease, "POLL_SECONDS", 0.2)
    for name in FOREIGN:
        monkeypatch.delenv(name, raising=False)
    for name, value in ACCESS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_server)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
    return s3_server


@pytest.fixture(scope="module")
def postgres() -> Iterator[dict[str, str]]:
    """The variables by which dagster.yaml finds a PostgreSQL on the loopback interface."""
    with postgres_server() as variables:
        yield variables


@pytest.fixture
def bucket(s3_environment: str) -> str:
    """Name of a new bucket."""
    name = f"bucket-{uuid.uuid4().hex}"
    boto3.client("s3").create_bucket(Bucket=name)
    return name


@pytest.fixture
def storage_address(storage_kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where nothing is stored yet: in a directory that does not exist, then below a prefix of a bucket."""
    if storage_kind == "directory":
        return str(tmp_path / "a" / "store")
    name: str = request.getfixturevalue("bucket")
    return f"s3://{name}/some/prefix"
