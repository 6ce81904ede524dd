"""bench.noise as a user calls it, on a repository whose benchmark trains nothing (revisions.py)."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from bench.gate.model import Exit
from bench.gate.run.noise import measure_noise
from bench.gate.run.trial import BenchmarkInput
from tests.cli.command import ROOT
from tests.cli.forked import ForkServer
from tests.cli.revisions import TIMES_S, made_repository

ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}


def test_one_revision_is_measured_against_itself_and_stored_for_the_gate(
    tmp_path: Path, commands: ForkServer
) -> None:
    repository = made_repository(tmp_path)
    arguments = ("module=fake_bench", "runs=4", "warmup=0", "--", "-m", "seed=1")
    answer = commands.run(repository.folder, "bench.noise", *arguments)
    out = answer.out
    assert (answer.code, answer.err) == (0, "")
    (root,) = (repository.folder / "results" / "noise").iterdir()
    calls = repository.calls()
    assert [Path(call["results"]).name for call in calls] == ["one", "two", "two", "one"] * 2
    assert [call["argv"][:2] for call in calls] == [["-m", "seed=1"]] * 8
    assert repository.num_worktrees() == 1

    # Both sides have the first four of TIMES_S: median 1.005, deviations 0.005 and 0.015 twice
    # each, whose median is 0.01: 1.4826 x 0.01 / 1.005 = 1.475%.
    (line,) = (line for line in out.splitlines() if " time_to_target_s " in line)
    *_, num_runs, spread, _, kind = line.split()
    assert (num_runs, spread, kind) == ("8", "1.5%", "measured")
    (line,) = (line for line in out.splitlines() if " num_parameters " in line)
    assert line.split()[-4:] == ["8", "0%", "0%", "exact"]
    assert "measured: 4 runs per side, and 0 to warm up, in " in out
    assert out.splitlines()[-1] == (
        "stored: results/noise.json; bench.compare and bench.ab take it with "
        "noise=results/noise.json"
    )
    stored = json.loads((repository.folder / "results" / "noise.json").read_text())
    (session,) = stored["hosts"][0]["configurations"][0]["sessions"]
    assert session["metrics"]["time_to_target_s"]["first"] == TIMES_S[:4]
    assert root.is_dir()


def test_noise_that_cannot_be_stored_is_reported_first_or_with_the_folder_of_the_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    repository = made_repository(tmp_path)
    repository.commit("incomparable", times_s=TIMES_S, incomparable_below=9)
    monkeypatch.chdir(repository.folder)
    asked = BenchmarkInput(overrides=[], environment=ENVIRONMENT)
    short = {"module": "fake_bench", "runs": 2, "warmup": 0}
    with pytest.raises(ValueError, match=r"^noise=fake_bench\.py: not a file of noise floors"):
        measure_noise({**short, "noise": "fake_bench.py"}, asked)
    assert repository.calls() == []
    assert measure_noise({**short, "noise": "noise.json"}, asked) == Exit.TOO_LITTLE
    told, where = capsys.readouterr().err.splitlines()[-2:]
    assert told.endswith(
        ": no comparable runs of one configuration on both sides; measure again, on an idle machine"
    )
    assert where.startswith("measured: 2 runs per side, and 0 to warm up, in ")
    assert len(repository.calls()) == 4
    assert not (repository.folder / "noise.json").exists()
    # Of four runs of each side the first is incomparable.
    repository.commit("some", times_s=TIMES_S, incomparable_below=1)
    assert measure_noise({**short, "runs": 4, "noise": "noise.json"}, asked) == 0
    out = capsys.readouterr().out
    assert "note: 2 of 8 runs left out: not comparable, or not served validly\n" in out
    (line,) = (line for line in out.splitlines() if " time_to_target_s " in line)
    assert line.split()[-4] == "6"


def test_runs_that_all_have_one_repeat_are_no_noise_and_stop_it_after_a_round(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    repository = made_repository(tmp_path)
    monkeypatch.chdir(repository.folder)
    asked = BenchmarkInput(overrides=["one_repeat"], environment=ENVIRONMENT)
    keys = {"module": "fake_bench", "runs": 10, "warmup": 0, "noise": "noise.json"}
    assert measure_noise(keys, asked) == Exit.TOO_LITTLE
    told, where = capsys.readouterr().err.splitlines()
    assert ": 2 runs have the same seed and repeat (seed 0 repeat 0): only one counts; " in told
    assert where.startswith("measured: 2 runs per side, and 0 to warm up, in ")
    assert len(repository.calls()) == 4
    assert not (repository.folder / "noise.json").exists()
