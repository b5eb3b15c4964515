"""What ``renku-metrics check`` says of an audit log."""

from __future__ import annotations

from pathlib import Path

from renku_metrics.periods import ONE_DAY
from renku_metrics_tests.commands.checked import HOUR, Checked, change
from renku_metrics_tests.present import NOW
from renkulab.server import RenkuLab


def test_lines_without_labels_are_warnings(lab: RenkuLab) -> None:
    lab.amalthea.extra_labels = ()
    for path in lab.audit_log.iterdir():
        path.unlink()
    lab.amalthea.start_session(NOW - HOUR, user_id="somebody", gitlab_project_id=7)
    lab.amalthea.restart(NOW)
    checked = Checked()
    assert checked.exit_code == 0
    assert checked.not_ok() == {"amalthea user label": "warning", "amalthea project label": "warning"}
    assert checked.text("amalthea user label").startswith("0 of the latest 2 lines of people's sessions carry")


def test_an_audit_log_without_files_is_a_warning(lab: RenkuLab) -> None:
    for path in lab.audit_log.iterdir():
        path.unlink()
    checked = Checked()
    assert checked.not_ok() == {"amalthea": "warning", "amalthea lines": "warning"}
    assert "auditLog.enabled" in checked.text("amalthea")


def test_an_audit_log_that_fell_silent_is_a_warning(lab: RenkuLab) -> None:
    *older, path = sorted(lab.audit_log.iterdir())
    for file in older:
        file.unlink()
    path.rename(path.with_name(f"amalthea_audit_log_{NOW - 8 * ONE_DAY:%Y%m%d_%H%M%S}+0000.txt"))
    assert Checked().not_ok() == {"amalthea": "warning"}


def test_lines_cut_off_are_a_warning(lab: RenkuLab) -> None:
    *_, path = sorted(lab.audit_log.iterdir())
    path.write_bytes(path.read_bytes()[:-20])
    assert Checked().not_ok() == {"amalthea lines": "warning"}


def test_a_bucket_that_is_not_there_is_one_failed_line(lab: RenkuLab, deployments: Path, s3_environment: str) -> None:
    change(deployments, lambda content: content.update(amalthea={"audit_log": "s3://no-such-bucket/logs"}))
    checked = Checked()
    assert checked.exit_code == 1
    assert checked.not_ok() == {"amalthea": "failed"}
    assert "no-such-bucket" in checked.text("amalthea")
