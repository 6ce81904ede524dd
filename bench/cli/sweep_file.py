"""The runs of a sweep as a CSV file: one row per run, numbers as the records have them.

Columns are named as fields of the record (docs/metrics.md), so that each states its unit.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.cli.overrides import key_of
from bench.core.checks import value_at
from bench.core.files import replace_file
from bench.core.flat import value_of
from bench.core.identity import CHOICES
from bench.core.outcome import best_value
from bench.core.printable import csv_safe
from bench.core.records.run import RunRecord

_FIRST = ("run_id", "folder", "overrides", "config_hash", "seed", "repeat", "status")
_LAST = ("health.comparable", "health.flags", "error.kind", "error.message")
_TRAINING = (
    "target.reached",
    "target.best_value",
    "target.metric",
    "target.value",
    "target.time_to_target_s",
    "target.last_miss_s",
    "target.censored_at_s",
    "target.energy_to_target_j",
    "target.energy_to_target_error_frac",
    "target.censored_at_j",
    "target.samples_to_target",
    "target.time_per_sample_s",
    "target.energy_per_sample_j",
    "target.cost_to_target_usd",
    "target.emissions_to_target_gco2e",
    "recipe.source_time_s",
    "recipe.total_time_to_target_s",
    "recipe.source_energy_j",
    "recipe.source_energy_label",
    "recipe.total_energy_to_target_j",
    "recipe.total_energy_label",
)
_SERVING = (
    "trained.run_id",
    "trained.seed",
    "trained.data",
    "serving.scenario",
    "serving.backend",
    "serving.headline",
    "serving.valid",
    "serving.max_rate_per_s",
    "serving.goodput_per_s",
    "serving.cost_per_million_usd",
    "serving.emissions_per_million_gco2e",
    "compression.method",
    "compression.accuracy_change",
    "compression.latency_ratio",
    "compression.latency_ratio_low",
    "compression.latency_ratio_high",
    "quality_test.worst_class_recall",
)
_BOTH = (
    "energy_total_j",
    "energy_label",
    "energy_error_frac",
    "model.name",
    "model.size_bytes",
    "quality_test.accuracy",
    "serving.latency_p50_ms",
    "serving.latency_p90_ms",
    "serving.latency_p99_ms",
    "serving.throughput_per_s",
    "serving.throughput_batch_size",
    "serving.energy_per_prediction_j",
    "serving.energy_per_prediction_label",
    "serving.energy_per_prediction_error_frac",
    "utilization.cpu_process_frac",
    "utilization.cpu_machine_frac",
    "utilization.memory_peak_bytes",
)


def write_sweep(path: Path, runs: Sequence[tuple[Sequence[str], Path, RunRecord]]) -> Path:
    """Write all runs of a sweep, in place of what the file held before.

    Args:
        path: Where; its folder is made.
        runs: Each with the overrides it was started with, and its folder.

    Returns:
        The path.

    Raises:
        OSError: It cannot be written; what was there before is still there.
    """
    is_serving = any(record.command == "serve" for _, _, record in runs)
    swept = _swept([overrides for overrides, _, _ in runs])
    own = _SERVING if is_serving else _TRAINING
    names = (*_FIRST, *(f"config.{key}" for key in swept), *own, *_BOTH, *_LAST)
    rows = [_row(*run, names) for run in runs]
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, fieldnames=names)
    writer.writeheader()
    writer.writerows({name: _cell(value) for name, value in row.items()} for row in rows)
    path.parent.mkdir(parents=True, exist_ok=True)
    return replace_file(path, text.getvalue().encode())


def _swept(overrides: Sequence[Sequence[str]]) -> list[str]:
    """The keys that differ between the runs, without those that are columns anyway."""
    given: dict[str, set[str]] = {}
    for each in overrides:
        for text in each:
            given.setdefault(key_of(text), set()).add(text.partition("=")[2])
    return [key for key, values in given.items() if len(values) > 1 and key not in _FIRST]


def _configured(record: RunRecord, key: str) -> Any:
    """The value of a key; of a group, the option that was chosen."""
    value = value_at(record.config, key)
    chosen = record.config.get(CHOICES, {}).get(key)
    return chosen if isinstance(value, dict | list) or value is None else value


def _row(
    overrides: Sequence[str], folder: Path, record: RunRecord, names: Sequence[str]
) -> dict[str, Any]:
    own = {
        "folder": str(folder),
        "overrides": " ".join(overrides),
        "target.best_value": best_value(record),
        "health.flags": " ".join(record.health.flags if record.health else []),
    }
    for name in names:
        if name.startswith("config."):
            own[name] = _configured(record, name.removeprefix("config."))
    return {name: own[name] if name in own else value_of(record, name) for name in names}


def _cell(value: object) -> object:
    """Empty for what is not known; numbers with all their digits."""
    if isinstance(value, bool):
        return str(value).lower()
    return csv_safe(value) if isinstance(value, str) else value
