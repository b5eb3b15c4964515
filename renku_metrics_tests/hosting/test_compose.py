"""The compose file: its commands, variables, secrets and ports, as far as they can be checked without an engine."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import click
import pytest
import yaml
from dagster._cli.api import grpc_health_check_command
from dagster._cli.code_server import start_command
from dagster._daemon.cli import liveness_check_command, run_command
from dagster_webserver.cli import dagster_webserver

from renku_metrics.dagster.instance import COMPUTE_LOGS, POSTGRES, POSTGRES_PORT
from renku_metrics.environment import PROJECT
from renku_metrics_tests.servers.docker_compose import docker_compose
from renku_metrics_tests.servers.fetched import NOT_ASKED_FOR, asked_for

HOSTING = PROJECT / "hosting"
TEXT = (HOSTING / "compose.yaml").read_text()
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load(TEXT)["services"]
WEBSERVERS = ("webserver", "webserver-read-only")
DAGSTER = ("code-location", "daemon", *WEBSERVERS)
# Where the image has what hosting/workspace.yaml says.
WORKSPACE = "/opt/dagster/workspace.yaml"
COMMANDS: dict[tuple[str, ...], click.Command] = {
    ("dagster", "code-server", "start"): start_command,
    ("dagster", "api", "grpc-health-check"): grpc_health_check_command,
    ("dagster-daemon", "run"): run_command,
    ("dagster-daemon", "liveness-check"): liveness_check_command,
    ("dagster-webserver",): dagster_webserver,
}


def variables(file: str) -> dict[str, str]:
    lines = [line for line in (HOSTING / file).read_text().splitlines() if line and not line.startswith("#")]
    return dict(line.split("=", 1) for line in lines)


def parsed(command: list[str]) -> dict[str, Any]:
    """The options of a dagster command line. Raises click's errors for any that the command does not know."""
    here = [str(HOSTING / "workspace.yaml") if word == WORKSPACE else word for word in command]
    for words, known in COMMANDS.items():
        if tuple(here[: len(words)]) == words:
            return known.make_context(" ".join(words), here[len(words) :]).params
    raise AssertionError(f"unknown command {command}")


@pytest.mark.parametrize("name", DAGSTER)
def test_dagster_understands_the_command_and_the_health_check(name: str) -> None:
    parsed(SERVICES[name]["command"])
    check = SERVICES[name]["healthcheck"]["test"]
    assert check[0] == "CMD"
    if check[1] == "python":
        compile(check[3], "health check", "exec")
    else:
        parsed(check[1:])


def test_the_buckets_are_made_by_a_program_that_compiles() -> None:
    (program,) = SERVICES["buckets"]["command"]
    compile(program, "buckets", "exec")


def test_the_workspace_names_the_code_location_and_its_port() -> None:
    (location,) = yaml.safe_load((HOSTING / "workspace.yaml").read_text())["load_from"]
    server = location["grpc_server"]
    assert server["host"] in SERVICES
    port = str(server["port"])
    assert parsed(SERVICES[server["host"]]["command"])["port"] == server["port"]
    assert SERVICES[server["host"]]["healthcheck"]["test"][-1] == port
    dockerfile = (HOSTING / "Dockerfile").read_text()
    assert f"EXPOSE {port}\n" in dockerfile
    assert f"COPY hosting/workspace.yaml {WORKSPACE}\n" in dockerfile


def test_only_the_operators_webserver_can_change_anything() -> None:
    assert not parsed(SERVICES["webserver"]["command"])["read_only"]
    assert parsed(SERVICES["webserver-read-only"]["command"])["read_only"]
    upstream = SERVICES["login"]["environment"]["OAUTH2_PROXY_UPSTREAMS"]
    assert upstream == "http://webserver-read-only:3000"


def test_whatever_asks_for_no_login_listens_on_loopback_alone() -> None:
    published = {name: port for name, service in SERVICES.items() for port in service.get("ports", [])}
    assert set(published) == {*WEBSERVERS, "login"}
    for name in WEBSERVERS:
        assert published[name].startswith("127.0.0.1:")


def test_every_dagster_process_finds_the_same_postgres_and_logs() -> None:
    for name in DAGSTER:
        assert {*POSTGRES, POSTGRES_PORT, COMPUTE_LOGS} <= set(SERVICES[name]["environment"])


