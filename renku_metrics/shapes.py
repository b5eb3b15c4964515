"""What the texts of tables, and of what sources remember, may look like."""

from __future__ import annotations

from renku_metrics.renku_words import COMMANDS, HELPERS, OPTIONS
from renku_metrics.schema import Shape
from renku_metrics.user_ids import EMAIL_PREFIX, GITLAB_PREFIX

_UUID = r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
_HASH = r"[0-9a-f]{64}"
_MONTH = r"[0-9]{4}-(?:0[1-9]|1[0-2])"

DEPLOYMENT_NAME = Shape("the name of a deployment", r"[a-z0-9][a-z0-9-]*")
DATE = Shape("a day, YYYY-MM-DD", f"{_MONTH}-(?:0[1-9]|[12][0-9]|3[01])")
DATE_OR_NONE = Shape("a day, YYYY-MM-DD, or empty", f"(?:{DATE.pattern})?")
FIRST_OF_MONTH = Shape("the first day of a month, YYYY-MM-DD", f"{_MONTH}-01")
KEYED_HASH = Shape("a keyed hash", _HASH)
SHA = Shape("a commit id", r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
KEYCLOAK_ID = Shape("a UUID or a keyed hash", f"{_UUID}|{_HASH}")
UUID = Shape("a UUID", _UUID)
ULID = Shape("a ULID", r"[0-7][0-9A-HJKMNP-TV-Z]{25}")
USER_ID = Shape("a user id", f"{_UUID}|{_HASH}|{GITLAB_PREFIX}[0-9]+|{EMAIL_PREFIX}{_HASH}")
PROJECT_ID = Shape("gitlab:<id> or renku:<ULID>", f"gitlab:[0-9]+|renku:{ULID.pattern}")
TIME = Shape("a time", r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]+)?(?:Z|[+-][0-9]{2}:[0-9]{2})")
NUMBER = Shape("a number", r"[0-9]+")
NOTHING = Shape("empty", "")
WORD = Shape("one lower case word", r"[a-z][a-z_]{0,29}")
LABEL = Shape("a Kubernetes name", r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
CLIENT = Shape("the id of an OAuth client", r"[A-Za-z0-9][A-Za-z0-9._/:-]{0,254}")
EVENT_KEY = Shape(
    "the key of an event",
    f"[a-z_]+:(?:{SHA.pattern}|{_HASH}|(?:{LABEL.pattern})?/{_UUID}(?:/[0-9]+)?)",
)
COMMAND = Shape("a sub-command of renku", "|".join(COMMANDS))
OPTION = Shape("the name of an option of renku", "|".join(OPTIONS))
HELPER = Shape("what a helper commit of renku does", "|".join(HELPERS.values()))
METRIC = Shape("the key of a metric", r"[a-z][a-z_]{0,59}")
VERSION = Shape("the version of a definition", r"[0-9]+(?:\.[0-9]+)?")
PERIOD = Shape(
    "a week such as 2026-W47 or a month such as 2026-11", f"{_MONTH}|[0-9]{{4}}-W(?:0[1-9]|[1-4][0-9]|5[0-3])"
)
DEFINITIONS = Shape(
    "two metrics with the versions of their definitions", "; ".join([f"{METRIC.pattern} {VERSION.pattern}"] * 2)
)


def any_of(*shapes: Shape) -> Shape:
    """The shape of a text that has one of the shapes."""
    return Shape(", or ".join(shape.meaning for shape in shapes), "|".join(f"(?:{shape.pattern})" for shape in shapes))


def one_of(*words: str) -> Shape:
    """The shape of a closed list of words."""
    return Shape(f"one of {', '.join(words)}", "|".join(words))
