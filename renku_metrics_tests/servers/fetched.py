"""Software of real servers: fetched when it is asked for, once per machine, outside of the project's environment."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

ASKED_FOR = "RENKU_METRICS_REAL_SERVERS"
NOT_ASKED_FOR = f"real servers are tested with {ASKED_FOR}=1 alone, which fetches them"


def asked_for() -> bool:
    """Whether this run of the tests is to have real servers."""
    return os.environ.get(ASKED_FOR) == "1"


def cache() -> Path:
    """Where this machine keeps what was fetched for tests."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "renku-metrics-tests"


def fetched(name: str, fetch: Callable[[Path], None]) -> Path:
    """The machine's folder of this name, filled by ``fetch`` if it is not there yet.

    Skips the test when this machine cannot have it.
    """
    folder = cache() / name
    with alone(folder):
        complete = folder / ".complete"
        if not complete.exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            try:
                fetch(folder)
            except subprocess.CalledProcessError as error:
                lines = f"{error.stdout}\n{error.stderr}".split("\n")
                cause = next((line for line in lines if "ERROR" in line), "no reason given")
                pytest.skip(f"{name} cannot be fetched on this machine: {cause}")
            complete.touch()
    return folder


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """No other test run on this machine is in a block of the same folder meanwhile."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_name(f"{folder.name}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def run(*command: str | Path) -> str:
    """What the program prints. Raises CalledProcessError."""
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout
