"""Lines that tell an operator how far a long pull is."""

from __future__ import annotations

import time
from collections.abc import Callable

from renku_metrics.sources.http import Say

SECONDS_BETWEEN_LINES = 5.0


class Progress:
    """Says how far it is, at most every few seconds. ``where`` begins each line."""

    def __init__(self, where: str, say: Say, clock: Callable[[], float] = time.monotonic) -> None:
        self._where = where
        self._say = say
        self._clock = clock
        self._begun = self._told = clock()

    def tell(self, done: int, total: int | None, commits: int, requests: int) -> None:
        """``total`` projects are to be read; None as long as they are still being listed."""
        now = self._clock()
        if now - self._told >= SECONDS_BETWEEN_LINES:
            self._told = now
            self._say(f"{self._where}: {self._line(done, total, commits, requests, now - self._begun)}")

    def finish(self, done: int, commits: int, requests: int) -> None:
        """The last line."""
        self._say(f"{self._where}: {self._line(done, done, commits, requests, self._clock() - self._begun)}")

    @staticmethod
    def _line(done: int, total: int | None, commits: int, requests: int, seconds: float) -> str:
        rate = f", {requests / seconds:.0f} requests/s" if seconds >= 1 else ""
        left = ""
        if total is not None and 0 < done < total:
            left = f", about {duration(seconds * (total - done) / done)} left"
        projects = f"{done} projects so far" if total is None else f"{done} of {total} projects"
        return f"{projects}, {commits} new commits, {requests} requests{rate}{left}"


def duration(seconds: float) -> str:
    """Such as 3 h 20 min, 5 min 12 s or 40 s."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
