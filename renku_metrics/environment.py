"""The environment variables of Renku Metrics and their defaults."""

from __future__ import annotations

import os
from pathlib import Path

from renku_metrics.errors import ConfigurationError

PROJECT = Path(__file__).resolve().parent.parent


def deployments_folder() -> Path:
    """RENKU_METRICS_DEPLOYMENTS, or ``deployments/`` beside pyproject.toml."""
    return Path(os.environ.get("RENKU_METRICS_DEPLOYMENTS") or PROJECT / "deployments")


def store_address() -> str:
    """RENKU_METRICS_STORE, a directory or ``s3://bucket/prefix``, or ``data/`` beside pyproject.toml."""
    return os.environ.get("RENKU_METRICS_STORE") or str(PROJECT / "data")


def hash_key() -> bytes:
    """RENKU_METRICS_HASH_KEY, the secret key of the email hashes. Raises ConfigurationError if it is not set."""
    key = os.environ.get("RENKU_METRICS_HASH_KEY", "")
    if not key:
        raise ConfigurationError(
            "environment variable RENKU_METRICS_HASH_KEY is not set: no pull starts without the key of the "
            "email hashes; make one with `openssl rand -hex 32`, and keep it as long as you keep the store"
        )
    return key.encode()
