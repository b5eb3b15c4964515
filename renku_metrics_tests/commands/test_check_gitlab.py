"""What ``renku-metrics check`` says of a GitLab."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from renku_metrics.periods import ONE_DAY
from renku_metrics_tests.commands.checked import Checked, change
from renku_metrics_tests.present import NOW
from renkulab import faults
from renkulab.server import RenkuLab


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        (lambda lab: lab.faults.add("/gitlab/", faults.server_error(502), times=None), "status 502"),
        (lambda lab: lab.faults.add("/gitlab/", faults.html_page(), times=None), "not JSON"),
        (
            lambda lab: lab.faults.add("/gitlab/", faults.redirect("https://login.example/"), times=None),
            "correct the url",
        ),
        (lambda lab: lab.gitlab.tokens.clear(), "the token in LAB_GITLAB_TOKEN was refused"),
    ],
)
def test_a_gitlab_that_does_not_answer_is_one_failed_line(
    lab: RenkuLab, wrong: Callable[[RenkuLab], None], text: str
) -> None:
    wrong(lab)
    checked = Checked()
    assert checked.exit_code == 1
    assert checked.not_ok() == {"gitlab": "failed"}
    assert text in checked.text("gitlab")
    assert "gitlab token" not in checked.lines


def test_an_address_that_is_no_gitlab_is_said_so(lab: RenkuLab, deployments: Path) -> None:
    change(deployments, lambda content: content["gitlab"].update(url=lab.gitlab_url + "/elsewhere"))
    assert "correct url" in Checked().text("gitlab")


def test_the_token_of_an_ordinary_user_fails(lab: RenkuLab) -> None:
    lab.administrator.is_admin = False
    checked = Checked()
    assert checked.exit_code == 1
    assert checked.not_ok() == {
        "gitlab administrator": "failed",
        "gitlab people": "failed",
        # One of Ada's own projects, which this user does not see.
        "gitlab private projects": "warning",
        "gitlab commits": "warning",
        "gitlab push events": "warning",
    }
    assert "administrator's token with scope read_api" in checked.text("gitlab administrator")


def test_a_token_without_the_scope_fails(lab: RenkuLab) -> None:
    lab.gitlab.tokens.clear()
    lab.gitlab.add_token(lab.gitlab_token, lab.administrator, scopes=("read_user",))
    checked = Checked()
    assert checked.lines["gitlab token"] == ("failed", "has only scope read_user: make one with scope read_api")
    assert checked.exit_code == 1


def test_a_token_that_ends_soon_is_a_warning(lab: RenkuLab) -> None:
    ends = (NOW + 20 * ONE_DAY).date()
    lab.gitlab.add_token(lab.gitlab_token, lab.administrator, expires_on=ends)
    checked = Checked()
    assert checked.exit_code == 0
    assert checked.not_ok() == {"gitlab token": "warning"}
    assert str(ends) in checked.text("gitlab token")


def test_a_server_that_tells_nothing_of_its_tokens_is_no_fault(lab: RenkuLab) -> None:
    lab.faults.add("personal_access_tokens", faults.Instead(404, b"{}", {"Content-Type": "application/json"}))
    assert Checked().not_ok() == {}


def test_users_that_keycloak_does_not_know_are_a_warning(lab: RenkuLab) -> None:
    for user in lab.gitlab.users.values():
        user.keycloak_id = None
    assert Checked().not_ok() == {"gitlab people": "warning"}


def test_push_events_that_are_refused_are_a_warning(lab: RenkuLab) -> None:
    lab.faults.add(r"/projects/\d+/events", faults.Instead(403, b"{}", {"Content-Type": "application/json"}))
    assert Checked().not_ok() == {"gitlab push events": "warning"}


def test_a_gitlab_without_projects_has_nothing_to_show_yet(lab: RenkuLab) -> None:
    lab.gitlab.projects.clear()
    assert Checked().not_ok() == {
        "gitlab private projects": "warning",
        "gitlab commits": "warning",
        "gitlab push events": "warning",
    }


def test_an_answer_of_another_form_fails_without_saying_what_was_in_it(lab: RenkuLab) -> None:
    answer = faults.Instead(200, b'["lovelace"]', {"Content-Type": "application/json"})
    lab.faults.add("/version", answer)
    checked = Checked()
    assert checked.not_ok() == {"gitlab": "failed"}
    assert "lovelace" not in checked.output
