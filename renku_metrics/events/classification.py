"""What renku did in a commit, read from the sub-command its message names. Source: facts, sections 2.2 and 2.3."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd


@dataclass(frozen=True)
class CommandRule:
    """Commits of these sub-commands, with one of these options if any are given, are events of this type."""

    event_type: str
    commands: tuple[str, ...]
    surfaces: tuple[str, ...] = ("cli", "ui")
    options: tuple[str, ...] = ()


RULES = (
    CommandRule("dataset_created", ("dataset create",)),
    CommandRule("dataset_created", ("dataset add",), options=("--create",)),
    CommandRule("dataset_imported", ("dataset import",)),
    # The UI never runs workflows: `v1.2: update figures` is somebody's own message.
    CommandRule("workflow_run", ("run", "rerun", "update", "workflow execute", "workflow iterate"), surfaces=("cli",)),
)


def classify(commits: pd.DataFrame) -> pd.Series:
    """The event type of each commit beyond being a commit, missing for most; on the same index.

    ``commits`` is a frame of RAW_GITLAB_COMMITS. Helper commits are commits and nothing else. The committer is
    not asked for: a rebase replaces it.
    """
    found = pd.Series(None, index=commits.index, dtype=object)
    candidates = commits[commits["renku_command"].notna() & commits["renku_helper"].isna()]
    for rule in RULES:
        holds = candidates["renku_command"].isin(rule.commands) & candidates["renku_surface"].isin(rule.surfaces)
        if rule.options:
            holds &= candidates["renku_options"].map(lambda names, of=rule.options: _has_any(names, of)).astype(bool)
        found[candidates.index[holds]] = rule.event_type
    return found


def _has_any(names: object, wanted: tuple[str, ...]) -> bool:
    return names is not None and any(name in wanted for name in list(names))  # type: ignore[call-overload]
