"""The environment of the runs of a revision, in which its own code is found first.

A module that the revision does not have is still found in an editable install of the working tree:
`install=` gives each revision an environment of its own.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.launch.repository import Repository, without_hook

# Asks the interpreter that will make the runs where it looks for code, and which modules of the
# revision it would still take from the working tree. Editable installs of some build
# tools put an import hook before everything else.
_ASK = """
import importlib.util, json, os, pkgutil, sys
checkout, worktree, *folders = sys.argv[1:]
def is_in(path, folder):
    return os.path.realpath(path).startswith(folder + os.sep)
def is_theirs(path):
    return is_in(path, checkout) and not is_in(path, worktree)
elsewhere = []
for module in pkgutil.iter_modules(folders):
    if module.name not in sys.modules:
        spec = importlib.util.find_spec(module.name)
        if spec and spec.origin and is_theirs(spec.origin):
            elsewhere.append(module.name + " from " + spec.origin)
theirs = [os.path.relpath(os.path.realpath(path), checkout) for path in sys.path if is_theirs(path)]
print(json.dumps([theirs, elsewhere]))
"""

# Asks the same interpreter where it finds this project.
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


def environment_of(
    given: Mapping[str, str], python: str, repository: Repository, worktree: Path, module: str
) -> dict[str, str]:
    """The environment of the runs of a revision.

    What the interpreter would look for in the working tree, because of PYTHONPATH or an editable
    install, is looked for in the worktree first.

    Args:
        given: That of the command.
        python: The interpreter.
        repository: What the worktree is of.
        worktree: Its top folder.
        module: That the runs are made with.

    Raises:
        ValueError: The interpreter cannot be run, or would take code from the working tree still.
    """
    environment = without_hook(given)
    # Without compiled files, each run would compile all that it imports.
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    environment["PYTHONHASHSEED"] = "0"
    folders = [folder for folder in (worktree, worktree / "src") if folder.is_dir()]
    if hides_suite(repository, worktree, module):
        # The runs do not search the folder that they are made in: see Interleaved.
        folders = [_suite(python, environment, worktree), worktree / repository.inside, *folders]
    environment["PYTHONPATH"] = _searched(folders, given)
    question = [python, "-c", _ASK, str(repository.root), str(worktree), *map(str, folders)]
    theirs, elsewhere = _json_of(question, environment, worktree / repository.inside)
    if elsewhere:
        raise ValueError(
            f"python={python}: takes {elsewhere[0]}, which is not the revision's; give each "
            "revision an environment of its own, as in install='python -m venv .venv && "
            ".venv/bin/pip install -e .' python=.venv/bin/python"
        )
    mapped = [worktree / folder for folder in theirs]
    folders += [folder for folder in mapped if folder.is_dir() and folder not in folders]
    return {**environment, "PYTHONPATH": _searched(folders, given)}


def hides_suite(repository: Repository, worktree: Path, module: str) -> bool:
    """Whether packages of a revision have the names of this project's and hide its module.

    Args:
        repository: What the worktree is of.
        worktree: Its top folder.
        module: That the runs are made with. One that the revision has itself is meant.
    """
    folders = worktree / repository.inside, worktree, worktree / "src"
    named = any((folder / name).is_dir() for folder in folders for name in ("bench", "analysis"))
    file = f"{module.replace('.', '/')}.py"
    return (
        named
        and module.startswith(("bench.", "analysis."))
        and not any((folder / file).is_file() for folder in folders)
    )


def _suite(python: str, environment: Mapping[str, str], worktree: Path) -> Path:
    """A folder with links to this project's packages, to be searched before the revision.

    Raises:
        ValueError: The interpreter does not have this project.
    """
    folder = worktree.with_name(f"{worktree.name}-suite")
    folder.mkdir(exist_ok=True)
    code = f"{_PACKAGES}print(json.dumps(found))"
    for name, place in _json_of([python, "-P", "-c", code], environment, folder).items():
        if not (folder / name).is_symlink():
            (folder / name).symlink_to(place)
    return folder


def python_of(given: str | None, default: str, folder: Path) -> str:
    """The interpreter of a revision.

    Args:
        given: A path, from the folder on if it is relative, or a program on PATH; None for the
            default.
        default: That of the command.
        folder: Of the revision, that it is run in.
    """
    if given is None:
        return default
    return str(folder / given) if os.sep in given else given


def _searched(folders: list[Path], given: Mapping[str, str]) -> str:
    """PYTHONPATH: the folders of the revision, then what the variable held before."""
    inherited = given.get("PYTHONPATH")
    return os.pathsep.join([*map(str, folders), *([inherited] if inherited else [])])


def _json_of(question: list[str], environment: Mapping[str, str], cwd: Path) -> Any:
    """The last line that an interpreter prints, read as JSON.

    Raises:
        ValueError: It cannot be run, or prints something else.
    """
    try:
        answer = subprocess.run(
            question, cwd=cwd, env=environment, capture_output=True, text=True, check=True
        )
    except OSError as error:
        raise ValueError(f"python={question[0]}: cannot be run ({error.strerror})") from error
    except subprocess.CalledProcessError as error:
        reason = (error.stderr.strip().splitlines() or [f"exit code {error.returncode}"])[-1]
        raise ValueError(f"python={question[0]}: cannot be run ({reason})") from error
    try:
        return json.loads(answer.stdout.splitlines()[-1])
    except (IndexError, ValueError) as error:
        raise ValueError(f"python={question[0]}: is no Python interpreter") from error
