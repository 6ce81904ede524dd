"""The catalogue: every number of a record has a row, and the rows agree with one another."""

from __future__ import annotations

from collections import Counter

import pyarrow as pa
import pytest

from analysis.load.records import record_leaves
from bench.core.metric import metric_of
from bench.core.metrics import METRICS, better, label_of, metric_at
from bench.core.qualities import QUALITIES


def test_every_number_of_a_record_has_a_row() -> None:
    """Adding a number to the record without saying which way it is better fails here."""
    numbers = {
        column.name
        for column in record_leaves()
        if pa.types.is_integer(column.type) or pa.types.is_floating(column.type)
    }
    parts = ("quality.", "quality_test.")
    of_tasks = {f"{part}{name}" for part in parts for name in QUALITIES}
    assert numbers | of_tasks == set(METRICS)


def test_names_are_unique() -> None:
    names = Counter(metric.name for metric in METRICS.values())
    assert names.most_common(1)[0][1] == 1


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("quality_test.accuracy", "max"),
        ("quality.worst_class_recall", "max"),
        ("quality.loss", "min"),
        ("quality_test.expected_calibration_error", "min"),
        ("serving.throughput_per_s", "max"),
        ("serving.goodput_per_s", "max"),
        ("serving.latency_p99_ms", "min"),
        ("compression.accuracy_change", "max"),
        ("compression.latency_ratio", "min"),
        ("target.time_to_target_s", "min"),
        ("utilization.gpu_busy_frac", None),
        ("serving.num_threads", None),
        ("serving.rate_per_s", None),
    ],
)
def test_known_directions(name: str, expected: str | None) -> None:
    assert better(name) == expected


def test_a_path_outside_the_catalogue_is_refused() -> None:
    with pytest.raises(ValueError, match=r"config\.lr: no number of a record"):
        better("config.lr")


def test_what_is_judged_has_a_direction() -> None:
    assert all(metric.better for metric in METRICS.values() if metric.kind)
    with pytest.raises(ValueError, match="seed: neither more nor less of it is better"):
        _ = metric_of("seed", None).direction


@pytest.mark.parametrize(
    ("cost", "origin"),
    [
        ("target.cost_to_target_usd", "target.energy_to_target_j"),
        ("target.emissions_to_target_gco2e", "target.energy_to_target_j"),
        ("serving.cost_per_million_usd", "serving.energy_per_prediction_j"),
        ("serving.emissions_per_million_gco2e", "serving.energy_per_prediction_j"),
    ],
)
def test_money_and_carbon_follow_from_joules(cost: str, origin: str) -> None:
    follows, joules = metric_at(cost), metric_at(origin)
    assert follows.least_effect_frac == joules.least_effect_frac
    assert follows.joules == joules.joules


@pytest.mark.parametrize(
    ("path", "label", "heading"),
    [
        ("target.time_to_target_s", "time to target (s)", "TTA (s)"),
        ("serving.latency_p90_ms", "latency p90 (ms)", "p90 (ms)"),
        ("model.size_bytes", "model size (bytes)", "size (kB)"),
        ("target.time_per_sample_s", "time per sample (s)", "time per sample (us)"),
        ("target.samples_to_target", "samples to target", "samples to target"),
        ("quality_test.accuracy", "test accuracy (fraction)", "test accuracy"),
    ],
)
def test_a_quantity_is_named_with_its_unit(path: str, label: str, heading: str) -> None:
    """An axis has the unit of the record; a table may show another one."""
    assert METRICS[path].axis_label == label
    assert METRICS[path].column_heading == heading


def test_shown_units_are_those_of_the_record_times_a_factor() -> None:
    of_one = {
        "fraction": 1,
        "%": 0.01,
        "bytes": 1,
        "kB": 1e3,
        "MB": 1e6,
        "J": 1,
        "mJ": 1e-3,
        "s": 1,
        "us": 1e-6,
    }
    for metric in METRICS.values():
        unit, factor = metric.shown
        if unit != metric.unit and unit:
            assert factor == pytest.approx(of_one[metric.unit] / of_one[unit]), metric.path


def test_a_column_outside_the_catalogue_is_labelled_by_its_own_name() -> None:
    assert label_of("config.trainer.devices") == "trainer devices"
    assert label_of("config.budget.max_time_s") == "budget max time (s)"
    assert label_of("config.batch_size") == "batch size (samples)"
