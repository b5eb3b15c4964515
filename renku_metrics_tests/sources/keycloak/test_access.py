"""The way in: addresses, tokens, roles, and what is said when one of them is wrong."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pytest

from renku_metrics.errors import ConfigurationError, SourceError
from renku_metrics.sources.keycloak.realm import LoginsState
from renku_metrics_tests.sources.answers import json_answer
from renku_metrics_tests.sources.keycloak.keycloak_pulls import (
    DAY,
    NOW,
    pull_logins,
    source,
)
from renkulab.keycloak import Version
from renkulab.server import RenkuLab


def refusal(action: Any) -> str:
    with pytest.raises(SourceError) as caught:
        action()
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith("lab: keycloak: ")
    return message


def test_tokens_that_run_out_are_renewed_in_mid_pull(lab: RenkuLab) -> None:
    lab.keycloak.token_uses = 2
    ada = lab.keycloak.add_user("ada@example.org", NOW - 9 * DAY)
    for minutes in range(450):
        lab.keycloak.log_in(ada, NOW - minutes * dt.timedelta(minutes=1), ("renku",))

    assert len(pull_logins(lab).rows) == 450


def test_a_token_is_asked_for_once_while_it_lasts(lab: RenkuLab) -> None:
    kept = source(lab)
    kept.pull_users(NOW)
    list(kept.pull_logins(LoginsState(), NOW))

    assert len(lab.requests.matching("/token$")) == 1


def test_a_token_about_to_expire_is_renewed_before_it_is_refused(lab: RenkuLab) -> None:
    lab.keycloak.token_lifespan = dt.timedelta(seconds=0)
    lab.faults.add("/admin/", json_answer([]), times=None)
    kept = source(lab)
    for _ in range(2):
        with pytest.raises(SourceError):
            list(kept.pull_logins(LoginsState(), NOW))

    assert len(lab.requests.matching("/token$")) >= 2
    assert not [request for request in lab.requests if request.status == 401]


@pytest.mark.parametrize(
    ("path", "version"), [("/auth", (15, 1, 1)), ("", (26, 4, 0)), ("/somewhere/auth", (20, 0, 1))]
)
def test_the_base_path_is_the_deployments(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str, version: Version
) -> None:
    with RenkuLab("lab", tmp_path, now=NOW, keycloak_path=path, keycloak_version=version) as lab:
        monkeypatch.setenv("LAB_KEYCLOAK_SECRET", lab.keycloak_secret)
        lab.keycloak.add_user("ada@example.org", NOW)

        assert len(source(lab).pull_users(NOW)) == 1


def test_a_missing_role_is_named(lab: RenkuLab) -> None:
    lab.keycloak.clients["renku-metrics"].roles = ("view-realm",)

    message = refusal(lambda: pull_logins(lab))
    assert "renku-metrics" in message
    assert "view-events" in message
    message = refusal(lambda: source(lab).pull_users(NOW))
    assert "renku-metrics" in message
    assert "view-users" in message


def test_users_that_are_hidden_are_not_no_users(lab: RenkuLab) -> None:
    lab.keycloak.add_user("ada@example.org", NOW - DAY)
    lab.keycloak.clients["renku-metrics"].roles = ("view-events", "query-users")

    assert "view-users" in refusal(lambda: source(lab).pull_users(NOW))


def test_a_wrong_secret_is_named_by_its_variable(lab: RenkuLab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAB_KEYCLOAK_SECRET", "not-the-secret")

    message = refusal(lambda: pull_logins(lab))

    assert "LAB_KEYCLOAK_SECRET" in message
    assert "renku-metrics" in message
    assert "not-the-secret" not in message


@pytest.mark.parametrize("path", ["", "/elsewhere"])
def test_a_wrong_base_path_hints_at_auth(lab: RenkuLab, path: str) -> None:
    url = lab.keycloak_url.removesuffix("/auth") + path

    message = refusal(lambda: source(lab, url=url).pull_users(NOW))

    assert "Renku" in message
    assert "/auth" in message


def test_an_unknown_client_is_named(lab: RenkuLab) -> None:
    assert "somebody-else" in refusal(lambda: source(lab, client_id="somebody-else").pull_users(NOW))


def test_an_unknown_realm_is_named(lab: RenkuLab) -> None:
    assert "realm Elsewhere" in refusal(lambda: source(lab, realm="Elsewhere").pull_users(NOW))


def test_a_client_without_service_account_is_told_so(lab: RenkuLab) -> None:
    lab.keycloak.clients["renku-metrics"].service_account = False

    assert "service account" in refusal(lambda: pull_logins(lab))


def test_a_secret_that_is_not_set_is_named(lab: RenkuLab) -> None:
    with pytest.raises(ConfigurationError, match="NOT_SET_ANYWHERE"):
        source(lab, client_secret="${NOT_SET_ANYWHERE}").pull_users(NOW)
