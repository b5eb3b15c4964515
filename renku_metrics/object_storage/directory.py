"""Objects as files below a directory."""

from __future__ import annotations

import contextlib
import errno
import os
import time
from collections.abc import Iterator
from pathlib import Path

from renku_metrics.errors import StoreError
from renku_metrics.object_storage import interface
from renku_metrics.object_storage.file_lock import locked
from renku_metrics.object_storage.interface import ChangedError, HeldTooLongError, ObjectInfo

# A name that is held alone, and an object that is being replaced, can be the same; so they have different suffixes.
PARTIAL, LOCK, HELD = ".partial", ".lock", ".held"
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
    """Objects as files below a directory, private to their owner."""

    def __init__(self, root: Path) -> None:
        self._root = root.expanduser().absolute()

    def address(self, key: str = "") -> str:
        return str(self._root / key)

    def read(self, key: str) -> bytes:
        return self.read_versioned(key)[0]

    def read_versioned(self, key: str) -> tuple[bytes, str]:
        try:
            with (self._root / key).open("rb") as file:
                # No file is changed, it is only replaced. So this status is that of the open file.
                return file.read(), _version(os.fstat(file.fileno()))
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            raise FileNotFoundError(self.address(key)) from None
        except OSError as error:
            raise _explain(self.address(key), "read", error) from None

    def replace(self, key: str, content: bytes, version: str | None) -> str:
        path = self._root / key
        try:
            _make_folder(path.parent)
            with self._locked(path):
                found = _status(path)
                if (_version(found) if found else None) != version:
                    raise ChangedError(self.address(key))
                # The clock of files is too coarse to tell two quick writes apart, and an inode may be used again.
                modified = max(time.time_ns(), found.st_mtime_ns + 1 if found else 0)
                with _written(_beside(path, PARTIAL), content, modified) as partial:
                    new = _version(partial.stat())
                    partial.replace(path)
            _sync_folder(path.parent)
        except OSError as error:
            raise _explain(self.address(key), "written", error) from None
        return new

    def delete(self, key: str) -> None:
        path = self._root / key
        try:
            with self._locked(path):
                path.unlink(missing_ok=True)
                _beside(path, PARTIAL).unlink(missing_ok=True)
            _sync_folder(path.parent)
        except (FileNotFoundError, NotADirectoryError):
            # If there is no such folder, the object is not there.
            return
        except OSError as error:
            raise _explain(self.address(key), "deleted", error) from None

    def clear_unfinished(self, prefix: str = "") -> None:
        folder = self._root / prefix
        for partial in sorted(folder.rglob(f".*{PARTIAL}")) if folder.is_dir() else ():
            path = partial.with_name(partial.name.removeprefix(".").removesuffix(PARTIAL))
            try:
                # If a writer is at work, it has removed its file before this gets the lock.
                with self._locked(path):
                    partial.unlink(missing_ok=True)
            except OSError as error:
                raise _explain(str(partial), "deleted", error) from None

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        folder = self._root / prefix if prefix.endswith("/") or not prefix else (self._root / prefix).parent
        found = []
        for parent, _, names in os.walk(folder, onerror=_unless_gone):
            for name in names:
                path = Path(parent) / name
                key = path.relative_to(self._root).as_posix()
                if key.startswith(prefix) and not _is_own(name):
                    # A file that is deleted meanwhile is not listed.
                    with contextlib.suppress(FileNotFoundError):
                        found.append(ObjectInfo(key, _version(path.stat())))
        return iter(sorted(found, key=lambda info: info.key))

    @contextlib.contextmanager
    def alone(self, name: str) -> Iterator[DirectoryStorage]:
        path = self._root / name
        with contextlib.ExitStack() as stack:
            try:
                _make_folder(path.parent)
                stack.enter_context(self._locked(path, HELD))
            except OSError as error:
                raise _explain(str(path), "held", error) from None
            yield self

    @contextlib.contextmanager
    def _locked(self, path: Path, suffix: str = LOCK) -> Iterator[None]:
        with contextlib.ExitStack() as stack:
            try:
                stack.enter_context(locked(_beside(path, suffix), interface.LONGEST_WAIT_SECONDS))
            except TimeoutError:
                raise HeldTooLongError(str(path)) from None
            yield


def _version(status: os.stat_result) -> str:
    return f"{status.st_mtime_ns}-{status.st_size}-{status.st_ino}"


def _status(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except FileNotFoundError:
        return None


def _is_own(name: str) -> bool:
    return name.startswith(".") and name.endswith((PARTIAL, LOCK, HELD))


def _beside(path: Path, suffix: str) -> Path:
    # Each object has one such file, so the next process takes over what a killed one has left.
    return path.with_name(f".{path.name}{suffix}")


@contextlib.contextmanager
def _written(path: Path, content: bytes, modified: int) -> Iterator[Path]:
    """The file, safe on the disk and private to its owner. After the block it is gone, unless it was renamed."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.utime(file.fileno(), ns=(modified, modified))
            os.fsync(file.fileno())
        yield path
    finally:
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)


def _make_folder(path: Path) -> None:
    """Makes the folder, private to its owner, and the folders that it lies in."""
    if path.is_dir():
        return
    _make_folder(path.parent)
    try:
        path.mkdir(mode=0o700)
    except FileExistsError:
        # Another process may have made it meanwhile.
        if not path.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR)) from None
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    """Makes sure that a power cut loses no name in the folder.

    Otherwise the system might keep a later write and lose an earlier one: a ledger that tells of rows that are gone.
    """
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _unless_gone(error: OSError) -> None:
    # os.walk passes over folders that it cannot read. Their files would then be taken for deleted.
    if not isinstance(error, FileNotFoundError | NotADirectoryError):
        raise _explain(str(error.filename), "listed", error)


def _explain(path: str, done: str, error: OSError) -> StoreError:
    advice = ADVICE.get(error.errno or 0, "see whether the disk is well")
    return StoreError(f"{path}: cannot be {done}: {error.strerror}; {advice}")
