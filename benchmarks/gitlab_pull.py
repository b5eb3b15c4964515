"""Pulling 100,000 commits, and a week's news: the product against the least that an asynchronous client needs.

    python -m benchmarks.gitlab_pull [--delay 0.02] [--in-flight 16] [--repeat 3]

All make the same requests (projects, branches, commits pinned to heads) of the same server in the same run. The
ideal client decodes the answers and throws them away, or writes eight columns as one Parquet file. The product
hashes, classifies, and hands over finished tables, or stores them: a file for each of the 96 months. Both also
write to S3 if the variable BUCKET names a bucket that boto3's variables give access to. Median of the repetitions.
"""

from __future__ import annotations

import argparse
import asyncio
import datetime as dt
import os
import resource
import statistics
import tempfile
import time
import uuid
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import boto3
import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.gitlab_server import COMMITS, PROJECTS, Server
from renku_metrics.deployments import Deployment
from renku_metrics.pipeline.pulling import pulling
from renku_metrics.schema import Table
from renku_metrics.sources.addresses import AddressBook
from renku_metrics.sources.gitlab.client import GitLabClient
from renku_metrics.sources.gitlab.history import History
from renku_metrics.sources.gitlab.section import GitLab
from renku_metrics.sources.gitlab.source import GITLAB
from renku_metrics.sources.gitlab.state import GitLabState
from renku_metrics.sources.http import Say, say_nothing
from renku_metrics.store.store import Store
from renku_metrics.tables import RAW_GITLAB_COMMITS

COLUMNS = ("id", "committed_date", "author_email", "committer_email", "message", "created_at", "title", "web_url")
DAY = dt.timedelta(days=1)
COMMITS_ALONE = (RAW_GITLAB_COMMITS,)
AT = dt.datetime(2026, 11, 24, tzinfo=dt.UTC)


async def ideal(url: str, in_flight: int, parquet: Path | None) -> int:
    """Every commit by the same requests; returns their number."""
    connector = aiohttp.TCPConnector(limit=in_flight)
    async with aiohttp.ClientSession(connector=connector) as session:

        async def get(path: str) -> Any:
            async with session.get(f"{url}/api/v4{path}") as answer:
                return orjson.loads(await answer.read())

        async def project(number: int) -> list[Any]:
            path = f"/projects/{number}/repository"
            head = (await get(f"{path}/branches?per_page=100"))[0]["commit"]["id"]
            commits: list[Any] = []
            page = 1
            while not commits or commits[-1]["parent_ids"]:
                commits += await get(f"{path}/commits?per_page=100&ref_name={head}&page={page}")
                page += 1
            return commits

        tasks: list[asyncio.Task[list[Any]]] = []
        last = 0
        while page := await get(f"/projects?per_page=100&pagination=keyset&order_by=id&sort=asc&id_after={last}"):
            tasks += [asyncio.create_task(project(found["id"])) for found in page]
            last = page[-1]["id"]
        commits = [commit for found in await asyncio.gather(*tasks) for commit in found]
    if parquet is not None:
        pq.write_table(pa.table({name: [commit[name] for commit in commits] for name in COLUMNS}), parquet)
    return len(commits)


def deployment(url: str, in_flight: int) -> Deployment:
    """The server as a deployment."""
    os.environ["BENCHMARK_TOKEN"] = "token"
    os.environ["RENKU_METRICS_HASH_KEY"] = "a key of thirty-two characters..."
    gitlab = GitLab(url=url, token="${BENCHMARK_TOKEN}", concurrency=in_flight)
    return Deployment(name="benchmark", title="Benchmark", start=dt.date(2018, 1, 1), sources={"gitlab": gitlab})


