"""Several runs of one configuration, seed and repeat: which one counts, and what is reported."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from bench.config.gate import JudgeConfig
from bench.core.records.run import NOT_STARTED, RunError, Status
from bench.gate.matching.compare import compare
from bench.gate.model import Comparison
from bench.gate.report.cells import cells
from bench.gate.report.sentences import verdict_line
from bench.gate.run.noise import NothingToStore, add_noise
from bench.gate.sides.read import read_side
from bench.gate.sides.side import has_shared_places, shared_places
from tests.gate.made import made_record, made_run, write_run, write_runs

TIMES_S = [1.0, 1.01, 0.99, 1.02, 0.98, 1.005, 0.995, 1.015]


def test_of_a_run_measured_again_the_latest_counts(tmp_path: Path) -> None:
    (first,) = write_runs(tmp_path, [1.0])
    (second,) = write_runs(tmp_path, [2.0], start_s=500)
    side = read_side(tmp_path)
    assert [run.values["time_to_target_s"] for run in side.runs] == [2.0]
    assert [run.num_finished for run in side.runs] == [2]
    (remark,) = side.remarks
    assert f"seed 0 repeat 0 was measured 2 times: {second.name} counts, the latest that" in remark
    assert remark.endswith(f"finished; not {first.name}")


def test_a_run_that_a_search_stopped_is_not_compared(tmp_path: Path) -> None:
    record = made_record(start_s=500)
    assert record.target is not None
    stopped = replace(record, target=replace(record.target, reached=False, cut_off_by="max_time_s"))
    folder = write_run(tmp_path, stopped)
    (run,) = read_side(tmp_path).runs
    assert (run.comparable, run.flags) == (False, ["cut_off"])
    (whole,) = write_runs(tmp_path, [2.0])
    side = read_side(tmp_path)
    assert [run.run_id for run in side.runs] == [whole.name]
    assert side.remarks[0].endswith(f"counts, the latest with its whole budget; not {folder.name}")


def test_a_failure_that_was_measured_again_is_only_remarked_on(tmp_path: Path) -> None:
    failed = write_run(tmp_path, made_record(outcome="failed"))
    write_runs(tmp_path, [2.0], start_s=500)
    side = read_side(tmp_path)
    assert [run.num_finished for run in side.runs] == [1]
    assert side.problems == []
    assert f"{failed.name} (failed)" in side.remarks[0]


def test_a_later_failure_is_not_hidden_by_an_earlier_run(tmp_path: Path) -> None:
    write_runs(tmp_path, [2.0])
    write_run(tmp_path, made_record(outcome="failed", start_s=500))
    side = read_side(tmp_path)
    assert side.runs == []
    assert [problem.kind for problem in side.problems] == ["failed"]


@pytest.mark.parametrize("status", ["interrupted", "killed"])
@pytest.mark.parametrize("start_s", [-500.0, 500.0])
def test_an_interrupted_run_does_not_count_if_another_finished(
    status: Status, start_s: float, tmp_path: Path
) -> None:
    write_runs(tmp_path, [2.0])
    cut = write_run(tmp_path, replace(made_record(start_s=start_s), status=status))
    side = read_side(tmp_path)
    assert [run.values["time_to_target_s"] for run in side.runs] == [2.0]
    assert side.problems == []
    assert side.remarks[0].endswith(f"not {cut.name} ({status})")


def test_a_killed_run_is_the_problem_if_no_run_finished(tmp_path: Path) -> None:
    killed = write_run(tmp_path, replace(made_record(), status="killed"))
    write_run(tmp_path, replace(made_record(start_s=500), status="interrupted"))
    side = read_side(tmp_path)
    assert side.runs == []
    assert [problem.message for problem in side.problems] == [
        f"{killed.name} ended as killed; measure it again"
    ]


def test_a_run_that_never_began_is_dropped_without_a_word(tmp_path: Path) -> None:
    never = RunError(kind=NOT_STARTED, message="interrupted before it began")
    waiting = replace(made_record(repeat=1), status="interrupted", error=never)
    write_run(tmp_path, waiting)
    assert (read_side(tmp_path).runs, read_side(tmp_path).problems) == ([], [])
    write_runs(tmp_path, [2.0])
    side = read_side(tmp_path)
    assert ([run.repeat for run in side.runs], side.problems, side.remarks) == ([0], [], [])


# Runs that share seed and repeat by mistake


def write_one_repeat(results: Path, num: int, seed: int = 0) -> Path:
    """As a training of one's own does that numbers none of its runs."""
    for number, time_s in enumerate(TIMES_S[:num]):
        write_run(results, made_record(seed=seed, time_s=time_s, start_s=60.0 * number))
    return results


