"""The one clear line for each bad deployment file, and no secret in any."""

from __future__ import annotations

from pathlib import Path

import pytest

from renku_metrics.errors import ConfigurationError
from renku_metrics.sources.registry import read_deployment, read_deployments
from renku_metrics_tests.deployment_files import LITERAL, MINIMAL, WHOLE, file


def faults(folder: Path, text: str) -> list[str]:
    """The lines about a bad file, each without the path that it must begin with."""
    path = file(folder, text)
    with pytest.raises(ConfigurationError) as error:
        read_deployment(path)
    lines = str(error.value).split("\n")
    assert all(line.startswith(f"{path}: ") for line in lines)
    return [line.removeprefix(f"{path}: ") for line in lines]


SECTION = "gitlab: {url: https://gitlab.example.org, token: '${TOKEN}'}"
BAD = {
    "no name": ("title: Lab\nstart: 2026-01-31", "name: is missing"),
    "no title": ("name: lab\nstart: 2026-01-31", "title: is missing"),
    "no start": ("name: lab\ntitle: Lab", "start: is missing"),
    "upper case": (
        MINIMAL.replace("lab", "Lab"),
        "name: must be lower case letters, digits and hyphens, such as renkulab-io",
    ),
    "underscore": (
        MINIMAL.replace("lab", "my_lab"),
        "name: must be lower case letters, digits and hyphens, such as renkulab-io",
    ),
    "path": (
        MINIMAL.replace("lab", "../lab"),
        "name: must be lower case letters, digits and hyphens, such as renkulab-io",
    ),
    "bar": (
        MINIMAL.replace("lab", "'a|b'"),
        "name: must be lower case letters, digits and hyphens, such as renkulab-io",
    ),
    "other name": (MINIMAL.replace("lab", "other"), "name: is other, so the file must be other.yaml"),
    "number for a name": (MINIMAL.replace("lab", "12"), "name: Input should be a valid string"),
    "empty title": (MINIMAL.replace("Lab", "''"), "title: String should have at least 1 character"),
    "month 13": (MINIMAL.replace("2026-01-31", "2026-13-01"), "start: must be a day such as 2026-01-31"),
    "30 February": (
        MINIMAL.replace("2026-01-31", "2026-02-30"),
        "start: Input should be a valid date or datetime, day value is outside expected range",
    ),
    "a year": (MINIMAL.replace("2026-01-31", "2026"), "start: must be a day such as 2026-01-31"),
    "a number": (MINIMAL.replace("2026-01-31", "20260131"), "start: must be a day such as 2026-01-31"),
    "a time": (MINIMAL.replace("2026-01-31", "2026-01-31T00:00:00Z"), "start: must be a day such as 2026-01-31"),
    "unknown key": (f"{MINIMAL}concurrency: 8", "concurrency: is not a known key"),
    "what reads the file calls it": (
        f"{MINIMAL}sources: {{gitlab: {{url: https://x.org}}}}",
        "sources: is not a known key",
    ),
    "unknown source": (f"{MINIMAL}gitea: {{url: https://x.org}}", "gitea: is not a known key"),
    "key twice": (f"{MINIMAL}name: lab", "name: is there a second time in line 4"),
    "section twice": (f"{MINIMAL}gitlab:\ngitlab:\n", "gitlab: is there a second time in line 5"),
    "inner key twice": (
        MINIMAL + "gitlab: {url: https://x.org, token: '${A}', token: '${B}'}",
        "token: is there a second time in line 4",
    ),
    "a number for a key": (f"{MINIMAL}1: x", "1: Keys should be strings"),
    "a list for a key": (f"{MINIMAL}? [a]\n: b", "is not valid YAML in line 4"),
    "no section": (
        f"{MINIMAL}gitlab: https://gitlab.example.org",
        "gitlab: must hold keys and values, such as url: https://renkulab.io",
    ),
    "one domain": (f"{MINIMAL}domains: renkulab.io", "domains: must be a list, such as [renkulab.io]"),
    "address for a domain": (
        f"{MINIMAL}domains: [renkulab.io, https://renkulab.io]",
        "domains.1: must be a domain such as renkulab.io",
    ),
    "no token": (f"{MINIMAL}gitlab: {{url: https://x.org}}", "gitlab.token: is missing"),
    "empty token": (
        MINIMAL + "gitlab: {url: https://x.org, token: }",
        "gitlab.token: must name an environment variable as ${NAME}; a secret does not belong in this file",
    ),
    "many requests": (
        MINIMAL + SECTION[:-1] + ", concurrency: 65}",
        "gitlab.concurrency: Input should be less than or equal to 64",
    ),
    "no request": (
        MINIMAL + SECTION[:-1] + ", concurrency: 0}",
        "gitlab.concurrency: Input should be greater than or equal to 1",
    ),
    "no client": (
        MINIMAL + "keycloak: {url: https://x.org, client_secret: '${A}'}",
        "keycloak.client_id: is missing",
    ),
    "bucket without name": (
        MINIMAL + "amalthea: {audit_log: 's3:///prefix'}",
        "amalthea.audit_log: must be s3://bucket/prefix or a directory",
    ),
    "other storage": (
        MINIMAL + "amalthea: {audit_log: 'gs://bucket/prefix'}",
        "amalthea.audit_log: must be s3://bucket/prefix or a directory",
    ),
    "not YAML": ("name: lab\n  title: [", "is not valid YAML in line 2"),
    "a day that is none": (MINIMAL + "x: !!timestamp 2026-13-01", "is not valid YAML"),
    "a list": ("- name: lab", "must hold keys and values, beginning with name:"),
    "nothing": ("", "must hold keys and values, beginning with name:"),
}


