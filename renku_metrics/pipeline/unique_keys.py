"""Whether every event stands once in all of a deployment's history.

The store remembers a number made from each key, so that a day that changed is compared with all days without reading
these again: 12 bytes an event.
"""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import orjson
import pandas as pd

from renku_metrics.store import ledger as freshness
from renku_metrics.store.store import Store, batches
from renku_metrics.tables import EVENTS

DAYS_AT_ONCE = 60
KEYS = np.dtype([("key", "<u8"), ("day", "<i4")])
Keys = npt.NDArray[np.void]


def events_twice(store: Store, deployment: str) -> list[str]:
    """The days of events that stand on another day as well; these days are looked at again until it is not so."""
    versions = {day: built.version for day, built in freshness.read(store, deployment, EVENTS.name).items()}
    looked_at: dict[str, str] = orjson.loads(store.read_state(_name(deployment, "days.json")) or b"{}")
    changed = sorted(day for day, version in versions.items() if looked_at.get(day) != version)
    if not changed:
        return []
    content = store.read_state(_name(deployment, "keys.npy"))
    known = np.empty(0, KEYS) if content is None else np.load(io.BytesIO(content))
    known = known[~np.isin(known["day"], [_number(day) for day in changed])]
    keys = np.concatenate([known, *(_keys(_read(store, deployment, some)) for some in batches(changed, DAYS_AT_ONCE))])

    suspects = pd.Series(keys["day"])[pd.Series(keys["key"]).duplicated(keep=False).to_numpy()].unique()
    # Two keys may make the same number.
    events = _read(store, deployment, [day for day in versions if _number(day) in suspects])
    twice = sorted(set(events.loc[events["event_key"].duplicated(keep=False), "event_day"]))

    # Days last: those that pass for looked at must have their keys there.
    keys = keys[~np.isin(keys["day"], [_number(day) for day in twice])]
    buffer = io.BytesIO()
    np.save(buffer, keys)
    store.write_state(_name(deployment, "keys.npy"), buffer.getvalue())
    once = {day: version for day, version in versions.items() if day not in twice}
    store.write_state(_name(deployment, "days.json"), orjson.dumps(once))
    return twice


def _read(store: Store, deployment: str, days: Sequence[str]) -> pd.DataFrame:
    return store.read_if_there(EVENTS, [(deployment, day) for day in days])


def _keys(events: pd.DataFrame) -> Keys:
    keys = np.empty(len(events), KEYS)
    keys["key"] = pd.util.hash_array(events["event_key"].to_numpy(dtype=object))
    keys["day"] = events["event_day"].map({day: _number(day) for day in events["event_day"].unique()})
    return keys


def _number(day: str) -> int:
    return int(day.replace("-", ""))


def _name(deployment: str, what: str) -> str:
    return f"unique_keys/deployment={deployment}/{what}"
