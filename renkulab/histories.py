"""Real commit histories as projects of a simulated RenkuLab."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from typing import Any

from renkulab.git import Commit, Identity, Repository
from renkulab.gitlab import Project
from renkulab.server import RenkuLab


def serve_histories(lab: RenkuLab, folder: Path, created_at: dt.datetime | None = None) -> list[Project]:
    """Each ``*.jsonl`` of the folder (GitLab's commits as JSON, newest first) as a project.

    The first commit is the head of the default branch; each other commit without a child is the head of a branch
    ``side-<n>``. Every project is created at ``created_at``; without it, when its oldest commit was committed. No push
    event tells of the commits.
    """
    projects = []
    for path in sorted(folder.glob("*.jsonl")):
        commits = [_commit(json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines()]
        repository = Repository()
        for commit in commits:
            repository.add(commit)
        followed = {parent for commit in commits for parent in commit.parents}
        heads = [commit.sha for commit in commits if commit.sha not in followed]
        for number, head in enumerate(heads):
            repository.move(f"side-{number}" if number else "master", head)
        oldest = min(commit.committed_at for commit in commits)
        namespace = lab.gitlab.personal_namespace(lab.administrator)
        projects.append(
            lab.gitlab.create_project(
                path.stem, namespace, lab.administrator, created_at or oldest, repository=repository
            )
        )
    return projects


def _commit(content: dict[str, Any]) -> Commit:
    return Commit(
        sha=content["id"],
        parents=tuple(content["parent_ids"]),
        author=Identity(content["author_name"], content["author_email"]),
        authored_at=dt.datetime.fromisoformat(content["authored_date"]),
        committer=Identity(content["committer_name"], content["committer_email"]),
        committed_at=dt.datetime.fromisoformat(content["committed_date"]),
        message=content["message"],
    )