def test_the_secrets_of_sources_reach_the_code_location_alone() -> None:
    assert {name for name, service in SERVICES.items() if "env_file" in service} == {"code-location"}
    secret = set(variables("sources.env.example"))
    assert "RENKU_METRICS_HASH_KEY" in secret
    for service in SERVICES.values():
        assert not secret & set(service.get("environment", {}))


def test_every_variable_is_in_the_example_and_no_secret_has_a_value_there() -> None:
    examples = variables(".env.example")
    # That one is read by compose itself.
    assert set(re.findall(r"\$\{([A-Z0-9_]+)", TEXT)) == set(examples) - {"COMPOSE_PROFILES"}
    profiles = {profile for service in SERVICES.values() for profile in service.get("profiles", [])}
    assert set(examples["COMPOSE_PROFILES"].split(",")) < profiles
    filled = [
        name
        for name, value in {**examples, **variables("sources.env.example")}.items()
        if re.search("SECRET|PASSWORD|TOKEN|HASH_KEY", name) and value
    ]
    assert filled == []


def test_the_example_names_every_secret_of_the_deployments_that_ship() -> None:
    named = {
        name
        for path in (PROJECT / "deployments").glob("[!_]*.yaml")
        for name in re.findall(r"\$\{([A-Z0-9_]+)\}", path.read_text())
    }
    assert named <= set(variables("sources.env.example"))


def test_nothing_of_ours_needs_root_or_a_writable_image() -> None:
    for name in (*DAGSTER, "buckets"):
        service = SERVICES[name]
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert "user" not in service


def test_production_is_no_development_instance() -> None:
    # automation.py turns schedules and the sensor on wherever this is not set.
    assert "DAGSTER_IS_DEV_CLI" not in TEXT + (HOSTING / "Dockerfile").read_text()


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """The folder as a person fills it in who follows the README."""
    folder = tmp_path / "hosting"
    folder.mkdir()
    shutil.copy(HOSTING / "compose.yaml", folder)
    shutil.copy(HOSTING / "sources.env.example", folder / "sources.env")
    filled = {name: value or "filled-in" for name, value in variables(".env.example").items()}
    (folder / ".env").write_text("".join(f"{name}={value}\n" for name, value in filled.items()))
    return folder


def config(folder: Path, profiles: str) -> subprocess.CompletedProcess[str]:
    """What docker-compose says of the file."""
    return subprocess.run(
        [docker_compose(), "config", "--format", "json"],
        cwd=folder,
        env={"PATH": os.environ["PATH"], "HOME": str(folder), "COMPOSE_PROFILES": profiles},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.skipif(not asked_for(), reason=NOT_ASKED_FOR)
@pytest.mark.parametrize("profiles", ["", "s3", "s3,login"])
def test_docker_compose_itself_finds_no_fault(copied: Path, profiles: str) -> None:
    found = config(copied, profiles)
    assert (found.returncode, found.stderr) == (0, "")
    services = json.loads(found.stdout)["services"]
    optional = {name for name, service in SERVICES.items() if "profiles" in service}
    assert set(services) == set(SERVICES) - optional | set(filter(None, profiles.split(",")))
    assert services["code-location"]["environment"]["RENKU_METRICS_HASH_KEY"] == ""
    assert "RENKU_METRICS_HASH_KEY" not in services["webserver"]["environment"]
    assert services["daemon"]["environment"]["DAGSTER_POSTGRES_PASSWORD"] == "filled-in"


@pytest.mark.skipif(not asked_for(), reason=NOT_ASKED_FOR)
@pytest.mark.parametrize("name", ["DAGSTER_POSTGRES_PASSWORD", "LOGIN_IMAGE", "AWS_SECRET_ACCESS_KEY"])
def test_docker_compose_says_what_is_not_filled_in(copied: Path, name: str) -> None:
    (copied / ".env").write_text((copied / ".env").read_text().replace(f"{name}=", f"{name}_NOT="))
    found = config(copied, "s3,login")
    assert found.returncode != 0
    assert f"{name} is missing a value: set it in .env" in found.stderr


@pytest.mark.skipif(not asked_for(), reason=NOT_ASKED_FOR)
def test_docker_compose_refuses_a_key_that_is_misspelt(copied: Path) -> None:
    (copied / "compose.yaml").write_text(TEXT.replace("healthcheck:", "healtcheck:"))
    assert "additional properties 'healtcheck' not allowed" in config(copied, "s3").stderr
