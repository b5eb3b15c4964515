"""The time of a simulated RenkuLab."""

from __future__ import annotations

import datetime as dt


class Clock:
    """Keeps the time that it was set to. If it was never set, it follows the system."""

    def __init__(self, now: dt.datetime | None = None) -> None:
        self._now = now

    def now(self) -> dt.datetime:
        """The time, UTC."""
        return self._now or dt.datetime.now(dt.UTC)

    def set(self, now: dt.datetime) -> None:
        self._now = now.astimezone(dt.UTC)

    def advance(self, by: dt.timedelta) -> None:
        self.set(self.now() + by)
