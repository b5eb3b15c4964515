"""The deployments that were named to a command."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from renku_metrics import environment
from renku_metrics.deployments import deployment_files
from renku_metrics.errors import ConfigurationError


def chosen_files(names: Sequence[str]) -> list[Path]:
    """The files of the deployments with these names, or of all. Raises ConfigurationError for an unknown name."""
    folder = environment.deployments_folder()
    files = {path.stem: path for path in deployment_files(folder)}
    if unknown := sorted(set(names) - files.keys()):
        raise ConfigurationError(f"{folder}: there is no deployment {', '.join(unknown)}; there is {', '.join(files)}")
    return [files[name] for name in sorted(set(names) or files)]
