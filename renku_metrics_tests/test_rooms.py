"""The rooms: imports run down the list of renku_metrics/README.md, and each package says what belongs in it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from renku_metrics.environment import PROJECT

PRODUCT = PROJECT / "renku_metrics"
SOURCES = PRODUCT / "sources"
# The rooms from the top down, as the map has them.
ROOMS = [
    room.rstrip("/").removesuffix(".py")
    for line in (PRODUCT / "README.md").read_text(encoding="utf-8").splitlines()
    if line.startswith("| `")
    for room in re.findall(r"`([a-z_/.]+)`", line.split("|")[1])
]
DAGSTER_IN = ("dagster/", "definitions.py", "commands/demo.py")
# What joins all sources; one more knows two of them, because they share what their servers may be asked.
JOINING_SOURCES = {"registry.py": ".source", "budget.py": ".section"}


def modules(folder: Path) -> list[Path]:
    # Not those of an environment that is kept there.
    found = (path for path in folder.rglob("*.py") if ".venv" not in path.relative_to(folder).parts)
    return sorted(found)


def imported(path: Path) -> Iterator[str]:
    """The full name of each module that the file imports, or that a name imported from it may be."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports by dots"
            assert node.module
            yield node.module
            yield from (f"{node.module}.{name.name}" for name in node.names)


def imports(folder: Path, package: str) -> list[tuple[str, str]]:
    """File and what it imports of the package, for each file below the folder."""
    return [
        (path.relative_to(PROJECT).as_posix(), name)
        for path in modules(folder)
        for name in imported(path)
        if name == package or name.startswith(f"{package}.")
    ]


def room_of(name: str) -> str:
    """The room of a module of the product, by its name or path."""
    return re.split(r"[./]", name)[1]


def test_the_map_names_every_room() -> None:
    found = {path.name.removesuffix(".py") for path in PRODUCT.iterdir() if path.suffix == ".py" or path.is_dir()}
    assert len(set(ROOMS)) == len(ROOMS)
    assert set(ROOMS) == found - {"__init__", "__pycache__"}
    assert all((PRODUCT / room).is_dir() or (PRODUCT / f"{room}.py").is_file() for room in ROOMS)


def test_imports_run_down_the_map() -> None:
    arrows = [(path, name) for path, name in imports(PRODUCT, "renku_metrics") if name.count(".")]
    assert len(arrows) > 300
    up = [
        f"{path} imports {name}"
        for path, name in arrows
        if room_of(name) in ROOMS and ROOMS.index(room_of(path)) > ROOMS.index(room_of(name))
    ]
    assert up == []


def test_dagster_is_imported_in_its_room_alone() -> None:
    found = {
        path.removeprefix("renku_metrics/")
        for path in {
            path.relative_to(PROJECT).as_posix()
            for path in modules(PRODUCT)
            if any(re.match(r"dagster(_\w+)?(\.|$)", name) for name in imported(path))
        }
    }
    assert "definitions.py" in found
    assert [path for path in sorted(found) if not path.startswith(DAGSTER_IN)] == []


@pytest.mark.parametrize("folder", ["renku_metrics", "renkulab"])
def test_nothing_imports_the_tests(folder: str) -> None:
    assert imports(PROJECT / folder, "renku_metrics_tests") == []


def test_the_simulated_renkulab_knows_nothing_of_the_product() -> None:
    assert len(modules(PROJECT / "renkulab")) > 10
    assert imports(PROJECT / "renkulab", "renku_metrics") == []


def test_only_the_demo_knows_the_simulated_renkulab() -> None:
    assert {path for path, _ in imports(PRODUCT, "renkulab")} == {"renku_metrics/commands/demo.py"}


def test_no_source_knows_another() -> None:
    folders = {path.name for path in SOURCES.iterdir() if (path / "__init__.py").is_file()}
    assert folders >= {"gitlab", "keycloak", "amalthea"}
    for path, name in imports(SOURCES, "renku_metrics.sources"):
        here = path.removeprefix("renku_metrics/sources/")
        source, _, module = name.removeprefix("renku_metrics.sources.").partition(".")
        if source in folders and not here.startswith(f"{source}/"):
            assert here in JOINING_SOURCES, f"{path} imports {name}"
            assert f".{module}".startswith(JOINING_SOURCES[here])


@pytest.mark.parametrize(
    "package",
    [path.parent for path in modules(PRODUCT) if path.name == "__init__.py" and path.parent != PRODUCT],
    ids=lambda path: path.relative_to(PRODUCT).as_posix(),
)
def test_a_package_says_what_belongs_in_it_and_what_does_not(package: Path) -> None:
    docstring = ast.get_docstring(ast.parse((package / "__init__.py").read_text(encoding="utf-8")))
    assert docstring
    words = " ".join(docstring.split())
    assert "belong" in words
    # Where else something belongs, or that it does not belong here.
    assert re.search(r"\b(not|nothing|belongs? in)\b", words)
