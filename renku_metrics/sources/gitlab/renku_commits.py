"""Reads from a commit message what renku did, and nothing else.

The rules come from renku-python itself, versions 0.3 to 2.9 (docs/sources/renku-commits.md). All words that are
returned come from closed sets, so nothing that a person wrote is kept.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Literal

from renku_metrics.renku_words import COMMANDS, HELPERS, Options

Surface = Literal["cli", "ui"]


@dataclass(frozen=True)
class RenkuMessage:
    """What a commit message tells about renku; all fields are empty if renku did not make the message.

    ``command`` is a sub-command, spelled alike for all versions and surfaces (``dataset rm`` also if the UI writes
    ``dataset remove``). ``options`` are long names such as ``--create``, sorted and without values; the options of the
    user's own command after ``renku run`` are left out. ``helper`` says what a helper commit of the CLI does; such a
    commit has no ``command``.
    """

    surface: Surface | None = None
    command: str | None = None
    options: tuple[str, ...] = ()
    helper: str | None = None
    autosave: bool = False


# renku refuses these without an argument, so `renku run` alone is a person's remark.
NEEDS_ARGUMENT = frozenset(
    {
        "run",
        "rerun",
        "mv",
        "rm",
        "config",
        "dataset create",
        "dataset add",
        "dataset import",
        "dataset edit",
        "dataset rm",
    }
    | {"workflow execute", "workflow iterate", "workflow compose", "workflow edit", "workflow remove"}
)

# The core service writes its messages itself, without options.
UI_COMMANDS = (
    (re.compile(r"dataset (?P<command>create|add|edit) \S"), "dataset {command}"),
    (re.compile(r"dataset import (of )?\S"), "dataset import"),
    (re.compile(r"dataset remove \S"), "dataset rm"),
    (re.compile(r"unlink dataset \S"), "dataset unlink"),
    (re.compile(r"(renku )?init \S"), "init"),
    (re.compile(r"renku migrate$|migrate to latest version\b"), "migrate"),
    (re.compile(r"config set\b"), "config set"),
    (re.compile(r"project edit\b"), "project edit"),
)

HELPER_MESSAGES = tuple((re.compile(pattern), helper) for pattern, helper in HELPERS.items())

PROGRAM = re.compile(r"(?:renku|python -m renku(?:\.ui)?(?:\.cli)?) +(?P<rest>\S.*)")
# `service`, or since 1.0 the host of the deployment: docs/sources/renku-commits.md#the-ui-writes-a-prefix
UI_PREFIX = re.compile(r"(?P<host>[A-Za-z0-9.-]+)(?::\d+)?: +(?P<rest>\S.*)")
GLOBAL_OPTIONS_WITH_VALUE = frozenset({"--path", "--renku-home"})
AUTOSAVE_MESSAGE = re.compile(r"Auto-saving for \S+ on branch \S+ from commit [0-9a-f]{7,40}\b")
SAVED = re.compile(r"Saved changes to: \S")

COMMITTER_NAME = re.compile(r"renku \d+\.\d+")
COMMITTER_ADDRESS = re.compile(r"renku-python/tree/v|^renku\+[^@]*@datascience\.ch$", re.IGNORECASE)


def read_message(message: str, *, by_renku: bool, domains: Collection[str]) -> RenkuMessage:
    """What renku did, according to the whole message of a commit.

    ``by_renku``: whether renku is the committer. A rebase replaces the committer
    (docs/sources/renku-commits.md#a-rebase-replaces-the-committer), so another committer's message can be the UI's too.
    Then its prefix must be ``service`` or one of the deployment's ``domains``, because people also write
    `flights.py: dataset create helper`.
    """
    text = _first_paragraph(message)
    if AUTOSAVE_MESSAGE.match(text):
        return RenkuMessage(autosave=True)
    for pattern, helper in HELPER_MESSAGES:
        if pattern.match(text):
            return RenkuMessage(surface="cli", helper=helper)
    if SAVED.match(text):
        return RenkuMessage(surface="cli", command="save")
    prefixed = UI_PREFIX.fullmatch(text)
    if prefixed and (by_renku or prefixed["host"] in {"service", *domains}):
        return _read_ui(prefixed["rest"])
    if called := PROGRAM.fullmatch(text):
        return _read_cli(called["rest"].split(" "))
    return RenkuMessage()


def is_renku_committer(name: str, email: str) -> bool:
    """Whether the committer is renku itself rather than a person."""
    return bool(COMMITTER_NAME.match(name) or COMMITTER_ADDRESS.search(email.strip()))


def _first_paragraph(message: str) -> str:
    # renku wraps its messages at 100 characters; a blank line and the transaction id follow.
    # docs/sources/renku-commits.md#messages-are-wrapped-at-100-characters
    paragraph = re.split(r"\n[^\S\n]*\n", message.replace("\r\n", "\n").strip(), maxsplit=1)[0]
    return " ".join(line.strip() for line in paragraph.split("\n"))


def _read_ui(rest: str) -> RenkuMessage:
    for pattern, command in UI_COMMANDS:
        if match := pattern.match(rest):
            return RenkuMessage(surface="ui", command=command.format_map(match.groupdict()))
    return RenkuMessage()


def _read_cli(words: list[str]) -> RenkuMessage:
    words = _without_global_options([word for word in words if word])
    for length in (2, 1):
        command, arguments = " ".join(words[:length]), words[length:]
        if command in COMMANDS and (arguments or command not in NEEDS_ARGUMENT):
            return RenkuMessage("cli", command, _options_among(arguments, command))
    return RenkuMessage()


def _without_global_options(words: list[str]) -> list[str]:
    while words and words[0].startswith("-"):
        words = words[2 if words[0] in GLOBAL_OPTIONS_WITH_VALUE else 1 :]
    return words


def _options_among(arguments: list[str], command: str) -> tuple[str, ...]:
    known = COMMANDS[command]
    found: set[str] = set()
    remaining = iter(arguments)
    for word in remaining:
        if word == "--":
            break
        if not word.startswith("-") or word == "-":
            if command == "run":
                break
            continue
        name = word.partition("=")[0]
        if name in known.flags:
            found.add(known.flags[name])
        elif name in known.valued:
            found.add(known.valued[name])
            if name == word:
                next(remaining, None)
        elif not word.startswith("--"):
            found.update(_short_options(word[1:], known, remaining))
    return tuple(sorted(found))


def _short_options(letters: str, known: Options, following: Iterator[str]) -> Iterator[str]:
    """The options of a cluster such as ``-fc``; the value of the last one may be the word that follows."""
    for position, letter in enumerate(letters):
        spelling = f"-{letter}"
        if spelling in known.valued:
            yield known.valued[spelling]
            if position == len(letters) - 1:
                next(following, None)
            return
        if spelling not in known.flags:
            return
        yield known.flags[spelling]
