from __future__ import annotations

import json
import math
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bench.core.files import StoreError
from bench.core.identity import CHOICES
from bench.core.labels import EnergyLabel
from bench.core.qualities import CLASSES, QUALITIES
from bench.core.records.node import NodeFacts
from bench.core.records.phases import Phases
from bench.core.records.run import SCHEMA_VERSION, RunRecord
from bench.core.records.serving import Serving, TrainedRun
from bench.core.store import NewerSchema, read_record
from bench.gate.metrics import GATE_METRICS
from bench.gate.sides.facts import ENVIRONMENT
from bench.gate.sides.read import read_side
from bench.gate.sides.reduce import gate_run
from bench.gate.sides.side import Side
from tests.analysis.made import Made, Served, make_run, make_served, make_unreadable
from tests.gate.made import COMMIT, made_record, made_run, write_run, write_runs


def test_a_run_is_reduced_to_its_numbers() -> None:
    record = made_record(seed=3, repeat=2, time_s=1.25, label="counter")
    run = gate_run(record)
    assert (run.run_id, run.command, run.seed, run.repeat) == (record.run_id, "train", 3, 2)
    assert (run.status, run.comparable, run.flags, run.missed) == ("ok", True, [], False)
    assert run.git_commit == COMMIT
    assert run.modelled == []
    assert record.target is not None
    assert run.values["time_to_target_s"] == 1.25
    assert run.values["samples_to_target"] == record.target.samples_to_target
    # This one has neither a GPU nor what only bench.serve, compression and bench.maintain give.
    absent = {metric.name for metric in GATE_METRICS} - set(run.values)
    assert absent == {
        "gpu_memory_peak_bytes",
        "latency_p999_ms",
        "latency_mean_ms",
        "max_rate_per_s",
        "goodput_per_s",
        "load_s",
        "compile_s",
        "compressed_size_bytes",
        *(f"{name}_{each}_ms" for name in ("ttft", "tpot") for each in ("p50", "p90", "p99")),
        "output_tokens_per_s",
        *(set(QUALITIES) - set(CLASSES)),
        "gpu_energy_per_prediction_j",
        "cpu_energy_per_prediction_j",
        "dram_energy_per_prediction_j",
        *(metric.name for metric in GATE_METRICS if metric.path.startswith("maintenance.")),
        *("retrain_s", "retrain_j"),
        *("run_s", "run_j", "cpu_time_s"),
    }


def test_facts_are_what_has_to_be_the_same() -> None:
    gpu = {"index": 0, "uuid": "GPU-1", "name": "Made GPU", "power_limit_w": 349.6, "ecc": True}
    gpu |= {"memory_bytes": 85_520_809_984, "application_clock_mhz": 1980, "mig": None}
    host = {
        "memory_bytes": 25_276_502_016,
        "gpus": [gpu, gpu | {"uuid": "GPU-2", "power_limit_w": 300.0, "mig": False}],
        "cuda": {"driver": "570.86.15", "driver_cuda": "12.8", "torch_cuda": None},
        "num_threads": 2,
        "num_interop_threads": 4,
        "environment": {"OMP_NUM_THREADS": "2"},
        "runtime": {"threads": "3"},
        "scheduler": {"kind": "slurm", "job_id": "12", "partition": "bench", "exclusive": True},
    }
    run = gate_run(made_record(host=host, label="counter"))
    assert run.facts == {
        "schema_version": SCHEMA_VERSION,
        "host.name": "made",
        "host.cpu_name": "Made CPU",
        "host.num_cpus_allowed": 2,
        "host.memory_gib": 24,  # 25276502016 / 2^30 = 23.54
        "host.gpus": ["Made GPU", "Made GPU"],
        "host.gpus.memory_gib": "80",  # 85520809984 / 2^30 = 79.65
        "host.gpus.power_limit_w": "350, 300",
        "host.gpus.application_clock_mhz": "1980",
        "host.gpus.ecc": "on",
        "host.gpus.mig": "unknown, off",
        "host.cuda.driver_major": "570",
        "host.cuda.confidential_computing": None,
        "host.num_threads": 2,
        "host.num_interop_threads": 4,
        "host.runtime.threads": 3,
        "host.environment": {"OMP_NUM_THREADS": "2"},
        "host.scheduler": "slurm bench",
        "host.scheduler.exclusive": True,
        "target.metric": "accuracy",
        "target.value": 0.93,
        "target.mode": "max",
        "target.rule": "first",
        "target.consecutive": 2,
        "data": "digits",
        "task.name": None,  # as in a record of an older version
        "task.kind": None,
        "task.data_hash": None,
        "precision": "32",
        "energy_label": "counter",
        "energy_label.gpu": "counter",
        "energy_label.cpu": "counter",
        "energy_label.dram": "counter",
        "energy_components": {"gpu": 1, "cpu": 1, "dram": 1},
        "energy_components.gpu": 1,
        "energy_components.cpu": 1,
        "energy_components.dram": 1,
        # Its probe has a total only.
        "serving.energy_per_prediction_label": "counter",
        "serving.energy_per_prediction_label.gpu": None,
        "serving.energy_per_prediction_label.cpu": None,
        "serving.energy_per_prediction_label.dram": None,
        "serving.energy_components": None,
        "serving.energy_components.gpu": None,
        "serving.energy_components.cpu": None,
        "serving.energy_components.dram": None,
        # These may differ.
        "host.gpus.persistence": None,
        "host.gpus.vbios": None,
        "host.cuda.driver": "570.86.15",
        "host.cuda.driver_cuda": "12.8",
        "host.cuda.torch_cuda": None,
        "host.cuda.cudnn": None,
        "utilization.gpu_sm_clock_mhz": None,
    }


