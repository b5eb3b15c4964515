"""One program per peer, run by the peers' interpreter: the same pull by each, told as one line of JSON."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Task:
    """What a runner is asked for on its command line: URL IN_FLIGHT PROJECTS FOLDER."""

    url: str
    in_flight: int
    projects: int
    folder: Path

    @classmethod
    def read(cls) -> Task:
        url, in_flight, projects, folder = sys.argv[1:]
        return cls(url, int(in_flight), int(projects), Path(folder))


def report(pull: Callable[[], None], count: Callable[[], int]) -> None:
    """Runs the pull, and prints what it took without starting Python, importing and counting."""
    begun, cpu_begun = time.perf_counter(), time.process_time()
    pull()
    wall, cpu = time.perf_counter() - begun, time.process_time() - cpu_begun
    print(json.dumps({"commits": count(), "wall": wall, "cpu": cpu}))
