"""Each known gap is told once in docs/metrics.md, and whole for each metric in definitions.json."""

from __future__ import annotations

from renku_metrics.metrics.dictionary import ACTIVE_USERS, CORE_ACTIONS, RUNNING_A_WORKFLOW, STARTING_A_SESSION
from renku_metrics.metrics.documents import definitions, describe, metrics_page


def test_the_page_tells_each_gap_once_and_says_whom_it_concerns() -> None:
    page = metrics_page()
    for gap in {gap for metric in (*CORE_ACTIONS, ACTIVE_USERS) for gap in metric.gaps}:
        assert page.count(f"| {gap.what} |") == 1
    sections, shared = page.split("## Gaps that several metrics share")
    assert "| Spam users count like any other. | too large |  | all |" in shared
    assert (
        "| `renku session start` on a person's own machine leaves no trace. | too small |  "
        "| Starting a session, Active users |"
    ) in shared
    running = sections.split("## Running a workflow")[1].split("## Active users")[0]
    assert "| Runs with --skip-metadata-update (renku 1.6 and later) make no commit. | too small |  |" in running


def test_definitions_and_descriptions_tell_every_gap_of_a_metric() -> None:
    document = {metric["key"]: metric for metric in definitions()["core_actions"]}
    for metric in (RUNNING_A_WORKFLOW, STARTING_A_SESSION):
        told = [gap["what"] for gap in document[metric.key]["gaps"]]
        assert "Spam users count like any other." in told
        assert told == [gap.what for gap in metric.gaps]
        assert all(f"| {what} |" in describe(metric) for what in told)
