"""The first pull of all history of a RenkuLab, into a store: how long, how large, how much memory; killed and resumed.

    python -m benchmarks.gitlab_backfill [--delay 0.02] [--in-flight 16] [--projects 20000] [--commits 75]

Commits with who pushed them, stored in a directory. Once from start to end; once killed on its way and begun again;
then the next pull after a week in which 500 projects changed. Every pull is a process of its own.
"""

from __future__ import annotations

import argparse
import datetime as dt
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq

from benchmarks.gitlab_pull import AT, stored
from benchmarks.gitlab_server import Server
from renku_metrics.tables import RAW_GITLAB_COMMITS, RAW_GITLAB_PUSHES

CHANGED = 500
NEW_COMMITS = 3
# Of the requests of a whole pull, how many are made when it is killed.
KILLED_AFTER = 0.4


@dataclass(frozen=True)
class Took:
    """What a pull took; ``memory`` is the most that was resident, in MiB."""

    seconds: float
    cpu: float
    memory: float
    requests: int

    def __str__(self) -> str:
        return f"{self.seconds:.0f} s, {self.cpu:.0f} CPU s, {self.requests:,} requests, at most {self.memory:.0f} MiB"


def pull(url: str, in_flight: int, folder: str, day: int) -> None:
    """One pull, as the asset makes it."""
    tables = (RAW_GITLAB_COMMITS, RAW_GITLAB_PUSHES)
    stored(url, in_flight, folder, AT + dt.timedelta(days=day), tables, lambda line: print(line, flush=True))


class Pulls:
    """Pulls of one server into one folder, each in a process of its own."""

    def __init__(self, server: Server, in_flight: int, folder: Path) -> None:
        self._server = server
        self._in_flight = in_flight
        self.folder = folder

    def run(self, day: int = 0) -> Took:
        self._server.ask("/requests")
        begun = time.monotonic()
        process = self._start(day)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        assert process.returncode == 0, process.returncode
        cpu = usage.ru_utime + usage.ru_stime
        return Took(time.monotonic() - begun, cpu, usage.ru_maxrss / 1024, self._server.ask("/requests"))

    def kill_after(self, requests: int) -> int:
        """Starts a pull and kills it; returns how many requests it had made."""
        self._server.ask("/requests")
        process, made = self._start(0), 0
        while made < requests:
            time.sleep(0.2)
            made += self._server.ask("/requests")
        process.send_signal(signal.SIGKILL)
        process.wait()
        return made

    def _start(self, day: int) -> subprocess.Popen[bytes]:
        arguments = [self._server.url, str(self._in_flight), str(self.folder), str(day)]
        return subprocess.Popen([sys.executable, "-m", "benchmarks.gitlab_backfill", "pull", *arguments])


def shas(folder: Path) -> Iterator[str]:
    """Of every commit that is stored, as often as it is."""
    for path in folder.glob("raw/raw_gitlab_commits/**/*.parquet"):
        yield from pq.ParquetFile(path).read(["sha"]).column("sha").to_pylist()


def check(folder: Path, commits: int) -> str:
    """Every commit is there once; returns how large the store is."""
    found = list(shas(folder))
    assert len(found) == len(set(found)) == commits, (len(found), len(set(found)), commits)
    files = [path for path in folder.rglob("*") if path.is_file()]
    return f"{len(found):,} commits, {len(files):,} files, {sum(path.stat().st_size for path in files) / 1e6:.0f} MB"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--delay", type=float, default=0.02)
    parser.add_argument("--in-flight", type=int, default=16)
    parser.add_argument("--projects", type=int, default=20_000)
    parser.add_argument("--commits", type=int, default=75)
    options = parser.parse_args()
    commits = options.projects * options.commits
    server = Server(options.delay, options.projects, options.commits)
    try:
        with tempfile.TemporaryDirectory() as folder:
            whole = Pulls(server, options.in_flight, Path(folder) / "whole")
            first = whole.run()
            print(f"first pull: {first}\n  {check(whole.folder, commits)}", flush=True)
            killed = Pulls(server, options.in_flight, Path(folder) / "killed")
            made = killed.kill_after(int(first.requests * KILLED_AFTER))
            rest = killed.run()
            print(f"killed after {made:,} requests, then: {rest}\n  {check(killed.folder, commits)}", flush=True)
            server.ask(f"/new-week?projects={CHANGED}&commits={NEW_COMMITS}")
            week = whole.run(day=2)
            print(f"a week later, {CHANGED} projects changed: {week}")
            print(f"  {check(whole.folder, commits + CHANGED * NEW_COMMITS)}")
    finally:
        server.stop()


if __name__ == "__main__":
    if sys.argv[1:2] == ["pull"]:
        pull(sys.argv[2], int(sys.argv[3]), sys.argv[4], int(sys.argv[5]))
    else:
        main()
