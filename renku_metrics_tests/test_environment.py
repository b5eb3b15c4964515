"""What the environment says, and what holds without it."""

from __future__ import annotations

from pathlib import Path

import pytest

from renku_metrics.environment import PROJECT, deployments_folder, hash_key, store_address
from renku_metrics.errors import ConfigurationError


def test_folders_come_from_the_environment_or_are_beside_the_project(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RENKU_METRICS_DEPLOYMENTS", "/etc/renku-metrics")
    monkeypatch.setenv("RENKU_METRICS_STORE", "s3://bucket/prefix")
    assert deployments_folder() == Path("/etc/renku-metrics")
    assert store_address() == "s3://bucket/prefix"

    monkeypatch.setenv("RENKU_METRICS_DEPLOYMENTS", "")
    monkeypatch.delenv("RENKU_METRICS_STORE")
    assert (PROJECT / "pyproject.toml").is_file()
    assert deployments_folder() == PROJECT / "deployments"
    assert store_address() == str(PROJECT / "data")


def test_without_hash_key_there_is_a_line_that_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RENKU_METRICS_HASH_KEY", "0f é")
    assert hash_key() == b"0f \xc3\xa9"

    monkeypatch.setenv("RENKU_METRICS_HASH_KEY", "")
    with pytest.raises(
        ConfigurationError, match=r"^environment variable RENKU_METRICS_HASH_KEY is not set: .*`openssl rand -hex 32`"
    ):
        hash_key()
