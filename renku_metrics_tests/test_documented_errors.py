"""The messages that docs/operations.md quotes are those of the product."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from renku_metrics.environment import PROJECT

# What a quote does not tell: an ellipsis, a name in angle brackets, a capital letter alone.
LEFT_OPEN = re.compile(r"…|<\w+>|\b[A-Z]\b")
# What a message begins with is put together from elsewhere: an address, or a deployment and a source.
BEGINNING = re.compile(r"\S*(…|>): ([a-z]+: )?")


def quotes(page: str) -> set[str]:
    """The quoted texts of several words that leave something open, or stand in the table of lines and signs."""
    prose = re.sub(r"^ *```.*?^ *```", "", page, flags=re.DOTALL | re.MULTILINE)
    rows = prose.partition("| line, or sign |")[2].partition("\n\n")[0].splitlines()
    signs = "\n".join(row.split(" | ")[0] for row in rows)
    texts = {" ".join(text.split()) for text in re.findall(r"`([^`]+)`", prose)}
    return {text for text in texts if " " in text and ("…" in text or f"`{text}`" in signs)}


def told(quote: str) -> list[str]:
    """The parts of a quote that leave nothing open."""
    parts = [part.strip() for part in LEFT_OPEN.split(BEGINNING.sub("", quote, count=1))]
    return [part for part in parts if re.search(r"\w", part)]


def messages(path: Path) -> str:
    """Every text of a module but its docstrings, a line each, with an ellipsis for whatever is filled in."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            found.append("".join(str(part.value) if isinstance(part, ast.Constant) else "…" for part in node.values))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            found.append(node.value)
    return "\n".join(found)


QUOTES = sorted(quotes((PROJECT / "docs" / "operations.md").read_text(encoding="utf-8")))
MESSAGES = [messages(path) for path in sorted((PROJECT / "renku_metrics").rglob("*.py"))]


def test_quotes_are_found() -> None:
    assert len([quote for quote in QUOTES if told(quote)]) > 25


def test_a_quote_is_read_as_its_fixed_parts() -> None:
    assert told("<deployment>: gitlab: the token in <VARIABLE> was refused …") == ["the token in", "was refused"]
    assert told("… the server asks to wait N s, more …") == ["the server asks to wait", "s, more"]
    assert told("s3://…: there is no bucket …") == ["there is no bucket"]


@pytest.mark.parametrize("quote", QUOTES)
def test_the_product_says_what_is_quoted(quote: str) -> None:
    assert any(all(part in said for part in told(quote)) for said in MESSAGES)
