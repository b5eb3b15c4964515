"""The words that renku-python, versions 0.3 to 2.9, writes into its commit messages: docs/sources/renku-commits.md."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Options:
    """The options of one sub-command: each spelling of any version of renku, with the option's long name."""

    flags: Mapping[str, str]
    valued: Mapping[str, str]


def _options(flags: str = "", valued: str = "") -> Options:
    """Options from groups of spellings such as ``-c/--create``; the last spelling of a group names it."""

    def spellings(groups: str) -> dict[str, str]:
        return {spelling: group.split("/")[-1] for group in groups.split() for spelling in group.split("/")}

    return Options(spellings(flags), spellings(valued))


_DESCRIBED = "-t/--title -n/--name -d/--description -c/--creator -m/--metadata -k/--keyword"
_EXECUTED = "-p/--provider -c/--config"
_RERUN_FLAGS = "-n/--dry-run --skip-metadata-update --check-siblings --with-siblings --no-output"

# Sub-commands that make commits, in any version, with the options that renku gives them.
COMMANDS: Mapping[str, Options] = {
    "init": _options(
        "-l/--list-templates -d/--describe --force --ignore-template-errors"
        " -S/--external-storage --no-external-storage",
        "-n/--name --description -k/--keyword --datadir --data-dir -i/--image -t/--template-id -s/--template-source"
        " -r/--template-ref -p/--parameter -m/--metadata --initial-branch --template-index",
    ),
    "migrate": _options(
        "-c/--check -t/--skip-template-update -d/--skip-docker-update -s/--strict --preserve-identifiers --no-commit"
    ),
    "run": _options(
        "--no-output --no-input-detection --no-output-detection --no-parameter-detection --isolation --file --verbose"
        " --dry-run --no-commit --skip-metadata-update",
        "--name --description --keyword --input --output --param --success-code --creator --provider",
    ),
    "rerun": _options(f"{_RERUN_FLAGS} --default-inputs --show-inputs --edit-inputs", f"--from --revision {_EXECUTED}"),
    "update": _options(f"{_RERUN_FLAGS} -a/--all -i/--ignore-deleted", f"--revision {_EXECUTED}"),
    "save": _options("", "-m/--message -d/--destination"),
    "mv": _options("-f/--force -v/--verbose", "--to-dataset"),
    "rm": _options(),
    "gc": _options(),
    "doctor": _options("--fix -f/--force"),
    "dataset create": _options("", f"{_DESCRIBED} -s/--storage --datadir"),
    "dataset edit": _options("", f"{_DESCRIBED} -u/--unset --metadata-source"),
    "dataset add": _options(
        "-f/--force -o/--overwrite -c/--create -e/--external --cp/--copy --mv/--move --ln/--link",
        "-s/--src/--source -d/--dst/--destination -r/--ref --storage --datadir",
    ),
    "dataset import": _options("-x/--extract -y/--yes", "--short-name/--name -s/--slug --datadir -t/--tag -p/--path"),
    "dataset update": _options(
        "--delete -e/--external --no-external --no-local --no-remote -c/--check-data-directory -a/--all -n/--dry-run"
        " --plain",
        "--creators -I/--include -X/--exclude --ref",
    ),
    "dataset tag": _options("-f/--force", "-d/--description"),
    "dataset rm-tags": _options(),
    "dataset unlink": _options("-y/--yes", "-I/--include -X/--exclude"),
    "dataset rm": _options(),
    "workflow execute": _options("--skip-metadata-update", f"-s/--set --values {_EXECUTED}"),
    "workflow iterate": _options("-n/--dry-run --skip-metadata-update", f"--mapping -m/--map {_EXECUTED}"),
    "workflow compose": _options(
        "--map-inputs --map-outputs --map-params --map-all --link-all",
        "-d/--description -m/--map -s/--set -l/--link -p/--describe-param --keyword --from --to --creator",
    ),
    "workflow edit": _options(
        "",
        "-n/--name -d/--description -s/--set -m/--map -r/--rename-param --describe-param --metadata --creator"
        " --keyword",
    ),
    "workflow remove": _options("--force"),
    "workflow revert": _options("-m/--metadata-only -f/--force -p/--plan"),
    "workflow rename": _options("--force"),
    "workflow set-name": _options("--force"),
    "config": _options("--remove --local --global"),
    "config set": _options("--global"),
    "config remove": _options("--global"),
    "project edit": _options(
        "", "-d/--description -k/--keyword -c/--creator -i/--image -m/--metadata -u/--unset --metadata-source"
    ),
    "template set": _options("-f/--force -i/--interactive -n/--dry-run", "-s/--source -r/--reference -p/--parameter"),
    "template update": _options("-f/--force -i/--interactive -n/--dry-run"),
    "storage migrate": _options("-a/--all"),
    "lfs migrate": _options("-a/--all"),
    "graph generate": _options("-f/--force"),
    "graph update": _options("-n/--dry-run"),
}

# Each long name of an option of any sub-command.
OPTIONS = tuple(
    sorted({name for known in COMMANDS.values() for group in (known.flags, known.valued) for name in group.values()})
)

# What a commit does that renku makes beside that of a sub-command, by the beginning of its message.
HELPERS: Mapping[str, str] = {
    r"renku (dataset|run|rerun|update): commit+ing \d+ newly added files": "adding files",
    r"renku dataset: updated \d+ (external )?files": "updating files",
    r"renku dataset rm: final mutation": "final mutation",
    r"renku mv: commit+ing \d+ moved files": "moved files",
    r"renku migrate: commit+ing migrated workflow": "migrated workflow",
    r"renku migrate: commit+ing structural changes": "structural changes",
}
