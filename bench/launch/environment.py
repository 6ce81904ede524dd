"""Makes the environment variables for the runs of a revision, so that its own code is found first.

Python would still find a module that the revision does not have in an editable install of the
working tree. Users can give each revision an environment of its own with `install=`.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.launch.repository import Repository, drop_hook_variables

# The interpreter that will make the runs prints which folders of the working tree it searches, and
# which modules of the revision it would still take from there. The latter happens because editable
# installs of some build tools put an import hook before everything else.
_SEARCH = """
import importlib.util, json, os, pkgutil, sys
checkout, worktree, *folders = sys.argv[1:]
def is_in(path, folder):
    return os.path.realpath(path).startswith(folder + os.sep)
def is_working_tree(path):
    return is_in(path, checkout) and not is_in(path, worktree)
wrong = []
for module in pkgutil.iter_modules(folders):
    if module.name not in sys.modules:
        spec = importlib.util.find_spec(module.name)
        if spec and spec.origin and is_working_tree(spec.origin):
            wrong.append(module.name + " from " + spec.origin)
paths = map(os.path.realpath, filter(is_working_tree, sys.path))
print(json.dumps([[os.path.relpath(path, checkout) for path in paths], wrong]))
"""

# The same interpreter prints where it finds this project.
_PACKAGES = """
import json, os
from importlib.util import find_spec
found = {}
for name in ("bench", "analysis", "hydra_plugins"):
    spec = find_spec(name)
    if spec is None:
        raise SystemExit(f"{name}: not installed there")
    places = list(spec.submodule_search_locations)
    ours = [each for each in places if os.path.exists(os.path.join(each, "checked_sweeper.py"))]
    found[name] = os.path.realpath((ours or places)[0])
"""


def run_environment(
    inherited: Mapping[str, str], python: str, repository: Repository, worktree: Path, module: str
) -> dict[str, str]:
    """Make the environment for the runs of a revision.

    If PYTHONPATH or an editable install makes the interpreter search a folder of the working tree,
    it searches the same folder of the worktree first.

    Args:
        inherited: The environment of the command.
        python: The interpreter.
        repository: The repository that the worktree belongs to.
        worktree: The top folder of the worktree.
        module: The module to run.

    Raises:
        ValueError: The interpreter cannot be run, or would still take code from the working tree.
    """
    environment = drop_hook_variables(inherited)
    # Each run would otherwise compile every module that it imports.
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    # Different hash seeds would make the order of sets, and with it times, differ between runs.
    environment["PYTHONHASHSEED"] = "0"
    folders = [folder for folder in (worktree, worktree / "src") if folder.is_dir()]
    if hides_suite(repository, worktree, module):
        # These runs use `python -P`, so the working directory has to be listed too.
        folders = [
            _link_suite(python, environment, worktree),
            worktree / repository.inside,
            *folders,
        ]
    environment["PYTHONPATH"] = _search_path(folders, inherited)
    folders += _mapped_folders(python, environment, repository, worktree, folders)
    return {**environment, "PYTHONPATH": _search_path(folders, inherited)}


def _mapped_folders(
    python: str,
    environment: Mapping[str, str],
    repository: Repository,
    worktree: Path,
    folders: Sequence[Path],
) -> list[Path]:
    """Replace the folders of the working tree that an interpreter searches by the worktree's.

    Raises:
        ValueError: It would still take a module of the revision from the working tree.
    """
    command = [python, "-c", _SEARCH, str(repository.root), str(worktree), *map(str, folders)]
    searched, wrong = _read_json(command, environment, worktree / repository.inside)
    if wrong:
        raise ValueError(
            f"python={python}: takes {wrong[0]} and not from the revision; give each "
            "revision an environment of its own, as in install='python -m venv .venv && "
            ".venv/bin/pip install -e .' python=.venv/bin/python"
        )
    mapped = [worktree / folder for folder in searched]
    return [folder for folder in mapped if folder.is_dir() and folder not in folders]


def hides_suite(repository: Repository, worktree: Path, module: str) -> bool:
    """Whether a revision has packages called bench or analysis that hide a module of this project.

    Args:
        repository: The repository that the worktree belongs to.
        worktree: The top folder of the worktree.
        module: The module to run. If the revision has it, the revision's own is meant.
    """
    folders = worktree / repository.inside, worktree, worktree / "src"
    named = any((folder / name).is_dir() for folder in folders for name in ("bench", "analysis"))
    file = f"{module.replace('.', '/')}.py"
    return (
        named
        and module.startswith(("bench.", "analysis."))
        and not any((folder / file).is_file() for folder in folders)
    )


def _link_suite(python: str, environment: Mapping[str, str], worktree: Path) -> Path:
    """Make a folder with links to this project's packages, to search before the revision.

    Raises:
        ValueError: This project is not installed for the interpreter.
    """
    folder = worktree.with_name(f"{worktree.name}-suite")
    folder.mkdir(exist_ok=True)
    code = f"{_PACKAGES}print(json.dumps(found))"
    for name, place in _read_json([python, "-P", "-c", code], environment, folder).items():
        if not (folder / name).is_symlink():
            (folder / name).symlink_to(place)
    return folder


def interpreter_path(python: str, folder: Path) -> str:
    """The interpreter of a revision.

    Args:
        python: A path, which may be relative to the folder, or a program on PATH.
        folder: The folder of the revision that the runs are made in.
    """
    return str(folder / python) if os.sep in python else python


def _search_path(folders: list[Path], inherited: Mapping[str, str]) -> str:
    """PYTHONPATH: the folders of the revision, then the inherited ones."""
    before = inherited.get("PYTHONPATH")
    return os.pathsep.join([*map(str, folders), *([before] if before else [])])


def _read_json(command: list[str], environment: Mapping[str, str], cwd: Path) -> Any:
    """Run an interpreter, and read the last line that it prints as JSON.

    Raises:
        ValueError: It cannot be run, or prints something else.
    """
    python = command[0]
    try:
        answer = subprocess.run(
            command, cwd=cwd, env=environment, capture_output=True, text=True, check=True
        )
    except OSError as error:
        raise ValueError(f"python={python}: cannot be run ({error.strerror})") from error
    except subprocess.CalledProcessError as error:
        reason = (error.stderr.strip().splitlines() or [f"exit code {error.returncode}"])[-1]
        raise ValueError(f"python={python}: cannot be run ({reason})") from error
    try:
        return json.loads(answer.stdout.splitlines()[-1])
    except (IndexError, ValueError) as error:
        raise ValueError(f"python={python}: not a Python interpreter; name one") from error
