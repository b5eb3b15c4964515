"""The key of the hashes, and the check that the store was begun with it."""

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
from renku_metrics.store.store import Store
from renku_metrics.store.store_ledger import StoreLedger


def checked_hash_key(store: Store) -> tuple[bytes, bool]:
    """The key, and whether the store was already begun with it.

    Raises ConfigurationError if no key is set, or if the store was begun with another one, because hashes of another
    key would link to nobody.
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
    """The key. A store that has none yet is begun with it. Raises ConfigurationError as ``checked_hash_key`` does."""
    key, begun = checked_hash_key(store)
    if not begun:
        # If two begin the store at once, the second checks that the first had the same key.
        with suppress(ChangedError):
            StoreLedger(store).begin_with(_fingerprint(key))
        checked_hash_key(store)
    return key


def address_book(store: Store, deployment: Deployment) -> AddressBook:
    """The address book of the deployment. Its noreply addresses are at the host of its GitLab and at its domains."""
    gitlab = deployment.section(GitLab)
    host = urlsplit(gitlab.url).hostname if gitlab else None
    return AddressBook(hash_key_of(store), [*deployment.domains, *([host] if host else [])])


def _fingerprint(key: bytes) -> bytes:
    return hmac.new(key, b"renku-metrics", hashlib.sha256).hexdigest().encode()
