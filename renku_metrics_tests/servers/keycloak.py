"""A real Keycloak, in its development mode and with its data in memory."""

from __future__ import annotations

import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from renku_metrics_tests.servers.fetched import NotToBeHadError, alone, fetched, run
from renku_metrics_tests.servers.processes import free_ports, running, wait_for

VERSION = (26, 7, 1)
OLDEST_JAVA = 17
ADMINISTRATOR = {"username": "admin", "password": "admin"}


@contextmanager
def keycloak_server() -> Iterator[str]:
    """Address of a Keycloak without realms but its own; it clears expired events every second."""
    version = ".".join(map(str, VERSION))
    home = fetched(f"keycloak-{version}", lambda folder: _fetch(version, folder))
    [port] = free_ports(1)
    with tempfile.TemporaryDirectory(prefix="renku-metrics-keycloak-") as temporary, ExitStack() as stack:
        environment = {
            "HOME": temporary,
            # It does not live long enough for the better compiler to pay.
            "JAVA_OPTS_APPEND": "-XX:TieredStopAtLevel=1",
            "KC_BOOTSTRAP_ADMIN_USERNAME": ADMINISTRATOR["username"],
            "KC_BOOTSTRAP_ADMIN_PASSWORD": ADMINISTRATOR["password"],
            "KC_CACHE": "local",
            "KC_DB": "dev-mem",
            "KC_HTTP_HOST": "127.0.0.1",
            "KC_HTTP_PORT": str(port),
            "KC_SPI_SCHEDULED__INTERVAL": "1",
        }
        log = Path(temporary) / "keycloak.log"
        # At its very first start it builds itself, in its own folder.
        with alone(home):
            process = stack.enter_context(running([home / "bin" / "kc.sh", "start-dev"], log, environment))
            wait_for(f"http://127.0.0.1:{port}/realms/master", process, log)
        yield f"http://127.0.0.1:{port}"


def _fetch(version: str, folder: Path) -> None:
    # "openjdk 17.0.15 2025-04-15"
    java = run("java", "--version").split()[1]
    if int(java.split(".")[0]) < OLDEST_JAVA:
        raise NotToBeHadError(f"it needs Java {OLDEST_JAVA} or later, and here is {java}")
    artifact = f"org.keycloak:keycloak-quarkus-dist:{version}:zip"
    run("mvn", "--batch-mode", "--quiet", "dependency:copy", f"-Dartifact={artifact}", f"-DoutputDirectory={folder}")
    [archive] = folder.glob("*.zip")
    with zipfile.ZipFile(archive) as content:
        content.extractall(folder)
    archive.unlink()
    for path in (folder / f"keycloak-{version}").iterdir():
        path.rename(folder / path.name)
    (folder / "bin" / "kc.sh").chmod(0o755)
