from __future__ import annotations

import json
import math
from dataclasses import replace
from operator import attrgetter
from pathlib import Path
from typing import Any

import pytest

from bench.config.gate import JudgeConfig
from bench.gate.matching.compare import compare
from bench.gate.model import Problem
from bench.gate.sides import baseline
from bench.gate.sides.baseline import drift, read_baseline, write_baseline
from bench.gate.sides.read import read_side
from bench.gate.sides.side import Side, provenance_of
from tests.gate.made import made_runs, made_side, side_of, write_runs

TIMES = [1.0, 1.01, 0.99, 1.0, 1.02, 0.985, 1.015, 0.995]  # their median is 1
FIRST_UTC = "2026-11-02T10:00:00Z"


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(baseline, "utc_now", lambda: FIRST_UTC)
    return tmp_path / "perf" / "baseline.json"


def later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(baseline, "utc_now", lambda: "2026-12-24T10:00:00Z")


def times(factor: float, **fields: Any) -> Side:
    values = {
        "time_to_target_s": [factor * time_s for time_s in TIMES],
        "samples_to_target": [16384.0] * len(TIMES),
    }
    return made_side(values, **fields)


run_id = attrgetter("run_id")


def test_runs_read_as_they_were_written(path: Path, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    write_runs(runs, TIMES)
    write_runs(runs, TIMES[:2], seed=3, outcome="missed")
    write_runs(runs, TIMES[:3], batch_size=64, flags=("other_load",), host={"git_commit": "f" * 40})
    side = read_side(runs)
    write_baseline(path, side)
    read = read_baseline(path)
    assert sorted(read.runs, key=run_id) == sorted(side.runs, key=run_id)
    assert read.name == str(path)
    assert read.provenance == {**side.provenance, "accepted_utc": FIRST_UTC}
    assert (read.problems, read.remarks) == ([], [])


def test_values_keep_all_of_their_digits(path: Path) -> None:
    """A value that lost some would not be the same any more, and an exact metric has to be."""
    values = {"size_bytes": 123456789.0, "accuracy": 0.9000000357627869}
    side = made_side({name: [value] for name, value in values.items()})
    write_baseline(path, side)
    (run,) = read_baseline(path).runs
    assert run.values == values
    assert isinstance(run.values["size_bytes"], float)
    assert compare(read_baseline(path), side, JudgeConfig(min_runs=1)).problems == []


def test_the_file_is_text_for_git(path: Path) -> None:
    write_baseline(path, times(1.0))
    text = path.read_text()
    tree = json.loads(text)
    assert text == json.dumps(tree, indent=1, sort_keys=True) + "\n"
    assert (tree["kind"], tree["format"], tree["accepted_utc"]) == ("perf baseline", 1, FIRST_UTC)
    assert tree["provenance"]["num_runs"] == 8
    # What all runs have in common is told once.
    (configuration,) = tree["configurations"]
    assert configuration["shared"]["facts"]["host.cpu_name"] == "Made CPU"
    assert set(configuration["runs"][0]) == {"run_id", "seed", "repeat", "started_utc", "values"}
    assert list(path.parent.iterdir()) == [path]


def test_a_side_is_compared_with_the_file_as_with_the_folder(path: Path, tmp_path: Path) -> None:
    write_runs(tmp_path / "base", TIMES)
    write_runs(tmp_path / "now", [1.2 * time_s for time_s in TIMES])
    write_baseline(path, read_side(tmp_path / "base"))
    now = read_side(tmp_path / "now")
    of_file, of_folder = (
        compare(read_side(base), now, JudgeConfig()) for base in (path, tmp_path / "base")
    )
    assert of_file.exit_code == of_folder.exit_code == 1
    verdicts = [[(row.metric.name, row.verdict) for row in c.rows] for c in (of_file, of_folder)]
    assert verdicts[0] == verdicts[1]
    assert compare(read_side(path), read_side(tmp_path / "base"), JudgeConfig()).exit_code == 0


def test_a_baseline_of_another_machine_is_incomparable(path: Path) -> None:
    write_baseline(path, times(1.0))
    comparison = compare(read_baseline(path), times(1.0, facts={"host.name": "b"}), JudgeConfig())
    assert comparison.exit_code == 4
    assert "host.name differs: made / b" in comparison.problems[0].message


def test_what_failed_is_not_accepted(path: Path) -> None:
    problem = Problem(kind="failed", message="run x ended as killed", exit_code=5)
    with pytest.raises(ValueError, match="base: not accepted as a baseline: run x ended as killed"):
        write_baseline(path, replace(times(1.0), problems=[problem]))
    with pytest.raises(ValueError, match="base: not accepted as a baseline: it has no runs"):
        write_baseline(path, side_of([]))
    assert not path.exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not a file of perf baseline, or cut"),
        ("[1]", "not a file of perf baseline; give a results folder"),
        ('{"kind": "noise floors", "format": 1}', "not a file of perf baseline"),
        ('{"kind": "perf baseline"}', "format=None: must be a whole number"),
        ('{"kind": "perf baseline", "format": 2}', r"format 2 is newer than this .*\(1\); update"),
        ('{"kind": "perf baseline", "format": 1}', "accepted_utc: Field required; take the file"),
    ],
)
def test_a_file_of_another_kind_is_reported(path: Path, text: str, message: str) -> None:
    path.parent.mkdir()
    path.write_text(text)
    for read in (read_baseline, lambda path: drift(path, times(1.0)), read_side):
        with pytest.raises(ValueError, match=rf"baseline\.json: {message}"):
            read(path)
    with pytest.raises(ValueError, match=message):
        write_baseline(path, times(1.0))
    assert path.read_text() == text  # nothing is written over what is not understood


