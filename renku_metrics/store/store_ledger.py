"""What is remembered of the whole store, whatever deployment it concerns."""

from __future__ import annotations

import datetime as dt

from renku_metrics.store.store import Store


class StoreLedger:
    """What is remembered of the whole store: a fingerprint of its hash key, and when numbers were last published."""

    PUBLISHING = "publishing"
    _FINGERPRINT = "state/hash_key_fingerprint"
    _PUBLISHED_AT = "state/published_at"

    def __init__(self, store: Store) -> None:
        self._store = store

    def fingerprint(self) -> bytes | None:
        """The fingerprint of the hash key that the store was begun with; None if it was not begun yet."""
        return self._read(self._FINGERPRINT)

    def begin_with(self, fingerprint: bytes) -> None:
        """Begins the store with the key of this fingerprint. Raises ChangedError if another process has done so."""
        self._store.replace(self._FINGERPRINT, fingerprint, None)

    def published_at(self) -> dt.datetime | None:
        """When the last finished publication began (UTC); None if there was none."""
        content = self._read(self._PUBLISHED_AT)
        return dt.datetime.fromisoformat(content.decode()) if content else None

    def record_published(self, at: dt.datetime) -> None:
        """Notes that the publication that began at this time has finished. Only for the holder of PUBLISHING."""
        self._store.put(self._PUBLISHED_AT, at.isoformat().encode())

    def _read(self, name: str) -> bytes | None:
        try:
            return self._store.storage.read(name)
        except FileNotFoundError:
            return None
