"""Answers in place of the true ones."""

from __future__ import annotations

from typing import Any

import orjson

from renkulab.faults import Fault, Instead, html_page, json_object, server_error


def json_answer(content: Any, status: int = 200) -> Instead:
    return Instead(status, orjson.dumps(content), {"Content-Type": "application/json"})


# What a list may give for good, however often it is asked for.
LASTING: dict[str, Fault] = {
    "403": json_answer({"message": "403 Forbidden"}, 403),
    "404": json_answer({"message": "404 Not Found"}, 404),
    "500": server_error(500),
    "HTML page": html_page(),
    "an object for a list": json_object(),
}
