"""dlt's REST source: projects and, resolved from them in parallel, their commits, as Parquet files."""

from __future__ import annotations

import dlt
from dlt.destinations import filesystem
from dlt.sources.rest_api import rest_api_source
from pyarrow import parquet

from benchmarks.peers.runners import Task, report


def main() -> None:
    task = Task.read()
    dlt.config["extract.workers"] = task.in_flight
    source = rest_api_source(
        {
            "client": {
                "base_url": f"{task.url}/api/v4/",
                "headers": {"PRIVATE-TOKEN": "token"},
                "paginator": "header_link",
            },
            "resource_defaults": {"write_disposition": "append", "endpoint": {"params": {"per_page": 100}}},
            "resources": [
                {
                    "name": "projects",
                    "endpoint": {"params": {"pagination": "keyset", "order_by": "id", "sort": "asc"}},
                },
                {
                    "name": "commits",
                    "endpoint": {"path": "projects/{resources.projects.id}/repository/commits"},
                    "include_from_parent": ["id"],
                    "parallelized": True,
                },
            ],
        },
        # Lists stay in the row: a second table of parents would only cost it more.
        max_table_nesting=0,
        parallelized=True,
    )
    pipeline = dlt.pipeline(
        "peer",
        pipelines_dir=str(task.folder / "pipelines"),
        destination=filesystem(bucket_url=(task.folder / "store").as_uri()),
        dataset_name="gitlab",
    )

    def pull() -> None:
        pipeline.run(source, loader_file_format="parquet").raise_on_failed_jobs()

    def count() -> int:
        files = (task.folder / "store" / "gitlab" / "commits").glob("*.parquet")
        return sum(parquet.read_metadata(file).num_rows for file in files)

    report(pull, count)


if __name__ == "__main__":
    main()
