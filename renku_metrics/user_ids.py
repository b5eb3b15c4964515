"""How a user id is spelled: Keycloak's id if it is known, else ``gitlab:<number>``, else ``email:<keyed hash>``."""

from __future__ import annotations

import pandas as pd

GITLAB_PREFIX = "gitlab:"
EMAIL_PREFIX = "email:"


def of_gitlab(number: int) -> str:
    return f"{GITLAB_PREFIX}{number}"


def of_address(hashed: str) -> str:
    return f"{EMAIL_PREFIX}{hashed}"


def of_each_gitlab(numbers: pd.Series) -> pd.Series:
    """The user id of each number; missing if the number is."""
    return (GITLAB_PREFIX + numbers.astype("Int64").astype("str")).where(numbers.notna()).astype(object)


def of_each_address(hashes: pd.Series) -> pd.Series:
    """The user id of each hash of an address; missing if the hash is."""
    return (EMAIL_PREFIX + hashes.astype("str")).where(hashes.notna()).astype(object)


def is_of_gitlab(user_id: str) -> bool:
    return user_id.startswith(GITLAB_PREFIX)


def is_of_address(user_id: str) -> bool:
    return user_id.startswith(EMAIL_PREFIX)


def is_of_keycloak(user_id: str) -> bool:
    return not is_of_gitlab(user_id) and not is_of_address(user_id)


def gitlab_number(user_id: str) -> int:
    """The number of a GitLab user."""
    return int(user_id.removeprefix(GITLAB_PREFIX))


def address_hash(user_id: str) -> str:
    """The keyed hash of an address."""
    return user_id.removeprefix(EMAIL_PREFIX)
