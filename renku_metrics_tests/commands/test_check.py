"""What ``renku-metrics check`` tries and prints, and what it says of store, hash key and deployment files."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from renku_metrics.cli import renku_metrics
from renku_metrics.object_storage import DirectoryStorage
from renku_metrics.store.store import Store
from renku_metrics.store.store_ledger import StoreLedger
from renku_metrics_tests.commands.checked import ADA, Checked, change
from renkulab.server import RenkuLab


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


def test_neither_check_nor_erase_waits_for_dagster_to_load() -> None:
    code = "import sys, renku_metrics.commands.check, renku_metrics.commands.erase; sys.exit('dagster' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], env=dict(os.environ), check=False).returncode == 0
