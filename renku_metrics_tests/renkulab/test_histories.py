"""Histories are served commit by commit as their file holds them."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from typing import Any

import requests

from renkulab.histories import serve_histories
from renkulab.server import RenkuLab

NOON = dt.datetime(2021, 9, 6, 12, tzinfo=dt.timezone(dt.timedelta(hours=2)))


def line(sha: str, hours: int, *parents: str) -> dict[str, Any]:
    at = (NOON + dt.timedelta(hours=hours)).isoformat(timespec="milliseconds")
    return {
        "id": sha * 40,
        "parent_ids": [parent * 40 for parent in parents],
        "message": f"renku run {sha}\n",
        "author_name": "person-0001",
        "author_email": "person-0001@university.example",
        "authored_date": at,
        "committer_name": "renku 0.16.0",
        "committer_email": "https://github.com/swissdatasciencecenter/renku-python/tree/v0.16.0",
        "committed_date": at,
    }


def test_a_file_becomes_a_project_with_its_branches(tmp_path: Path) -> None:
    lines = [line("d", 4, "b"), line("c", 3, "a"), line("b", 2, "a"), line("a", 1)]
    (tmp_path / "flights.jsonl").write_text("\n".join(json.dumps(content) for content in lines) + "\n")
    with RenkuLab("one", tmp_path / "audit") as lab:
        [project] = serve_histories(lab, tmp_path)
        assert project.created_at == NOON + dt.timedelta(hours=1)
        answer = requests.get(
            f"{lab.gitlab_url}/api/v4/projects/{project.id}/repository/commits",
            {"ref_name": "master"},
            headers={"PRIVATE-TOKEN": lab.gitlab_token},
            timeout=5,
        ).json()
        assert [content["id"][0] for content in answer] == ["d", "b", "a"]
        assert lines[0].items() <= answer[0].items()
        assert project.repository is not None
        assert project.repository.branches == {"master": "d" * 40, "side-1": "c" * 40}
