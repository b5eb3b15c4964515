"""Manifests against the models of the Kubernetes client, which are made from Kubernetes' own API description."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from kubernetes.client import models

PLAIN: dict[str, type | tuple[type, ...]] = {"str": str, "int": int, "bool": bool, "object": object}
LIST = re.compile(r"list\[(\w+)\]")
MAPPING = re.compile(r"dict\[str, (\w+)\]")


def faults(kind: str, value: Any, path: str = "") -> Iterator[str]:
    """Where the value, as read from YAML, is none of this kind: fields that are unknown, missing or of another type."""
    if inner := LIST.fullmatch(kind):
        for number, item in enumerate(value):
            yield from faults(inner[1], item, f"{path}[{number}]")
    elif inner := MAPPING.fullmatch(kind):
        for key, item in value.items():
            yield from faults(inner[1], item, f"{path}.{key}")
    elif kind in PLAIN:
        if not isinstance(value, PLAIN[kind]) or (kind == "int" and isinstance(value, bool)):
            yield f"{path}: {value!r} is no {kind}"
    else:
        yield from _faults_of_model(getattr(models, kind), value, path)


def _faults_of_model(model: Any, value: Any, path: str) -> Iterator[str]:
    if not isinstance(value, dict):
        yield f"{path}: {value!r} is no {model.__name__}"
        return
    attributes = {name: attribute for attribute, name in model.attribute_map.items()}
    for name, item in value.items():
        if name in attributes:
            yield from faults(model.openapi_types[attributes[name]], item, f"{path}.{name}")
        else:
            yield f"{path}.{name} is unknown to {model.__name__}"
    try:
        # The models refuse what lacks a field that is required.
        model(**{attribute: value[name] for name, attribute in attributes.items() if name in value})
    except ValueError as error:
        yield f"{path}: {error}"