@pytest.mark.parametrize(("text", "line"), BAD.values(), ids=BAD.keys())
def test_a_bad_file_is_one_line_that_names_file_and_key(tmp_path: Path, text: str, line: str) -> None:
    assert faults(tmp_path, text) == [line]


@pytest.mark.parametrize(
    "url",
    [
        "gitlab.example.org",
        "ftp://gitlab.example.org",
        "https://",
        "https:///path",
        "https://git lab.example.org",
        "https://gitlab.example.org:port",
        "https://gitlab.example.org:99999",
        "https://[gitlab.example.org",
        "${GITLAB_URL}",
    ],
)
def test_a_bad_address_is_one_line(tmp_path: Path, url: str) -> None:
    text = WHOLE.replace("https://gitlab.example.org/", f"'{url}'")

    assert faults(tmp_path, text) == ["gitlab.url: must be a web address such as https://renkulab.io"]


@pytest.mark.parametrize("rest", ["?private_token=1", "#1"])
def test_an_address_holds_nothing_but_the_place(tmp_path: Path, rest: str) -> None:
    text = WHOLE.replace("https://gitlab.example.org/", f"'https://gitlab.example.org/{rest}'")

    assert faults(tmp_path, text) == ["gitlab.url: must hold no user, password, query or fragment"]


def test_every_fault_of_a_file_is_told_at_once(tmp_path: Path) -> None:
    text = WHOLE.replace("title: Lab", "titel: Lab").replace("${LAB_KEYCLOAK_SECRET}", "secret")

    assert sorted(faults(tmp_path, text)) == [
        "keycloak.client_secret: must name an environment variable as ${NAME}; a secret does not belong in this file",
        "titel: is not a known key",
        "title: is missing",
    ]


