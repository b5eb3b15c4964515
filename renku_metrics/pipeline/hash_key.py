"""The key of the email hashes, and that it is the one the store was begun with."""

from __future__ import annotations

import hashlib
import hmac

from renku_metrics import environment
from renku_metrics.errors import ConfigurationError
from renku_metrics.store.store import Store

STATE = "hash_key_fingerprint"


def checked_hash_key(store: Store) -> tuple[bytes, bool]:
    """The key, and whether the store was begun with it already.

    Hashes of another key would link to nobody: raises ConfigurationError when no key is set, or another than the
    store was begun with.
    """
    key = environment.hash_key()
    known = store.read_state(STATE)
    if known is not None and known != _fingerprint(key):
        raise ConfigurationError(
            f"RENKU_METRICS_HASH_KEY is not the key that the store {store.storage.address()} was begun with; "
            "set that one, or begin a new store"
        )
    return key, known is not None


def hash_key_of(store: Store) -> bytes:
    """The key; the store is begun with it if it was with none. Raises ConfigurationError like the check."""
    key, begun = checked_hash_key(store)
    if not begun:
        store.write_state(STATE, _fingerprint(key))
    return key


def _fingerprint(key: bytes) -> bytes:
    return hmac.new(key, b"renku-metrics", hashlib.sha256).hexdigest().encode()
