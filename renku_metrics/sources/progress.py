"""Lines that tell an operator how far a long pull is."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable

from renku_metrics.periods import in_words
from renku_metrics.sources.http import Say

SECONDS_BETWEEN_LINES = 5.0


class Progress:
    """Says how many ``things`` are done, at most every few seconds. ``where`` begins each line."""

    def __init__(
        self, where: str, say: Say, clock: Callable[[], float] = time.monotonic, *, things: str = "projects"
    ) -> None:
        self._where = where
        self._say = say
        self._clock = clock
        self._things = things
        self._begun = self._told = clock()

    def tell(self, done: int, total: int | None, commits: int | None, requests: int) -> None:
        """Says a line, if one is due.

        ``total``: how many things there are, None if not known yet. ``commits``: new ones, None if the pull reads none.
        """
        now = self._clock()
        if now - self._told >= SECONDS_BETWEEN_LINES:
            self._told = now
            self._say(f"{self._where}: {self._line(done, total, commits, requests, now - self._begun)}")

    def finish(self, done: int, commits: int | None, requests: int) -> None:
        """The last line."""
        self._say(f"{self._where}: {self._line(done, done, commits, requests, self._clock() - self._begun)}")

    def _line(self, done: int, total: int | None, commits: int | None, requests: int, seconds: float) -> str:
        rate = f", {requests / seconds:.0f} requests/s" if seconds >= 1 else ""
        left = ""
        if total is not None and 0 < done < total:
            left = f", about {in_words(dt.timedelta(seconds=seconds * (total - done) / done))} left"
        things = f"{done} {self._things} so far" if total is None else f"{done} of {total} {self._things}"
        new = "" if commits is None else f", {commits} new commits"
        return f"{things}{new}, {requests} requests{rate}{left}"
