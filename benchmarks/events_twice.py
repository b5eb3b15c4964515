"""The search for events that stand twice in all history: as the product does it, and as one query over the column.

    python -m benchmarks.events_twice [--events 1000000] [--months 36]

Median of five. The files are in S3 too if the variable BUCKET names a bucket that boto3's variables give access to.
DuckDB reads there what pyarrow's client fetches, because its own extension for S3 is not part of its package.
"""

from __future__ import annotations

import argparse
import datetime as dt
import hashlib
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial

import duckdb
import numpy as np
import pandas as pd
import pyarrow.dataset as ds
import pyarrow.fs as fs

from renku_metrics.pipeline.checking import event_keys_are_unique
from renku_metrics.store.store import Store
from renku_metrics.tables import EVENTS

TWICE = """
    SELECT DISTINCT event_day FROM events WHERE event_key IN
    (SELECT event_key FROM events GROUP BY event_key HAVING count(*) > 1)
"""


def fill(store: Store, events: int, months: int) -> None:
    """Commits, spread evenly over the months."""
    first = dt.date(2023, 12, 1)
    a_month = events // months
    for number in range(months):
        month = dt.date(first.year + (first.month - 1 + number) // 12, (first.month - 1 + number) % 12 + 1, 1)
        keys = [f"commit:{hashlib.sha1(f'{number} {n}'.encode()).hexdigest()}" for n in range(a_month)]
        days = [(month + dt.timedelta(days=int(day))).isoformat() for day in np.arange(a_month) % 28]
        rows = pd.DataFrame(
            {
                "deployment": "lab",
                "month": month.isoformat(),
                "event_day": days,
                "event_type": "commit",
                "occurred_at": pd.to_datetime(days, utc=True),
                "user_id": [f"gitlab:{n % 8000}" for n in range(a_month)],
                "user_link": "gitlab_address",
                "project_id": [f"gitlab:{n % 20000}" for n in range(a_month)],
                "source": "gitlab",
                "event_key": keys,
            }
        )
        store.write(EVENTS, rows, [("lab", month.isoformat())])


def by_query(folder: str, files: fs.FileSystem) -> int:
    events = ds.dataset(f"{folder}/events", filesystem=files, format="parquet", partitioning="hive")
    connection = duckdb.connect()
    connection.register("events", events)
    return len(connection.execute(TWICE).fetchall())


def by_product(store: Store) -> int:
    return len(event_keys_are_unique(store, ["lab"]).facts["days"])


def measure(name: str, work: Callable[[], int]) -> None:
    walls, cpus = [], []
    for _ in range(5):
        begun, cpu = time.perf_counter(), time.process_time()
        assert work() == 0
        walls.append(time.perf_counter() - begun)
        cpus.append(time.process_time() - cpu)
    print(f"{name:<28} {statistics.median(walls):6.2f} s  {statistics.median(cpus):6.2f} CPU s", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--months", type=int, default=36)
    options = parser.parse_args()
    bucket = os.environ.get("BUCKET")
    with tempfile.TemporaryDirectory() as folder:
        places: list[tuple[str, str, fs.FileSystem]] = [(folder, folder, fs.LocalFileSystem())]
        if bucket:
            endpoint = os.environ["AWS_ENDPOINT_URL"].removeprefix("http://")
            places.append(
                (f"s3://{bucket}/store", f"{bucket}/store", fs.S3FileSystem(endpoint_override=endpoint, scheme="http"))
            )
        for address, path, files in places:
            store = Store.at(address)
            fill(store, options.events, options.months)
            print(f"{'S3' if '://' in address else 'directory'}: {options.events:,} events, {options.months} months")
            measure("  product", partial(by_product, store))
            measure("  DuckDB over the column", partial(by_query, path, files))


if __name__ == "__main__":
    main()
