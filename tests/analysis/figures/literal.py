"""Small frames of runs, written out by hand in the form that analysis.load.runs returns."""

from __future__ import annotations

from itertools import count
from typing import Any

from pandas import DataFrame

_ids = count()


def reached(
    configuration: str, time_s: float, energy_j: float | None = None, **more: Any
) -> dict[str, Any]:
    """A training that hit 0.9 after time_s; keywords with __ for dots overwrite columns.

    Every run has a repeat of its own: two of one seed and repeat would count once.
    """
    number = next(_ids)
    run = {
        "run_id": f"run{number}",
        "command": "train",
        "config_hash": configuration,
        "configuration": configuration,
        "status": "ok",
        "seed": 0,
        "repeat": number,
        "started_utc": "2026-01-05T09:00:00Z",
        "folder": f"/results/train/{configuration}",
        "target.metric": "accuracy",
        "target.value": 0.9,
        "target.rule": "first",
        "target.reached": True,
        "target.time_to_target_s": time_s,
        "target.energy_to_target_j": energy_j,
        "target.samples_to_target": 100.0,
        "target.time_per_sample_s": time_s / 100,
        "target.energy_per_sample_j": None if energy_j is None else energy_j / 100,
        "phases.wall_time_s": time_s,
        "energy_total_j": energy_j,
        "energy_label": None if energy_j is None else "counter",
        "config.batch_size": 32,
        "config.lr": 0.1,
        "model.name": "Mlp",
        "host.cpu_name": "cpu",
        "health.comparable": True,
        "health.flags": "",
    }
    return {**run, **{key.replace("__", "."): value for key, value in more.items()}}


def missed(
    configuration: str, time_s: float, energy_j: float | None = None, **more: Any
) -> dict[str, Any]:
    """A training that used its budget of time_s up in vain."""
    nothing = {
        "target.reached": False,
        "target.time_to_target_s": None,
        "target.energy_to_target_j": None,
        "target.samples_to_target": None,
        "target.censored_at_s": time_s,
    }
    run = {**reached(configuration, time_s, energy_j), **nothing}
    return {**run, **{key.replace("__", "."): value for key, value in more.items()}}


def failed(configuration: str, time_s: float, **more: Any) -> dict[str, Any]:
    """A training that diverged after time_s."""
    return {**missed(configuration, time_s, **more), "status": "failed"}


def served(configuration: str, scenario: str = "single_stream", **more: Any) -> dict[str, Any]:
    """A run of bench.serve."""
    number = next(_ids)
    run = {
        "run_id": f"run{number}",
        "command": "serve",
        "config_hash": configuration,
        "configuration": configuration,
        "status": "ok",
        "seed": 0,
        "repeat": number,
        "folder": f"/results/serve/{configuration}",
        "serving.scenario": scenario,
        "serving.valid": True,
        "serving.num_requests": 1000,
        "host.cpu_name": "cpu",
        "health.comparable": True,
        "health.flags": "",
    }
    return {**run, **{key.replace("__", "."): value for key, value in more.items()}}


def frame(*runs: dict[str, Any]) -> DataFrame:
    """The runs as a frame."""
    return DataFrame(list(runs))


def by(data: DataFrame, key: str) -> dict[Any, dict[Any, Any]]:
    """The rows of some data by one of their columns."""
    return {row[key]: row for row in data.to_dict("records")}
