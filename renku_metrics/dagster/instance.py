"""Where Dagster keeps its own runs, schedules and logs. The environment decides, so one dagster.yaml serves a laptop
and a server.

dagster.yaml has no conditions, and ``{env: X}`` has no default. So the choice is made where an instance gets its
defaults. Only there, and not in a storage class, is the temporary folder of an instance without DAGSTER_HOME known.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import dagster as dg
import yaml
from dagster._core.instance import InstanceRef
from dagster._serdes import ConfigurableClassData

from renku_metrics.errors import ConfigurationError
from renku_metrics.object_storage import S3_ADDRESS

POSTGRES = ("DAGSTER_POSTGRES_HOST", "DAGSTER_POSTGRES_USER", "DAGSTER_POSTGRES_PASSWORD", "DAGSTER_POSTGRES_DB")
POSTGRES_PORT = "DAGSTER_POSTGRES_PORT"
COMPUTE_LOGS = "DAGSTER_COMPUTE_LOGS"

Defaults = Mapping[str, ConfigurableClassData | None]


class InstanceByEnvironment(dg.DagsterInstance):
    """A Dagster instance on SQLite and local files, or on PostgreSQL and S3 if the environment names them."""

    @classmethod
    def config_schema(cls) -> dict[str, Any]:
        """No settings of its own in dagster.yaml."""
        return {}

    @classmethod
    def config_defaults(cls, base_dir: str) -> Defaults:
        """What dagster.yaml leaves open. Raises ConfigurationError if the variables make no sense together."""
        chosen = {"storage": _postgres(os.environ), "compute_logs": _s3_compute_logs(os.environ)}
        return {**InstanceRef.config_defaults(base_dir), **{key: data for key, data in chosen.items() if data}}


def _postgres(environment: Mapping[str, str]) -> ConfigurableClassData | None:
    named = [name for name in (*POSTGRES, POSTGRES_PORT) if environment.get(name)]
    if not named:
        return None
    if missing := [name for name in POSTGRES if name not in named]:
        raise ConfigurationError(
            f"Dagster's PostgreSQL: {', '.join(named)} is set, but not {', '.join(missing)}; "
            "set all of them for PostgreSQL, or none for SQLite"
        )
    connection = {
        # SQLAlchemy 2.1 takes a bare postgresql:// for psycopg 3, which dagster-postgres does not install.
        "scheme": "postgresql+psycopg2",
        # Names, not values: this is passed from process to process.
        "hostname": {"env": "DAGSTER_POSTGRES_HOST"},
        "username": {"env": "DAGSTER_POSTGRES_USER"},
        "password": {"env": "DAGSTER_POSTGRES_PASSWORD"},
        "db_name": {"env": "DAGSTER_POSTGRES_DB"},
        **({"port": {"env": POSTGRES_PORT}} if POSTGRES_PORT in named else {}),
    }
    return _configured("dagster_postgres", "DagsterPostgresStorage", {"postgres_db": connection})


def _s3_compute_logs(environment: Mapping[str, str]) -> ConfigurableClassData | None:
    address = environment.get(COMPUTE_LOGS)
    if not address:
        return None
    parts = S3_ADDRESS.fullmatch(address)
    if parts is None or not parts["prefix"]:
        raise ConfigurationError(
            f"{COMPUTE_LOGS} is {address}; it must be s3://bucket/prefix, or unset for local files"
        )
    return _configured("dagster_aws.s3", "S3ComputeLogManager", {**parts.groupdict(), "upload_interval": 30})


def _configured(module: str, name: str, config: Mapping[str, Any]) -> ConfigurableClassData:
    return ConfigurableClassData(module, name, yaml.dump(dict(config)))
