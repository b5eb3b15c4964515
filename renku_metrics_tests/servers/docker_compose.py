"""The real docker-compose, which reads and checks a compose file without an engine."""

from __future__ import annotations

import hashlib
import platform
import sys
import tarfile
from pathlib import Path

from renku_metrics_tests.servers.fetched import NotToBeHadError, fetched, run

REQUIREMENTS = Path(__file__).with_name("compose_requirements.lock")


def docker_compose() -> Path:
    """The program, of the version that the lock names."""
    return fetched(f"docker-compose-{hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()[:8]}", _fetch) / "program"


def _fetch(folder: Path) -> None:
    machine = platform.system(), platform.machine()
    if machine != ("Linux", "x86_64"):
        raise NotToBeHadError(f"it is a program for Linux on x86-64, and here is {' '.join(machine)}")
    pip = (sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check")
    run(*pip, "--require-hashes", "--no-deps", "--no-binary", ":all:", "-d", folder, "-r", REQUIREMENTS)
    [archive] = folder.glob("*.tar.gz")
    with tarfile.open(archive) as content:
        [member] = [member for member in content.getmembers() if member.name.endswith("/docker-compose")]
        program = content.extractfile(member)
        assert program is not None
        (folder / "program").write_bytes(program.read())
    (folder / "program").chmod(0o755)
    archive.unlink()
