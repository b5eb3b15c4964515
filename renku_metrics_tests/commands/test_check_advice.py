"""Every line that says that something failed ends with what to do: ``Checked`` looks that each does."""

from __future__ import annotations

from pathlib import Path

import pytest

from renku_metrics.object_storage.directory import DirectoryStorage
from renku_metrics.store.store import Store
from renku_metrics.store.store_ledger import StoreLedger
from renku_metrics_tests.commands.checked import Checked
from renkulab import faults
from renkulab.server import RenkuLab

JSON = {"Content-Type": "application/json"}
FORBIDDEN = faults.Instead(403, b"{}", JSON)
SCALAR = faults.Instead(200, b"7", JSON)
BROKEN: dict[str, tuple[str, faults.Instead, str, str]] = {
    "users of GitLab refused": (
        *("/gitlab/api/v4/users", FORBIDDEN, "gitlab people"),
        "refused with status 403: correct url, or the token: set an administrator's token with scope read_api",
    ),
    "no list of users": (
        *("/gitlab/api/v4/users", SCALAR, "gitlab people"),
        "/api/v4/users gave something else than a list; correct the url",
    ),
    "an answer of another form": (
        *("/gitlab/api/v4/version", SCALAR, "gitlab"),
        "unexpected TypeError: correct url, or the token: set an administrator's token with scope read_api",
    ),
    "Keycloak's events refused": (
        *("events/config", faults.Instead(401, b"{}", JSON), "keycloak event saving"),
        "a token it gave a moment ago is refused for /events/config; set its clocks right",
    ),
    "a status that Keycloak does not explain": (
        *("events/config", faults.Instead(400, b"{}", JSON), "keycloak event saving"),
        "/events/config gave status 400; see its log",
    ),
    "no configuration of events": (
        *("events/config", SCALAR, "keycloak event saving"),
        "the answer to /events/config is not what Keycloak gives; correct url",
    ),
    "no token of Keycloak": (
        *("openid-connect/token", faults.Instead(405, b"{}", JSON), "keycloak"),
        "gives no token (status 405); correct url",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_source_that_answers_wrongly(lab: RenkuLab, case: str) -> None:
    path, answer, what, text = BROKEN[case]
    lab.faults.add(path, answer, times=None)
    level, said = Checked().lines[what]
    assert (level, said[: len(text)]) == ("failed", text)


def test_a_variable_that_is_not_set(lab: RenkuLab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LAB_GITLAB_TOKEN")
    assert Checked().text("gitlab") == "not tried without its variable: set that first"


def test_files_that_hold_no_lines_of_sessions(lab: RenkuLab) -> None:
    for path in lab.audit_log.iterdir():
        path.write_text('{"level":"info"}\n')
    assert Checked().text("amalthea lines") == "none of the latest 2 tells of a session: correct audit_log"


def test_another_hash_key(lab: RenkuLab, tmp_path: Path) -> None:
    StoreLedger(Store.at(str(tmp_path / "store"))).begin_with(b"of another key")
    assert Checked().text("hash key").endswith("was begun with; set that one, or begin a new store")


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (PermissionError(13, "Permission denied"), "let this user read and write there, or choose another directory"),
        (OSError(30, "Read-only file system"), "let this user read and write there, or choose another directory"),
        (OSError(28, "No space left on device"), "make room there"),
        (NotADirectoryError(20, "Not a directory"), "choose another directory"),
        (OSError(5, "Input/output error"), "see whether the disk is well"),
    ],
)
def test_a_directory_that_cannot_be_written_to(
    lab: RenkuLab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: OSError, text: str
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("os.fsync", refuse)
    assert Checked().text("store").endswith(f": cannot be written: {error.strerror}; {text}")


def test_whatever_else_goes_wrong_with_the_store(lab: RenkuLab, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("ada@university.example")

    monkeypatch.setattr(DirectoryStorage, "replace", fail)
    checked = Checked()
    assert checked.text("store").startswith("unexpected RuntimeError: correct RENKU_METRICS_STORE, or report")
    assert "ada@" not in checked.output


def test_a_store_that_forgets(lab: RenkuLab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(DirectoryStorage, "replace", lambda *_: "")
    assert Checked().text("store").endswith("does not give back what was written a moment ago: choose another place")


def test_an_s3_server_that_does_not_answer(lab: RenkuLab, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_REGION": "us-east-1"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("RENKU_METRICS_STORE", "s3://bucket/prefix")
    monkeypatch.setattr("time.sleep", lambda _: None)
    checked = Checked()
    assert "start that server, or correct AWS_ENDPOINT_URL" in checked.text("store")
    # Said once, and not again of each deployment.
    assert "last pull of commits" not in checked.lines


def test_an_endpoint_that_is_no_address(lab: RenkuLab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "s3.example.org")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.setenv("RENKU_METRICS_STORE", "s3://bucket/prefix")
    assert "correct the address, the AWS_ variables" in Checked().text("store")
