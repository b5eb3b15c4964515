"""Real commit histories, which lie beside the repository."""

from __future__ import annotations

from pathlib import Path

from renku_metrics_tests.servers.fetched import cannot_have

FOLDER = Path(__file__).resolve().parents[2] / "shared" / "data" / "renku_projects"


def real_histories(folder: Path = FOLDER) -> Path:
    """The folder of the histories, a file of JSON lines for each project, newest commit first.

    Ends the test by ``cannot_have`` where they are not: a run that is to have everything fails then.
    """
    if not any(folder.glob("*.jsonl")):
        cannot_have(f"the real histories: they are not in {folder}")
    return folder
