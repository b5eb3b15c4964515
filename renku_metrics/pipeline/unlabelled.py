"""The days whose sessions name no users, since Amalthea writes no labels unless it is told which."""

from __future__ import annotations

from collections.abc import Sequence

import orjson
import pandas as pd

from renku_metrics.metrics.coverage import days_without_users
from renku_metrics.store.store import Store


def record_unlabelled(store: Store, deployment: str, days: Sequence[str], sessions: pd.DataFrame) -> None:
    """Notes which of the days have sessions of nobody, from all rows of RAW_AMALTHEA_SESSIONS of these days."""
    found = days_without_users(sessions)
    with store.alone(f"{deployment}-unlabelled-sessions") as held:
        known = read_unlabelled(store, deployment)
        if (now := known - set(days) | found) != known:
            held.write_state(_name(deployment), orjson.dumps(sorted(now)))


def read_unlabelled(store: Store, deployment: str) -> set[str]:
    """The days of which it is not known who started sessions."""
    return set(orjson.loads(store.read_state(_name(deployment)) or b"[]"))


def _name(deployment: str) -> str:
    return f"coverage/deployment={deployment}/unlabelled_sessions.json"
