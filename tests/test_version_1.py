"""Records of schema 1, made by the code of that time, are read by analysis and gate."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from analysis.load.runs import load_runs
from analysis.tables.tables import tables
from bench.config.gate import JudgeConfig
from bench.core.records.run import SCHEMA_VERSION
from bench.core.store import read_record
from bench.gate.matching.compare import compare
from bench.gate.sides.baseline import read_baseline, write_baseline
from bench.gate.sides.read import read_side

RUNS = Path(__file__).parent / "data/version_1"
FOLDERS = sorted(path.parent for path in RUNS.glob("*/*/run.json"))


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name[:16])
def test_a_record_of_schema_1_is_upgraded_in_memory(folder: Path) -> None:
    stored = json.loads((folder / "run.json").read_text())
    assert (stored["schema_version"], "fit" in stored["health"]) == (1, True)
    record = read_record(folder)
    assert record.schema_version == SCHEMA_VERSION
    assert record.health is not None
    assert (record.health.comparable, record.health.flags) == (False, ["shared", "other_load"])
    # Schema 1 wrote 0 for the phases that a command does not have.
    absent = ("train_s", "eval_s", "checkpoint_s") if record.command == "serve" else ("serve_s",)
    assert [stored["phases"][name] for name in absent] == [0.0] * len(absent)
    assert [getattr(record.phases, name) for name in absent] == [None] * len(absent)


def test_analysis_loads_them_and_draws_their_tables() -> None:
    loaded = load_runs([RUNS])
    assert (len(loaded.runs), len(loaded.unread)) == (3, 0)
    assert list(loaded.runs["health.comparable"]) == [False] * 3
    drawn = tables(loaded.runs)
    hits = drawn["time"].columns.index("hits")
    assert [row[hits].text for row in drawn["time"].rows] == ["1", "0"]
    assert len(drawn["serving"].rows) == 3
    assert all(row[0].text.endswith("†") for row in drawn["serving"].rows)


def test_the_gate_compares_them(tmp_path: Path) -> None:
    side = read_side(RUNS)
    assert [run.facts["schema_version"] for run in side.runs] == [SCHEMA_VERSION] * 3
    comparison = compare(side, side, JudgeConfig(force=["health"]))
    assert [problem.message for problem in comparison.problems] == []
    times = [row for row in comparison.rows if row.metric.name == "time_to_target_s"]
    # One run of each is too few for a verdict; of the run that missed there is no time at all.
    assert [row.verdict for row in times] == ["underpowered", "not judged"]
    baseline = tmp_path / "baseline.json"
    write_baseline(baseline, side)
    # A baseline of that time calls the field by its earlier name too.
    baseline.write_text(baseline.read_text().replace('"comparable"', '"fit"'))
    assert [run.comparable for run in read_baseline(baseline).runs] == [False] * 3


def test_an_early_record_of_schema_2_is_upgraded_too(tmp_path: Path) -> None:
    stored = json.loads((FOLDERS[0] / "run.json").read_text())
    folder = tmp_path / FOLDERS[0].name
    folder.mkdir()
    (folder / "run.json").write_text(json.dumps({**stored, "schema_version": 2}))
    record = read_record(folder)
    assert record.health is not None
    assert record.health.comparable is False
