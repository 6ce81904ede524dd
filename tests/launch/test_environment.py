from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bench.launch.environment import hides_suite, interpreter_path, run_environment
from bench.launch.repository import Repository

ROOT = Path(__file__).parents[2]
# An import hook that comes first, as editable installs of some build tools have it.
_HOOK = """
import importlib.machinery, sys
class Finder:
    def find_spec(name, path=None, target=None):
        if name == "package":
            return importlib.machinery.PathFinder.find_spec(name, ["{folder}"])
sys.meta_path.insert(0, Finder)
"""


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """A working tree and a worktree, with a package each, in src/ and in libraries/."""
    for root in ("checkout", "worktree"):
        for name in ("src/package", "libraries/one/inner"):
            (tmp_path / root / name).mkdir(parents=True)
            (tmp_path / root / name / "__init__.py").touch()
    return tmp_path / "checkout", tmp_path / "worktree"


def environment(folders: tuple[Path, Path], inside: str = "", **given: str) -> dict[str, str]:
    checkout, worktree = folders
    repository = Repository(root=checkout, inside=Path(inside))
    return run_environment(
        {"PATH": os.environ["PATH"], **given},
        sys.executable,
        repository,
        worktree,
        "bench.train",
    )


def origin(package: str, variables: dict[str, str], worktree: Path) -> str:
    """The folder that a package is imported from."""
    code = f"import {package}; print({package}.__path__[0])"
    answer = subprocess.run(
        [sys.executable, "-c", code], cwd=worktree, env=variables, capture_output=True, text=True
    )
    return answer.stdout.strip()


@pytest.mark.parametrize("inside", ["", "benchmarks"])
def test_packages_of_a_revision_with_the_names_of_this_project_do_not_hide_it(
    folders: tuple[Path, Path], inside: str
) -> None:
    """Neither at its top nor in the folder that runs are made in; its own others are found."""
    worktree = folders[1]
    start = worktree / inside
    for name in ("bench", "analysis"):
        (start / name).mkdir(parents=True)
        (start / name / "__init__.py").write_text("raise ImportError('the wrong one')")
    (start / "my_parts.py").touch()
    variables = environment(folders, inside, PYTHONPATH=str(ROOT))
    code = "import analysis, my_parts, package; from bench.core.files import config_dir as c; "
    code += "print(c(), package)"
    answer = subprocess.run(
        [sys.executable, "-P", "-c", code],
        cwd=start,
        env=variables,
        capture_output=True,
        text=True,
    )
    assert answer.stdout.startswith(f"{ROOT / 'conf'} "), answer.stderr
    assert str(worktree / "src" / "package") in answer.stdout


def test_a_module_of_the_revision_is_preferred(tmp_path: Path) -> None:
    repository = Repository(root=tmp_path, inside=Path())
    (tmp_path / "bench").mkdir()
    assert hides_suite(repository, tmp_path, "bench.train")
    assert not hides_suite(repository, tmp_path, "my_train")
    (tmp_path / "bench" / "train.py").touch()
    assert not hides_suite(repository, tmp_path, "bench.train")


def test_hash_seed_bytecode_and_git_variables_are_set(
    folders: tuple[Path, Path],
) -> None:
    found = environment(folders, PYTHONDONTWRITEBYTECODE="1", GIT_DIR="/elsewhere", OTHER="kept")
    worktree = folders[1]
    assert found.pop("PATH") == os.environ["PATH"]
    assert found == {
        "PYTHONPATH": f"{worktree}:{worktree}/src",
        "PYTHONHASHSEED": "0",
        "OTHER": "kept",
    }


def test_the_worktree_is_searched_before_the_working_tree(
    folders: tuple[Path, Path], tmp_path: Path
) -> None:
    checkout, worktree = folders
    link = tmp_path / "link"
    link.symlink_to(checkout)
    inherited = f"{link}/libraries/one{os.pathsep}{checkout}/gone"
    variables = environment(folders, PYTHONPATH=inherited)
    own = f"{worktree}:{worktree}/src:{worktree}/libraries/one"
    assert variables["PYTHONPATH"] == f"{own}:{inherited}"
    assert origin("inner", variables, worktree) == f"{worktree}/libraries/one/inner"
    assert origin("package", variables, worktree) == f"{worktree}/src/package"


def test_code_taken_from_the_working_tree_is_refused(
    folders: tuple[Path, Path], tmp_path: Path
) -> None:
    checkout, worktree = folders
    for name, root in (("theirs", checkout), ("own", worktree)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "sitecustomize.py").write_text(_HOOK.format(folder=root / "src"))
    message = rf"takes package from {checkout}/src/package/__init__.py and not from the revision;"
    with pytest.raises(ValueError, match=message):
        environment(folders, PYTHONPATH=str(tmp_path / "theirs"))
    variables = environment(folders, PYTHONPATH=str(tmp_path / "own"))
    assert origin("package", variables, worktree) == f"{worktree}/src/package"


def test_an_interpreter_that_cannot_be_run_names_the_key(
    folders: tuple[Path, Path], tmp_path: Path
) -> None:
    checkout, worktree = folders
    repository = Repository(root=checkout, inside=Path())
    for python, reason in (("/bin/false", "exit code 1"), ("/no/such", "No such file")):
        with pytest.raises(ValueError, match=rf"^python={python}: cannot be run \({reason}"):
            run_environment(os.environ, python, repository, worktree, "bench.train")
    for python in ("/bin/true", "/bin/echo"):
        with pytest.raises(
            ValueError, match=rf"^python={python}: not a Python interpreter; name one$"
        ):
            run_environment(os.environ, python, repository, worktree, "bench.train")


def test_an_interpreter_is_a_path_in_the_revision_or_a_program() -> None:
    folder = Path("/worktree")
    assert interpreter_path(".venv/bin/python", folder) == "/worktree/.venv/bin/python"
    assert interpreter_path("/opt/python", folder) == "/opt/python"
    assert interpreter_path("python3.12", folder) == "python3.12"


def test_environments_of_revisions_differ_only_in_the_folders_of_their_code(
    folders: tuple[Path, Path],
) -> None:
    """The gate refuses to compare runs whose variables differ: bench.ab must not set them so."""
    checkout, worktree = folders
    sides = [environment(each, OMP_NUM_THREADS="1") for each in (folders, (worktree, checkout))]
    for side in sides:
        del side["PYTHONPATH"]
    assert sides[0] == sides[1]
    assert sides[0]["OMP_NUM_THREADS"] == "1"
