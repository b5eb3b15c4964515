"""Ceph with its S3 gateway, from Debian's packages: a monitor, one disk in a file, and radosgw.

The strictest of the servers: it checks signatures and every header, and makes conditional writes atomic.

    python -m renku_metrics_tests.servers.ceph COMMAND

runs a command that finds it by boto3's variables, with an empty bucket named by the variable BUCKET.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import boto3

from renku_metrics_tests.servers.configuration import write_configuration
from renku_metrics_tests.servers.fetched import cannot_have, run
from renku_metrics_tests.servers.processes import free_ports, running, wait_for

PROGRAMS = ("ceph", "ceph-mon", "ceph-osd", "radosgw", "radosgw-admin", "monmaptool", "ceph-authtool")
PACKAGES = "ceph-mon ceph-osd radosgw ceph-common"
MONITOR, DISK, GATEWAY = "mon.a", "osd.0", "client.rgw.a"
# Whom the monitor knows, and what each may do; without such keys radosgw never connects.
KEYS: dict[str, tuple[str, ...]] = {
    "mon.": ("mon", "allow *"),
    "client.admin": ("mon", "allow *", "osd", "allow *"),
    DISK: ("mon", "allow profile osd", "osd", "allow *"),
    GATEWAY: ("mon", "allow rw", "osd", "allow rwx"),
}


@contextmanager
def ceph_server(access_key: str, secret_key: str, page_length: int) -> Iterator[str]:
    """Address of an empty store that lists ``page_length`` keys at a time to those who ask for that many or more."""
    if missing := [program for program in PROGRAMS if shutil.which(program) is None]:
        cannot_have(f"Ceph: {', '.join(missing)} not found (apt-get install {PACKAGES})")
    port, *monitor_ports = free_ports(3)
    with tempfile.TemporaryDirectory(prefix="renku-metrics-ceph-") as temporary, ExitStack() as stack:
        folder = Path(temporary)
        configuration = folder / "ceph.conf"
        options = _options(folder, f"[v2:127.0.0.1:{monitor_ports[0]},v1:127.0.0.1:{monitor_ports[1]}]", page_length)
        write_configuration(configuration, {"global": options})
        _make_keys(folder / "keyring")
        _make_monitor(folder, options)

        processes: dict[str, subprocess.Popen[bytes]] = {}

        def start(program: str, name: str, *arguments: str) -> None:
            command: list[str | Path] = [program, "-c", configuration, "-n", name, "-f", *arguments]
            log = folder / f"{program}.log"
            processes[program] = stack.enter_context(running(command, log, {"HOME": temporary}))

        start("ceph-mon", MONITOR)
        disk = str(uuid.uuid4())
        # Waits until the monitor answers.
        run("ceph", "-c", configuration, "osd", "new", disk)
        run("ceph-osd", "-c", configuration, "-n", DISK, "--mkfs", "--osd-uuid", disk)
        start("ceph-osd", DISK)
        user = ("--uid=tests", "--display-name=tests", f"--access-key={access_key}", f"--secret-key={secret_key}")
        run("radosgw-admin", "-c", configuration, "user", "create", *user)
        start("radosgw", GATEWAY, f"--rgw-frontends=beast endpoint=127.0.0.1:{port}")
        address = f"http://127.0.0.1:{port}"
        wait_for(address, processes["radosgw"], folder / "radosgw.log")
        yield address


def _options(folder: Path, monitor: str, page_length: int) -> Mapping[str, str]:
    for name in ("mon", "osd", "run"):
        (folder / name).mkdir()
    everywhere = {
        "fsid": str(uuid.uuid4()),
        "mon host": monitor,
        "public addr": "127.0.0.1",
        "cluster addr": "127.0.0.1",
        "keyring": str(folder / "keyring"),
        # Otherwise below /var and /etc.
        "run dir": str(folder / "run"),
        "admin socket": str(folder / "run" / "$name.$pid.asok"),
        "pid file": str(folder / "run" / "$name.pid"),
        "log file": str(folder / "$name.own.log"),
        "crash dir": str(folder / "run"),
        "mon cluster log to file": "false",
        "mon data": str(folder / "mon"),
        "osd data": str(folder / "osd"),
    }
    one_copy = {
        "osd pool default size": "1",
        "osd pool default min size": "1",
        "osd crush chooseleaf type": "0",
        "mon allow pool size one": "true",
    }
    small = {
        "bluestore block size": str(10 * 1024**3),
        "osd pool default pg num": "4",
        "osd pool default pgp num": "4",
        "osd pool default pg autoscale mode": "off",
        "rgw rados pool pg num min": "4",
        "mon data avail crit": "1",
    }
    # Each pool that radosgw makes at its start takes some rounds of the monitor.
    quick = {"paxos propose interval": "0.02", "paxos min wait": "0.01"}
    gateway = {"rgw run sync thread": "false", "rgw max listing results": str(page_length)}
    return everywhere | one_copy | small | quick | gateway


def _make_keys(keyring: Path) -> None:
    run("ceph-authtool", "--create-keyring", keyring)
    for name, rights in KEYS.items():
        pairs = zip(rights[::2], rights[1::2], strict=True)
        run("ceph-authtool", keyring, "--gen-key", "-n", name, *(word for pair in pairs for word in ("--cap", *pair)))


def _make_monitor(folder: Path, options: Mapping[str, str]) -> None:
    ids = ("--fsid", options["fsid"])
    run("monmaptool", "--create", *ids, "--addv", "a", options["mon host"], folder / "monitors")
    files = ("--monmap", folder / "monitors", "--keyring", folder / "keyring")
    run("ceph-mon", "-c", folder / "ceph.conf", "-n", MONITOR, "--mkfs", *files)


def main() -> None:
    access_key, secret_key, bucket = "somebody", "somebody's secret", "bucket"
    with ceph_server(access_key, secret_key, page_length=1000) as address:
        os.environ |= {
            "AWS_ACCESS_KEY_ID": access_key,
            "AWS_SECRET_ACCESS_KEY": secret_key,
            "AWS_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": address,
            "BUCKET": bucket,
        }
        boto3.client("s3").create_bucket(Bucket=bucket)
        sys.exit(subprocess.run(sys.argv[1:], check=False).returncode)


if __name__ == "__main__":
    main()
