"""What a pull would cost in requests, as far as that can be known before it is made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from renku_metrics.sources.http import Connection


@dataclass(frozen=True)
class Cost:
    """``requests`` by what they are for; those of ``exact`` are known, the others the least there can be.

    ``seconds``: how long they take within the source's share, if each takes as long as those ``asked`` here.
    """

    requests: dict[str, int]
    exact: frozenset[str]
    asked: int
    seconds: float

    @property
    def total(self) -> int:
        return sum(self.requests.values())


def seconds_of(requests: Mapping[str, int], connection: Connection, seconds_asking: float) -> float:
    """How long the requests take, told by how long those took that were made over the connection until now."""
    total = sum(requests.values())
    seconds = total * seconds_asking / connection.requests_made / connection.concurrency
    if connection.requests_per_minute:
        seconds = max(seconds, 60 * total / connection.requests_per_minute)
    return seconds
