"""Which branches are merged, as GitLab remembers it."""

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
    """GitLab's cache of merged branches, by project and name. It lives for a day from its last entry on.

    A branch that comes or goes empties it; a push does not
    (docs/sources/gitlab.md#merged-branches-are-remembered-for-a-day).
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._of_project: dict[int, _Remembered] = {}

    def among(self, project_id: int, repository: Repository, default_branch: str, names: Iterable[str]) -> set[str]:
        """The branches that GitLab calls merged. Those that it does not remember are looked up now."""
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
