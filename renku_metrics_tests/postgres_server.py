"""A real PostgreSQL of its own, from Debian's binaries, for as long as a block lasts."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from renku_metrics_tests.servers.fetched import cannot_have
from renku_metrics_tests.servers.processes import free_ports

# PostgreSQL refuses to run as root.
UNPRIVILEGED = "nobody"


def _binaries() -> Path | None:
    """The newest installed version's folder of programs, if there is any."""
    installed = Path("/usr/lib/postgresql").glob("*/bin")
    found = [folder for folder in installed if (folder / "initdb").exists()]
    return max(found, key=lambda folder: float(folder.parent.name), default=None)


@contextmanager
def postgres_server() -> Iterator[dict[str, str]]:
    """A fresh cluster on loopback; gives the variables by which dagster.yaml finds it."""
    programs = _binaries()
    if programs is None:
        cannot_have("PostgreSQL: its server is not installed (apt-get install postgresql)")
    folder = Path(tempfile.mkdtemp(prefix="renku-metrics-postgres-"))
    [port] = free_ports(1)
    as_user: list[str] = []
    if os.geteuid() == 0:
        account = pwd.getpwnam(UNPRIVILEGED)
        os.chown(folder, account.pw_uid, account.pw_gid)
        ids = [f"--reuid={account.pw_uid}", f"--regid={account.pw_gid}", "--clear-groups"]
        as_user = ["setpriv", *ids, "env", f"HOME={folder}"]
    data = folder / "data"
    settings = {
        "listen_addresses": "127.0.0.1",
        "port": port,
        "unix_socket_directories": folder,
        "fsync": "off",
        "synchronous_commit": "off",
        "full_page_writes": "off",
    }
    options = " ".join(f"-c {name}={value}" for name, value in settings.items())

    def run(program: str, *arguments: str) -> None:
        command = [*as_user, str(programs / program), *arguments]
        subprocess.run(command, check=True, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)

    try:
        run("initdb", "-D", str(data), "-U", "dagster", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync")
        run("pg_ctl", "-D", str(data), "-w", "-t", "30", "-l", str(folder / "log"), "-o", options, "start")
        try:
            yield {
                "DAGSTER_POSTGRES_HOST": "127.0.0.1",
                "DAGSTER_POSTGRES_PORT": str(port),
                "DAGSTER_POSTGRES_USER": "dagster",
                "DAGSTER_POSTGRES_PASSWORD": "a-secret-that-stays-out",
                "DAGSTER_POSTGRES_DB": "postgres",
            }
        finally:
            run("pg_ctl", "-D", str(data), "-m", "immediate", "-w", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
