"""What will happen on a simulated RenkuLab, in the order of time."""

from __future__ import annotations

import datetime as dt
import heapq
from collections.abc import Callable

Happening = Callable[[dt.datetime], None]


class Agenda:
    """Things that will happen. Each of them may add further ones."""

    def __init__(self) -> None:
        self._ahead: list[tuple[dt.datetime, int, Happening]] = []
        self._numbered = 0

    def number(self) -> int:
        """A number that nothing else has."""
        self._numbered += 1
        return self._numbered

    def at(self, at: dt.datetime, happening: Happening) -> None:
        heapq.heappush(self._ahead, (at, self.number(), happening))

    def run(self, until: dt.datetime) -> None:
        """Lets everything happen whose time is before ``until``."""
        while self._ahead and self._ahead[0][0] < until:
            at, _, happening = heapq.heappop(self._ahead)
            happening(at)