def test_facts_that_an_older_record_does_not_hold_are_unknown() -> None:
    record = made_record()
    host = {key: value for key, value in record.host.items() if key != "gpus"}
    facts = gate_run(replace(record, host=host)).facts
    assert {facts[name] for name in ("host.gpus", *ENVIRONMENT)} == {None}


@pytest.mark.parametrize(
    ("scheduler", "facts"),
    [
        (None, ("none", None)),  # measured without one
        ({"kind": "flux", "partition": None, "exclusive": None}, ("flux", None)),
        ({"kind": "slurm", "partition": "bench", "exclusive": False}, ("slurm bench", False)),
    ],
)
def test_a_batch_system_is_known_by_its_kind_and_its_partition(
    scheduler: Any, facts: tuple[Any, ...]
) -> None:
    run = gate_run(made_record(host={"scheduler": scheduler}))
    assert tuple(run.facts[f"host.scheduler{name}"] for name in ("", ".exclusive")) == facts


def test_the_host_of_a_training_over_several_nodes_are_all_of_them() -> None:
    nodes = [NodeFacts(node=n, host={"name": name}) for n, name in enumerate(["node2", "node1"])]
    run = gate_run(replace(made_record(host={"name": "node2"}), nodes=nodes))
    assert run.facts["host.name"] == "node1, node2"


@pytest.mark.parametrize("words", ["its own choice", "one for each physical core", None])
def test_threads_that_a_backend_does_not_know_are_nothing_to_compare(words: str | None) -> None:
    run = gate_run(made_record(host={"runtime": {"threads": words}}))
    assert run.facts["host.runtime.threads"] is None


@pytest.mark.parametrize(
    ("host", "key"),
    [
        ({"scheduler": "slurm"}, "scheduler=slurm"),
        ({"scheduler": {"exclusive": [1]}}, "scheduler={'exclusive': [1]}"),
        ({"runtime": ["eager"]}, "runtime=['eager']"),
    ],
)
def test_a_host_of_another_form_is_refused(host: dict[str, Any], key: str) -> None:
    with pytest.raises(ValueError, match=re.escape(f"host.{key}: cannot be")):
        gate_run(made_record(host=host))


def test_a_dirty_tree_is_reported() -> None:
    assert gate_run(made_record(host={"git_dirty": True})).git_commit == f"{COMMIT}-dirty"
    assert gate_run(made_record(host={"git_commit": None, "git_dirty": None})).git_commit is None


@pytest.mark.parametrize("label", ["modelled", "constant"])
def test_joules_without_a_measurement_count_as_modelled(label: EnergyLabel) -> None:
    run = gate_run(made_record(label=label))
    totals = {"energy_to_target_j", "energy_per_sample_j", "energy_per_prediction_j"}
    absent = {"gpu_energy_j", "dram_energy_j", "energy_per_1000_on_target_j", "retrain_j", "run_j"}
    assert set(run.modelled) - absent == {*totals, "cpu_energy_j"}


def test_a_miss_has_no_costs_to_the_target_but_those_of_a_sample() -> None:
    run = gate_run(made_record(outcome="missed"))
    assert run.missed is True
    assert not {metric.name for metric in GATE_METRICS if metric.censored_by} & set(run.values)
    assert {"time_per_sample_s", "energy_per_sample_j"} <= set(run.values)


