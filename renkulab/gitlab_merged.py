"""Which branches are merged, as far as GitLab remembers."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass, field

from renkulab.clock import Clock
from renkulab.git import Repository

KEPT_FOR = dt.timedelta(days=1)


@dataclass
class _Remembered:
    until: dt.datetime
    merged: dict[str, bool] = field(default_factory=dict)


class MergedBranches:
    """GitLab's cache of merged branches: by project and name, for a day from its last entry on.

    A branch that comes or goes empties it, a push does not (Repository#merged_branch_names, expire_branches_cache).
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._of_project: dict[int, _Remembered] = {}

    def among(self, project_id: int, repository: Repository, default_branch: str, names: Iterable[str]) -> set[str]:
        """The branches that pass for merged; what is not remembered is looked up now."""
        now, wanted = self._clock.now(), list(names)
        remembered = self._of_project.get(project_id)
        if remembered is None or now >= remembered.until:
            remembered = _Remembered(now)
        missing = [name for name in wanted if name not in remembered.merged]
        if missing:
            default = repository.branches.get(default_branch)
            within = repository.reachable([default]) if default else set()
            remembered.merged |= {name: repository.branches[name] in within for name in missing}
            remembered.until = now + KEPT_FOR
            self._of_project[project_id] = remembered
        return {name for name in wanted if remembered.merged[name]}

    def forget(self, project_id: int) -> None:
        self._of_project.pop(project_id, None)
