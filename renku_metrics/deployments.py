"""Reads and checks the deployment files: one YAML file per RenkuLab deployment.

The folder of each source declares what its section may hold.
"""

from __future__ import annotations

import datetime as dt
import os
import re
from collections.abc import Hashable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar
from urllib.parse import urlsplit

import yaml
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SerializeAsAny, ValidationError

from renku_metrics.errors import ConfigurationError
from renku_metrics.object_storage import S3_ADDRESS
from renku_metrics.shapes import DATE, DEPLOYMENT_NAME

DOMAIN = re.compile(r"[a-z0-9-]+(\.[a-z0-9-]+)*(:\d+)?")
VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


def _web_address(value: str) -> str:
    try:
        parts = urlsplit(value)
        well_formed = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        well_formed = False
    if not well_formed or re.search(r"\s", value):
        raise ValueError("must be a web address such as https://renkulab.io")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ValueError("must hold no user, password, query or fragment")
    return value.rstrip("/")


def _storage_address(value: str) -> str:
    if "://" in value and not S3_ADDRESS.fullmatch(value):
        raise ValueError("must be s3://bucket/prefix or a directory")
    return value


def _domain(value: str) -> str:
    if not DOMAIN.fullmatch(value):
        raise ValueError("must be a domain such as renkulab.io")
    return value


def _day(value: Any) -> Any:
    # Pydantic would read a number as seconds since 1970.
    if not isinstance(value, dt.date) and not (DATE.fits(value)):
        raise ValueError("must be a day such as 2026-01-31")
    return value


class Secret:
    """The name of an environment variable. Its value is looked up when it is used, and never kept.

    ``place``: the file and key that name it.
    """

    def __init__(self, variable: str) -> None:
        self.variable = variable
        self.place = ""

    def reveal(self) -> str:
        """The secret itself. Raises ConfigurationError if the variable is not set."""
        value = self._value()
        if not value:
            where = f"{self.place}: " if self.place else ""
            raise ConfigurationError(f"{where}environment variable {self.variable} is not set")
        return value

    @property
    def is_set(self) -> bool:
        return bool(self._value())

    def _value(self) -> str:
        # A secret from a file ends with a line break. An HTTP client refuses that with an error that quotes the secret.
        return os.environ.get(self.variable, "").strip()

    def __repr__(self) -> str:
        return f"${{{self.variable}}}"


def _secret(value: Any) -> Secret:
    match = VARIABLE.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        # The value itself stays out of the message: it may be a secret.
        raise ValueError("must name an environment variable as ${NAME}; a secret does not belong in this file")
    return Secret(match[1])


WebAddress = Annotated[str, AfterValidator(_web_address)]
StorageAddress = Annotated[str, Field(min_length=1), AfterValidator(_storage_address)]
SecretReference = Annotated[Any, AfterValidator(_secret)]


class Section(BaseModel):
    """A part of a deployment file. Each source declares its own."""

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)


Kind = TypeVar("Kind", bound=Section)


class Deployment(Section):
    """One RenkuLab deployment, as its file describes it. ``sources``: the section of each source, by its name."""

    name: Annotated[str, Field(pattern=rf"^{DEPLOYMENT_NAME.pattern}$")]
    title: str = Field(min_length=1)
    start: Annotated[dt.date, BeforeValidator(_day)]
    domains: tuple[Annotated[str, AfterValidator(_domain)], ...] = ()
    sources: Mapping[str, SerializeAsAny[Section]] = Field(default_factory=dict)

    def section(self, kind: type[Kind]) -> Kind | None:
        """The section of that kind; None if the file has none."""
        return next((section for section in self.sources.values() if isinstance(section, kind)), None)

    def configured(self, kind: type[Kind]) -> Kind:
        """The section of that kind. Raises ValueError if the file has none."""
        section = self.section(kind)
        if section is None:
            raise ValueError(f"{self.name} has no section {kind.__name__}")
        return section

    def model_post_init(self, _context: Any, /) -> None:
        for source, key, secret in self.secrets:
            secret.place = f"{self.name}.yaml: {source}.{key}"

    @property
    def secrets(self) -> Iterator[tuple[str, str, Secret]]:
        """Every secret, after the source and the key that name it."""
        for source, section in self.sources.items():
            for key, value in section:
                if isinstance(value, Secret):
                    yield source, key, value