@pytest.mark.parametrize(
    "replaced",
    [
        ("${LAB_GITLAB_TOKEN}", LITERAL),
        ("${LAB_KEYCLOAK_SECRET}", LITERAL),
        ("${LAB_KEYCLOAK_SECRET}", f"[{LITERAL}]"),
        ("${LAB_KEYCLOAK_SECRET}", f"${{A}}{LITERAL}"),
        ("https://gitlab.example.org/", f"https://oauth2:{LITERAL}@gitlab.example.org/"),
        ("https://gitlab.example.org/", LITERAL),
        ("https://s3.example.org", f"https://{LITERAL}@s3.example.org"),
        ("s3://lab-audit-log/some/prefix", f"s3://key:{LITERAL}@lab-audit-log/prefix"),
        ("renku.example.org, ", f"{LITERAL} , '{LITERAL} ', "),
        ("2026-01-31", LITERAL),
        ("title: Lab", f"title: [{LITERAL}]"),
        ("name: lab", f"name: {LITERAL}!"),
        ("  realm: Other", f"  concurrency: {LITERAL}"),
        ("  token: ", "  password: &x "),
        ("gitlab:", f"gitlab: {LITERAL}\nother:"),
        ("gitlab:", f"gitlab: {{token:{LITERAL}}}\nother:"),
        ("gitlab:", f"gitlab: {{token {LITERAL}}}\nother:"),
        ("  token: ", f"  token:{LITERAL}\n  token: "),
        ("  token: ", f"  'token:{LITERAL}': 1\n  'token:{LITERAL}': 2\n  token: "),
        ("  token: ", f"  token: {LITERAL}: "),
        ("  token: ", f'  token: "{LITERAL}\n  x: '),
    ],
)
def test_a_literal_secret_is_refused_and_never_repeated(tmp_path: Path, replaced: tuple[str, str]) -> None:
    assert replaced[0] in WHOLE
    path = file(tmp_path, WHOLE.replace(*replaced).replace("${LAB_GITLAB_TOKEN}", LITERAL))

    with pytest.raises(ConfigurationError) as error:
        read_deployments(tmp_path)

    assert str(path) in str(error.value)
    assert LITERAL not in str(error.value)
    # Nor does a traceback show it, as that of an error that was the cause would.
    assert error.value.__cause__ is None
    assert error.value.__suppress_context__ or error.value.__context__ is None


def test_a_name_described_twice_is_one_line(tmp_path: Path) -> None:
    file(tmp_path, MINIMAL)
    path = file(tmp_path, MINIMAL, "lab.yml")

    with pytest.raises(ConfigurationError) as error:
        read_deployments(tmp_path)

    assert str(error.value) == f"{path}: name: lab is described by another file too"


def test_the_faults_of_all_files_are_told_at_once(tmp_path: Path) -> None:
    file(tmp_path, MINIMAL)
    one = file(tmp_path, MINIMAL.replace("lab", "copied"), "one.yaml")
    two = file(tmp_path, "name: two", "two.yaml")

    with pytest.raises(ConfigurationError) as error:
        read_deployments(tmp_path)

    assert str(error.value).split("\n") == [
        f"{one}: name: is copied, so the file must be copied.yaml",
        f"{two}: title: is missing",
        f"{two}: start: is missing",
    ]


def test_files_that_cannot_be_read_are_one_line(tmp_path: Path) -> None:
    (tmp_path / "folder.yaml").mkdir()
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00name")
    (tmp_path / "control.yaml").write_bytes(b"name: \x01")

    with pytest.raises(ConfigurationError) as error:
        read_deployments(tmp_path)

    lines = str(error.value).split("\n")
    assert len(lines) == 3
    assert lines[0].startswith(f"{tmp_path}/binary.yaml: cannot be read: ")
    assert lines[1] == f"{tmp_path}/control.yaml: is not valid YAML"
    assert lines[2].startswith(f"{tmp_path}/folder.yaml: cannot be read: ")


def test_an_empty_or_missing_folder_is_one_line(tmp_path: Path) -> None:
    file(tmp_path, MINIMAL, "_template.yaml")

    with pytest.raises(
        ConfigurationError, match=r"^\S+: holds no deployment file; copy _template.yaml to <name>.yaml$"
    ):
        read_deployments(tmp_path)
    with pytest.raises(ConfigurationError, match=r"/none: there is no such folder; set RENKU_METRICS_DEPLOYMENTS$"):
        read_deployments(tmp_path / "none")
