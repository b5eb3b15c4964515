"""Simulated deployments that answer, with all that a program must know of them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from renku_metrics.deployments import Deployment
from renku_metrics.sources.registry import read_deployments
from renkulab.server import RenkuLab, write_deployment


@contextmanager
def served(
    labs: Sequence[RenkuLab], folder: Path, start: dt.date, monkeypatch: pytest.MonkeyPatch
) -> Iterator[dict[str, Deployment]]:
    """The labs answer; their files are in the folder, and this and the secrets are in the environment."""
    monkeypatch.setenv("RENKU_METRICS_HASH_KEY", "a key of tests")
    monkeypatch.setenv("RENKU_METRICS_DEPLOYMENTS", str(folder))
    with ExitStack() as stack:
        for lab in labs:
            stack.enter_context(lab)
            for name, value in write_deployment(lab, folder, start).items():
                monkeypatch.setenv(name, value)
        yield read_deployments(folder)
