"""Deployment files: what they say, and when their secrets are looked up."""

from __future__ import annotations

import datetime as dt
import shutil
from pathlib import Path

import pytest

from renku_metrics.deployments import Deployment
from renku_metrics.environment import PROJECT, deployments_folder
from renku_metrics.errors import ConfigurationError
from renku_metrics.sources.amalthea.section import Amalthea
from renku_metrics.sources.gitlab.section import GitLab
from renku_metrics.sources.keycloak.section import Keycloak
from renku_metrics.sources.registry import all_sources, read_deployment, read_deployments
from renku_metrics_tests.deployment_files import LITERAL, MINIMAL, WHOLE, file


def test_a_file_says_everything_about_a_deployment(tmp_path: Path) -> None:
    lab = read_deployment(file(tmp_path, WHOLE))

    assert (lab.name, lab.title, lab.start) == ("lab", "Lab", dt.date(2026, 1, 31))
    assert lab.domains == ("renku.example.org", "localhost:8080")
    gitlab, keycloak = lab.configured(GitLab), lab.configured(Keycloak)
    assert (gitlab.url, gitlab.concurrency) == ("https://gitlab.example.org", 8)
    assert (keycloak.url, keycloak.realm) == ("http://127.0.0.1:8080/auth", "Other")
    assert keycloak.client_id == "renku-metrics"
    assert lab.section(Amalthea) == Amalthea(
        audit_log="s3://lab-audit-log/some/prefix", endpoint_url="https://s3.example.org"
    )


def test_every_source_is_optional(tmp_path: Path) -> None:
    lab = read_deployment(file(tmp_path, MINIMAL))

    assert (lab.sources, lab.domains) == ({}, ())
    assert (lab.section(GitLab), lab.section(Keycloak), lab.section(Amalthea)) == (None, None, None)
    with pytest.raises(ValueError, match=r"^lab has no section GitLab$"):
        lab.configured(GitLab)


def test_a_section_without_content_is_no_section(tmp_path: Path) -> None:
    assert read_deployment(file(tmp_path, f"{MINIMAL}gitlab:\n")).sources == {}


def test_renku_is_the_realm_unless_another_is_named(tmp_path: Path) -> None:
    lab = read_deployment(file(tmp_path, WHOLE.replace("  realm: Other\n", "")))

    assert lab.configured(Keycloak).realm == "Renku"


def test_secrets_are_looked_up_when_they_are_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    token = read_deployment(file(tmp_path, WHOLE)).configured(GitLab).token

    monkeypatch.setenv("LAB_GITLAB_TOKEN", "first")
    assert token.is_set
    assert token.reveal() == "first"
    # As a secret that is mounted from a file ends.
    monkeypatch.setenv("LAB_GITLAB_TOKEN", "second\n")
    assert token.reveal() == "second"


@pytest.mark.parametrize("value", [None, "", " \n"])
def test_a_variable_that_is_not_set_is_one_line_that_names_file_and_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str | None
) -> None:
    lab = read_deployment(file(tmp_path, WHOLE))
    gitlab, keycloak = lab.configured(GitLab), lab.configured(Keycloak)
    for name in ("LAB_GITLAB_TOKEN", "LAB_KEYCLOAK_SECRET"):
        monkeypatch.delenv(name, raising=False) if value is None else monkeypatch.setenv(name, value)

    assert not gitlab.token.is_set
    with pytest.raises(ConfigurationError) as error:
        gitlab.token.reveal()
    assert str(error.value) == "lab.yaml: gitlab.token: environment variable LAB_GITLAB_TOKEN is not set"
    with pytest.raises(ConfigurationError) as error:
        keycloak.client_secret.reveal()
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
    assert list(deployment.sources) == [source.name for source in all_sources()]
    for section in (deployment, *deployment.sources.values()):
        assert section.model_fields_set == set(type(section).model_fields)


def test_renkulab_io_is_shipped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RENKU_METRICS_DEPLOYMENTS", raising=False)
    shipped = read_deployments(deployments_folder())

    assert shipped.keys() >= {"renkulab-io"}
    renkulab = shipped["renkulab-io"]
    assert renkulab.start == dt.date(2022, 9, 5)
    assert renkulab.domains == ("renkulab.io",)
    assert renkulab.configured(GitLab).url == "https://gitlab.renkulab.io"
    assert repr(renkulab.configured(GitLab).token) == "${RENKULAB_IO_GITLAB_TOKEN}"
    assert renkulab.configured(Keycloak).realm == "Renku"
    assert renkulab.section(Amalthea) is not None


def test_days_may_be_given_as_dates_in_code() -> None:
    assert Deployment(name="lab", title="Lab", start=dt.date(2026, 1, 31)).start == dt.date(2026, 1, 31)
