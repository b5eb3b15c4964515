"""Every source, declared once. Raw assets, schedules, coverage, erasure, check and plan all use this list."""

from __future__ import annotations

from pathlib import Path

from renku_metrics import deployments
from renku_metrics.deployments import Deployment, Section
from renku_metrics.schema import Table
from renku_metrics.sources.amalthea.source import AMALTHEA
from renku_metrics.sources.gitlab.source import GITLAB
from renku_metrics.sources.keycloak.source import KEYCLOAK
from renku_metrics.sources.source import Source

_SOURCES: tuple[Source, ...] = (GITLAB, KEYCLOAK, AMALTHEA)


def all_sources() -> tuple[Source, ...]:
    """Every source."""
    return _SOURCES


def sources_of(deployment: Deployment) -> list[Source]:
    """The sources that the deployment's file has a section for."""
    return [source for source in all_sources() if source.is_in(deployment)]


def source_of(table: Table) -> Source:
    """The source that fills a raw table."""
    return next(source for source in all_sources() if table.name in {known.name for known in source.tables})


def raw_tables() -> list[Table]:
    """The raw tables of all sources."""
    return [table for source in all_sources() for table in source.tables]


def read_deployment(path: Path) -> Deployment:
    """The deployment that a file describes. Raises ConfigurationError: one line per fault, with file and key."""
    return deployments.read_deployment(path, _sections())


def read_deployments(folder: Path) -> dict[str, Deployment]:
    """Every deployment of the folder by name, sorted. Raises ConfigurationError with every fault of every file."""
    return deployments.read_deployments(folder, _sections())


def _sections() -> dict[str, type[Section]]:
    return {source.name: source.section for source in all_sources()}
