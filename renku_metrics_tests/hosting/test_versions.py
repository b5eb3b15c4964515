"""Every image that hosting names is of one version for good: none moves under whoever builds or restarts."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from renku_metrics.environment import PROJECT
from renku_metrics_tests.hosting.test_compose import SERVICES, variables
from renku_metrics_tests.hosting.test_image import DOCKERFILE

FOLDER = PROJECT / "hosting" / "kubernetes"
# All parts of the version; of an image by Debian's release also which one: it decides what the rest of it is.
FULL_VERSION = re.compile(r"v?\d+\.\d+\.\d+|\d+\.\d+\.\d+-slim-(bookworm|trixie)|\d+\.\d+-(bookworm|trixie)")


def images_of(value: Any) -> Iterator[str]:
    """The images below a value of a manifest or of the chart's values."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if key == "image":
                yield inner if isinstance(inner, str) else f"{inner['repository']}:{inner['tag']}"
            else:
                yield from images_of(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from images_of(inner)


def images() -> Iterator[tuple[str, str]]:
    """Where an image is named, and which."""
    for image in re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE):
        yield "Dockerfile", image
    examples = variables(".env.example")
    for service in SERVICES.values():
        filled = re.sub(r"\$\{(\w+):\?[^}]*\}", lambda match: examples[match[1]], service["image"])
        yield "compose.yaml", filled
    for path in FOLDER.glob("*.yaml"):
        for document in yaml.safe_load_all(path.read_text()):
            for image in images_of(document):
                yield path.name, image


IMAGES = sorted(set(images()))


@pytest.mark.parametrize(("where", "image"), IMAGES)
def test_an_image_has_a_full_version(where: str, image: str) -> None:
    _, _, version = image.rpartition(":")
    assert FULL_VERSION.fullmatch(version)


def test_all_of_them_are_found_and_each_has_one_version_everywhere() -> None:
    versions: dict[str, set[str]] = {}
    for _, image in IMAGES:
        name, _, version = image.rpartition(":")
        versions.setdefault(name, set()).add(version)
    assert set(versions) == {"python", "postgres", "versity/versitygw", "oauth2-proxy/oauth2-proxy", "renku-metrics"}
    assert {name: found for name, found in versions.items() if len(found) > 1} == {}
