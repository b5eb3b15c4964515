"""Lines that tell how far a long pull is."""

from __future__ import annotations

import pytest

from renku_metrics.sources.progress import Progress


class Clock:
    """Goes on by so many seconds at each look."""

    def __init__(self, step: float) -> None:
        self.seconds, self._step = 0.0, step

    def __call__(self) -> float:
        self.seconds += self._step
        return self.seconds


def test_progress_is_told_every_few_seconds_and_no_oftener() -> None:
    said: list[str] = []
    progress = Progress("lab: gitlab", said.append, Clock(1))
    for done in range(1, 13):
        progress.tell(done, 60 if done > 6 else None, 100 * done, 10 * done)
    assert said == [
        "lab: gitlab: 5 projects so far, 500 new commits, 50 requests, 10 requests/s",
        "lab: gitlab: 10 of 60 projects, 1000 new commits, 100 requests, 10 requests/s, about 50 seconds left",
    ]


@pytest.mark.parametrize(
    ("total", "left"),
    [(1_000, "about 16 minutes 30 seconds left"), (100_000, "about 27 hours 46 minutes left"), (10, None)],
)
def test_the_rest_is_told_in_hours_and_minutes(total: int, left: str | None) -> None:
    said: list[str] = []
    Progress("lab: gitlab", said.append, Clock(10)).tell(10, total, 0, 10)
    assert said[0].endswith(left or "10 requests, 1 requests/s")
