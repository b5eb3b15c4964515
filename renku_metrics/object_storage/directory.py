"""Objects as files below a directory."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from renku_metrics.errors import StoreError
from renku_metrics.object_storage.interface import ObjectInfo

POLL_SECONDS = 0.2
LONGEST_WAIT_SECONDS = 3600.0
LET_IN = "let this user read and write there, or choose another directory"
ROOM = "make room there"
OTHER = "choose another directory"
ADVICE = {
    errno.EACCES: LET_IN,
    errno.EPERM: LET_IN,
    errno.EROFS: LET_IN,
    errno.ENOSPC: ROOM,
    errno.EDQUOT: ROOM,
    errno.ENOTDIR: OTHER,
    errno.EISDIR: OTHER,
    errno.EEXIST: OTHER,
    errno.ENAMETOOLONG: OTHER,
}


class DirectoryStorage:
    """Objects as files below a directory."""

    def __init__(self, root: Path) -> None:
        self._root = root.expanduser().absolute()

    def address(self, key: str = "") -> str:
        return str(self._root / key)

    def read(self, key: str) -> bytes:
        try:
            return (self._root / key).read_bytes()
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            raise FileNotFoundError(self.address(key)) from None
        except OSError as error:
            raise _explain(self.address(key), "read", error) from None

    def write(self, key: str, content: bytes) -> None:
        path = self._root / key
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".partial")
            try:
                with os.fdopen(handle, "wb") as file:
                    file.write(content)
                    file.flush()
                    os.fsync(file.fileno())
                Path(temporary).chmod(0o644)
                Path(temporary).replace(path)
            except BaseException:
                with contextlib.suppress(OSError):
                    Path(temporary).unlink()
                raise
        except OSError as error:
            raise _explain(self.address(key), "written", error) from None

    def delete(self, key: str) -> None:
        try:
            (self._root / key).unlink(missing_ok=True)
        except OSError as error:
            raise _explain(self.address(key), "deleted", error) from None

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        folder = self._root / prefix if prefix.endswith("/") or not prefix else (self._root / prefix).parent
        found = []
        for parent, _, names in os.walk(folder, onerror=_unless_gone):
            for name in names:
                path = Path(parent) / name
                key = path.relative_to(self._root).as_posix()
                if key.startswith(prefix) and not name.endswith(".partial"):
                    # One that is deleted meanwhile is not there.
                    with contextlib.suppress(FileNotFoundError):
                        status = path.stat()
                        # The clock of files is too coarse to tell two quick writes apart.
                        version = f"{status.st_mtime_ns}-{status.st_size}-{status.st_ino}"
                        found.append(ObjectInfo(key, status.st_size, version))
        return iter(sorted(found, key=lambda info: info.key))

    @contextlib.contextmanager
    def alone(self, name: str) -> Iterator[DirectoryStorage]:
        path = self._root / f"{name}.lock"
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            file = path.open("w")
        except OSError as error:
            raise _explain(str(path), "written", error) from None
        # The system lets go of the lock when its holder ends, however it ends.
        with file:
            until = time.monotonic() + LONGEST_WAIT_SECONDS
            while True:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() > until:
                        raise StoreError(f"{path}: another pull has held this for over an hour") from None
                    time.sleep(POLL_SECONDS)
            yield self


def _unless_gone(error: OSError) -> None:
    # os.walk passes over folders that it cannot read; what is in them would be taken for deleted.
    if not isinstance(error, FileNotFoundError | NotADirectoryError):
        raise _explain(str(error.filename), "listed", error)


def _explain(path: str, done: str, error: OSError) -> StoreError:
    advice = ADVICE.get(error.errno or 0, "see whether the disk is well")
    return StoreError(f"{path}: cannot be {done}: {error.strerror}; {advice}")