def compared(base: Path, candidate: Path, **settings: object) -> Comparison:
    return compare(read_side(base), read_side(candidate), JudgeConfig(**settings))  # type: ignore[arg-type]


def test_runs_of_one_seed_and_repeat_are_named_and_no_more_are_asked_for(tmp_path: Path) -> None:
    sides = write_one_repeat(tmp_path / "a", 8), write_one_repeat(tmp_path / "b", 8)
    comparison = compared(*sides)
    assert comparison.exit_code == 3
    assert [(p.kind, p.message) for p in comparison.problems] == [
        (
            "repeated",
            f"train Mlp digits batch_size=32: {side}: 8 runs have the same seed and repeat "
            "(seed 0 repeat 0): only one counts; give each run a repeat of its own: repeat=0, "
            "repeat=1, ... (a key of bench.train and bench.serve, an argument of ProfilerCallback)",
        )
        for side in ("base", "candidate")
    ]
    (time,) = (row for row in comparison.rows if row.metric.name == "time_to_target_s")
    assert (time.verdict, time.more_runs) == ("underpowered", None)
    assert "more run" not in cells(time)["verdict"]
    assert "more run" not in verdict_line(comparison)


def test_one_side_that_does_not_number_its_runs_is_enough(tmp_path: Path) -> None:
    write_runs(tmp_path / "a", TIMES_S)
    comparison = compared(tmp_path / "a", write_one_repeat(tmp_path / "b", 8))
    # The seven runs without a partner follow from it, so it is reported first.
    assert [problem.kind for problem in comparison.problems] == ["repeated", "missing"]
    assert ": candidate: 8 runs have the same seed" in verdict_line(comparison)


def test_the_report_notes_if_the_run_that_counts_is_incomparable_too(tmp_path: Path) -> None:
    for side in ("a", "b"):
        for number in range(4):
            again = made_record(start_s=60.0 * number, flags=("other_load",))
            write_run(tmp_path / side, again)
    comparison = compared(tmp_path / "a", tmp_path / "b")
    assert [problem.kind for problem in comparison.problems] == ["repeated", "repeated", "health"]


def test_two_seeds_of_four_runs_each_are_two_runs(tmp_path: Path) -> None:
    for side in ("a", "b"):
        for seed in (0, 1):
            write_one_repeat(tmp_path / side, 4, seed)
    comparison = compared(tmp_path / "a", tmp_path / "b")
    told = ": 8 runs have only 2 different seeds and repeats: 2 count; give each run a repeat"
    assert told in comparison.problems[0].message


def test_a_few_runs_ask_for_more_if_each_one_counts(tmp_path: Path) -> None:
    """One of three was measured again, as after a crash: that is no mistake."""
    for side in ("a", "b"):
        write_runs(tmp_path / side, TIMES_S[:3])
        write_runs(tmp_path / side, TIMES_S[:1], start_s=500)
    comparison = compared(tmp_path / "a", tmp_path / "b")
    assert comparison.problems == []
    (time,) = (row for row in comparison.rows if row.metric.name == "time_to_target_s")
    assert time.more_runs is not None
    assert not has_shared_places(read_side(tmp_path / "a"))


def test_what_is_exact_is_judged_from_the_one_run_that_counts(tmp_path: Path) -> None:
    sides = write_one_repeat(tmp_path / "a", 8), write_one_repeat(tmp_path / "b", 8)
    comparison = compared(*sides, metrics=["num_parameters"])
    assert (comparison.exit_code, comparison.problems) == (0, [])
    assert len(comparison.remarks) == 2  # of 8 runs each, seven do not count


def test_runs_with_different_repeats_do_not_replace_one_another(tmp_path: Path) -> None:
    write_runs(tmp_path, TIMES_S)
    assert not has_shared_places(read_side(tmp_path))
    assert shared_places([made_run(repeat=number, num_finished=1) for number in range(3)]) is None
    assert shared_places([made_run(num_finished=1)]) is None
    assert shared_places([]) is None


def test_noise_is_not_measured_from_runs_that_do_not_count(tmp_path: Path) -> None:
    sides = [read_side(write_one_repeat(tmp_path / name, 4)) for name in ("one", "two")]
    with pytest.raises(NothingToStore, match="one: 4 runs have the same seed and repeat"):
        add_noise(tmp_path / "noise.json", *sides)
    assert not (tmp_path / "noise.json").exists()
