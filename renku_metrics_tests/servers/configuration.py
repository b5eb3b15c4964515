"""Configuration files of servers, in sections."""

from __future__ import annotations

import configparser
from collections.abc import Mapping
from pathlib import Path


def write_configuration(path: Path, sections: Mapping[str, Mapping[str, str]]) -> None:
    """Writes the file, with its options in the given case."""
    configuration = configparser.RawConfigParser()
    # Names of users may be options, and keep their capitals.
    configuration.optionxform = str  # type: ignore[assignment,method-assign]
    for name, options in sections.items():
        configuration[name] = options
    with path.open("w") as file:
        configuration.write(file)
