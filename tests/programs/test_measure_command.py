"""bench.measure as a user starts it, in this process; its records in the gate and in analysis."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from analysis.figures.registry import Frames, figure_data
from analysis.load.runs import load_runs
from analysis.tables.tables import tables
from bench.config.gate import CompareConfig
from bench.core.lock import lock_path
from bench.core.store import read_record
from bench.gate.matching.compare import compare
from bench.gate.run.command import run_arguments, split_arguments
from bench.gate.sides.read import read_side
from bench.measure.__main__ import main
from bench.verification.verify import verify_run
from tests.cli.command import Answer, run_here

QUICK = ("codecarbon=none", "shared=true")
BUSY = "import time\nend = time.perf_counter() + {0}\nwhile time.perf_counter() < end: pass"


def measure(folder: Path, *arguments: str) -> Answer:
    return run_here(folder, main, *QUICK, *arguments)


def records(folder: Path) -> list[Any]:
    return [read_record(run) for run in sorted((folder / "results/measure").iterdir())]


def test_two_runs_of_a_program(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    script = BUSY.format(0.2) + "\nprint('from the program')"
    answer = measure(
        tmp_path, "runs=2", "sampler.period_s=0.02", "--", sys.executable, "-c", script
    )
    assert answer.code == 0
    # Standard output belongs to the program.
    assert answer.out == ""
    assert capfd.readouterr().out == "from the program\n" * 2
    assert "run 2 times" in answer.err
    assert "results: results/measure" in answer.err
    first, second = records(tmp_path)
    assert (first.repeat, second.repeat) == (0, 1)
    assert first.config_hash == second.config_hash
    assert first.command == "measure"
    assert first.status == "ok"
    assert first.program.arguments == [sys.executable, "-c", script]
    assert first.program.exit_code == 0
    # It loops for 0.2 s of its wall time, in one thread.
    assert first.phases.run_s == first.phases.wall_time_s >= 0.2
    assert first.program.cpu_time_s > 0
    assert first.phase_energy.run_j == pytest.approx(first.energy_total_j)
    runs = load_runs([tmp_path / "results"]).runs
    shown = figure_data("programs", Frames(runs)).iloc[0]
    assert shown["x"] == pytest.approx((first.phases.run_s + second.phases.run_s) / 2)
    assert tables(runs)["program"].rows
    # An interpreter takes some MB; other children of this process may add to it.
    assert first.utilization.memory_peak_bytes > 2e6


@pytest.mark.parametrize(
    ("script", "code", "status", "message"),
    [
        ("exit 3", 3, "failed", "sh ended with exit code 3"),
        ("kill -KILL $$", 137, "killed", "sh was ended by SIGKILL"),
    ],
)
def test_its_exit_code_is_ours(
    tmp_path: Path, script: str, code: int, status: str, message: str
) -> None:
    answer = measure(tmp_path, "--", "sh", "-c", script)
    assert answer.code == code
    (record,) = records(tmp_path)
    assert (record.status, record.error.message) == (status, message)
    assert record.program.exit_code == code
    assert message in answer.err


@pytest.mark.parametrize(
    ("arguments", "code", "error"),
    [
        ((), 2, "no program; give it after --, as in python -m bench.measure -- python"),
        (("--",), 2, "no program"),
        (("run=2", "--", "true"), 2, "run: no such key; did you mean runs?"),
        (("runs=0", "--", "true"), 2, "runs=0: must be at least 1"),
        (("meter=rapl", "--", "true"), 2, "meter=rapl: "),
        (("results=file", "--", "true"), 2, "results=file: is a file; name a folder"),
        (("--", "no_such_program"), 127, "no_such_program: not found"),
        (("--", "./file"), 126, "./file: cannot be run"),
    ],
)
def test_what_is_refused(tmp_path: Path, arguments: tuple[str, ...], code: int, error: str) -> None:
    (tmp_path / "file").write_text("no program")
    answer = measure(tmp_path, *arguments)
    assert answer.code == code
    assert error in answer.err
    assert not (tmp_path / "results/measure").exists()


def test_arguments_need_not_be_utf_8(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Names of files may be any bytes; Python holds those that are no UTF-8 as surrogates."""
    answer = measure(tmp_path, "--", "printf", "%d %s", "1", os.fsdecode(b"caf\xe9"))
    assert answer.code == 0
    (record,) = records(tmp_path)
    assert record.program.arguments == ["printf", "%d %s", "1", r"caf\xe9"]
    assert record.config["program"] == r"printf '%d %s' 1 'caf\xe9'"
    assert verify_run(tmp_path / "results/measure" / record.run_id).differences == []
    capfd.readouterr()


def test_a_program_of_ours_does_not_wait_for_the_lock_that_we_hold(tmp_path: Path) -> None:
    script = "import json, os; print(json.dumps(os.environ['BENCH_LOCK']), file=open('lock', 'w'))"
    answer = run_here(tmp_path, main, "codecarbon=none", "--", sys.executable, "-c", script)
    assert answer.code == 0
    (record,) = records(tmp_path)
    assert "shared" not in record.health.flags
    given = Path(json.loads((tmp_path / "lock").read_text()))
    assert given.parent.name == record.run_id
    assert given != lock_path()


def test_the_gate_judges_time_and_cpu_time(tmp_path: Path) -> None:
    """Five runs of 10 ms and five of 30 ms of the same command line: the gate sees them."""
    (tmp_path / "wait.py").write_text("import time; time.sleep(float(open('seconds').read()))")
    for name, seconds in (("base", "0.01"), ("head", "0.2")):
        (tmp_path / "seconds").write_text(seconds)
        program = ("--", sys.executable, "-S", "wait.py")
        assert measure(tmp_path, "runs=5", f"results={name}", *program).code == 0
    config = CompareConfig(
        baseline=str(tmp_path / "base"),
        candidate=str(tmp_path / "head"),
        force=["health"],
    )
    base, head = (read_side(tmp_path / side) for side in ("base", "head"))
    rows = {row.metric.path: row for row in compare(base, head, config).rows}
    assert rows["phases.run_s"].verdict == "regression"
    assert "program.cpu_time_s" in rows
    assert rows["phase_energy.run_j"].verdict == "not judged"  # modelled


def test_bench_ab_puts_its_keys_before_the_program() -> None:
    program = ["--", "python", "my.py", "repeat=3"]
    given = ["meter=none", *program]
    own = ["meter=none", "results=/r", "repeat=2"]
    assert run_arguments(given, Path("/r"), 2) == [*own, *program]
    keys = ["base", "module"]
    mine, theirs = split_arguments(["module=bench.measure", "--", *given], "ab", keys)
    assert (mine, theirs) == (["module=bench.measure"], given)
    with pytest.raises(ValueError, match=r"repeat=3: bench\.ab gives each run its own"):
        split_arguments(["--", "repeat=3", *program], "ab", keys)
