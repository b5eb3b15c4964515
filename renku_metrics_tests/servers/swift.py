"""OpenStack Swift with its S3 API: a real object store that needs no root and writes to one folder.

It checks signatures, keeps objects on disk and holds lists of its own, but does not make conditional writes atomic.
"""

from __future__ import annotations

import getpass
import hashlib
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from renku_metrics_tests.servers.configuration import write_configuration
from renku_metrics_tests.servers.fetched import fetched, run
from renku_metrics_tests.servers.processes import free_ports, running, wait_for

REQUIREMENTS = Path(__file__).with_name("swift_requirements.lock")
KEEPERS = ("account", "container", "object")
# In the order in which a request passes them.
FILTERS: dict[str, dict[str, str]] = {
    "catch_errors": {},
    "gatekeeper": {},
    "healthcheck": {},
    "listing_formats": {},
    "bulk": {},
    "s3api": {"location": "us-east-1"},
    "tempauth": {},
    "copy": {},
    "slo": {},
    "dlo": {},
    "versioned_writes": {},
    "symlink": {},
}
# Tells which device holds what: one device, one copy.
RINGS = """
import sys
from swift.common.ring import RingBuilder
folder, *servers = sys.argv[1:]
for server in servers:
    name, port = server.split("=")
    ring = RingBuilder(2, 1, 0)
    place = {"region": 1, "zone": 1, "ip": "127.0.0.1", "port": int(port), "device": "disk", "weight": 1, "meta": ""}
    ring.add_dev({**place, "replication_ip": place["ip"], "replication_port": place["port"]})
    ring.rebalance()
    ring.get_ring().save(f"{folder}/{name}.ring.gz")
"""


@contextmanager
def swift_server(access_key: str, secret_key: str, page_length: int) -> Iterator[str]:
    """Address of an empty store that lists ``page_length`` keys at a time; the access key is ``account:user``."""
    version = f"{sys.implementation.cache_tag}-{hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()[:8]}"
    programs = fetched(f"swift-{version}", _install) / "bin"
    ports = dict(zip((*KEEPERS, "proxy"), free_ports(4), strict=True))
    with tempfile.TemporaryDirectory(prefix="renku-metrics-swift-") as temporary, ExitStack() as stack:
        folder = Path(temporary)
        (folder / "disk").mkdir()
        _configure(folder, ports, access_key, secret_key, page_length)
        run(programs / "python", "-c", RINGS, folder, *(f"{name}={ports[name]}" for name in KEEPERS))
        processes = {}
        for name in ports:
            command = [programs / f"swift-{name}-server", folder / f"{name}-server.conf"]
            processes[name] = stack.enter_context(running(command, folder / f"{name}.log", {"HOME": str(folder)}))
        for name, port in ports.items():
            wait_for(f"http://127.0.0.1:{port}/healthcheck", processes[name], folder / f"{name}.log")
        yield f"http://127.0.0.1:{ports['proxy']}"


def _install(folder: Path) -> None:
    run(sys.executable, "-m", "venv", folder)
    pip = (folder / "bin" / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
    run(*pip, "--require-hashes", "-r", REQUIREMENTS)


def _configure(folder: Path, ports: Mapping[str, int], access_key: str, secret_key: str, page_length: int) -> None:
    # Swift mixes these into its hashes of names.
    hashes = {"swift_hash_path_prefix": "tests", "swift_hash_path_suffix": "tests"}
    write_configuration(
        folder / "swift.conf", {"swift-hash": hashes, "storage-policy:0": {"name": "gold", "default": "yes"}}
    )
    account, user = access_key.split(":")
    tests = {
        "s3api": {"max_bucket_listing": str(page_length)},
        "tempauth": {f"user_{account}_{user}": f"{secret_key} .admin"},
    }
    for name, port in ports.items():
        server = {
            "swift_dir": str(folder),
            "bind_ip": "127.0.0.1",
            "bind_port": str(port),
            "workers": "0",
            "user": getpass.getuser(),
            "log_level": "WARNING",
            "log_address": str(folder / "no-syslog"),
        }
        if name == "proxy":
            filters = FILTERS
            application = {"use": "egg:swift#proxy", "account_autocreate": "true"}
        else:
            filters = {"healthcheck": {}}
            server |= {"devices": str(folder), "mount_check": "false", "disable_fallocate": "true"}
            server["fallocate_reserve"] = "0"
            application = {"use": f"egg:swift#{name}"}
        sections = {
            "DEFAULT": server,
            "pipeline:main": {"pipeline": " ".join([*filters, f"{name}-server"])},
            f"app:{name}-server": application,
        }
        for step, options in filters.items():
            sections[f"filter:{step}"] = {"use": f"egg:swift#{step}", **options, **tests.get(step, {})}
        write_configuration(folder / f"{name}-server.conf", sections)
