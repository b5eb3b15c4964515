"""What a pull would cost in requests, as far as this is known before it runs."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from renku_metrics.periods import in_words
from renku_metrics.sources.http import Connection


@dataclass(frozen=True)
class Cost:
    """``requests`` by purpose. Those in ``exact`` are known; of the others, the pull needs at least so many.

    ``seconds``: how long they take within the source's share, if each takes as long as the ``asked`` requests did that
    the plan itself made.
    """

    requests: dict[str, int]
    exact: frozenset[str]
    asked: int
    seconds: float

    @property
    def total(self) -> int:
        return sum(self.requests.values())

    def lines(self, connection: Connection, purpose: str = "") -> Iterator[str]:
        """The lines that a person reads; ``purpose`` follows the total."""
        yield f"{connection.where}: the next pull, as far as it is known before it runs"
        for kind, number in sorted(self.requests.items()):
            if number:
                yield f"  {kind:<20} {number:>9,}{'' if kind in self.exact else ' or more'}"
        yield f"  {'in all':<20} {self.total:>9,} requests{purpose}"
        pace = f"{connection.concurrency} in flight"
        if connection.requests_per_minute:
            pace += f", {connection.requests_per_minute} a minute"
        yield f"about {in_words(dt.timedelta(seconds=self.seconds))} at {pace}; this plan made {self.asked} requests"


def seconds_of(requests: Mapping[str, int], connection: Connection, seconds_asking: float) -> float:
    """How long the requests take, if each takes as long as the connection's requests took so far."""
    total = sum(requests.values())
    seconds = total * seconds_asking / connection.requests_made / connection.concurrency
    if connection.requests_per_minute:
        seconds = max(seconds, 60 * total / connection.requests_per_minute)
    return seconds
