"""What ``renku-metrics check`` says of a Keycloak."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

from renku_metrics.periods import ONE_DAY
from renku_metrics_tests.commands.checked import HOUR, Checked, change
from renkulab import faults
from renkulab.server import RenkuLab


def test_a_wrong_secret_is_one_failed_line(lab: RenkuLab) -> None:
    lab.keycloak.clients[lab.keycloak_client_id].secret = "another"
    checked = Checked()
    assert checked.exit_code == 1
    assert checked.not_ok() == {"keycloak": "failed"}
    assert checked.text("keycloak").startswith("refuses client renku-metrics with the secret in LAB_KEYCLOAK_SECRET")
    assert "keycloak memory" not in checked.lines


def test_a_wrong_realm_is_one_failed_line(lab: RenkuLab, deployments: Path) -> None:
    change(deployments, lambda content: content["keycloak"].update(realm="Other"))
    assert "knows no realm Other" in Checked().text("keycloak")


def test_each_role_that_is_missing_fails_where_it_is_needed(lab: RenkuLab) -> None:
    client = lab.keycloak.clients[lab.keycloak_client_id]
    client.roles = ("view-events",)
    checked = Checked()
    assert checked.not_ok() == {"keycloak users": "failed"}
    assert "lacks the role view-users of realm-management" in checked.text("keycloak users")
    client.roles = ("view-users",)
    checked = Checked()
    assert set(checked.not_ok()) == {"keycloak event saving", "keycloak memory", "keycloak logins"}
    assert "lacks the role view-events of realm-management" in checked.text("keycloak event saving")


def test_a_realm_that_saves_no_events_fails(lab: RenkuLab) -> None:
    lab.keycloak.events_enabled = False
    checked = Checked()
    assert checked.exit_code == 1
    assert checked.not_ok() == {"keycloak event saving": "failed"}


def test_a_realm_that_saves_other_events_alone_fails(lab: RenkuLab) -> None:
    body = b'{"eventsEnabled":true,"enabledEventTypes":["LOGOUT"]}'
    lab.faults.add("events/config", faults.Instead(200, body, {"Content-Type": "application/json"}), times=None)
    checked = Checked()
    assert checked.not_ok() == {"keycloak event saving": "failed"}
    assert "LOGIN" in checked.text("keycloak event saving")


@pytest.mark.parametrize(
    ("kept", "level", "text"),
    [
        (4 * HOUR, "warning", "events are kept for 4 hours and pulled every 4 hours: logins will be lost"),
        (8 * HOUR - dt.timedelta(seconds=1), "warning", "logins will be lost"),
        (8 * HOUR, "ok", "An outage of this service longer than 8 hours loses logins"),
        (ONE_DAY, "ok", "events are kept for 24 hours, pulled every 4 hours. An outage of this service longer than"),
        (30 * ONE_DAY, "ok", "events are kept for 30 days, pulled every 4 hours"),
        (None, "ok", "events are kept for ever"),
    ],
)
def test_the_memory_of_keycloak_is_compared_with_the_schedule(
    lab: RenkuLab, kept: dt.timedelta | None, level: str, text: str
) -> None:
    lab.keycloak.events_expiration = kept
    checked = Checked()
    assert checked.exit_code == 0
    assert checked.lines["keycloak memory"][0] == level
    assert text in checked.text("keycloak memory")
