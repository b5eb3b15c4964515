"""Deployment files: what they say, and when their secrets are looked up."""

from __future__ import annotations

import datetime as dt
import shutil
from pathlib import Path

import pytest

from renku_metrics.deployments import Amalthea, Deployment, read_deployment, read_deployments
from renku_metrics.environment import PROJECT, deployments_folder
from renku_metrics.errors import ConfigurationError
from renku_metrics_tests.deployment_files import LITERAL, MINIMAL, WHOLE, file


def test_a_file_says_everything_about_a_deployment(tmp_path: Path) -> None:
    lab = read_deployment(file(tmp_path, WHOLE))

    assert (lab.name, lab.title, lab.start) == ("lab", "Lab", dt.date(2026, 1, 31))
    assert lab.domains == ("renku.example.org", "localhost:8080")
    assert lab.gitlab is not None
    assert (lab.gitlab.url, lab.gitlab.concurrency) == ("https://gitlab.example.org", 8)
    assert lab.keycloak is not None
    assert (lab.keycloak.url, lab.keycloak.realm) == ("http://127.0.0.1:8080/auth", "Other")
    assert lab.keycloak.client_id == "renku-metrics"
    assert lab.amalthea == Amalthea(audit_log="s3://lab-audit-log/some/prefix", endpoint_url="https://s3.example.org")


def test_every_source_is_optional(tmp_path: Path) -> None:
    lab = read_deployment(file(tmp_path, MINIMAL))

    assert (lab.gitlab, lab.keycloak, lab.amalthea, lab.domains) == (None, None, None, ())


def test_renku_is_the_realm_unless_another_is_named(tmp_path: Path) -> None:
    lab = read_deployment(file(tmp_path, WHOLE.replace("  realm: Other\n", "")))

    assert lab.keycloak is not None
    assert lab.keycloak.realm == "Renku"


def test_secrets_are_looked_up_when_they_are_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lab = read_deployment(file(tmp_path, WHOLE))
    assert lab.gitlab is not None

    monkeypatch.setenv("LAB_GITLAB_TOKEN", "first")
    assert lab.gitlab.token.is_set
    assert lab.gitlab.token.reveal() == "first"
    # As a secret that is mounted from a file ends.
    monkeypatch.setenv("LAB_GITLAB_TOKEN", "second\n")
    assert lab.gitlab.token.reveal() == "second"


@pytest.mark.parametrize("value", [None, "", " \n"])
def test_a_variable_that_is_not_set_is_one_line_that_names_file_and_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str | None
) -> None:
    lab = read_deployment(file(tmp_path, WHOLE))
    assert lab.gitlab is not None
    assert lab.keycloak is not None
    for name in ("LAB_GITLAB_TOKEN", "LAB_KEYCLOAK_SECRET"):
        monkeypatch.delenv(name, raising=False) if value is None else monkeypatch.setenv(name, value)

    assert not lab.gitlab.token.is_set
    with pytest.raises(ConfigurationError) as error:
        lab.gitlab.token.reveal()
    assert str(error.value) == "lab.yaml: gitlab.token: environment variable LAB_GITLAB_TOKEN is not set"
    with pytest.raises(ConfigurationError) as error:
        lab.keycloak.client_secret.reveal()
    assert str(error.value) == ("lab.yaml: keycloak.client_secret: environment variable LAB_KEYCLOAK_SECRET is not set")


def test_what_a_deployment_prints_holds_no_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAB_GITLAB_TOKEN", LITERAL)
    lab = read_deployment(file(tmp_path, WHOLE))

    assert "${LAB_GITLAB_TOKEN}" in repr(lab)
    assert LITERAL not in repr(lab)


def test_all_files_of_a_folder_are_read_sorted_by_name(tmp_path: Path) -> None:
    for name in ("zoo", "b-1", "a"):
        file(tmp_path, MINIMAL.replace("lab", name), f"{name}.yaml")
    file(tmp_path, MINIMAL.replace("lab", "c"), "c.yml")
    for other in ("_template.yaml", ".hidden.yaml", "notes.txt", "old.yaml.bak"):
        file(tmp_path, "not a deployment", other)

    assert list(read_deployments(tmp_path)) == ["a", "b-1", "c", "zoo"]


def test_the_template_is_a_deployment_once_it_is_copied_under_its_name(tmp_path: Path) -> None:
    shutil.copy(PROJECT / "deployments" / "_template.yaml", tmp_path / "my-renkulab.yaml")

    deployment = read_deployments(tmp_path)["my-renkulab"]

    # Every key that there is, so that nobody has to look for one elsewhere.
    for section in (deployment, deployment.gitlab, deployment.keycloak, deployment.amalthea):
        assert section is not None
        assert section.model_fields_set == set(type(section).model_fields)


def test_renkulab_io_is_shipped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RENKU_METRICS_DEPLOYMENTS", raising=False)
    shipped = read_deployments(deployments_folder())

    assert shipped.keys() >= {"renkulab-io"}
    renkulab = shipped["renkulab-io"]
    assert renkulab.start == dt.date(2022, 9, 5)
    assert renkulab.domains == ("renkulab.io",)
    assert renkulab.gitlab is not None
    assert renkulab.gitlab.url == "https://gitlab.renkulab.io"
    assert repr(renkulab.gitlab.token) == "${RENKULAB_IO_GITLAB_TOKEN}"
    assert renkulab.keycloak is not None
    assert renkulab.keycloak.realm == "Renku"
    assert renkulab.amalthea is not None


def test_days_may_be_given_as_dates_in_code() -> None:
    assert Deployment(name="lab", title="Lab", start=dt.date(2026, 1, 31)).start == dt.date(2026, 1, 31)
