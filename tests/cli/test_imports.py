"""What a command imports before it works: this decides how soon it answers (docs/overhead.md)."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests.cli.command import environment

# One process for all commands, in which nothing may have imported these so far.
_SCRIPT = """
import contextlib, io, json, sys
from importlib import import_module
from bench.opbench import COMMANDS
from bench.launch.isolation import ForkServer

ForkServer.begin_imports = lambda server: None

def heavy():
    return sorted({name.partition(".")[0] for name in sys.modules} & set(json.loads(sys.argv[1])))

def run(module, *arguments):
    sys.argv[1:] = arguments
    return import_module(module).main()

asked, answers = sys.argv[1], {}
silent = contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO())
with contextlib.ExitStack() as quick, silent[0], silent[1]:
    for kind, arguments in {
        "help": ["--help"], "wrong key": ["no_such_key=1"], "wrong value": ["-m", "batch_size=-1,0"]
    }.items():
        if kind == "wrong key":
            quick.enter_context(import_module("tests.cli.quick_hydra").quick_hydra())
        modules = COMMANDS.values() if kind != "wrong value" else ["bench.train"]
        codes = [run(module, *arguments) for module in modules]
        sys.argv[1:] = [asked]
        answers[kind] = [sorted(set(codes)), heavy()]
print(json.dumps(answers))
"""
_TORCH = ["pytorch_lightning", "torch", "torchmetrics", "torchvision", "transformers"]
_TABLES = ["codecarbon", "matplotlib", "pandas", "pyarrow", "scipy", "seaborn", "sklearn"]
_COMMANDS = ["hydra", "omegaconf", "rich"]  # what all of them compose and print with


def test_no_heavy_library_is_imported_before_the_command_line_is_known_to_be_right(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "here"
    folder.mkdir()
    ended = subprocess.run(
        [sys.executable, "-c", _SCRIPT, json.dumps([*_TORCH, *_TABLES, *_COMMANDS, "numpy"])],
        cwd=folder,
        env=environment(folder),
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 0, ended.stderr
    answers = json.loads(ended.stdout)
    assert answers["help"] == [[0], []]
    # The types of the gate are NumPy's.
    assert answers["wrong key"] == [[2], sorted(["numpy", *_COMMANDS])]
    # A sweep is planned without torch; the jobs import it in processes of their own.
    codes, imported = answers["wrong value"]
    assert codes == [2]
    assert not set(imported) & set(_TORCH)
