"""What ``renku-metrics check`` says of a deployment."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml
from click.testing import CliRunner

from renku_metrics.cli import renku_metrics
from renkulab.git import Identity

HOUR = dt.timedelta(hours=1)
ADA = Identity("lovelace", "lovelace@university.example")
# What a line that says that something failed ends with: what to do.
IMPERATIVE = re.compile(
    r"[:;] (set|correct|make|add|turn on|let|choose|start|create|renew|see|try|raise|report|begin|use|restore) [^:;]*$"
)


class Checked:
    """What the command printed, and how it ended."""

    def __init__(self, *names: str) -> None:
        result = CliRunner().invoke(renku_metrics, ["check", *names])
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        self.output = result.output
        self.exit_code = result.exit_code
        matches = re.finditer(r"^  (ok|warning|failed) +(\S+(?: \S+)*?)  +(\S.*)$", result.output, re.MULTILINE)
        for match in re.finditer(r"^  failed .*$", result.output, re.MULTILINE):
            assert IMPERATIVE.search(match[0]), match[0]
        self.lines = {match[2]: (match[1], match[3]) for match in matches}

    def not_ok(self) -> dict[str, str]:
        return {what: level for what, (level, _) in self.lines.items() if level != "ok"}

    def text(self, what: str) -> str:
        return self.lines[what][1]


def change(deployments: Path, text: Callable[[dict[str, Any]], None]) -> None:
    """Changes the deployment file of ``lab``."""
    path = deployments / "lab.yaml"
    content = yaml.safe_load(path.read_text())
    text(content)
    path.write_text(yaml.safe_dump(content))