class _RepeatedKey(yaml.MarkedYAMLError):
    """A key is in one mapping twice. YAML itself would take the last one."""


class _Loader(yaml.SafeLoader):
    """YAML that leaves days as text, so a wrong day is reported with its key, and that refuses repeated keys."""

    yaml_implicit_resolvers = {  # noqa: RUF012
        first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[str] = set()
        for key in (key for key, _ in node.value if isinstance(key, yaml.ScalarNode)):
            if key.value in seen:
                raise _RepeatedKey(problem=key.value, problem_mark=key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def read_deployment(path: Path, sections: Mapping[str, type[Section]]) -> Deployment:
    """The deployment that a file describes. ``sections``: the sections of sources that the file may have, by name.

    Raises ConfigurationError: one line per fault, with the file and the key.
    """
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), _Loader)  # noqa: S506
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path}: cannot be read: {error}") from None
    except (yaml.YAMLError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f" in line {mark.line + 1}" if mark else ""
        if isinstance(error, _RepeatedKey):
            raise ConfigurationError(f"{path}: {_shown(error.problem)}: is there a second time{where}") from None
        raise ConfigurationError(f"{path}: is not valid YAML{where}") from None
    if not isinstance(content, Mapping):
        raise ConfigurationError(f"{path}: must hold keys and values, beginning with name:")
    own = {key: value for key, value in content.items() if key not in sections and key != "sources"}
    faults = [f"{path}: sources: is not a known key"] if "sources" in content else []
    found: dict[str, Section] = {}
    for key, section in sections.items():
        if content.get(key) is not None:
            try:
                found[key] = section.model_validate(content[key])
            except ValidationError as error:
                faults += _lines(path, error, key)
    try:
        deployment = Deployment.model_validate(own | {"sources": found})
    except ValidationError as error:
        raise ConfigurationError("\n".join([*_lines(path, error), *faults])) from None
    if faults:
        raise ConfigurationError("\n".join(faults))
    if deployment.name != path.stem:
        raise ConfigurationError(f"{path}: name: is {deployment.name}, so the file must be {deployment.name}.yaml")
    return deployment


def deployment_files(folder: Path) -> list[Path]:
    """The deployment files of the folder, sorted. Names that begin with an underscore or a dot are left out.

    Raises ConfigurationError if there is no file.
    """
    if not folder.is_dir():
        raise ConfigurationError(f"{folder}: there is no such folder; set RENKU_METRICS_DEPLOYMENTS")
    found = [path for path in [*folder.glob("*.yaml"), *folder.glob("*.yml")] if not path.name.startswith(("_", "."))]
    if not found:
        raise ConfigurationError(f"{folder}: holds no deployment file; copy _template.yaml to <name>.yaml")
    return sorted(found)


def read_deployments(folder: Path, sections: Mapping[str, type[Section]]) -> dict[str, Deployment]:
    """Every deployment of the folder by name, sorted.

    Raises ConfigurationError with every fault of every file, or if there is no file.
    """
    found: dict[str, Deployment] = {}
    faults: list[str] = []
    for path in deployment_files(folder):
        try:
            deployment = read_deployment(path, sections)
        except ConfigurationError as error:
            faults.append(str(error))
            continue
        if deployment.name in found:
            faults.append(f"{path}: name: {deployment.name} is described by another file too")
        found[deployment.name] = deployment
    if faults:
        raise ConfigurationError("\n".join(faults))
    return dict(sorted(found.items()))


def _lines(path: Path, error: ValidationError, section: str = "") -> list[str]:
    lines = []
    for fault in error.errors(include_input=False, include_url=False, include_context=False):
        key = ".".join(map(_shown, [*([section] if section else []), *fault["loc"]])) or "file"
        message = {
            "extra_forbidden": "is not a known key",
            "missing": "is missing",
            "model_type": "must hold keys and values, such as url: https://renkulab.io",
            "tuple_type": "must be a list, such as [renkulab.io]",
        }.get(fault["type"], fault["msg"].removeprefix("Value error, "))
        if key == "name" and fault["type"] == "string_pattern_mismatch":
            message = "must be lower case letters, digits and hyphens, such as renkulab-io"
        lines.append(f"{path}: {key}: {message}")
    return lines


def _shown(key: object) -> str:
    # A mistake such as token:secret may put a secret into the key, so only its first word is shown.
    match = re.match(r"\w*", str(key))
    return match[0] if match else ""
