"""The version of the store's format. A program never touches a store that it does not understand."""

from __future__ import annotations

from importlib.metadata import version

import orjson

from renku_metrics.errors import StoreError
from renku_metrics.object_storage import ChangedError, ObjectStorage

OBJECT = "version.json"
# Raise it with every change of a path, a column or a document below state/. A store of an older format is refused,
# unless code here carries it over.
FORMAT = 2


def has_version(storage: ObjectStorage) -> bool:
    """Whether the store has a version, which must be that of this program; False if nothing is stored yet.

    Raises StoreError if the store has a newer format, or an older one.
    """
    try:
        content = storage.read(OBJECT)
    except FileNotFoundError:
        if next(iter(storage.list("raw/")), None) or next(iter(storage.list("state/")), None):
            raise _unknown(
                storage, "of an older version of renku-metrics", "begin a new store and pull again"
            ) from None
        return False
    try:
        known = int(orjson.loads(content)["format"])
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError):
        raise StoreError(f"{storage.address(OBJECT)}: is not what renku-metrics writes there") from None
    if known != FORMAT:
        raise _unknown(
            storage, f"of format {known}, and this version of renku-metrics knows {FORMAT}", "use the other version"
        )
    return True


def begin(storage: ObjectStorage) -> None:
    """Writes the version into a store that has none yet. Call it before anything else is written there."""
    content = orjson.dumps({"format": FORMAT, "program": version("renku-metrics")})
    try:
        storage.replace(OBJECT, content, None)
    except ChangedError:
        has_version(storage)


def _unknown(storage: ObjectStorage, what: str, do: str) -> StoreError:
    return StoreError(f"{storage.address()}: the store is {what}: {do}")
