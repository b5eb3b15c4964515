"""Software of real servers: fetched when it is asked for, once per machine, outside of the project's environment."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

import pytest

ASKED_FOR = "RENKU_METRICS_REAL_SERVERS"
LONGEST_FETCH_SECONDS = 300.0
NOT_ASKED_FOR = f"real servers are tested with {ASKED_FOR}=1 alone, which fetches them"


def asked_for() -> bool:
    """Whether this run of the tests is to have real servers."""
    return os.environ.get(ASKED_FOR) == "1"


def cannot_have(reason: str) -> NoReturn:
    """Skips what needs a server that this machine cannot have; where real servers are asked for, that is a failure."""
    if asked_for():
        pytest.fail(f"{ASKED_FOR}=1, but this machine cannot have {reason}", pytrace=False)
    pytest.skip(f"this machine cannot have {reason}")


def cache() -> Path:
    """Where this machine keeps what was fetched for tests."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "renku-metrics-tests"


class NotToBeHadError(Exception):
    """Why this machine cannot have a piece of software."""


def fetched(name: str, fetch: Callable[[Path], None]) -> Path:
    """The machine's folder of this name, filled by ``fetch`` if it is not there yet.

    Ends the test by ``cannot_have`` where that does not succeed.
    """
    folder = cache() / name
    with alone(folder):
        complete = folder / ".complete"
        if not complete.exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            try:
                fetch(folder)
            except NotToBeHadError as error:
                cannot_have(f"{name}: {error}")
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
    """What the program prints. Raises NotToBeHadError."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=LONGEST_FETCH_SECONDS)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NotToBeHadError(str(error)) from None
    if done.returncode:
        lines = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
        first = next((line for line in lines if "ERROR" in line), lines[-1] if lines else "")
        raise NotToBeHadError(f"{command[0]} failed: {first}")
    return done.stdout
