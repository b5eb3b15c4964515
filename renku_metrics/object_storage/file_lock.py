"""Mutual exclusion by a file that only exists while somebody holds it."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

FIRST_POLL_SECONDS = 0.001
LONGEST_POLL_SECONDS = 0.2


@contextmanager
def locked(path: Path, longest_wait_seconds: float) -> Iterator[None]:
    """No other thread or process is in a block of the same path meanwhile.

    The system lets go of the lock when its holder ends, however it ends. Raises TimeoutError if another held it for
    too long, OSError if the file cannot be made.
    """
    until = time.monotonic() + longest_wait_seconds
    pause = FIRST_POLL_SECONDS
    while (handle := _take(path)) is None:
        if time.monotonic() > until:
            raise TimeoutError
        time.sleep(min(pause, LONGEST_POLL_SECONDS))
        pause *= 2
    try:
        yield
    finally:
        # While the lock is still held, because whoever gets it next must see that the file is not at its path any more.
        path.unlink(missing_ok=True)
        os.close(handle)


def _take(path: Path) -> int | None:
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(handle), path.stat()):
            return handle
    except (BlockingIOError, FileNotFoundError):
        pass
    except BaseException:
        os.close(handle)
        raise
    os.close(handle)
    return None
