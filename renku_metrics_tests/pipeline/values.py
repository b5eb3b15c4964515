"""Values of the shapes that a store takes, from names that a person can read."""

from __future__ import annotations

import hashlib
import uuid


def hashed(name: str) -> str:
    """In the place of a keyed hash."""
    return hashlib.sha256(name.encode()).hexdigest()


def sha(name: str) -> str:
    """In the place of a commit id."""
    return hashlib.sha1(name.encode(), usedforsecurity=False).hexdigest()


def uuid_of(name: str) -> str:
    """In the place of a Keycloak id, or of a session's uid."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, name))
