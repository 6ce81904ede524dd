"""The script `opbench`, in a folder that has its own packages `bench` and `analysis`."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from bench import opbench
from tests.cli.command import ROOT, environment, own_modules, records, train

pytestmark = pytest.mark.xdist_group("jobs")  # one worker, so that one server forks them
SCRIPT = Path(sys.executable).with_name("opbench")


def add_wrong_packages(folder: Path) -> None:
    """Add packages that would be taken for this project's."""
    for name in ("bench", "analysis"):
        (folder / name).mkdir()
        (folder / name / "__init__.py").write_text("raise ImportError('the wrong package')")


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """As a user has it: the project is installed, and nothing else is on the path."""
    variables = environment(folder)
    del variables["PYTHONPATH"]
    return subprocess.run(
        [SCRIPT, *arguments], cwd=folder, env=variables, capture_output=True, text=True, timeout=120
    )


def test_a_users_model_is_served_with_a_users_meter(tmp_path: Path) -> None:
    folder = tmp_path
    shutil.copytree(ROOT / "examples", folder, dirs_exist_ok=True)
    with own_modules(folder):
        cancer = ("--config-dir", "my_conf", "experiment=cancer", "target.value=0.9")
        answer = train(folder, *cancer, "codecarbon=none", "probe.max_s=0.1", "meter=none")
        assert answer.code == 0, answer.out + answer.err
    add_wrong_packages(folder)  # after the training in this process, which is no `opbench`
    meter = ("meter=none", "+meter.sources.mine._target_=my_meter.ConstantPower")
    quick = ("scenario.min_duration_s=0.1", "scenario.warmup_queries=5")
    done = run(folder, "serve", "run=latest", "trust=[my_parts]", *meter, *quick)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Warning" not in done.stderr  # those of libraries belong to the logs of runs
    assert done.stdout.splitlines()[-1] == "results: results/serve"
    (record,) = records(folder, "serve")
    assert record.status == "ok"
    assert record.trained is not None
    assert record.trained.model == "two_layers"
    (row,) = record.energy
    assert (row.component, row.source, row.label) == ("wall", "my_meter", "modelled")
    # 100 W over the clock; the readings lie within a few milliseconds of its ends.
    assert record.phases.wall_time_s is not None
    assert row.energy_j == pytest.approx(100 * record.phases.wall_time_s, rel=0.2, abs=2.0)


@pytest.mark.parametrize("command", ["compare", "report"])
def test_commands_in_hints_are_those_of_this_project(tmp_path: Path, command: str) -> None:
    add_wrong_packages(tmp_path)
    answer = run(tmp_path, command, "--version")
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.startswith("operational-metrics-bench ")


def test_all_commands_start_and_a_wrong_one_is_reported(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    names = {path.stem for path in (ROOT / "bench").glob("[a-z]*.py")} - {"opbench"}
    names |= {path.parent.name for path in (ROOT / "bench").glob("*/__main__.py")}
    assert names | {"report", "plot", "export"} == set(opbench.COMMANDS)
    monkeypatch.setattr("sys.argv", ["opbench", "trian"])
    assert opbench.main() == 2
    assert "trian: no such command; did you mean train?" in capsys.readouterr().err
    monkeypatch.setattr("sys.argv", ["opbench"])
    assert opbench.main() == 0
    assert "train, serve, maintain, compare" in capsys.readouterr().out


def test_the_installed_script_is_main() -> None:
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    assert scripts == {"opbench": "bench.opbench:script"}
