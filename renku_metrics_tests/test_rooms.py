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
# What these rooms may know of the others. These are pure: rows in, rows out.
PURE = {"periods", "renku_words", "schema", "shapes", "tables", "user_ids"}
ALLOWED = {
    "merging": PURE,
    "events": PURE,
    "metrics": PURE | {"events"},
    "sources": PURE | {"deployments", "errors", "events", "merging", "object_storage"},
    "store": PURE | {"errors", "merging", "object_storage"},
}
# What would let a pure room reach the world.
REACHING_OUT = {"boto3", "botocore", "gitlab", "os", "pathlib", "requests", "socket", "subprocess", "time", "urllib3"}
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


@pytest.mark.parametrize("room", ALLOWED)
def test_a_room_knows_of_no_other_than_it_may(room: str) -> None:
    found = {
        f"{path} imports {name}"
        for path, name in imports(PRODUCT, "renku_metrics")
        if room_of(path) == room and name.count(".") and room_of(name) in ROOMS
        if room_of(name) not in ALLOWED[room] | {room}
    }
    assert found == set()


def test_pure_rooms_reach_nothing_outside() -> None:
    found = [
        f"{path} imports {name}"
        for path in modules(PRODUCT)
        if room_of(path.relative_to(PROJECT).as_posix()) in PURE | {"merging", "events", "metrics"}
        for name in imported(path)
        if name.partition(".")[0] in REACHING_OUT
    ]
    assert found == []


def test_a_command_starts_no_dagster_but_the_demo() -> None:
    dagster = ("renku_metrics.dagster", "renku_metrics.definitions")
    found = {path for path, name in imports(PRODUCT / "commands", "renku_metrics") if name.startswith(dagster)}
    assert found == {"renku_metrics/commands/demo.py"}


def test_dagster_is_imported_in_its_room_and_in_the_code_location_alone() -> None:
    found = {
        room_of(path.relative_to(PROJECT).as_posix())
        for path in modules(PRODUCT)
        if any(re.match(r"dagster(_\w+)?(\.|$)", name) for name in imported(path))
    }
    assert found == {"dagster", "definitions"}


@pytest.mark.parametrize("folder", ["renku_metrics", "renkulab", "benchmarks"])
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


def constants(path: Path) -> Iterator[tuple[str, str]]:
    """Name and value of each constant of a module, as they are written."""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
            for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
                for name in ast.walk(target):
                    if isinstance(name, ast.Name) and name.id.isupper():
                        yield name.id, ast.unparse(node.value)


def test_no_two_modules_give_one_name_to_two_constants() -> None:
    places: dict[str, list[str]] = {}
    for path in modules(PRODUCT):
        for name, value in constants(path):
            places.setdefault(name, []).append(f"{path.relative_to(PRODUCT)}: {value}")
    assert {"DAY", "KINDS"} <= places.keys()
    assert {name: found for name, found in places.items() if len(found) > 1} == {}
