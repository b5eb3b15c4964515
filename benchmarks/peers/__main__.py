"""Peers beside the product: the same first pull of every commit, from the same server, in one run.

    python -m benchmarks.peers [--delay 0.02] [--in-flight 16] [--projects 500] [--only dlt_rest ...]

The peers are installed in an environment of their own (environment.py), and each runs there in a process of its own
(runners/). Times leave out starting Python and importing, for all alike. The ideal client and the product are short,
so each is measured again before every peer, and the median counts. The product is measured with finished tables in
memory, as python-gitlab and tap-gitlab end, and stored as Parquet, as dlt ends.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from benchmarks.gitlab_pull import AT, ideal, product, stored
from benchmarks.gitlab_server import COMMITS, PROJECTS, Server
from benchmarks.peers.environment import FOLDER, ready
from renku_metrics.sources.gitlab.state import GitLabState

ROOT = Path(__file__).parents[2]
SECONDS_AT_MOST = 1800


@dataclass(frozen=True)
class Peer:
    """A runner, and how many requests it is told to keep in flight where that is not what all are told."""

    name: str
    runner: str
    in_flight: int | None = None


PEERS = [
    Peer("python-gitlab, threads", "python_gitlab"),
    Peer("dlt, parallel", "dlt_rest"),
    Peer("dlt, parallel, its 5 workers", "dlt_rest", in_flight=5),
    Peer("tap-gitlab", "tap_gitlab", in_flight=1),
]


@dataclass(frozen=True)
class Result:
    """What a pull brought and took."""

    commits: int
    wall: float
    cpu: float


def here(work: Callable[[], int]) -> Result:
    """Of what runs in this process."""
    begun, cpu_begun = time.perf_counter(), time.process_time()
    commits = work()
    return Result(commits, time.perf_counter() - begun, time.process_time() - cpu_begun)


def apart(python: Path, peer: Peer, url: str, in_flight: int, projects: int) -> Result:
    """Of a peer in a process of its own, which may write to its temporary folder and speak to this machine only."""
    with tempfile.TemporaryDirectory() as folder:
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": folder,
            "RUNTIME__DLTHUB_TELEMETRY": "false",
            # Whatever it would ask of another host goes to a port where nobody listens.
            "HTTP_PROXY": "http://127.0.0.1:9",
            "HTTPS_PROXY": "http://127.0.0.1:9",
            "NO_PROXY": "127.0.0.1",
        }
        command = [python, "-m", f"benchmarks.peers.runners.{peer.runner}", url, in_flight, projects, folder]
        finished = subprocess.run(
            [str(part) for part in command],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            timeout=SECONDS_AT_MOST,
            check=False,
        )
    if finished.returncode:
        raise RuntimeError(f"{peer.name} failed:\n{finished.stderr[-3000:]}")
    return Result(**json.loads(finished.stdout.splitlines()[-1]))


def kept(url: str, in_flight: int) -> int:
    """The product's pull into a new store."""
    with tempfile.TemporaryDirectory() as folder:
        return stored(url, in_flight, folder, AT)


def table(results: dict[str, list[Result]], requests: dict[str, int]) -> str:
    """Medians, as a table in Markdown, with how many times as long as the product each took."""
    walls = {name: statistics.median(result.wall for result in found) for name, found in results.items()}
    lines = [
        "| | requests | commits | CPU | wall | ÷ product | ÷ product, stored |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for name, found in results.items():
        cpu = statistics.median(result.cpu for result in found)
        ratios = f"{walls[name] / walls['product']:.2f} | {walls[name] / walls['product, stored']:.2f}"
        counts = f"{requests[name]:,} | {found[0].commits:,}"
        lines.append(f"| {name} | {counts} | {cpu:.1f} s | {walls[name]:.1f} s | {ratios} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--delay", type=float, default=0.02)
    parser.add_argument("--in-flight", type=int, default=16)
    parser.add_argument("--projects", type=int, default=PROJECTS)
    parser.add_argument("--only", nargs="+", choices=sorted({peer.runner for peer in PEERS}))
    parser.add_argument("--environment", type=Path, default=FOLDER, help="the folder of the peers' environment")
    options = parser.parse_args()
    python = ready(options.environment)
    server = Server(options.delay, options.projects)
    url, in_flight = server.url, options.in_flight
    results: dict[str, list[Result]] = {}
    requests: dict[str, int] = {}

    def measure(name: str, run: Callable[[], Result]) -> None:
        server.ask("/requests")
        result = run()
        requests[name] = server.ask("/requests")
        results.setdefault(name, []).append(result)
        print(f"{name:<28} {result.wall:7.2f} s  {result.cpu:6.2f} CPU s  {requests[name]:5} requests", flush=True)
        assert result.commits == options.projects * COMMITS, (name, result.commits)

    try:
        for peer in PEERS:
            if options.only is None or peer.runner in options.only:
                measure("ideal", partial(here, lambda: asyncio.run(ideal(url, in_flight, None))))
                measure("product", partial(here, partial(product, url, in_flight, GitLabState(), AT)))
                measure("product, stored", partial(here, partial(kept, url, in_flight)))
                measure(peer.name, partial(apart, python, peer, url, peer.in_flight or in_flight, options.projects))
    finally:
        server.stop()
    print(f"\n{table(results, requests)}")


if __name__ == "__main__":
    main()
