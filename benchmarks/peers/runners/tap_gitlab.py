"""singer-io's tap-gitlab: projects by their ids and, below each, its commits, as messages on standard output."""

from __future__ import annotations

import contextlib
import io

from singer import metadata
from tap_gitlab.client import Client
from tap_gitlab.discover import discover
from tap_gitlab.sync import sync

from benchmarks.peers.runners import Task, report


class Counter(io.TextIOBase):
    """A standard output that counts commits and keeps nothing: a pipe and its reader would cost more."""

    commits = 0

    def write(self, text: str) -> int:
        self.commits += text.startswith('{"type": "RECORD", "stream": "commits"')
        return len(text)


def main() -> None:
    task, counter = Task.read(), Counter()
    config = {
        "private_token": "token",
        "start_date": "2018-01-01T00:00:00Z",
        "groups": "",
        "projects": " ".join(str(number) for number in range(1, task.projects + 1)),
    }
    catalog = discover()
    for stream in catalog.streams:
        if stream.tap_stream_id in ("projects", "commits"):
            selected = metadata.write(metadata.to_map(stream.metadata), (), "selected", True)
            stream.metadata = metadata.to_list(selected)

    def pull() -> None:
        client = Client(config)
        # Its command line knows no address but gitlab.com.
        client.base_url = f"{task.url}/api/v4"
        with contextlib.redirect_stdout(counter), client:
            sync(client=client, config=config, catalog=catalog, state={})

    report(pull, lambda: counter.commits)


if __name__ == "__main__":
    main()
