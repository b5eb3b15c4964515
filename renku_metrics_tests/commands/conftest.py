from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from renku_metrics.periods import ONE_DAY
from renku_metrics.sources import findings
from renku_metrics.sources.gitlab import check as check_gitlab
from renku_metrics.sources.http import Patience
from renku_metrics.sources.keycloak import check as check_keycloak
from renku_metrics.store.store import Store
from renku_metrics_tests.commands.checked import ADA, HOUR
from renku_metrics_tests.pipeline.kept_deployment import MONTHS, KeptDeployment, populated
from renku_metrics_tests.present import NOW
from renku_metrics_tests.served import served
from renkulab.git import Repository
from renkulab.server import RenkuLab


@pytest.fixture(scope="module")
def pulled_once(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KeptDeployment]:
    folder = tmp_path_factory.mktemp("pulled")
    with pytest.MonkeyPatch.context() as patch, populated(str(folder / "store"), folder, patch) as pulled:
        pulled.pull()
        pulled.build(MONTHS)
        yield pulled


@pytest.fixture
def pulled(pulled_once: KeptDeployment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> KeptDeployment:
    """The people of a simulated deployment, pulled and built into a store that is this test's own."""
    address = str(tmp_path / "store")
    shutil.copytree(pulled_once.store.storage.address(), address)
    monkeypatch.setenv("RENKU_METRICS_STORE", address)
    return replace(pulled_once, store=Store.at(address))


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RenkuLab]:
    """A healthy deployment where Ada committed, logged in and ran a session."""
    lab = RenkuLab("lab", tmp_path / "audit_log", now=NOW - 3 * ONE_DAY)
    login = lab.keycloak.add_user(ADA.email, NOW - 3 * ONE_DAY)
    ada = lab.gitlab.add_user(ADA.name, ADA.email, NOW - 3 * ONE_DAY, keycloak_id=login.id)
    repository = Repository()
    project = lab.gitlab.create_project(
        "secret-flights", lab.gitlab.personal_namespace(ada), ada, NOW - 3 * ONE_DAY, repository=repository
    )
    head = repository.commit("a change\n", ADA, NOW - 2 * ONE_DAY).sha
    lab.gitlab.push(project, ada, {"master": head}, NOW - 2 * ONE_DAY)
    lab.keycloak.log_in(login, NOW - HOUR)
    lab.amalthea.start_session(NOW - 2 * ONE_DAY, user_id=login.id, gitlab_project_id=project.id)
    lab.amalthea.restart(NOW - ONE_DAY)
    lab.clock.set(NOW)
    monkeypatch.setenv("RENKU_METRICS_STORE", str(tmp_path / "store"))
    for module in (findings, check_gitlab, check_keycloak):
        monkeypatch.setattr(module, "SHORT_PATIENCE", Patience(tries=1))
    with served([lab], tmp_path / "deployments", (NOW - 10 * ONE_DAY).date(), monkeypatch):
        yield lab


@pytest.fixture
def deployments(tmp_path: Path) -> Path:
    return tmp_path / "deployments"
