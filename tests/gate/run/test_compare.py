"""bench.compare as a user calls it: on good runs and on bad ones, and how a baseline is stored.

The command itself is run for what only it does; what it carries out is called here for the rest.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bench.core.records.run import SCHEMA_VERSION
from bench.gate.run.compare import compare_command, compare_runs
from tests.cli.command import Answer, run_here
from tests.cli.forked import ForkServer
from tests.gate.made import write_runs

# Eight runs a side, 2% apart at most; 15% more or 20% less is far outside of that.
TIMES_S = [1.0, 1.01, 0.99, 1.02, 0.98, 1.005, 0.995, 1.015]
SLOW_S = [1.15 * time_s for time_s in TIMES_S]
FAST_S = [0.8 * time_s for time_s in TIMES_S]
TIME_ONLY = {"metrics": "time_to_target_s"}

Compared = Callable[..., Answer]


@pytest.fixture(autouse=True)
def _no_summary(monkeypatch: pytest.MonkeyPatch) -> None:
    """These tests may run in a CI job that has a summary of its own."""
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results folders that tests only read."""
    root = tmp_path_factory.mktemp("made")
    for name, times_s in (("base", TIMES_S), ("slow", SLOW_S), ("fast", FAST_S)):
        write_runs(root / name, times_s)
    return root


@pytest.fixture
def compared(capsys: pytest.CaptureFixture[str]) -> Compared:
    """Compares in this process, with the keys of the command line."""

    def call(baseline: Path, candidate: Path, **keys: Any) -> Answer:
        code = compare_runs({"baseline": str(baseline), "candidate": str(candidate), **keys})
        captured = capsys.readouterr()
        return Answer(code=code, out=captured.out, err=captured.err)

    return call


def only(folder: Path) -> Path:
    """The record of the only run, or of the first of several."""
    return min(folder.glob("train/*/run.json"))


