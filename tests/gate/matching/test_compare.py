"""End to end: from sides and run folders to exit codes, by the real rule."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.config.gate import JudgeConfig
from bench.gate.matching.compare import compare
from bench.gate.model import Comparison, GateRow
from bench.gate.run.noise import add_noise
from bench.gate.sides.read import read_side
from bench.gate.sides.side import Side
from tests.analysis.made import make_unreadable
from tests.gate.made import made_record, made_side, write_run, write_runs

# Eight runs within 3.5% of their median; all of one seed.
SPREAD = np.array([1.0, 1.01, 0.99, 1.005, 1.02, 0.985, 1.015, 0.995])


def one(values: np.ndarray, name: str = "base") -> Side:
    return made_side({"time_to_target_s": values.tolist()}, name=name)


def row(comparison: Comparison, metric: str = "time_to_target_s") -> GateRow:
    (found,) = [each for each in comparison.rows if each.metric.name == metric]
    return found


def test_a_slower_candidate_is_a_regression() -> None:
    comparison = compare(one(SPREAD), one(1.2 * SPREAD, "candidate"), JudgeConfig())
    found = row(comparison)
    assert found.verdict == "regression"
    assert found.loss_frac == pytest.approx(0.2)
    assert comparison.exit_code == 1
    assert (comparison.base_name, comparison.candidate_name) == ("base", "candidate")
    assert comparison.alpha == 0.05
    assert comparison.provenance["base"]["num_runs"] == 8
    assert comparison.problems == []


def test_the_same_again_passes_and_a_faster_one_too() -> None:
    assert compare(one(SPREAD), one(SPREAD[::-1]), JudgeConfig()).exit_code == 0
    faster = compare(one(SPREAD), one(0.8 * SPREAD), JudgeConfig())
    assert (row(faster).verdict, faster.exit_code) == ("improvement", 0)


def test_each_look_can_have_its_own_significance_level() -> None:
    """8 against 8, completely apart: p = 1 / C(16, 8) = 1 / 12870 = 7.8e-5."""
    sides = one(SPREAD), one(1.2 * SPREAD)
    assert row(compare(*sides, JudgeConfig(), alpha=8e-5)).verdict == "regression"
    strict = compare(*sides, JudgeConfig(), alpha=7e-5)
    assert strict.alpha == 7e-5
    assert row(strict).verdict != "regression"


def test_one_run_per_side_is_enough_for_exact_metrics() -> None:
    base = made_side({"time_to_target_s": [1.0], "samples_to_target": [1000.0]})
    candidate = made_side({"time_to_target_s": [2.0], "samples_to_target": [1024.0]})
    comparison = compare(base, candidate, JudgeConfig())
    assert row(comparison).verdict == "underpowered"
    assert row(comparison, "samples_to_target").verdict == "regression"
    assert comparison.exit_code == 1
    assert compare(base, base, JudgeConfig()).exit_code == 3  # time could not have been found


def test_a_candidate_that_misses_is_a_regression() -> None:
    comparison = compare(one(SPREAD), one(np.full(8, math.inf)), JudgeConfig())
    assert row(comparison).verdict == "regression"
    assert comparison.exit_code == 1


def test_if_all_runs_missed_the_reason_is_given() -> None:
    missed = one(np.full(8, math.inf))
    settings = JudgeConfig(metrics=["time_to_target_s"])
    comparison = compare(missed, missed, settings)
    assert row(comparison).verdict == "not judged"
    assert comparison.exit_code == 3
    assert [problem.kind for problem in comparison.problems] == ["empty"]
    assert "nothing was judged" in comparison.problems[0].message


def test_if_all_joules_are_modelled_the_reason_is_given() -> None:
    side = made_side(
        {"energy_to_target_j": SPREAD.tolist()},
        modelled=["energy_to_target_j"],
        facts={"energy_label": "modelled"},
    )
    comparison = compare(side, side, JudgeConfig())
    assert comparison.exit_code == 3
    assert "all metrics are modelled" in comparison.problems[0].message


def test_runs_without_numbers_give_a_reason() -> None:
    side = made_side({"init_s": [math.nan] * 5})
    comparison = compare(side, side, JudgeConfig())
    assert (comparison.rows, comparison.exit_code) == ([], 3)
    assert "no pair of runs of both sides has any of the metrics" in comparison.problems[0].message


def test_zeros_are_values() -> None:
    zero, some = (made_side({"compile_s": [value] * 6}) for value in (0.0, 1.0))
    assert compare(zero, zero, JudgeConfig()).exit_code == 0
    assert compare(zero, some, JudgeConfig()).exit_code == 1
    assert compare(some, zero, JudgeConfig()).exit_code == 0


def test_noise_that_is_as_large_as_the_loss_is_no_regression(tmp_path: Path) -> None:
    """Two groups of an A/A session that differ by half of their values: floors far above 20%."""
    noisy = np.array([1.0, 1.5, 1.0, 1.5, 1.0, 1.5, 1.0, 1.5])
    add_noise(tmp_path / "noise.json", one(noisy), one(noisy[::-1]))
    settings = JudgeConfig(noise=str(tmp_path / "noise.json"))
    comparison = compare(one(SPREAD), one(1.2 * SPREAD), settings)
    assert row(comparison).threshold_frac > 0.3
    assert row(comparison).verdict == "no change"
    assert comparison.remarks == []


def test_noise_of_another_host_is_not_taken(tmp_path: Path) -> None:
    noisy = made_side({"time_to_target_s": [1.0, 1.5] * 4}, facts={"host.cpu_name": "Other"})
    add_noise(tmp_path / "noise.json", noisy, noisy)
    comparison = compare(
        one(SPREAD), one(1.2 * SPREAD), JudgeConfig(noise=str(tmp_path / "noise.json"))
    )
    assert row(comparison).verdict == "regression"
    assert "the noise file has no floors for this kind of host" in comparison.remarks[0]


def test_what_is_not_exact_here_is_judged_as_measured(tmp_path: Path) -> None:
    def samples(*values: float) -> Side:
        return made_side({"samples_to_target": list(values)})

    add_noise(tmp_path / "noise.json", samples(1000, 1024), samples(1000, 1000))
    settings = JudgeConfig(noise=str(tmp_path / "noise.json"))
    found = row(compare(samples(1000), samples(1024), settings), "samples_to_target")
    assert (found.kind, found.verdict) == ("measured", "underpowered")
    assert "by the noise file" in found.note


def test_a_noise_file_that_is_not_there_is_a_wrong_value(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"noise.json: cannot be read \(No such file"):
        compare(one(SPREAD), one(SPREAD), JudgeConfig(noise=str(tmp_path / "noise.json")))


# From here on: run folders.


def folders(results: Path, factor: float = 1.0, **fields: Any) -> Path:
    write_runs(results, (factor * SPREAD).tolist(), **fields)
    return results


def compared(base: Path, candidate: Path, settings: JudgeConfig | None = None) -> Comparison:
    return compare(read_side(base), read_side(candidate), settings or JudgeConfig())


def test_folders_of_runs_are_compared(tmp_path: Path) -> None:
    base, slower = folders(tmp_path / "base"), folders(tmp_path / "slower", 1.2)
    comparison = compared(base, slower)
    assert row(comparison).verdict == "regression"
    verdicts = {each.metric.name: each.verdict for each in comparison.rows}
    del verdicts["time_to_target_s"]
    assert verdicts.pop("energy_to_target_j") == "not judged"  # its parts are
    assert set(verdicts.values()) == {"no change"}
    assert comparison.exit_code == 1
    assert comparison.remarks == []
    # Whole runs were copied, so all that there is is compared; and it is the same.
    assert compared(base, base).exit_code == 0


def test_modelled_joules_are_shown_only(tmp_path: Path) -> None:
    base = folders(tmp_path / "base", label="modelled")
    comparison = compared(base, base)
    assert row(comparison, "energy_to_target_j").verdict == "not judged"
    assert comparison.exit_code == 0


def test_a_failed_run_is_exit_code_5_and_its_partner_is_missing(tmp_path: Path) -> None:
    base, candidate = folders(tmp_path / "base"), folders(tmp_path / "candidate")
    write_run(candidate, made_record(repeat=0, outcome="failed", start_s=5000))
    comparison = compared(base, candidate)
    assert {problem.kind for problem in comparison.problems} == {"failed", "missing"}
    assert comparison.exit_code == 5
    assert any(p.message.startswith("candidate: ") for p in comparison.problems)
    assert comparison.remarks[0].startswith("candidate: train ")


def test_records_that_cannot_be_read_are_exit_code_5_or_4(tmp_path: Path) -> None:
    base, candidate = folders(tmp_path / "base"), folders(tmp_path / "candidate")
    broken = make_unreadable(candidate)
    comparison = compared(base, candidate)
    assert comparison.exit_code == 4  # of the newer schema
    (broken["newer"] / "run.json").unlink()
    broken["newer"].rmdir()
    assert compared(base, candidate).exit_code == 5


def test_an_empty_folder_is_exit_code_3(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    comparison = compared(folders(tmp_path / "base"), tmp_path / "empty")
    assert (comparison.rows, comparison.exit_code) == ([], 3)
    assert comparison.problems[0].message.startswith(f"candidate: {tmp_path}/empty: no runs there")


def test_mixed_experiments_are_exit_code_4(tmp_path: Path) -> None:
    base = folders(tmp_path / "base")
    candidate = folders(tmp_path / "candidate", batch_size=64)
    comparison = compared(base, candidate)
    assert comparison.exit_code == 4
    assert "batch_size 32 / 64" in comparison.problems[0].message


def test_another_machine_is_exit_code_4(tmp_path: Path) -> None:
    base = folders(tmp_path / "base")
    candidate = folders(tmp_path / "candidate", 1.2, host={"cpu_name": "Other CPU"})
    assert compared(base, candidate).exit_code == 4
    forced = compared(base, candidate, JudgeConfig(force=["host"]))
    assert forced.exit_code == 1
    assert forced.remarks == ["host.cpu_name differs: Made CPU / Other CPU (forced)"]


def test_incomparable_runs_too_many_of_them_are_exit_code_3(tmp_path: Path) -> None:
    base = folders(tmp_path / "base")
    candidate = folders(tmp_path / "candidate", flags=("other_load",))
    comparison = compared(base, candidate)
    assert comparison.exit_code == 3
    assert "other_load" in comparison.problems[0].message
    assert compared(base, candidate, JudgeConfig(force=["health"])).exit_code == 0


def test_several_seeds_are_compared_within_each(tmp_path: Path) -> None:
    """Seeds need different numbers of samples: no reason to call that inexact."""
    for seed in range(5):
        write_runs(tmp_path, ((1 + seed) * SPREAD[:3]).tolist(), seed=seed)
    comparison = compared(tmp_path, tmp_path)
    assert row(comparison, "samples_to_target").kind == "exact"
    judged = {each.verdict for each in comparison.rows if each.kind != "sum"}
    assert judged == {"no change"}
