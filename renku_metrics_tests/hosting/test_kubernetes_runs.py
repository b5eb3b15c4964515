"""The pod of a run, as Dagster's own run launcher builds it of the values; and the manifests beside the chart."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml
from dagster._config import process_config, resolve_to_config_type
from dagster._core.code_pointer import ModuleCodePointer
from dagster._core.launcher import LaunchRunContext
from dagster._core.origin import JobPythonOrigin, RepositoryPythonOrigin
from dagster._core.test_utils import create_run_for_test
from dagster_k8s import K8sRunLauncher
from kubernetes.client import ApiClient, V1Job

from renku_metrics_tests.hosting.kubernetes_objects import faults
from renku_metrics_tests.hosting.test_compose import variables
from renku_metrics_tests.hosting.test_kubernetes import CODE_LOCATION, FOLDER, LOGIN, RELEASE, VALUES

IMAGE = "{repository}:{tag}".format(**CODE_LOCATION["image"])
LAUNCHER = VALUES["runLauncher"]["config"]["k8sRunLauncher"]
CHECK: dict[str, Any] = yaml.safe_load((FOLDER / "check.yaml").read_text())
# To which cluster, if there were one.
KUBECONFIG = {
    "apiVersion": "v1",
    "kind": "Config",
    "current-context": "none",
    "clusters": [{"name": "none", "cluster": {"server": "http://127.0.0.1:1"}}],
    "contexts": [{"name": "none", "context": {"cluster": "none", "user": "none"}}],
    "users": [{"name": "none", "user": {}}],
}


class Cluster:
    """Takes jobs as Kubernetes' batch API does."""

    def __init__(self) -> None:
        self.jobs: list[V1Job] = []

    def create_namespaced_job(self, body: V1Job, namespace: str, **_: Any) -> None:
        assert namespace == RELEASE
        self.jobs.append(body)


def launcher_settings() -> dict[str, Any]:
    """What the chart writes of the values for the run launcher."""
    own = LAUNCHER["runK8sConfig"]
    return {
        "job_namespace": RELEASE,
        "image_pull_policy": LAUNCHER["imagePullPolicy"],
        "service_account_name": f"{RELEASE}-dagster",
        "dagster_home": VALUES["global"]["dagsterHome"],
        "instance_config_map": f"{RELEASE}-dagster-instance",
        "postgres_password_secret": VALUES["global"]["postgresqlSecretName"],
        "fail_pod_on_run_failure": LAUNCHER["failPodOnRunFailure"],
        "run_k8s_config": {
            "container_config": own["containerConfig"],
            "pod_spec_config": own["podSpecConfig"],
            "job_spec_config": own["jobSpecConfig"],
        },
    }


def container_context() -> dict[str, Any]:
    """What the chart makes known to every run of the code location's pod; its ``env`` is a ConfigMap of the chart's."""
    return {
        "k8s": {
            "image_pull_policy": CODE_LOCATION["image"]["pullPolicy"],
            "env_config_maps": [f"{RELEASE}-dagster-user-deployments-{CODE_LOCATION['name']}-user-env"],
            "env_secrets": [secret["name"] for secret in CODE_LOCATION["envSecrets"]],
            "volume_mounts": CODE_LOCATION["volumeMounts"],
            "volumes": CODE_LOCATION["volumes"],
            "resources": CODE_LOCATION["resources"],
            "namespace": RELEASE,
            "service_account_name": f"{RELEASE}-dagster-user-deployments",
            "run_k8s_config": {"pod_spec_config": {"automount_service_account_token": True}},
        }
    }


@pytest.fixture
def jobs(tmp_path: Path) -> list[dict[str, Any]]:
    """What Kubernetes is asked for when two runs are launched."""
    (tmp_path / "kubeconfig").write_text(yaml.safe_dump(KUBECONFIG))
    settings = launcher_settings() | {"load_incluster_config": False, "kubeconfig_file": str(tmp_path / "kubeconfig")}
    config_type = resolve_to_config_type(K8sRunLauncher.config_type())  # type: ignore[no-untyped-call]
    valid = process_config(config_type, settings)
    assert valid.success, valid.errors
    cluster = Cluster()
    launcher = K8sRunLauncher(**settings, k8s_client_batch_api=cluster)
    with dg.instance_for_test(temp_dir=str(tmp_path)) as instance:
        launcher.register_instance(instance)
        repository = RepositoryPythonOrigin(
            executable_path="python",
            code_pointer=ModuleCodePointer("renku_metrics.definitions", "defs", "."),
            container_image=IMAGE,
            entry_point=["dagster"],
            container_context=container_context(),
        )
        origin = JobPythonOrigin("pull_all_sources_daily", repository)
        for _ in range(2):
            run = create_run_for_test(instance, job_name="pull_all_sources_daily", job_code_origin=origin)
            launcher.launch_run(LaunchRunContext(run, workspace=None))
    return [ApiClient().sanitize_for_serialization(job) for job in cluster.jobs]


@pytest.fixture
def pod(jobs: list[dict[str, Any]]) -> dict[str, Any]:
    spec: dict[str, Any] = jobs[0]["spec"]["template"]["spec"]
    return spec