def product(url: str, in_flight: int, state: GitLabState, at: dt.datetime) -> int:
    """The commits that are new to the state, as the tables that would be stored; returns their number."""
    of = deployment(url, in_flight)
    history = History(GitLabClient(of), of, AddressBook(b"key", ["gitlab.example"]), state, at, with_pushes=False)
    return sum(len(batch.rows[RAW_GITLAB_COMMITS.name]) for batch in history.batches())


def stored(
    url: str,
    in_flight: int,
    address: str,
    at: dt.datetime,
    tables: Sequence[Table] = COMMITS_ALONE,
    say: Say = say_nothing,
) -> int:
    """The same into the store at the address, with push events if their table is wanted too."""
    [history] = [harvest for harvest in GITLAB.harvests if RAW_GITLAB_COMMITS in harvest.tables]
    with pulling(Store.at(address), deployment(url, in_flight), GITLAB, lambda: at, say) as pull:
        pull.bring(history, [table.name for table in tables])
    commits = pull.facts["new_commits"]
    assert isinstance(commits, int)
    return commits


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--delay", type=float, default=0.02)
    parser.add_argument("--in-flight", type=int, default=16)
    parser.add_argument("--repeat", type=int, default=3)
    options = parser.parse_args()
    bucket = os.environ.get("BUCKET")
    server = Server(options.delay)
    in_flight, everything = options.in_flight, PROJECTS * COMMITS
    walls: dict[str, list[float]] = {}
    requests: dict[str, int] = {}

    def measure(name: str, commits: int, work: Callable[[], int]) -> None:
        server.ask("/requests")
        begun, cpu = time.perf_counter(), time.process_time()
        found = work()
        walls.setdefault(name, []).append(time.perf_counter() - begun)
        requests[name] = server.ask("/requests")
        assert found == commits, (name, found)
        cpu_seconds = time.process_time() - cpu
        print(f"{name:<28} {walls[name][-1]:7.2f} s  {cpu_seconds:6.2f} CPU s  {requests[name]:5} requests", flush=True)

    def ask_ideally(file: Path | None) -> int:
        return asyncio.run(ideal(server.url, in_flight, file))

    def ask_ideally_for(bucket: str, file: Path) -> int:
        found = ask_ideally(file)
        boto3.client("s3").upload_file(str(file), bucket, f"{uuid.uuid4()}.parquet")
        return found

    try:
        for _ in range(options.repeat):
            state = GitLabState()
            with tempfile.TemporaryDirectory() as folder:
                measure("ideal", everything, partial(ask_ideally, None))
                measure("ideal with Parquet", everything, partial(ask_ideally, Path(folder) / "commits.parquet"))
                measure("product, first pull", everything, partial(product, server.url, in_flight, state, AT))
                measure("product, stored", everything, partial(stored, server.url, in_flight, folder, AT))
                if bucket is not None:
                    file, address = Path(folder) / "for-s3.parquet", f"s3://{bucket}/{uuid.uuid4()}"
                    measure("ideal with Parquet in S3", everything, partial(ask_ideally_for, bucket, file))
                    measure("product, stored in S3", everything, partial(stored, server.url, in_flight, address, AT))
        measure("product, nothing new", 0, partial(product, server.url, in_flight, state, AT + DAY))
        server.ask("/new-week?projects=25&commits=3")
        measure("product, a week's news", 75, partial(product, server.url, in_flight, state, AT + 2 * DAY))
    finally:
        server.stop()
    median = {name: statistics.median(seconds) for name, seconds in walls.items()}
    for name in ("ideal", "ideal with Parquet"):
        for ours in ("product, first pull", "product, stored"):
            print(f"{ours} / {name}: {median[ours] / median[name]:.2f}")
    if bucket is not None:
        for name in ("ideal", "ideal with Parquet in S3"):
            print(f"product, stored in S3 / {name}: {median['product, stored in S3'] / median[name]:.2f}")
    print(f"requests, first pull / ideal: {requests['product, first pull'] / requests['ideal']:.3f}")
    print(f"peak memory: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB")


if __name__ == "__main__":
    main()