def edit(record: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Change what a record says."""
    content = json.loads(record.read_text())
    change(content)
    record.write_text(json.dumps(content))


def halve_latency(record: dict[str, Any]) -> None:
    """A change for the better."""
    record["serving"]["latency_p50_ms"] /= 2


# The command itself

_BROKEN = """
import sys
import bench.gate.run.compare as comparing
def broken(plain): raise OSError("No space left on device")
comparing.compare_runs = broken
sys.exit(comparing.compare_command())
"""


def test_an_internal_error_does_not_end_with_the_code_of_a_regression(
    tmp_path: Path, commands: ForkServer
) -> None:
    sides = ("baseline=a", "candidate=b")
    for code, words in ((5, (_BROKEN, *sides)), (2, ("bench.compare", *sides, "alhpa=0.1"))):
        answer = commands.run(tmp_path, *words, HYDRA_FULL_ERROR="1")
        assert answer.code == code, answer.err
        assert answer.err.startswith("Traceback (most recent call last):")


def test_a_pass_ends_with_0_and_all_files_are_written(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary.md"))
    answer = run_here(
        tmp_path,
        compare_command,
        f"baseline={made / 'base'}",
        f"candidate={made / 'fast'}",
        "min_effect.latency_p50_ms=0.3",
        "markdown=out/perf.md",
        "json=out/perf.json",
        "junit=out/perf.xml",
    )
    assert (answer.code, answer.err) == (0, "")
    assert answer.out.startswith("PASS: no regression in ")
    assert "1 improved" in answer.out.splitlines()[0]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "perf.json",
        "perf.md",
        "perf.xml",
    ]
    assert (tmp_path / "summary.md").read_text() == (tmp_path / "out" / "perf.md").read_text()
    content = json.loads((tmp_path / "out" / "perf.json").read_text())
    assert (content["exit_code"], content["verdict"]) == (0, answer.out.splitlines()[0])
    rows = {row["metric"]["name"]: row for row in content["rows"]}
    assert rows["time_to_target_s"]["verdict"] == "improvement"
    assert rows["latency_p50_ms"]["threshold_frac"] == 0.3


def test_a_regression_ends_with_1_and_is_the_first_row(made: Path, tmp_path: Path) -> None:
    answer = run_here(
        tmp_path, compare_command, f"baseline={made / 'base'}", f"candidate={made / 'slow'}"
    )
    assert (answer.code, answer.err) == (1, "")
    assert "worst time_to_target_s +15%" in answer.out.splitlines()[0]
    rows = [line.strip() for line in answer.out.splitlines()]
    first = rows[next(n for n, line in enumerate(rows) if line.startswith("───")) + 1]
    # The median of TIMES_S is (1 + 1.005) / 2.
    assert first.startswith("time_to_target_s")
    assert "1.00 -> 1.15 s" in first
    assert "regression: counts from +5%" in first
    assert list(tmp_path.iterdir()) == []


WRONG: dict[tuple[str, ...], str] = {
    (): "error: baseline, candidate: must be given: ",
    ("basline=a",): "error: basline: no such key; did you mean baseline?",
    ("baseline=a", "candidate=b", "-m"): "error: -m: compare has nothing to sweep",
}


@pytest.mark.parametrize(("arguments", "message"), WRONG.items())
def test_wrong_input_is_one_line_and_leaves_nothing_behind(
    tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    answer = run_here(tmp_path, compare_command, *arguments)
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.startswith(message)
    assert answer.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


_HEAVY = """
import sys
from bench.gate.run.compare import compare_runs
compare_runs({"baseline": sys.argv[1], "candidate": sys.argv[2]})
heavy = ("torch", "pytorch_lightning", "codecarbon", "sklearn", "matplotlib")
print([name for name in heavy if name in sys.modules])
"""


def test_the_command_needs_no_torch(made: Path, tmp_path: Path, commands: ForkServer) -> None:
    """Neither do those that its server has imported: bench.ab, and Hydra's plugins."""
    answer = commands.run(tmp_path, _HEAVY, str(made / "base"), str(made / "slow"))
    assert answer.out.splitlines()[-1] == "[]", answer.err


# Bad input


def test_an_empty_folder_is_nothing_to_compare(
    made: Path, tmp_path: Path, compared: Compared
) -> None:
    answer = compared(made / "base", tmp_path)
    assert answer.code == 3
    assert f"TOO LITTLE TO COMPARE: candidate: {tmp_path}: no runs there" in answer.out


def test_a_path_that_is_not_there_names_its_key(made: Path, compared: Compared) -> None:
    with pytest.raises(ValueError, match=r"^candidate=.*nowhere: no such folder or file; give"):
        compared(made / "base", made / "nowhere")


def test_a_file_that_is_no_baseline_names_its_key(made: Path, compared: Compared) -> None:
    with pytest.raises(ValueError, match=r"^baseline=.*run\.json: .*perf baseline.*; give a"):
        compared(only(made / "base"), made / "slow")


def test_a_record_that_was_cut_counts_as_a_failed_run(
    made: Path, tmp_path: Path, compared: Compared
) -> None:
    write_runs(tmp_path, TIMES_S)
    record = only(tmp_path)
    record.write_bytes(record.read_bytes()[:-100])
    answer = compared(made / "base", tmp_path)
    assert answer.code == 5
    assert answer.out.startswith("A RUN FAILED: candidate: ")
    assert str(record) in answer.out.splitlines()[0]


def test_a_failed_run_ends_with_5_even_if_there_is_a_regression(
    made: Path, tmp_path: Path, compared: Compared
) -> None:
    write_runs(tmp_path, SLOW_S)
    write_runs(tmp_path, [1.0], outcome="failed", seed=1)
    answer = compared(made / "base", tmp_path, allow_missing=True)
    assert answer.code == 5
    first = answer.out.splitlines()[0]
    assert "ended as failed: loss is nan" in first
    assert "besides, a regression: 1 of " in first


def test_a_newer_schema_is_incomparable(made: Path, tmp_path: Path, compared: Compared) -> None:
    write_runs(tmp_path, TIMES_S)
    edit(only(tmp_path), lambda record: record.update(schema_version=SCHEMA_VERSION + 1))
    answer = compared(made / "base", tmp_path)
    assert answer.code == 4
    assert f"schema {SCHEMA_VERSION + 1} is newer" in answer.out.splitlines()[0]


def test_other_experiments_are_incomparable_and_say_in_what(
    made: Path, tmp_path: Path, compared: Compared
) -> None:
    write_runs(tmp_path, TIMES_S, batch_size=256)
    answer = compared(made / "base", tmp_path)
    assert answer.code == 4
    assert "batch_size 32 / 256" in answer.out.splitlines()[0]


def test_one_run_each_judges_exact_metrics_only(tmp_path: Path, compared: Compared) -> None:
    write_runs(tmp_path / "base", [1.0])
    write_runs(tmp_path / "candidate", [2.0])
    answer = compared(tmp_path / "base", tmp_path / "candidate")
    assert answer.code == 3
    # 5 runs is the least by default.
    assert "underpowered, " in answer.out.splitlines()[0]
    assert "no change (exact)" in answer.out
    exact = compared(tmp_path / "base", tmp_path / "candidate", metrics="num_parameters")
    assert (exact.code, exact.out.splitlines()[0]) == (0, "PASS: no regression in 1 row")


def test_another_host_is_incomparable_unless_forced_and_the_report_notes_it(
    made: Path, tmp_path: Path, compared: Compared
) -> None:
    write_runs(tmp_path, TIMES_S, host={"cpu_name": "Other CPU"})
    refused = compared(made / "base", tmp_path)
    assert refused.code == 4
    assert "host.cpu_name differs: Made CPU / Other CPU" in refused.out.splitlines()[0]
    forced = compared(made / "base", tmp_path, force=["host"])
    assert forced.code == 0
    assert "note: host.cpu_name differs: Made CPU / Other CPU (forced)" in forced.out


def test_a_time_that_is_no_number_leaves_its_pair_out(
    made: Path, tmp_path: Path, compared: Compared
) -> None:
    write_runs(tmp_path, TIMES_S)
    edit(only(tmp_path), lambda record: record["target"].update(time_to_target_s=math.nan))
    answer = compared(made / "base", tmp_path, **TIME_ONLY)
    assert answer.code == 0
    assert "  7/7  " in answer.out
    assert "1 of 8 pairs left out: no value" in answer.out


def test_runs_that_all_missed_are_a_regression_without_a_percentage(
    made: Path, tmp_path: Path, compared: Compared
) -> None:
    write_runs(tmp_path, TIMES_S, outcome="missed")
    answer = compared(made / "base", tmp_path, **TIME_ONLY)
    assert answer.code == 1
    assert "worst time_to_target_s 1.00 s -> missed (" in answer.out.splitlines()[0]
    assert "runs that missed: base 0 of 8, candidate 8 of 8" in answer.out


def test_a_folder_compared_with_itself_passes_and_says_that_this_means_nothing(
    made: Path, compared: Compared
) -> None:
    answer = compared(made / "base", made / "base")
    assert answer.code == 0
    assert "note: baseline and candidate are the same runs" in answer.out


# A baseline file


def test_an_improvement_prints_the_command_that_stores_it_and_drift_is_reported(
    made: Path, tmp_path: Path, compared: Compared
) -> None:
    baseline = tmp_path / "perf" / "base line.json"
    first = compared(baseline, made / "base", accept=True)
    assert (first.code, first.err) == (0, "")
    assert first.out.startswith(f"stored: {baseline}, commit abc1234000, host made, ")
    assert "8 runs" in first.out

    better = compared(baseline, made / "fast")
    assert better.code == 0
    told = f"python -m bench.compare 'baseline='\"'\"'{baseline}'\"'\"'' "
    assert f"{told}candidate={made / 'fast'} accept=true" in better.out

    stored = compared(baseline, made / "fast", accept=True)
    assert stored.code == 0
    assert "improvement" in stored.out
    assert f"stored: {baseline}, " in stored.out
    assert "accept=true" not in stored.out  # it has been done

    again = compared(baseline, made / "fast", **TIME_ONLY)
    assert again.out.startswith("PASS: no regression in 1 row\n")
    # From the first baseline that was accepted on: 0.8 of its median.
    assert "time_to_target_s has drifted by -20.0% since the oldest accepted baseline" in again.out


def test_an_accepted_regression_is_reported(made: Path, tmp_path: Path, compared: Compared) -> None:
    baseline = tmp_path / "perf.json"
    compared(baseline, made / "base", accept=True)
    answer = compared(baseline, made / "slow", accept=True)
    assert answer.code == 0
    assert answer.out.startswith("REGRESSION: ")
    assert answer.out.splitlines()[-1].startswith("stored in spite of: REGRESSION: 1 of ")
    assert compared(baseline, made / "slow").code == 0
    assert compared(baseline, made / "base").code == 0  # faster than what was accepted


def test_an_improvement_together_with_a_regression_is_not_offered_for_storing(
    made: Path, tmp_path: Path, compared: Compared
) -> None:
    baseline = tmp_path / "perf.json"
    compared(baseline, made / "base", accept=True)
    for folder in write_runs(tmp_path / "runs", SLOW_S):
        edit(folder / "run.json", halve_latency)
    answer = compared(baseline, tmp_path / "runs")
    assert answer.code == 1
    assert "  improvement" in answer.out
    assert "accept=true" not in answer.out


@pytest.mark.parametrize("is_new", [True, False])
def test_failed_runs_are_not_stored(
    is_new: bool, made: Path, tmp_path: Path, compared: Compared
) -> None:
    baseline = tmp_path / "perf.json"
    if not is_new:
        compared(baseline, made / "base", accept=True)
    before = None if is_new else baseline.read_bytes()
    write_runs(tmp_path / "runs", TIMES_S[:7])
    write_runs(tmp_path / "runs", [1.0], outcome="failed", seed=1)
    answer = compared(baseline, tmp_path / "runs", accept=True)
    assert answer.code == 5
    assert "not stored: candidate: " in answer.err
    assert "ended as failed" in answer.err
    assert (baseline.read_bytes() if baseline.exists() else None) == before


def test_a_first_baseline_says_which_runs_do_not_count(tmp_path: Path, compared: Compared) -> None:
    for number, time_s in enumerate(TIMES_S):  # all of seed 0 and repeat 0
        write_runs(tmp_path / "runs", [time_s], start_s=60.0 * number)
    answer = compared(tmp_path / "perf.json", tmp_path / "runs", accept=True)
    assert answer.code == 0
    assert ", 1 run, " in answer.out
    assert "note: train " in answer.out
    assert " was measured 8 times: " in answer.out
    assert "note: 8 runs have the same seed and repeat (seed 0 repeat 0): only one" in answer.out


def test_no_runs_and_no_fit_runs_are_not_stored(tmp_path: Path, compared: Compared) -> None:
    baseline = tmp_path / "perf.json"
    (tmp_path / "empty").mkdir()
    empty = compared(baseline, tmp_path / "empty", accept=True)
    assert (empty.code, baseline.exists()) == (3, False)
    assert "no runs there" in empty.err
    write_runs(tmp_path / "incomparable", TIMES_S, flags=("other_load",))
    incomparable = compared(baseline, tmp_path / "incomparable", accept=True)
    assert (incomparable.code, baseline.exists()) == (3, False)
    assert "no run that is comparable" in incomparable.err
    forced = compared(baseline, tmp_path / "incomparable", accept=True, force=["health"])
    assert (forced.code, baseline.exists()) == (0, True)
    assert "note: 8 of its 8 runs are not comparable" in forced.out


def test_a_damaged_baseline_is_not_written_over(
    made: Path, tmp_path: Path, compared: Compared
) -> None:
    baseline = tmp_path / "perf.json"
    baseline.write_text("{")
    with pytest.raises(ValueError, match=r"^baseline=.*perf\.json: .*perf baseline, or cut"):
        compared(baseline, made / "base", accept=True)
    assert baseline.read_text() == "{"


def test_a_baseline_that_cannot_be_written_names_its_key(
    made: Path, tmp_path: Path, compared: Compared
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match=r"^baseline=.*perf\.json: cannot write there"):
        compared(tmp_path / "file" / "perf.json", made / "base", accept=True)