@pytest.fixture
def container(pod: dict[str, Any]) -> dict[str, Any]:
    (only,) = pod["containers"]
    found: dict[str, Any] = only
    return found


def test_every_run_is_a_pod_of_its_own(jobs: list[dict[str, Any]]) -> None:
    assert len({job["metadata"]["name"] for job in jobs}) == 2
    for job in jobs:
        assert list(faults("V1Job", job)) == []
        # Dagster and not Kubernetes starts a run again.
        assert job["spec"]["backoffLimit"] == 0
        assert job["spec"]["template"]["spec"]["restartPolicy"] == "Never"
        assert job["spec"]["ttlSecondsAfterFinished"] == 86400


def test_it_runs_what_the_code_location_runs(container: dict[str, Any], pod: dict[str, Any]) -> None:
    assert container["image"] == IMAGE
    assert container["args"][:3] == ["dagster", "api", "execute_run"]
    assert pod["serviceAccountName"] == f"{RELEASE}-dagster-user-deployments"


def test_its_environment_is_that_of_the_code_location_with_secrets_by_reference(container: dict[str, Any]) -> None:
    assert container["envFrom"] == [
        {"configMapRef": {"name": f"{RELEASE}-dagster-user-deployments-code-location-user-env"}},
        {"secretRef": {"name": "renku-metrics-s3"}},
        {"secretRef": {"name": "renku-metrics-sources"}},
    ]
    password = {"secretKeyRef": {"name": "renku-metrics-postgresql", "key": "postgresql-password"}}
    assert {"name": "DAGSTER_PG_PASSWORD", "valueFrom": password} in container["env"]
    literal = {variable["name"]: variable["value"] for variable in container["env"] if "value" in variable}
    assert literal == {"DAGSTER_HOME": "/opt/dagster/dagster_home", "DAGSTER_RUN_JOB_NAME": "pull_all_sources_daily"}
    secret = {*variables("sources.env.example"), "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}
    assert not secret & {*literal, *CODE_LOCATION["env"]}


def test_it_sees_the_deployment_files_and_may_write_to_tmp(container: dict[str, Any], pod: dict[str, Any]) -> None:
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    mounts = {mount["mountPath"]: mount for mount in container["volumeMounts"]}
    deployments = mounts[CODE_LOCATION["env"]["RENKU_METRICS_DEPLOYMENTS"]]
    assert volumes[deployments["name"]]["configMap"] == {"name": "renku-metrics-deployments"}
    assert deployments["readOnly"] is True
    assert volumes[mounts["/tmp"]["name"]]["emptyDir"] == {}


def test_it_is_nobody_and_has_the_size_of_a_run(container: dict[str, Any], pod: dict[str, Any]) -> None:
    assert pod["securityContext"] == {
        "runAsNonRoot": True,
        "runAsUser": 10001,
        "runAsGroup": 10001,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert container["resources"] == {"requests": {"cpu": "250m", "memory": "768Mi"}, "limits": {"memory": "4Gi"}}


@pytest.mark.parametrize("document", [*LOGIN, CHECK], ids=lambda document: f"{document['kind']}")
def test_the_manifests_are_what_kubernetes_knows(document: dict[str, Any]) -> None:
    assert list(faults(f"V1{document['kind']}", document)) == []


def test_the_models_refuse_what_is_misspelt_missing_or_of_another_type() -> None:
    (policy,) = [document for document in LOGIN if document["kind"] == "NetworkPolicy"]
    assert list(faults("V1NetworkPolicy", {**policy, "specs": {}})) == [".specs is unknown to V1NetworkPolicy"]
    assert list(faults("V1Container", {"image": "x"})) != []
    assert list(faults("V1Container", {"name": "x", "tty": "yes"})) == [".tty: 'yes' is no bool"]
    assert list(faults("V1Container", {"name": "x", "args": ["a", 1]})) == [".args[1]: 1 is no str"]


def test_the_check_runs_with_the_environment_of_the_pulls() -> None:
    pod = CHECK["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert container["image"] == IMAGE
    assert container["args"] == ["renku-metrics", "check"]
    assert [source["secretRef"] for source in container["envFrom"]] == CODE_LOCATION["envSecrets"]
    given = {variable["name"]: variable["value"] for variable in container["env"]}
    assert given.items() <= CODE_LOCATION["env"].items()
    assert {"RENKU_METRICS_STORE", "RENKU_METRICS_DEPLOYMENTS", "AWS_ENDPOINT_URL", "AWS_REGION"} == set(given)
    assert container["volumeMounts"] == CODE_LOCATION["volumeMounts"]
    assert pod["volumes"] == CODE_LOCATION["volumes"]
    assert pod["securityContext"] == CODE_LOCATION["podSecurityContext"]
    assert container["securityContext"] == CODE_LOCATION["securityContext"]
    # A check that fails is a Job that fails, at once.
    assert (pod["restartPolicy"], CHECK["spec"]["jobTemplate"]["spec"]["backoffLimit"]) == ("Never", 0)
