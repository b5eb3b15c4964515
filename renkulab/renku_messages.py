"""Commit messages as renku-python writes them: from the CLI and, with the deployment's domain, from the UI."""

from __future__ import annotations

import hashlib
import textwrap

from renkulab.git import Identity
from renkulab.truth import Action

# Command, what it is, and how often it is used.
CLI_COMMANDS: tuple[tuple[str, Action, int], ...] = (
    (
        # With its numbers, long enough for renku to wrap it.
        "renku run --name step-{n} -- python train.py --rate 0.{n} --output run-{n}/metrics.json --input set-{n}",
        "workflow_run",
        6,
    ),
    ("renku run --name clean-{n} python clean.py", "workflow_run", 4),
    ("renku workflow execute --set rate={n} train", "workflow_run", 5),
    ("renku workflow iterate --map rate=[1,2] train", "workflow_run", 1),
    ("renku update --all", "workflow_run", 2),
    ("renku -S dataset create set-{n}", "dataset_created", 3),
    ("renku dataset add --copy --create set-{n} table.csv", "dataset_created", 3),
    ("renku dataset add -c set-{n} table.csv", "dataset_created", 2),
    ("renku dataset add set-{n} more.csv", "commit", 4),
    ("renku dataset import --name set-{n} doi:10.5281/zenodo.{n}", "dataset_imported", 2),
    ("renku dataset edit -c creator.yaml set-{n}", "commit", 1),
    ("renku workflow compose pipeline train clean", "commit", 1),
    ("renku config set autocommit_lfs true", "commit", 1),
)
UI_ACTIONS: tuple[tuple[str, Action, int], ...] = (
    ("dataset create set-{n}", "dataset_created", 6),
    ("dataset import of doi:10.5281/zenodo.{n}", "dataset_imported", 2),
    ("dataset add set-{n} table.csv", "commit", 4),
    ("migrate to latest version for renku 2.9.4", "commit", 1),
)
PLAIN_MESSAGES = (
    "Fix the plot\n",
    "v1.2: update figures\n",
    "run the model again\n",
    "Notes: dataset create is next\n",
)
VERSION = "2.9.4"
RENKU = Identity(f"renku {VERSION}", f"https://github.com/swissdatasciencecenter/renku-python/tree/v{VERSION}")


def cli(command: str, number: int) -> str:
    """The command line, wrapped at 100 characters, with a trailer that ``number`` makes unique."""
    wrapped = textwrap.wrap(command, 100, break_long_words=False, break_on_hyphens=False)
    return "\n\t".join(wrapped) + trailer(number)


def ui(domain: str, what: str, number: int) -> str:
    return f"{domain}: {what}{trailer(number)}"


def trailer(number: int) -> str:
    digits = hashlib.sha256(str(number).encode()).hexdigest()[:32]
    return f"\n\nrenku-transaction: {digits}\n"


def autosave(username: str, branch: str, sha: str) -> tuple[str, str]:
    """Branch and message of the commit that the platform makes when a session stops."""
    short = sha[:7]
    return (
        f"renku/autosave/{username}/{branch}/{short}/{short}",
        f"Auto-saving for {username} on branch {branch} from commit {short}",
    )
