"""The values for Dagster's Helm chart and the login before it: that they fit each other and the rest of hosting."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import yaml

from renku_metrics.environment import PROJECT
from renku_metrics_tests.hosting.test_compose import variables
from renku_metrics_tests.hosting.test_image import IMAGE_LOCK, pinned

FOLDER = PROJECT / "hosting" / "kubernetes"
TEXT = (FOLDER / "values.yaml").read_text()
VALUES: dict[str, Any] = yaml.safe_load(TEXT)
LOGIN: list[dict[str, Any]] = list(yaml.safe_load_all((FOLDER / "login.yaml").read_text()))
DAGSTER_YAML = yaml.safe_load((PROJECT / "dagster.yaml").read_text())
(CODE_LOCATION,) = VALUES["dagster-user-deployments"]["deployments"]
RELEASE = "renku-metrics"


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from leaves(inner, f"{path}.{key}")
    elif isinstance(value, list):
        for inner in value:
            yield from leaves(inner, path)
    else:
        yield path, value


def of_kind(kind: str) -> list[dict[str, Any]]:
    return [document for document in LOGIN if document["kind"] == kind]


def test_the_chart_has_the_version_of_the_dagster_in_the_image() -> None:
    (version,) = pinned(IMAGE_LOCK)["dagster"]
    assert re.findall(r"--version (\S+)", TEXT) == [version]


def test_every_process_runs_the_one_image() -> None:
    images = [CODE_LOCATION["image"], VALUES["dagsterWebserver"]["image"], VALUES["dagsterDaemon"]["image"]]
    assert {(image["repository"], image["tag"]) for image in images} == {
        ("renku-metrics", variables(".env.example")["RENKU_METRICS_VERSION"])
    }


def test_secrets_are_only_named() -> None:
    suspicious = re.compile("password$|secret$|token$|accesskey|hash_?key", re.IGNORECASE)
    assert {path: value for path, value in leaves(VALUES) if suspicious.search(path)} == {
        ".generatePostgresqlPasswordSecret": False,
        ".generateCeleryConfigSecret": False,
    }
    assert [secret["name"] for secret in CODE_LOCATION["envSecrets"]] == ["renku-metrics-s3", "renku-metrics-sources"]


def test_the_secrets_of_sources_reach_only_code_and_runs() -> None:
    for part in ("dagsterWebserver", "dagsterDaemon"):
        assert VALUES[part]["envSecrets"] == [{"name": "renku-metrics-s3"}]


def test_a_run_is_a_pod_with_the_environment_of_the_code_location() -> None:
    assert VALUES["runLauncher"]["type"] == "K8sRunLauncher"
    assert CODE_LOCATION["includeConfigInLaunchedRuns"] == {"enabled": True}
    # Dagster lets these go before the run launcher's own, so they must be large enough for a run.
    assert CODE_LOCATION["resources"]["limits"]["memory"] == "4Gi"


def test_nobody_is_root_and_nothing_of_the_image_is_writable() -> None:
    launcher = VALUES["runLauncher"]["config"]["k8sRunLauncher"]["runK8sConfig"]
    pods = [
        *[
            (part["podSecurityContext"], part["securityContext"])
            for part in (CODE_LOCATION, VALUES["dagsterWebserver"])
        ],
        (VALUES["dagsterDaemon"]["podSecurityContext"], VALUES["dagsterDaemon"]["securityContext"]),
        (launcher["podSpecConfig"]["securityContext"], launcher["containerConfig"]["securityContext"]),
    ]
    for pod, container in pods:
        assert pod["runAsNonRoot"] is True
        assert pod["runAsUser"] == 10001
        assert container["readOnlyRootFilesystem"] is True
        assert container["capabilities"] == {"drop": ["ALL"]}
    assert "USER 10001:10001" in (PROJECT / "hosting" / "Dockerfile").read_text()


def test_one_deployment_takes_no_more_of_the_queue_than_elsewhere() -> None:
    queue = VALUES["dagsterDaemon"]["runCoordinator"]["config"]["queuedRunCoordinator"]
    assert queue["tagConcurrencyLimits"] == DAGSTER_YAML["concurrency"]["runs"]["tag_concurrency_limits"]
    assert VALUES["additionalInstanceConfig"]["run_retries"] == DAGSTER_YAML["run_retries"]


def test_the_webservers_are_reached_through_the_login_alone() -> None:
    webserver = VALUES["dagsterWebserver"]
    assert VALUES["ingress"] == {"enabled": False}
    assert webserver["service"]["type"] == "ClusterIP"
    assert webserver["enableReadOnly"] is True
    name, port = f"{RELEASE}-{webserver['nameOverride']}", webserver["service"]["port"]
    arguments = [
        deployment["spec"]["template"]["spec"]["containers"][0]["args"] for deployment in of_kind("Deployment")
    ]
    assert [given[0] for given in arguments] == [
        f"--upstream=http://{name}-read-only:{port}",
        f"--upstream=http://{name}:{port}",
    ]
    assert all(any(argument.startswith("--allowed-group=") for argument in given) for given in arguments)
    (policy,) = of_kind("NetworkPolicy")
    assert policy["spec"]["ingress"][0]["ports"] == [{"port": port}]
    for probe in ("readinessProbe", "livenessProbe"):
        assert webserver[probe]["httpGet"] == {"path": "/server_info", "port": port}


def test_every_host_leads_to_the_login_that_sends_people_back_there() -> None:
    (ingress,) = of_kind("Ingress")
    for rule in ingress["spec"]["rules"]:
        service = rule["http"]["paths"][0]["backend"]["service"]["name"]
        assert service in {document["metadata"]["name"] for document in of_kind("Service")}
        (deployment,) = [document for document in of_kind("Deployment") if document["metadata"]["name"] == service]
        arguments = deployment["spec"]["template"]["spec"]["containers"][0]["args"]
        assert f"--redirect-url=https://{rule['host']}/oauth2/callback" in arguments
        assert rule["host"] in ingress["spec"]["tls"][0]["hosts"]
