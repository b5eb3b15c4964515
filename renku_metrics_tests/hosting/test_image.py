"""The container image: small, pinned, and run by somebody who is not root."""

from __future__ import annotations

import fnmatch
import re
import tomllib

from renku_metrics.environment import PROJECT

DOCKERFILE = (PROJECT / "hosting" / "Dockerfile").read_text()
IGNORED = (PROJECT / "hosting" / "Dockerfile.dockerignore").read_text().split("\n")
IMAGE_REQUIREMENTS = (PROJECT / "hosting" / "requirements.in").read_text()
IMAGE_LOCK = (PROJECT / "hosting" / "requirements.lock").read_text()
PROJECT_LOCK = (PROJECT / "requirements.lock").read_text()
PROJECT_SETTINGS = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]


def pinned(lock: str) -> dict[str, set[str]]:
    """The versions of each package; a package may have several, for several versions of Python."""
    found: dict[str, set[str]] = {}
    for name, version in re.findall(r"^([a-z0-9._-]+)==([^ ;\\]+)", lock, re.MULTILINE):
        found.setdefault(name, set()).add(version)
    return found


def names(requirements: list[str]) -> set[str]:
    return {re.split(r"[\[<>=~ ]", requirement)[0].lower() for requirement in requirements}


def test_it_holds_what_the_project_needs_and_nothing_of_development() -> None:
    inside = set(pinned(IMAGE_LOCK))
    needed = names(PROJECT_SETTINGS["dependencies"])
    assert needed <= inside
    beside = names([line for line in IMAGE_REQUIREMENTS.splitlines() if re.match("[a-z]", line)])
    assert beside == {"dagster-k8s", "setuptools"}
    assert beside <= inside
    assert not (names(PROJECT_SETTINGS["optional-dependencies"]["dev"]) - needed - beside) & inside


def test_it_holds_the_versions_that_the_tests_ran_with() -> None:
    tested = pinned(PROJECT_LOCK)
    different = {
        name: (versions, tested[name])
        for name, versions in pinned(IMAGE_LOCK).items()
        if name in tested and versions != tested[name]
    }
    assert different == {}


def test_every_package_is_pinned_by_hash_and_no_index_is_named() -> None:
    requirements = re.findall(r"^[a-z0-9._-]+==.*(?:\n {4}.*)*", IMAGE_LOCK, re.MULTILINE)
    assert len(requirements) > 50
    assert [line for line in requirements if "--hash=sha256:" not in line] == []
    assert "://" not in IMAGE_LOCK
    assert "--require-hashes" in DOCKERFILE


def test_it_runs_as_a_number_that_is_not_root() -> None:
    users = re.findall(r"^USER (\d+):(\d+)$", DOCKERFILE, re.MULTILINE)
    assert len(users) == 1
    assert "0" not in users[0]


def test_both_stages_have_the_same_python() -> None:
    bases = re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE)
    assert len(bases) == 2
    assert len(set(bases)) == 1


def test_all_that_is_copied_exists_and_reaches_the_build() -> None:
    copied = [
        source
        for line in re.findall(r"^COPY (?!--from)(.+)$", DOCKERFILE, re.MULTILINE)
        for source in line.split()[:-1]
    ]
    let_in = [pattern[1:] for pattern in IGNORED if pattern.startswith("!")]
    assert copied
    for source in copied:
        assert (PROJECT / source).exists(), source
        assert any(fnmatch.fnmatch(source, pattern) for pattern in let_in), source
