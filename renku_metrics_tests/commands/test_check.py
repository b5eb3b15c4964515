from __future__ import annotations

import datetime as dt
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from renku_metrics.cli import renku_metrics
from renku_metrics.object_storage import DirectoryStorage
from renku_metrics.periods import ONE_DAY
from renku_metrics.store.ledger import StoreLedger
from renku_metrics.store.store import Store
from renku_metrics_tests.commands.checked import ADA, HOUR, Checked
from renku_metrics_tests.present import NOW
from renkulab import faults
from renkulab.server import RenkuLab


def change(deployments: Path, text: Callable[[dict[str, Any]], None]) -> None:
    path = deployments / "lab.yaml"
    content = yaml.safe_load(path.read_text())
    text(content)
    path.write_text(yaml.safe_dump(content))


def test_all_is_well(lab: RenkuLab, tmp_path: Path) -> None:
    checked = Checked()
    assert checked.not_ok() == {}
    assert checked.exit_code == 0
    assert set(checked.lines) == {
        *("store", "hash key", "published", "file", "variable"),
        *("gitlab", "gitlab token", "gitlab administrator", "gitlab people", "gitlab private projects"),
        *("gitlab commits", "gitlab push events"),
        *("keycloak", "keycloak users", "keycloak event saving", "keycloak memory", "keycloak logins"),
        *("amalthea", "amalthea lines", "amalthea user label", "amalthea project label"),
        *("last pull of commits", "last pull of logins"),
        *("stored commits", "stored logins", "stored sessions"),
    }
    assert checked.output.endswith("\n27 ok, 0 warning, 0 failed\n")
    # The probe is gone, and the store not begun.
    assert [path for path in (tmp_path / "store").rglob("*") if path.is_file()] == []


