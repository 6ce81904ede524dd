"""Every run of a sweep in a CSV file."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bench.cli.sweep_report import Run, write_sweep
from bench.core.records.health import Health
from bench.serving.table import SWEEP_COLUMNS as SERVING
from bench.training.table import SWEEP_COLUMNS as TRAINING
from tests.serving.test_table import record as served
from tests.training.test_table import record as trained


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_a_row_per_run_with_all_digits(tmp_path: Path) -> None:
    hit = replace(trained(seed=3, scale=1 / 3), health=Health(comparable=False, flags=["a", "b"]))
    missed = trained(accuracies=(0.6, 0.5))
    failed = trained(status="failed", message='broke, "so"\nit ended')
    runs = [
        Run(["lr=0.1", "seed=3"], tmp_path / "Größe" / run.run_id, run) for run in (hit, missed)
    ]
    path = write_sweep(tmp_path / "sweeps" / "x.csv", [*runs, Run([], tmp_path, failed)], TRAINING)
    first, second, third = rows(path)
    assert first["run_id"] == hit.run_id
    assert first["folder"] == str(tmp_path / "Größe" / hit.run_id)
    assert (first["overrides"], first["seed"], first["repeat"]) == ("lr=0.1 seed=3", "3", "0")
    assert (first["status"], first["target.reached"]) == ("ok", "true")
    assert first["target.time_to_target_s"] == repr(4.0 / 3)
    assert (first["health.comparable"], first["health.flags"]) == ("false", "a b")
    assert (second["target.reached"], second["target.time_to_target_s"]) == ("false", "")
    assert (second["target.best_value"], second["target.censored_at_s"]) == ("0.6", "4.0")
    assert third["error.message"] == 'broke, "so" it ended'


def test_each_swept_key_is_a_column(tmp_path: Path) -> None:
    first, second = trained(seed=0), trained(seed=1)
    first = replace(first, config={**first.config, "lr": 0.1, "choices": {"model": "mlp"}})
    second = replace(second, config={**second.config, "lr": 0.2, "choices": {"model": "cnn"}})
    shared = ["codecarbon=none"]
    given = (["lr=0.1", "model=mlp", "seed=0"], ["lr=0.2", "model=cnn", "seed=1"])
    runs = [
        Run([*shared, *own], tmp_path, run) for own, run in zip(given, (first, second), strict=True)
    ]
    found = rows(write_sweep(tmp_path / "x.csv", runs, TRAINING))
    assert [row["config.lr"] for row in found] == ["0.1", "0.2"]
    assert [row["config.model"] for row in found] == ["mlp", "cnn"]
    assert not {"config.codecarbon", "config.seed"} & set(found[0])


def test_served_runs_have_columns_of_their_own(tmp_path: Path) -> None:
    (row,) = rows(write_sweep(tmp_path / "x.csv", [Run([], tmp_path, served())], SERVING))
    assert (row["serving.headline"], row["serving.latency_p99_ms"]) == ("latency_p99_ms", "12.5")
    assert (row["serving.valid"], row["trained.data"]) == ("true", "digits")
    assert "target.reached" not in row


def test_each_run_has_its_host_and_its_batch_job(tmp_path: Path) -> None:
    job = {"kind": "slurm", "job_id": "12_3", "node": "node1", "exclusive": True}
    hosts: list[dict[str, Any]] = [{"name": "a", "scheduler": job}, {"name": "b"}, {}]
    found = rows(
        write_sweep(
            tmp_path / "x.csv",
            [Run([], tmp_path, replace(trained(), host=host)) for host in hosts],
            TRAINING,
        )
    )
    assert [row["host.name"] for row in found] == ["a", "b", ""]
    of_job = [{key: row[f"host.scheduler.{key}"] for key in list(job)[1:]} for row in found]
    assert of_job[0] == {"job_id": "12_3", "node": "node1", "exclusive": "true"}
    assert of_job[1] == of_job[2] == {"job_id": "", "node": "", "exclusive": ""}


def test_no_cell_is_a_formula(tmp_path: Path) -> None:
    run = trained(status="failed", message="=cmd|' /C calc'!A0")
    run = replace(run, health=Health(comparable=False, flags=["@SUM(1)", "\x1b[31m"]))
    (row,) = rows(
        write_sweep(tmp_path / "x.csv", [Run(["+lr=1", "-x"], Path("=1+1"), run)], TRAINING)
    )
    assert row["error.message"] == "'=cmd|' /C calc'!A0"
    assert row["health.flags"] == "'@SUM(1) \\x1b[31m"
    assert row["overrides"] == "'+lr=1 -x"
    assert row["folder"] == "'=1+1"


def test_a_failed_write_leaves_no_file(tmp_path: Path) -> None:
    (tmp_path / "x.csv").mkdir()
    with pytest.raises(OSError, match="directory"):
        write_sweep(tmp_path / "x.csv", [Run([], tmp_path, trained())], TRAINING)
    assert [each.name for each in tmp_path.iterdir()] == ["x.csv"]
