"""MLCommons' own parser reads the log, and the rules that apply to every run hold."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import analysis.export
from analysis.tables.mllog import export_runs, mllog_lines
from bench.config.report import ExportConfig
from bench.core.records.run import RunRecord
from bench.core.store import read_curve, read_record
from tests.analysis.made import Made, Served, make_run, make_served, make_sweep, make_unreadable
from tests.analysis.made_tasks import TASKS, make_task_run
from tests.cli.command import run_here

LAUNCHED_MS = 1767603600_000  # 2026-01-05T09:00:00Z


def lines_of(folder: Path) -> list[dict[str, Any]]:
    lines = mllog_lines(read_record(folder), read_curve(folder))
    assert lines[0].startswith("# time_ms is reconstructed")
    events = [line for line in lines if not line.startswith("#")]
    return [json.loads(line.removeprefix(":::MLLOG ")) for line in events]


@pytest.fixture(scope="module")
def hit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("results"), Made(seed=3, outcome="hit"))


def test_mlcommons_parser_reads_every_line(hit: Path, tmp_path: Path) -> None:
    parser = pytest.importorskip("mlperf_logging.compliance_checker.mlp_parser")
    (path,) = export_runs([hit], tmp_path).paths
    lines, errors = parser.parse_file(str(path), ruleset="6.1.0")
    assert errors == []
    written = [line for line in path.read_text().splitlines() if line.startswith(":::MLLOG")]
    assert len(lines) == len(written) > 10
    keys = [line.key for line in lines]
    assert keys[0] == "init_start"
    assert keys[-1] == "run_stop"
    assert lines[-1].value["metadata"]["status"] == "success"


def test_mlcommons_rules_hold_but_for_those_of_a_submission(hit: Path, tmp_path: Path) -> None:
    """Their checker's own rules of order and metadata, key by key; what only a submission states
    (its organisation, a cleared cache, how work was split over devices) is not claimed.
    """
    checker = pytest.importorskip("mlperf_logging.compliance_checker")
    yaml = pytest.importorskip("yaml")
    parser = pytest.importorskip("mlperf_logging.compliance_checker.mlp_parser")
    rules_file = Path(checker.__file__).parent / "training_6.1.0" / "common.yaml"
    rules = [entry["KEY"] for entry in yaml.safe_load(rules_file.read_text()) if "KEY" in entry]
    by_key = {rule["NAME"]: rule for rule in rules if not rule["NAME"].startswith("submission_")}
    (path,) = export_runs([hit], tmp_path).paths
    lines, _ = parser.parse_file(str(path), ruleset="6.1.0")
    state = {
        "init_started": False,
        "init_stopped": False,
        "run_started": False,
        "run_stopped": False,
        "first_init_start": 9e99,
        "compile_time_mins": 30,
    }
    checked = 0
    for line in lines:
        rule = by_key.get(line.key, {})
        checks = rule.get("CHECK", [])
        scope = {"v": line.value, "s": state, "ll": line}
        for check in [checks] if isinstance(checks, str) else checks:
            assert eval(check.strip(), {}, scope), f"{line.key}: {check}"
            checked += 1
        exec(rule.get("POST", "").strip(), {}, scope)
    assert checked > 20
    assert state["run_stopped"]
    keys = [line.key for line in lines]
    for name in ("init_stop", "run_start", "run_stop", "train_samples", "eval_samples"):
        assert by_key[name]["REQ"] == "EXACTLY_ONE"
        assert keys.count(name) == 1, name


def test_times_are_the_launch_plus_what_was_measured(hit: Path) -> None:
    record = read_record(hit)
    assert record.target is not None
    assert record.target.time_to_target_s is not None
    times = {event["key"]: event["time_ms"] for event in lines_of(hit)}
    assert times["init_start"] == LAUNCHED_MS + 2000  # launch_s
    assert times["run_start"] == times["init_stop"] == LAUNCHED_MS + 2600  # and init_s
    measured_ms = 1000 * record.target.time_to_target_s
    assert times["run_stop"] - times["run_start"] == pytest.approx(measured_ms, abs=1)
    in_order = [event["time_ms"] for event in lines_of(hit)]
    assert in_order == sorted(in_order)
    assert all(isinstance(time, int) for time in in_order)


def test_evaluations_have_accuracy_and_samples(hit: Path) -> None:
    rows = read_curve(hit)
    found = [event for event in lines_of(hit) if event["key"] == "eval_accuracy"]
    assert [event["value"] for event in found] == [row.quality["accuracy"] for row in rows]
    assert [event["metadata"]["samples_count"] for event in found] == [r.samples for r in rows]
    assert [event["metadata"]["lineno"] for event in found] == list(range(1, len(rows) + 1))
    starts = [event for event in lines_of(hit) if event["key"] == "eval_start"]
    stops = [event for event in lines_of(hit) if event["key"] == "eval_stop"]
    assert [e["time_ms"] - s["time_ms"] for s, e in zip(starts, stops, strict=True)] == (
        pytest.approx([4] * len(rows), abs=1)
    )
    blocks = [event for event in lines_of(hit) if event["key"] == "block_start"]
    assert sum(event["metadata"]["samples_count"] for event in blocks) == rows[-1].samples


def test_settings_are_those_that_are_known(hit: Path) -> None:
    values = {event["key"]: event["value"] for event in lines_of(hit)}
    assert values["seed"] == 3
    assert values["global_batch_size"] == 32
    assert (values["opt_name"], values["opt_base_learning_rate"]) == ("sgd", 0.1)
    assert (values["train_samples"], values["eval_samples"]) == (1077, 360)
    assert not [key for key in values if key.startswith("submission") or key == "cache_clear"]


def test_a_scaled_learning_rate_is_not_given_as_the_one_that_was_used(hit: Path) -> None:
    record = read_record(hit)
    scaled = replace(record, config={**record.config, "lr_scaling": "sqrt"})
    assert "opt_base_learning_rate" not in "".join(mllog_lines(scaled, []))


@pytest.mark.parametrize("outcome", ["missed", "failed", "interrupted"])
def test_a_run_that_did_not_get_there_is_aborted(tmp_path: Path, outcome: Any) -> None:
    folder = make_run(tmp_path, Made(outcome=outcome))
    record = read_record(folder)
    last = lines_of(folder)[-1]
    assert last["key"] == "run_stop"
    assert last["metadata"]["status"] == "aborted"
    assert last["metadata"]["run_status"] == record.status
    start_ms = next(e["time_ms"] for e in lines_of(folder) if e["key"] == "run_start")
    assert record.phases.wall_time_s is not None
    ended_ms = 1000 * record.phases.wall_time_s
    assert last["time_ms"] - start_ms == pytest.approx(ended_ms, abs=1)


def test_a_run_without_evaluations_starts_and_stops(hit: Path) -> None:
    record = read_record(hit)
    assert record.target is not None
    target = replace(record.target, reached=False, time_to_target_s=None)
    early = replace(record, status="failed", target=target, quality=None)
    keys = [json.loads(line[9:])["key"] for line in mllog_lines(early, [])[1:]]
    assert "eval_accuracy" not in keys
    assert keys[-3:] == ["init_stop", "run_start", "run_stop"]


@pytest.mark.parametrize("metric", ["loss", "macro_f1", "expected_calibration_error"])
def test_another_metric_is_not_called_accuracy(hit: Path, metric: str) -> None:
    record, rows = read_record(hit), read_curve(hit)
    assert record.target is not None
    of_metric = replace(record, target=replace(record.target, metric=metric))
    events = [json.loads(line[9:]) for line in mllog_lines(of_metric, rows)[1:]]
    keys = [event["key"] for event in events]
    assert "eval_accuracy" not in keys
    found = [event["value"] for event in events if event["key"] == f"eval_{metric}"]
    assert found == [row.quality[metric] for row in rows]


@pytest.mark.parametrize("name", TASKS)
def test_runs_of_any_task_are_exported(tmp_path: Path, name: str) -> None:
    task = TASKS[name]
    make_task_run(tmp_path, task, Made(seed=1))
    (path,) = export_runs([tmp_path], tmp_path / "out").paths
    events = [json.loads(line[9:]) for line in path.read_text().splitlines()[1:]]
    found = [event["value"] for event in events if event["key"] == f"eval_{task.metric}"]
    target = task.target(Made()).value
    reached = [value <= target if task.mode == "min" else value >= target for value in found]
    assert reached == [False] * (len(found) - 1) + [True]
    assert events[-1]["metadata"]["status"] == "success"


def test_samples_and_metrics_that_are_not_known_are_left_out(hit: Path) -> None:
    record = read_record(hit)
    rows = [
        replace(row, samples=None, quality={"accuracy": float("nan")}) for row in read_curve(hit)
    ]
    lines = mllog_lines(record, rows)
    assert "NaN" not in "".join(lines)
    events = [json.loads(line[9:]) for line in lines[1:]]
    found = [event for event in events if event["key"].startswith(("block", "eval_"))]
    assert not [event for event in found if "samples_count" in event["metadata"]]
    assert {e["value"] for e in events if e["key"] == "eval_accuracy"} == {None}
    assert not [event for event in events if event["key"] == "train_samples"]


def test_a_killed_run_says_that_its_place_in_time_is_not_known(tmp_path: Path) -> None:
    folder = make_run(tmp_path, Made(outcome="interrupted"))
    lines = mllog_lines(read_record(folder), read_curve(folder))
    assert lines[1].startswith("# launch_s and init_s of this run are unknown")


def test_a_run_that_never_evaluated_is_listed_and_the_others_are_written(tmp_path: Path) -> None:
    folder = make_run(tmp_path, Made(outcome="hit"))
    early = make_run(tmp_path, Made(seed=1, outcome="interrupted"))
    (early / "curve.jsonl").write_text("")
    free = make_run(tmp_path, Made(seed=2, outcome="hit"))
    raw = json.loads((free / "run.json").read_text())
    raw["config"]["optimizer"] = "adam"  # a user's own configuration may have any form
    (free / "run.json").write_text(json.dumps(raw))
    exported = export_runs([tmp_path], tmp_path / "out")
    assert {path.stem for path in exported.paths} == {folder.name, free.name}
    assert "ended before its first evaluation" in exported.skipped[str(early)]
    assert '"opt_name", "value": "adam"' in (tmp_path / "out" / f"{free.name}.log").read_text()


def test_runs_that_cannot_be_exported_are_reported(tmp_path: Path) -> None:
    (folder,) = make_sweep(tmp_path, batch_sizes=[32], seeds=[0])
    served = make_served(tmp_path, folder, Served())
    unreadable = make_unreadable(tmp_path)
    exported = export_runs([tmp_path], tmp_path / "out")
    assert [path.name for path in exported.paths] == [f"{folder.name}.log"]
    assert set(exported.skipped) == {str(served), *map(str, unreadable.values())}
    assert "has no target" in exported.skipped[str(served)]
    with pytest.raises(ValueError, match="no training run to export"):
        export_runs([served], tmp_path / "out")
    with pytest.raises(ValueError, match="format=tsv: must be one of mllog"):
        ExportConfig.from_dict({"format": "tsv"})


def test_a_serving_record_is_refused(tmp_path: Path) -> None:
    folder = make_run(tmp_path, Made(outcome="hit"))
    served: RunRecord = read_record(make_served(tmp_path, folder, Served()))
    with pytest.raises(ValueError, match="has no target; mllog exports trainings only"):
        mllog_lines(served, [])


def test_the_command_writes_a_file_for_each_training(tmp_path: Path) -> None:
    folders = make_sweep(tmp_path / "results", batch_sizes=[32], seeds=[0, 1])
    make_unreadable(tmp_path / "results")
    answer = run_here(tmp_path, analysis.export.main, "format=mllog")
    assert answer.code == 0
    assert answer.out.split() == [f"exports/{folder.name}.log" for folder in sorted(folders)]
    assert answer.err.count("skipped:") == 4
    answer = run_here(
        tmp_path, analysis.export.main, f"results=[{folders[0]},{folders[1]}]", "out=there"
    )
    assert answer.code == 0
    assert len(list((tmp_path / "there").iterdir())) == 2


@pytest.mark.parametrize(
    ("argument", "error"),
    [
        ("results=nowhere", "error: results=nowhere: no such folder"),
        ("format=tsv", "error: format=tsv: must be one of mllog"),
        ("fromat=mllog", "error: fromat: no such key"),
    ],
)
def test_a_wrong_value_is_one_line(tmp_path: Path, argument: str, error: str) -> None:
    make_run(tmp_path / "results", Made())
    answer = run_here(tmp_path, analysis.export.main, argument)
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.startswith(error)
    assert len(answer.err.splitlines()) == 1