def test_a_check_that_is_killed_leaves_no_store_that_is_taken_for_an_older_one(
    lab: RenkuLab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as killed:
        killed.setattr(DirectoryStorage, "delete", lambda *_: None)
        Checked()
    assert len([path for path in (tmp_path / "store").iterdir() if path.is_file()]) == 1
    assert Checked().not_ok() == {}


def test_nothing_secret_or_personal_is_printed(lab: RenkuLab, monkeypatch: pytest.MonkeyPatch) -> None:
    outputs = [Checked().output]
    lab.gitlab.tokens.clear()
    lab.keycloak.clients.clear()
    monkeypatch.setenv("LAB_GITLAB_TOKEN", "line one\nline two")
    outputs.append(Checked().output)
    for text in (ADA.name, "secret-flights", lab.gitlab_token, lab.keycloak_secret, "a key of tests", "line one"):
        assert all(text not in output for output in outputs)


def test_output_has_no_colour_codes_when_it_is_no_terminal(lab: RenkuLab) -> None:
    assert "\x1b" not in Checked().output


def test_colours_on_a_terminal(lab: RenkuLab) -> None:
    result = CliRunner().invoke(renku_metrics, ["check"], color=True)
    assert "\x1b[32mok" in result.output


def test_an_unknown_deployment_is_one_line(lab: RenkuLab, deployments: Path) -> None:
    result = CliRunner().invoke(renku_metrics, ["check", "moon"])
    assert (result.exit_code, result.output) == (
        1,
        f"Error: {deployments}: there is no deployment moon; there is lab\n",
    )


def test_only_the_deployments_named_are_tried(lab: RenkuLab, deployments: Path) -> None:
    (deployments / "broken.yaml").write_text("name: broken\nstart: never\ntokn: x\n")
    assert Checked("lab").exit_code == 0
    checked = Checked("broken")
    assert checked.exit_code == 1
    faults_of_file = [line for line in checked.output.splitlines() if line.startswith("  failed")]
    assert len(faults_of_file) == 3
    assert all(f"{deployments / 'broken.yaml'}: " in line for line in faults_of_file)
    # The others are still tried.
    assert "\nlab\n" in Checked().output


def test_an_unset_variable_fails_and_its_source_is_not_tried(lab: RenkuLab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LAB_KEYCLOAK_SECRET")
    checked = Checked()
    assert checked.exit_code == 1
    assert checked.not_ok() == {"variable": "failed", "keycloak": "failed"}
    assert checked.text("variable") == "LAB_KEYCLOAK_SECRET, which keycloak.client_secret names, is not set: set it"


def test_a_source_left_out_is_said_so(lab: RenkuLab, deployments: Path) -> None:
    change(deployments, lambda content: content.pop("gitlab"))
    change(deployments, lambda content: content.pop("keycloak"))
    checked = Checked()
    assert checked.exit_code == 0
    assert checked.not_ok() == {"gitlab": "warning", "keycloak": "warning"}


def test_the_hash_key_has_to_be_the_stores(lab: RenkuLab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    StoreLedger(Store.at(str(tmp_path / "store"))).begin_with(b"of another key")
    assert Checked().not_ok() == {"hash key": "failed"}
    monkeypatch.delenv("RENKU_METRICS_HASH_KEY")
    checked = Checked()
    assert checked.not_ok() == {"hash key": "failed"}
    assert "openssl rand -hex 32" in checked.text("hash key")


def test_a_store_that_cannot_be_written_to_fails(
    lab: RenkuLab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a file").write_text("")
    monkeypatch.setenv("RENKU_METRICS_STORE", str(tmp_path / "a file"))
    checked = Checked()
    assert checked.exit_code == 1
    assert checked.lines["store"][0] == "failed"
    assert "cannot be written" in checked.text("store")


# GitLab


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        (lambda lab: lab.faults.add("/gitlab/", faults.server_error(502), times=None), "status 502"),
        (lambda lab: lab.faults.add("/gitlab/", faults.html_page(), times=None), "not JSON"),
        (
            lambda lab: lab.faults.add("/gitlab/", faults.redirect("https://login.example/"), times=None),
            "correct the url",
        ),
        (lambda lab: lab.gitlab.tokens.clear(), "the token in LAB_GITLAB_TOKEN was refused"),
    ],
)
def test_a_gitlab_that_does_not_answer_is_one_failed_line(
    lab: RenkuLab, wrong: Callable[[RenkuLab], None], text: str
) -> None:
    wrong(lab)
    checked = Checked()
    assert checked.exit_code == 1
    assert checked.not_ok() == {"gitlab": "failed"}
    assert text in checked.text("gitlab")
    assert "gitlab token" not in checked.lines


def test_an_address_that_is_no_gitlab_is_said_so(lab: RenkuLab, deployments: Path) -> None:
    change(deployments, lambda content: content["gitlab"].update(url=lab.gitlab_url + "/elsewhere"))
    assert "correct url" in Checked().text("gitlab")


def test_the_token_of_an_ordinary_user_fails(lab: RenkuLab) -> None:
    lab.administrator.is_admin = False
    checked = Checked()
    assert checked.exit_code == 1
    assert checked.not_ok() == {
        "gitlab administrator": "failed",
        "gitlab people": "failed",
        # One of Ada's own projects, which this user does not see.
        "gitlab private projects": "warning",
        "gitlab commits": "warning",
        "gitlab push events": "warning",
    }
    assert "administrator's token with scope read_api" in checked.text("gitlab administrator")


def test_a_token_without_the_scope_fails(lab: RenkuLab) -> None:
    lab.gitlab.tokens.clear()
    lab.gitlab.add_token(lab.gitlab_token, lab.administrator, scopes=("read_user",))
    checked = Checked()
    assert checked.lines["gitlab token"] == ("failed", "has only scope read_user: make one with scope read_api")
    assert checked.exit_code == 1


def test_a_token_that_ends_soon_is_a_warning(lab: RenkuLab) -> None:
    ends = (NOW + 20 * ONE_DAY).date()
    lab.gitlab.add_token(lab.gitlab_token, lab.administrator, expires_on=ends)
    checked = Checked()
    assert checked.exit_code == 0
    assert checked.not_ok() == {"gitlab token": "warning"}
    assert str(ends) in checked.text("gitlab token")


def test_a_server_that_tells_nothing_of_its_tokens_is_no_fault(lab: RenkuLab) -> None:
    lab.faults.add("personal_access_tokens", faults.Instead(404, b"{}", {"Content-Type": "application/json"}))
    assert Checked().not_ok() == {}


def test_users_that_keycloak_does_not_know_are_a_warning(lab: RenkuLab) -> None:
    for user in lab.gitlab.users.values():
        user.keycloak_id = None
    assert Checked().not_ok() == {"gitlab people": "warning"}


def test_push_events_that_are_refused_are_a_warning(lab: RenkuLab) -> None:
    lab.faults.add(r"/projects/\d+/events", faults.Instead(403, b"{}", {"Content-Type": "application/json"}))
    assert Checked().not_ok() == {"gitlab push events": "warning"}


def test_a_gitlab_without_projects_has_nothing_to_show_yet(lab: RenkuLab) -> None:
    lab.gitlab.projects.clear()
    assert Checked().not_ok() == {
        "gitlab private projects": "warning",
        "gitlab commits": "warning",
        "gitlab push events": "warning",
    }


def test_an_answer_of_another_form_fails_without_saying_what_was_in_it(lab: RenkuLab) -> None:
    answer = faults.Instead(200, b'["lovelace"]', {"Content-Type": "application/json"})
    lab.faults.add("/version", answer)
    checked = Checked()
    assert checked.not_ok() == {"gitlab": "failed"}
    assert "lovelace" not in checked.output


# Keycloak


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


# Amalthea


def test_lines_without_labels_are_warnings(lab: RenkuLab) -> None:
    lab.amalthea.extra_labels = ()
    for path in lab.audit_log.iterdir():
        path.unlink()
    lab.amalthea.start_session(NOW - HOUR, user_id="somebody", gitlab_project_id=7)
    lab.amalthea.restart(NOW)
    checked = Checked()
    assert checked.exit_code == 0
    assert checked.not_ok() == {"amalthea user label": "warning", "amalthea project label": "warning"}
    assert checked.text("amalthea user label").startswith("0 of the latest 2 lines of people's sessions carry")


def test_an_audit_log_without_files_is_a_warning(lab: RenkuLab) -> None:
    for path in lab.audit_log.iterdir():
        path.unlink()
    checked = Checked()
    assert checked.not_ok() == {"amalthea": "warning", "amalthea lines": "warning"}
    assert "auditLog.enabled" in checked.text("amalthea")


def test_an_audit_log_that_fell_silent_is_a_warning(lab: RenkuLab) -> None:
    *older, path = sorted(lab.audit_log.iterdir())
    for file in older:
        file.unlink()
    path.rename(path.with_name(f"amalthea_audit_log_{NOW - 8 * ONE_DAY:%Y%m%d_%H%M%S}+0000.txt"))
    assert Checked().not_ok() == {"amalthea": "warning"}


def test_lines_cut_off_are_a_warning(lab: RenkuLab) -> None:
    *_, path = sorted(lab.audit_log.iterdir())
    path.write_bytes(path.read_bytes()[:-20])
    assert Checked().not_ok() == {"amalthea lines": "warning"}


def test_a_bucket_that_is_not_there_is_one_failed_line(lab: RenkuLab, deployments: Path, s3_environment: str) -> None:
    change(deployments, lambda content: content.update(amalthea={"audit_log": "s3://no-such-bucket/logs"}))
    checked = Checked()
    assert checked.exit_code == 1
    assert checked.not_ok() == {"amalthea": "failed"}
    assert "no-such-bucket" in checked.text("amalthea")


def test_neither_check_nor_erase_waits_for_dagster_to_load() -> None:
    code = "import sys, renku_metrics.commands.check, renku_metrics.commands.erase; sys.exit('dagster' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], env=dict(os.environ), check=False).returncode == 0
