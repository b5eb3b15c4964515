"""Credentials by each means that AWS's own programs know, and what is said where such a means fails."""

from __future__ import annotations

import os
import re
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest

from renku_metrics.errors import StoreError
from renku_metrics.object_storage import S3Storage, open_storage
from renku_metrics_tests.servers.metadata import metadata_server
from renku_metrics_tests.servers.moto import moto_server

ROLE = "arn:aws:iam::123456789012:role/renku"
KEYS = {"AWS_ACCESS_KEY_ID": "OF-THE-ENVIRONMENT", "AWS_SECRET_ACCESS_KEY": "secret"}
CREDENTIALS = """
[default]
aws_access_key_id = OF-THE-FILE
aws_secret_access_key = secret

[person]
aws_access_key_id = OF-A-PERSON
aws_secret_access_key = secret
"""
CONFIG = f"""
[profile program]
credential_process = {{folder}}/program

[profile lost-program]
credential_process = {{folder}}/no-such-program

[profile role]
role_arn = {ROLE}
source_profile = person
region = eu-central-2
endpoint_url = {{s3}}
"""
PROGRAM = """#!/bin/sh
echo '{"Version": 1, "AccessKeyId": "OF-THE-PROGRAM", "SecretAccessKey": "secret", "SessionToken": "token-program"}'
"""


@dataclass(frozen=True)
class Machine:
    """Where a program runs: its files, its metadata service, and the S3 server, which gives out roles too."""

    folder: Path
    metadata: str
    s3: str

    @property
    def credentials_file(self) -> dict[str, str]:
        return {"AWS_SHARED_CREDENTIALS_FILE": str(self.folder / "credentials")}

    def profile(self, name: str) -> dict[str, str]:
        return {"AWS_PROFILE": name, "AWS_CONFIG_FILE": str(self.folder / "config")}

    def web_identity(self, token_file: str) -> dict[str, str]:
        return {"AWS_ROLE_ARN": ROLE, "AWS_WEB_IDENTITY_TOKEN_FILE": str(self.folder / token_file)}

    def pod(self, token_file: str) -> dict[str, str]:
        return {
            "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"{self.metadata}/pod",
            "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": str(self.folder / token_file),
        }


Environment = Callable[[Machine], dict[str, str]]
# The variables of each means, and the access key and session token that they lead to.
MEANS: dict[str, tuple[Environment, str, str | None]] = {
    "keys": (lambda _: KEYS, "OF-THE-ENVIRONMENT", None),
    "session token": (lambda _: {**KEYS, "AWS_SESSION_TOKEN": "token"}, "OF-THE-ENVIRONMENT", "token"),
    "shared file": (lambda machine: machine.credentials_file, "OF-THE-FILE", None),
    "profile": (lambda machine: {**machine.credentials_file, "AWS_PROFILE": "person"}, "OF-A-PERSON", None),
    "program": (lambda machine: machine.profile("program"), "OF-THE-PROGRAM", "token-program"),
    "container": (
        lambda machine: {"AWS_CONTAINER_CREDENTIALS_FULL_URI": f"{machine.metadata}/container"},
        "OF-THE-CONTAINER",
        "token-OF-THE-CONTAINER",
    ),
    "pod": (lambda machine: machine.pod("pod-token"), "OF-THE-POD", "token-OF-THE-POD"),
    "instance": (
        lambda machine: {
            "AWS_EC2_METADATA_DISABLED": "false",
            "AWS_EC2_METADATA_SERVICE_ENDPOINT": machine.metadata,
        },
        "OF-THE-INSTANCE",
        "token-OF-THE-INSTANCE",
    ),
}
ROLES: dict[str, Environment] = {
    "web identity": lambda machine: machine.web_identity("web-token"),
    "assumed by a person": lambda machine: machine.credentials_file | machine.profile("role"),
}
# The variables, and what the line must name.
FAILURES: dict[str, tuple[Environment, str]] = {
    "no such web token": (lambda machine: machine.web_identity("gone"), "/gone"),
    "no such pod token": (lambda machine: machine.pod("gone"), "/gone"),
    "no such program": (lambda machine: machine.profile("lost-program"), "/no-such-program"),
    "no such profile": (lambda _: {"AWS_PROFILE": "nobody"}, "nobody"),
    "nobody gives out roles": (
        lambda machine: {**machine.web_identity("web-token"), "AWS_ENDPOINT_URL_STS": "http://127.0.0.1:1"},
        "127.0.0.1:1",
    ),
}


