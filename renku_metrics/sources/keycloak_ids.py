"""Keycloak's ids of people, as they are kept.

Keycloak makes UUIDs. The id of a user who comes from a directory (``f:<uuid>:ada.lovelace``) or from an import may be a
name or an address; that of another identity provider, too.
"""

from __future__ import annotations

import re

from renku_metrics.sources.addresses import AddressBook

UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
KEYED_HASH = re.compile(r"[0-9a-f]{64}")


def kept_keycloak_id(book: AddressBook, keycloak_id: str) -> str:
    """A UUID as it is; of anything else the keyed hash, which is the same whichever source tells of it.

    What is kept already stays as it is.
    """
    if UUID.fullmatch(keycloak_id) or KEYED_HASH.fullmatch(keycloak_id):
        return keycloak_id
    # Told apart from any other hash that is made with the key.
    return book.keyed_hash(f"keycloak {keycloak_id}")