@pytest.mark.parametrize("value", [math.nan, math.inf, None])
def test_values_that_are_not_numbers_are_left_out_and_zero_is_kept(value: float | None) -> None:
    record = made_record()
    assert record.serving is not None
    serving = replace(record.serving, latency_p50_ms=value, latency_p90_ms=0.0)
    values = gate_run(replace(record, serving=serving)).values
    assert "latency_p50_ms" not in values
    assert values["latency_p90_ms"] == 0.0


def test_an_unknown_value_of_a_run_is_left_out() -> None:
    """Phases of a run that says nothing of them, samples of batches whose size is not known."""
    record = made_record()
    assert record.target is not None
    target = replace(
        record.target, samples_to_target=None, time_per_sample_s=None, energy_per_sample_j=None
    )
    values = gate_run(replace(record, target=target, phases=Phases())).values
    unknown = {"init_s", "samples_to_target", "time_per_sample_s", "energy_per_sample_j"}
    assert not unknown & set(values)
    assert "steps_to_target" in values


def test_seeds_and_places_are_no_part_of_the_configuration() -> None:
    first, second = (gate_run(made_record(seed=seed, repeat=seed)) for seed in (0, 1))
    assert first.config == second.config
    assert "results" not in first.config
    assert "seed" not in first.config["data"]
    assert first.choices == {}
    record = made_record()
    named = {**record.config, CHOICES: {"model": "cnn", "backend": None}}
    run = gate_run(replace(record, config=named))
    assert (run.config, run.choices) == (first.config, {"model": "cnn"})
    assert first.config["batch_size"] == 32


def served(trained_id: str, trained_seed: int, *, repeat: int = 0) -> RunRecord:
    record = made_record(repeat=repeat)
    return replace(
        record,
        command="serve",
        run_id=f"{record.run_id[:-8]}{trained_id}",
        config={**record.config, "run": f"/somewhere/{trained_id}"},
        target=None,
        serving=Serving(num_requests=100, valid=True, latency_p50_ms=1.0),
        trained=TrainedRun(
            run_id=trained_id,
            config_hash="f" * 12,
            seed=trained_seed,
            reached=True,
            model="Mlp",
            data="digits",
        ),
    )


def test_a_served_run_is_of_the_model_of_a_seed() -> None:
    run = gate_run(served("00000001", 7))
    assert run.served_model == "seed 7"
    assert run.missed is None
    assert run.config["run"] == "Mlp ffffff"
    assert run.facts["data"] == "digits"


def test_models_of_several_seeds_are_runs_of_their_own(tmp_path: Path) -> None:
    """Two of seed 0 (trained twice) and one of seed 1, all served with the same seed."""
    for trained_id, seed in (("00000002", 0), ("00000001", 0), ("00000003", 1)):
        write_run(tmp_path, served(trained_id, seed))
    side = read_side(tmp_path)
    assert {(run.run_id[-8:], run.served_model) for run in side.runs} == {
        ("00000001", "seed 0"),
        ("00000002", "seed 0 #2"),
        ("00000003", "seed 1"),
    }
    assert side.remarks == []


def test_why_a_serving_does_not_count_is_kept() -> None:
    record = served("00000001", 0)
    assert record.serving is not None
    reasons = ["p99 latency of 57 ms is over the bound of 50 ms"]
    invalid = replace(record.serving, valid=False, invalid_reasons=reasons)
    run = gate_run(replace(record, serving=invalid))
    assert (run.comparable, run.invalid) == (True, reasons)
    assert "latency_p50_ms" in run.values


def test_a_run_of_bench_serve_has_its_numbers(tmp_path: Path) -> None:
    trained = make_run(tmp_path, Made(outcome="hit"))
    run = gate_run(read_record(make_served(tmp_path, trained, Served(compression="int8_static"))))
    assert {"accuracy", "size_bytes", "compressed_size_bytes", "load_s", "latency_mean_ms"} <= set(
        run.values
    )
    assert run.values["size_bytes"] == run.values["compressed_size_bytes"]
    assert run.facts["data"] == "digits"


def test_a_side_can_be_read_from_every_level(tmp_path: Path) -> None:
    folders = write_runs(tmp_path / "results", [1.0, 1.1, 1.2])
    for path in (tmp_path / "results", tmp_path / "results" / "train"):
        side = read_side(path)
        assert side.name == str(path)
        assert [run.run_id for run in side.runs] == [folder.name for folder in folders]
        assert side.problems == []
    assert [run.run_id for run in read_side(folders[1]).runs] == [folders[1].name]