@pytest.fixture(scope="module")
def servers() -> Iterator[tuple[str, str]]:
    with moto_server("unused", "unused", 50) as s3, metadata_server() as metadata:
        yield s3, metadata


@pytest.fixture
def machine(servers: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """One whose environment names the S3 server and no credentials."""
    for name in os.environ:
        if name.startswith("AWS_"):
            monkeypatch.delenv(name)
    s3, metadata = servers
    for name, content in {
        "credentials": CREDENTIALS,
        "config": CONFIG.format(folder=tmp_path, s3=s3),
        "program": PROGRAM,
        "web-token": "header.claims.signature",
        "pod-token": "the-token-of-a-pod",
    }.items():
        (tmp_path / name).write_text(content)
    (tmp_path / "program").chmod(0o755)
    machine = Machine(tmp_path, metadata, s3)
    set_environment(monkeypatch, AWS_REGION="us-east-1", AWS_ENDPOINT_URL=s3, AWS_EC2_METADATA_DISABLED="true")
    set_environment(monkeypatch, AWS_CONFIG_FILE="/dev/null", AWS_SHARED_CREDENTIALS_FILE="/dev/null")
    return machine


def set_environment(monkeypatch: pytest.MonkeyPatch, **variables: str) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)


def new_bucket(machine: Machine) -> str:
    name = f"bucket-{uuid.uuid4().hex}"
    boto3.Session("tests", "secret").client("s3", endpoint_url=machine.s3).create_bucket(Bucket=name)
    return name


def signed_by(storage: S3Storage) -> tuple[str, str | None]:
    """The access key and session token of its requests, of which it makes some of every kind."""
    seen = set()

    def look(request: Any, **_: object) -> None:
        header = request.headers["Authorization"].decode()
        signer = re.search(r"Credential=([^/]+)/", header)
        assert signer is not None
        token = request.headers.get("X-Amz-Security-Token")
        seen.add((signer[1], token.decode() if isinstance(token, bytes) else token))

    storage._client.meta.events.register("before-send.s3", look)
    with storage.alone("locks/x") as held:
        held.replace("x", b"1", None)
    assert storage.read("x") == b"1"
    assert [info.key for info in storage.list()] == ["x"]
    [only] = seen
    return only


@pytest.mark.parametrize("means", MEANS)
def test_requests_are_signed_with_what_each_means_gives(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, means: str
) -> None:
    environment, access_key, token = MEANS[means]
    bucket = new_bucket(machine)
    set_environment(monkeypatch, **environment(machine))
    storage = open_storage(f"s3://{bucket}/p")

    assert isinstance(storage, S3Storage)
    assert signed_by(storage) == (access_key, token)


@pytest.mark.parametrize("role", ROLES)
def test_requests_are_signed_by_the_role(machine: Machine, monkeypatch: pytest.MonkeyPatch, role: str) -> None:
    bucket = new_bucket(machine)
    set_environment(monkeypatch, **ROLES[role](machine))
    storage = open_storage(f"s3://{bucket}/p")

    assert isinstance(storage, S3Storage)
    access_key, token = signed_by(storage)
    assert token
    # The server knows to whom it gave the key.
    session = boto3.Session(access_key, "unchecked", token, region_name="us-east-1")
    identity = session.client("sts", endpoint_url=machine.s3).get_caller_identity()
    assert identity["Arn"].startswith("arn:aws:sts::123456789012:assumed-role/renku/")


def test_region_and_endpoint_may_come_from_the_profile(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_REGION")
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    set_environment(monkeypatch, **ROLES["assumed by a person"](machine))
    storage = open_storage("s3://bucket/p")

    assert isinstance(storage, S3Storage)
    assert (storage._client.meta.region_name, storage._client.meta.endpoint_url) == ("eu-central-2", machine.s3)


@pytest.mark.parametrize("failure", FAILURES)
def test_a_means_that_fails_is_no_empty_store_but_one_clear_line(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, failure: str
) -> None:
    environment, named = FAILURES[failure]
    set_environment(monkeypatch, **environment(machine))
    monkeypatch.setattr("time.sleep", lambda _: None)

    for work in (
        lambda storage: storage.read("x"),
        lambda storage: storage.replace("x", b"1", None),
        lambda storage: storage.delete("x"),
        lambda storage: list(storage.list()),
        lambda storage: storage.alone("x").__enter__(),
    ):
        with pytest.raises(StoreError, match=rf"^s3://bucket/p/[^\n]*{re.escape(named)}[^\n]*$"):
            work(open_storage("s3://bucket/p"))
