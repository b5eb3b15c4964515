"""An S3 server, and an empty place to store things on each kind of storage."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from botocore.loaders import JSONFileLoader

ACCESS = {"AWS_ACCESS_KEY_ID": "tests", "AWS_SECRET_ACCESS_KEY": "tests-secret", "AWS_REGION": "us-east-1"}
# What a person's own shell or home folder may hold about AWS.
FOREIGN = ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3")


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    """Address of an S3 server on the loopback interface."""
    # It takes a second to load; most tests do without.
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    with pytest.MonkeyPatch.context() as patch:
        _load_descriptions_once(patch)
        server.start()
        host, port = server.get_host_and_port()
        yield f"http://{host}:{port}"
        server.stop()


def _load_descriptions_once(patch: pytest.MonkeyPatch) -> None:
    # Each client reads the same megabytes of JSON anew: half of the time of these tests.
    read = JSONFileLoader.load_file
    known: dict[str, Any] = {}

    def load_file(self: JSONFileLoader, file_path: str) -> Any:
        if file_path not in known:
            known[file_path] = read(self, file_path)
        return known[file_path]

    patch.setattr(JSONFileLoader, "load_file", load_file)


@pytest.fixture
def s3_environment(s3_server: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The environment of a program that uses the S3 server, whose address this is."""
    for name in FOREIGN:
        monkeypatch.delenv(name, raising=False)
    for name, value in ACCESS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_server)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
    return s3_server


@pytest.fixture
def bucket(s3_environment: str) -> str:
    """Name of a new bucket."""
    name = f"bucket-{uuid.uuid4().hex}"
    requests.put(f"{s3_environment}/{name}", timeout=10).raise_for_status()
    return name


@pytest.fixture(params=["directory", "s3"])
def storage_address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where nothing is stored yet: in a directory that does not exist, then below a prefix of a bucket."""
    if request.param == "directory":
        return str(tmp_path / "a" / "store")
    name: str = request.getfixturevalue("bucket")
    return f"s3://{name}/some/prefix"
