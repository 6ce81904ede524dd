"""The examples of README.md: they run as the files in examples/, and README.md quotes those."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from bench.core.store import read_record
from tests.cli.command import ROOT, records, train_apart

README = (ROOT / "README.md").read_text()
EXAMPLES = ROOT / "examples"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the examples, so that results do not land among them."""
    return Path(shutil.copytree(EXAMPLES, tmp_path / "examples"))


def run(script: Path) -> str:
    answer = subprocess.run(
        [sys.executable, script.name],
        cwd=script.parent,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == 0, answer.stderr
    return answer.stdout


def test_a_model_and_data_set_of_ones_own_train_as_the_readme_says(folder: Path) -> None:
    (command,) = re.findall(r"`(python -m bench\.train --config-dir [^`]*)`", README)
    arguments = command.split()[3:]
    fewer = ["probe.num_requests=100", "codecarbon=none", "trainer=cpu"]
    answer = train_apart(folder, "-m", *arguments, *fewer, "trainer.devices=1,2")
    assert answer.code == 0, answer.out + answer.err
    alone, shared = records(folder)
    assert alone.model is not None
    assert alone.model.name == "two_layers"
    # Two processes share each batch: the same samples in all, and the same model.
    assert alone.target is not None
    assert shared.target is not None
    assert alone.target.samples_to_target == shared.target.samples_to_target
    assert alone.quality is not None
    assert shared.quality is not None
    assert alone.quality.loss == pytest.approx(shared.quality.loss, rel=1e-6)


def test_a_plain_loop_is_measured(folder: Path) -> None:
    time_s, energy_j, label, _ = run(folder / "my_loop.py").splitlines()[0].split()
    assert float(time_s) > 0
    assert float(energy_j) > 0
    assert label in {"counter", "integrated", "modelled"}


def test_a_lightning_training_of_ones_own_writes_a_record(folder: Path) -> None:
    time_s, energy_j = run(folder / "my_training.py").splitlines()[-1].split()
    (run_folder,) = (folder / "results" / "lightning").iterdir()
    target = read_record(run_folder).target
    assert target is not None
    assert target.reached
    assert (target.time_to_target_s, target.energy_to_target_j) == (float(time_s), float(energy_j))


def test_what_the_readme_quotes_is_in_the_examples() -> None:
    files = "\n".join(path.read_text() for path in EXAMPLES.glob("*.py"))
    blocks = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines() if line]
    # Of the trainer and the data there is more to say than a README should.
    shortened = "pl.Trainer(callbacks=[profiler]).fit(model, data)"
    assert [line for line in lines if line not in files and line != shortened] == []


def test_the_readme_is_short() -> None:
    assert len(README.splitlines()) < 150