def test_a_side_names_its_origin(tmp_path: Path) -> None:
    write_runs(tmp_path, [1.0, 1.1])
    write_runs(tmp_path, [1.0], seed=5, host={"git_dirty": True, "name": "other"})
    assert read_side(tmp_path).provenance == {
        "commits": [COMMIT, f"{COMMIT}-dirty"],
        "hosts": ["made", "other"],
        "cpus": ["Made CPU"],
        "num_runs": 3,
        "first_started_utc": "2026-01-05T09:00:00Z",
        "last_started_utc": "2026-01-05T09:01:00Z",
    }


def test_a_path_that_is_not_there_is_a_wrong_value(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"nowhere: no such folder or file; give a results folder"):
        read_side(tmp_path / "nowhere")


def test_a_folder_without_runs_is_empty(tmp_path: Path) -> None:
    side = read_side(tmp_path)
    assert side.runs == []
    (problem,) = side.problems
    assert (problem.kind, problem.exit_code) == ("empty", 3)
    assert str(tmp_path) in problem.message


def test_failed_runs_are_reported_and_kept_out(tmp_path: Path) -> None:
    write_runs(tmp_path, [1.0])
    failed = write_run(tmp_path, made_record(seed=1, outcome="failed"))
    side = read_side(tmp_path)
    assert [run.seed for run in side.runs] == [0]
    (problem,) = side.problems
    assert (problem.kind, problem.exit_code) == ("failed", 5)
    assert problem.message == (
        f"{failed.name} ended as failed: loss is nan at step 96; measure it again"
    )


def test_an_interrupted_run_is_reported_and_has_not_failed(tmp_path: Path) -> None:
    folder = make_run(tmp_path, Made(outcome="interrupted"))
    side = read_side(tmp_path)
    assert (side.runs, side.problems) == ([], [])
    told = f"{folder.name} was interrupted and does not count; measure it again"
    assert side.remarks == [told]


def test_runs_that_cannot_be_read_are_reported_and_the_others_are_read(tmp_path: Path) -> None:
    write_runs(tmp_path, [1.0])
    broken = make_unreadable(tmp_path)
    (tmp_path / "train" / "notes").mkdir()
    (tmp_path / "train" / "notes" / "config.yaml").write_text("a: 1")  # of no run
    side = read_side(tmp_path)
    assert len(side.runs) == 1
    told = {(problem.kind, problem.exit_code): problem.message for problem in side.problems}
    assert set(told) == {("unreadable", 5), ("incomparable", 4)}
    assert str(broken["newer"]) in told["incomparable", 4]
    assert "schema 999 is newer than this version reads" in told["incomparable", 4]
    unreadable = [p.message for p in side.problems if p.kind == "unreadable"]
    for place in (broken["damaged"], broken["incomplete"], broken["no_schema"]):
        assert sum(str(place) in message for message in unreadable) == 1
    assert not any("notes" in message or "\n" in message for message in unreadable)


def test_a_newer_schema_is_told_apart_from_damage(tmp_path: Path) -> None:
    broken = make_unreadable(tmp_path)
    with pytest.raises(NewerSchema):
        read_record(broken["newer"])
    with pytest.raises(StoreError) as error:
        read_record(broken["damaged"])
    assert not isinstance(error.value, NewerSchema)


def test_a_run_cut_in_the_middle_of_its_record_is_unreadable(tmp_path: Path) -> None:
    (folder,) = write_runs(tmp_path, [1.0])
    path = folder / "run.json"
    path.write_text(path.read_text()[:200])
    (problem,) = read_side(tmp_path).problems
    assert (problem.kind, problem.exit_code) == ("unreadable", 5)
    assert problem.message.startswith(f"{path}: not a run record")


def test_no_place_is_taken_twice() -> None:
    with pytest.raises(ValueError, match="base: train 0123456789ab seed 1 repeat 0 is there twice"):
        Side(name="base", runs=[made_run(seed=1), made_run(seed=1, run_id="other")])


def test_files_of_a_run_are_read_as_they_are(tmp_path: Path) -> None:
    """NaN in a record (as JSON of Python has it) is no value."""
    (folder,) = write_runs(tmp_path, [1.0])
    record = json.loads((folder / "run.json").read_text())
    record["phases"]["init_s"] = math.nan
    (folder / "run.json").write_text(json.dumps(record))
    (run,) = read_side(folder).runs
    assert "init_s" not in run.values
