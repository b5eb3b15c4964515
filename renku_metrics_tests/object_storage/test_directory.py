"""The files of a directory: whole, private, safe on the disk, and none left over."""

from __future__ import annotations

import os
import random
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from renku_metrics.errors import StoreError
from renku_metrics.object_storage import DirectoryStorage
from renku_metrics_tests.object_storage.put import put

SIZE = 200_000
# Replaces one object again and again, to be killed at any point.
REPLACER = f"""
import sys
from renku_metrics.object_storage import open_storage

storage = open_storage(sys.argv[1])
print("ready", flush=True)
while True:
    content, version = storage.read_versioned("state/x")
    storage.replace("state/x", (b"a" if content[:1] == b"b" else b"b") * {SIZE}, version)
"""


def files(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_whoever_is_killed_leaves_the_old_object_or_the_new_one(tmp_path: Path) -> None:
    storage = DirectoryStorage(tmp_path)
    storage.replace("state/x", b"a" * SIZE, None)
    moments = random.Random(0)
    for _ in range(15):
        replacer = subprocess.Popen([sys.executable, "-c", REPLACER, str(tmp_path)], stdout=subprocess.PIPE)
        assert replacer.stdout is not None
        assert replacer.stdout.readline() == b"ready\n"
        with pytest.raises(subprocess.TimeoutExpired):
            replacer.wait(timeout=moments.uniform(0.0, 0.03))
        replacer.send_signal(signal.SIGKILL)
        replacer.communicate()

        content, version = storage.read_versioned("state/x")
        assert content in (b"a" * SIZE, b"b" * SIZE)
        assert [info.key for info in storage.list()] == ["state/x"]
        storage.replace("state/x", content, version)
        assert files(tmp_path) == ["state/x"]


@pytest.mark.parametrize("step", ["fsync", "replace", "unlink"])
def test_what_is_left_of_a_killed_replacement_is_gone_after_the_next(tmp_path: Path, step: str) -> None:
    module = {"fsync": "os", "replace": "pathlib.Path", "unlink": "pathlib.Path"}[step]
    die = f"import os, pathlib; {module}.{step} = lambda *_, **__: os._exit(9)"
    command = f"{die}\nfrom renku_metrics.object_storage import open_storage\n"
    storage = DirectoryStorage(tmp_path)
    version = storage.replace("x", b"old", None)
    killed = subprocess.run(
        [sys.executable, "-c", f"{command}open_storage({str(tmp_path)!r}).replace('x', b'new', {version!r})"]
    )
    assert killed.returncode == 9
    assert ".x.lock" in files(tmp_path)

    content, version = storage.read_versioned("x")
    assert content == (b"new" if step == "unlink" else b"old")
    assert [info.key for info in storage.list()] == ["x"]
    storage.replace("x", b"newer", version)
    assert files(tmp_path) == ["x"]


def test_nothing_is_left_of_a_killed_writer_after_a_deletion(tmp_path: Path) -> None:
    storage = DirectoryStorage(tmp_path)
    storage.replace("x", b"1", None)
    (tmp_path / ".x.partial").write_bytes(b"half of what a killed wri")
    storage.delete("x")

    assert files(tmp_path) == []


def test_versions_differ_though_the_clock_has_not_moved_and_the_inode_is_used_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.time_ns", lambda: 1_000_000_000)
    storage = DirectoryStorage(tmp_path)
    versions = [storage.replace("x", b"0", None)]
    for number in range(1, 10):
        versions.append(storage.replace("x", b"%d" % number, versions[-1]))

    assert len(set(versions)) == 10
    # One nanosecond a write, which the disk can tell.
    assert (tmp_path / "x").stat().st_mtime_ns == 1_000_000_009


@contextmanager
def umask(mask: int) -> Iterator[None]:
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


def modes(folder: Path) -> dict[str, str]:
    return {path.name: oct(stat.S_IMODE(path.stat().st_mode)) for path in folder.rglob("*")}


@pytest.mark.parametrize("mask", [0o000, 0o022, 0o077])
def test_files_and_folders_are_private_to_their_owner(tmp_path: Path, mask: int) -> None:
    with umask(mask):
        storage = DirectoryStorage(tmp_path / "store")
        version = storage.replace("raw/a/x", b"1", None)
        storage.replace("raw/a/x", b"2", version)
        with storage.alone("locks/y"):
            assert modes(tmp_path / "store" / "locks") == {".y.held": "0o600"}

    assert modes(tmp_path) == {"store": "0o700", "raw": "0o700", "a": "0o700", "locks": "0o700", "x": "0o600"}


def test_what_the_umask_takes_is_not_given_back(tmp_path: Path) -> None:
    with umask(0o277):
        DirectoryStorage(tmp_path).replace("x", b"1", None)

    assert modes(tmp_path) == {"x": "0o400"}


def test_the_names_of_new_files_and_folders_are_safe_on_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []
    monkeypatch.setattr("os.fsync", lambda handle: synced.append(str(Path(f"/proc/self/fd/{handle}").readlink())))
    DirectoryStorage(tmp_path).replace("raw/a/x", b"1", None)

    raw = tmp_path / "raw"
    assert synced == [str(path) for path in (tmp_path, raw, raw / "a" / ".x.partial", raw / "a")]


def test_writes_within_one_tick_of_the_clock_have_their_own_versions(tmp_path: Path) -> None:
    storage = DirectoryStorage(tmp_path)
    versions = set()
    for content in (b"a", b"b"):
        put(storage, "x", content)
        os.utime(tmp_path / "x", ns=(0, 0))
        versions |= {info.version for info in storage.list()}

    assert len(versions) == 2


def test_a_writer_that_fails_leaves_nothing_in_the_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    storage = DirectoryStorage(tmp_path)
    version = storage.replace("x", b"old", None)

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(
        StoreError, match=rf"^{tmp_path}/x: cannot be written: No space left on device; make room there$"
    ):
        storage.replace("x", b"new", version)

    assert storage.read("x") == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


def test_a_folder_that_cannot_be_read_is_no_empty_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    storage = DirectoryStorage(tmp_path)
    storage.replace("raw/x", b"1", None)

    def refuse(path: str) -> None:
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr("os.scandir", refuse)
    with pytest.raises(
        StoreError,
        match=rf"^{tmp_path}/raw: cannot be listed: Permission denied; let this user read and write there, .*$",
    ):
        list(storage.list("raw/"))
