"""The key of the hashes, and that it is the one the store was begun with."""

from __future__ import annotations

import hashlib
import hmac
from contextlib import suppress
from urllib.parse import urlsplit

from renku_metrics import environment
from renku_metrics.deployments import Deployment
from renku_metrics.errors import ConfigurationError
from renku_metrics.object_storage import ChangedError
from renku_metrics.sources.addresses import AddressBook
from renku_metrics.sources.gitlab.section import GitLab
from renku_metrics.store.ledger import StoreLedger
from renku_metrics.store.store import Store


def checked_hash_key(store: Store) -> tuple[bytes, bool]:
    """The key, and whether the store was begun with it already.

    Hashes of another key would link to nobody: raises ConfigurationError when no key is set, or another than the
    store was begun with.
    """
    key = environment.hash_key()
    known = StoreLedger(store).fingerprint()
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
        # Of two that begin the store at once, the second looks whether the first had the same key.
        with suppress(ChangedError):
            StoreLedger(store).begin_with(_fingerprint(key))
        checked_hash_key(store)
    return key


def address_book(store: Store, deployment: Deployment) -> AddressBook:
    """Makes hashes for the deployment, whose private commit addresses are at its GitLab's host and its domains."""
    gitlab = deployment.section(GitLab)
    host = urlsplit(gitlab.url).hostname if gitlab else None
    return AddressBook(hash_key_of(store), [*deployment.domains, *([host] if host else [])])


def _fingerprint(key: bytes) -> bytes:
    return hmac.new(key, b"renku-metrics", hashlib.sha256).hexdigest().encode()