def test_a_cut_file_is_reported(path: Path) -> None:
    write_baseline(path, times(1.0))
    path.write_text(path.read_text()[:-300])
    with pytest.raises(ValueError, match="or cut"):
        read_baseline(path)


def test_a_damaged_run_is_reported_with_its_place(path: Path) -> None:
    write_baseline(path, times(1.0))
    tree = json.loads(path.read_text())
    tree["configurations"][0]["runs"][2]["values"]["time_to_target_s"] = "fast"
    path.write_text(json.dumps(tree))
    with pytest.raises(
        ValueError, match=r"baseline\.json: values\.time_to_target_s: .*take the file"
    ):
        read_baseline(path)


def test_a_place_that_cannot_be_written_is_reported(path: Path) -> None:
    path.parent.write_text("a file")
    with pytest.raises(ValueError, match=r"perf/baseline\.json: cannot write there"):
        write_baseline(path, times(1.0))


def test_small_losses_add_up_to_a_drift(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """4% four times is 1.04^4 - 1 = 17% in all, and each is below the least effect of 5%."""
    write_baseline(path, times(1.0))
    assert drift(path, times(1.04)) == []
    later(monkeypatch)
    for step in (1, 2, 3):
        write_baseline(path, times(1.04**step))
    assert compare(read_baseline(path), times(1.04**4), JudgeConfig()).exit_code == 0
    assert drift(path, times(1.04**4)) == [
        "train Mlp digits batch_size=32: time_to_target_s has drifted by +17.0% since the oldest "
        "accepted baseline (2026-11-02, commit abc1234): 1 -> 1.17 s"
    ]
    assert read_baseline(path).provenance["accepted_utc"] == "2026-12-24T10:00:00Z"


def test_a_drift_of_an_exact_metric_is_any_change_and_a_gain_is_one_too(path: Path) -> None:
    write_baseline(path, made_side({"samples_to_target": [1000.0], "accuracy": [0.95]}))
    (line,) = drift(path, made_side({"samples_to_target": [998.0], "accuracy": [0.951]}))
    assert "samples_to_target has drifted by -0.2%" in line
    assert line.endswith("1000 -> 998")


def test_a_metric_that_is_measured_later_drifts_from_then(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_baseline(path, made_side({"time_to_target_s": [1.0]}))
    later(monkeypatch)
    write_baseline(path, made_side({"time_to_target_s": [1.0], "init_s": [2.0]}))
    (line,) = drift(path, made_side({"time_to_target_s": [1.0], "init_s": [3.0]}))
    assert "init_s has drifted by +50.0% since the oldest accepted baseline (2026-12-24" in line


def test_runs_that_miss_now_have_drifted_out_of_reach(path: Path) -> None:
    write_baseline(path, made_side({"time_to_target_s": [1.0, 1.0, math.inf]}))
    lines = drift(path, made_side({"time_to_target_s": [1.0, math.inf, math.inf]}))
    assert "time_to_target_s has drifted out of reach" in lines[0]
    assert lines[0].endswith("1 -> inf s")


def test_nothing_drifts_from_another_kind_of_host_or_label(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    energy = {"time_to_target_s": [1.0], "energy_to_target_j": [1.0]}
    write_baseline(path, made_side(energy))
    slow = {name: [2.0] for name in energy}
    assert len(drift(path, made_side(slow))) == 2
    assert len(drift(path, made_side(slow, facts={"host.name": "twin"}))) == 2
    assert drift(path, made_side(slow, facts={"host.cpu_name": "Other"})) == []
    other_label = made_side(slow, facts={"energy_label": "integrated"})
    assert ["energy" in line for line in drift(path, other_label)] == [False]
    modelled = made_side(slow, modelled=["energy_to_target_j"])
    assert ["energy" in line for line in drift(path, modelled)] == [False]
    # A baseline of another kind of host begins anew.
    later(monkeypatch)
    other = made_side(energy, facts={"host.cpu_name": "Other"})
    write_baseline(path, other)
    assert drift(path, other) == []
    assert "(2026-12-24" in drift(path, made_side(slow, facts={"host.cpu_name": "Other"}))[0]


def test_incomparable_runs_are_kept_and_marked_and_have_no_part_in_the_medians(path: Path) -> None:
    runs = made_runs({"init_s": [1.0, 1.0, 9.0, 9.0, 9.0]})
    runs = [replace(run, comparable=run.values["init_s"] < 2) for run in runs]
    write_baseline(path, side_of(runs))
    assert [run.comparable for run in read_baseline(path).runs] == [True, True, False, False, False]
    assert drift(path, made_side({"init_s": [1.0]})) == []


def test_configurations_accepted_before_are_remembered(path: Path) -> None:
    """An acceptance of another configuration does not forget the first."""
    write_baseline(path, times(1.0))
    write_baseline(path, times(1.0, config_hash="f" * 12))
    assert {run.config_hash for run in read_baseline(path).runs} == {"f" * 12}
    assert len(drift(path, times(1.5))) == 1


def test_provenance_of_a_baseline_is_that_of_its_runs(path: Path) -> None:
    side = times(1.0)
    write_baseline(path, side)
    assert json.loads(path.read_text())["provenance"] == provenance_of(side.runs)
