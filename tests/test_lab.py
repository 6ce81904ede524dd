"""The lab, examples/lab.ipynb, cell by cell: as a student runs it, without Jupyter.

Commands run in this process, as in other tests, and a few of them for a shorter time.
"""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Callable
from contextlib import chdir
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest import mock

import pytest

import analysis.plot
import analysis.report
import bench.compare
import bench.maintain
import bench.serve
import bench.train
from tests.cli.command import ROOT, run_here

pytestmark = pytest.mark.xdist_group("jobs")  # one worker, so that one server forks them
NOTEBOOK = json.loads((ROOT / "examples/lab.ipynb").read_text())
CODE = [cell for cell in NOTEBOOK["cells"] if cell["cell_type"] == "code"]
MAINS: dict[str, Callable[[], int]] = {
    "bench.train": bench.train.main,
    "bench.serve": bench.serve.main,
    "bench.maintain": bench.maintain.main,
    "bench.compare": bench.compare.main,
    "analysis.plot": analysis.plot.main,
    "analysis.report": analysis.report.main,
}
# What only takes time: the lab shows it, and other tests cover it.
QUICK = {
    "bench.train": ("codecarbon=none", "probe.max_s=0.1"),
    "bench.serve": ("meter=none", "scenario.min_duration_s=0.1", "scenario.warmup_queries=5"),
    "analysis.plot": ("widths=[one]",),
    "analysis.report": ("figures=[tta_eta]", "formats=[png]", "widths=[one]"),
}
# Fewer configurations and seeds of what takes longest.
SHORTER = {
    "batch_size=32,256": "batch_size=256",
    "lr=0.01,0.1": "lr=0.1",
    "model=mlp,cnn": "model=mlp",
    "seed=0,1,2": "seed=0",
    "budget.max_time_s=5": "budget.max_time_s=1",
    "scenario=single_stream,offline": "scenario=single_stream",
    "compression=none,int8_dynamic": "compression=int8_dynamic",
    "repeat=range(0,6)": "repeat=range(0,2)",
    "policy=never,performance,oracle": "policy=never",
}


def test_the_notebook_is_stored_without_outputs() -> None:
    assert NOTEBOOK["nbformat"] == 4
    for cell in CODE:
        assert (cell["outputs"], cell["execution_count"]) == ([], None)


def lines_of(cell: dict[str, Any]) -> tuple[list[str], str]:
    """The commands of a cell, and its code: a cell has one or the other."""
    lines = "".join(cell["source"]).splitlines()
    commands = [line[1:] for line in lines if line.startswith("!")]
    code = "\n".join(line for line in lines if not line.startswith("!"))
    assert not (commands and code.strip())
    return commands, code


def run(folder: Path, line: str) -> None:
    """Run a command of the notebook; only the gate may end with another code than 0."""
    python, option, module, *words = shlex.split(line)
    assert (python, option) == ("python", "-m")
    words = [SHORTER.get(word, word) for word in words]
    words = [word for word in words if word.partition("=")[0] != "scenario.min_duration_s"]
    if "codecarbon=none" in words:
        words.remove("codecarbon=none")
    if not any("," in word for word in words):
        words = [word for word in words if word != "-m"]
    answer = run_here(folder, MAINS[module], *words, *QUICK.get(module, ()))
    allowed = (0, 1, 3) if module == "bench.compare" else (0,)
    assert answer.code in allowed, f"{line}: {answer.out}{answer.err}"


def test_every_cell_runs_from_top_to_bottom(tmp_path: Path) -> None:
    shown: list[str] = []
    display = ModuleType("IPython.display")
    display.Image = lambda path, width: shown.append(path)  # type: ignore[attr-defined]
    stand_ins = {"IPython": ModuleType("IPython"), "IPython.display": display}
    names: dict[str, Any] = {}
    for cell in CODE:
        commands, code = lines_of(cell)
        for line in commands:
            run(tmp_path, line)
        # For this code alone: matplotlib asks a notebook more.
        with chdir(tmp_path), mock.patch.dict(sys.modules, stand_ins):
            exec(compile(code, "cell", "exec"), names)
    assert len(names["runs"]) >= 5
    assert shown
    for path in shown:
        assert (tmp_path / path).is_file(), path
