"""The users of a realm: that the list is whole, and what a row holds."""

from __future__ import annotations

import hashlib
import hmac
from typing import Any

import pandas as pd

from renku_metrics_tests.sources.keycloak.keycloak_pulls import (
    DAY,
    KEY,
    NOW,
    source,
)
from renkulab.server import RenkuLab


def test_all_users_are_pulled_but_service_accounts(lab: RenkuLab) -> None:
    people = [lab.keycloak.add_user(f"person-{number:03}@example.org", NOW - DAY) for number in range(250)]
    people[3].enabled = False
    people[4].email = " Person@Example.ORG "
    people[5].email = ""
    people[6].created_at = None

    rows = {row["keycloak_id"]: row for row in source(lab).pull_users(NOW).to_dict("records")}

    assert set(rows) == {person.id for person in people}
    hashed = hmac.new(KEY, b"person@example.org", hashlib.sha256).hexdigest()
    assert list(rows[people[4].id]["address_hashes"]) == [hashed]
    assert list(rows[people[5].id]["address_hashes"]) == []
    assert [id_ for id_, row in rows.items() if not row["enabled"]] == [people[3].id]
    assert rows[people[0].id]["created_at"] == pd.Timestamp(NOW - DAY)
    assert rows[people[6].id]["created_at"] is pd.NaT


def test_a_user_deleted_while_the_pages_are_read_hides_nobody(lab: RenkuLab) -> None:
    people = [lab.keycloak.add_user(f"person-{number:03}@example.org", NOW - DAY) for number in range(150)]
    visible = lab._keycloak_api._visible_users

    def delete_one_after_the_first_page(request: Any, client: Any) -> Any:
        if request.first("first") == "100" and people[0].id in lab.keycloak.users:
            lab.keycloak.delete_user(people[0])
        return visible(request, client)

    lab._keycloak_api._visible_users = delete_one_after_the_first_page  # type: ignore[method-assign]

    assert set(source(lab).pull_users(NOW)["keycloak_id"]) == {person.id for person in people}


def test_a_realm_without_users_is_no_error(lab: RenkuLab) -> None:
    assert len(source(lab).pull_users(NOW)) == 0
