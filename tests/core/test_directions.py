from __future__ import annotations

import pyarrow as pa
import pytest

from analysis.flatten import record_columns
from analysis.metrics import TOPICS
from bench.core.directions import DIRECTIONS, better
from bench.gate.metrics import METRICS


def test_every_number_of_a_record_has_a_direction_or_is_said_to_have_none() -> None:
    """Adding a number to the record without a direction fails here."""
    numbers = {
        column.name
        for column in record_columns()
        if pa.types.is_integer(column.type) or pa.types.is_floating(column.type)
    }
    assert numbers == set(DIRECTIONS)


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


def test_what_is_no_number_of_a_record_is_refused() -> None:
    with pytest.raises(ValueError, match=r"config\.lr: no number of a record"):
        better("config.lr")


def test_the_gate_and_the_tables_have_the_same_directions() -> None:
    judged = {metric.path: metric.better for metric in METRICS if metric.path in DIRECTIONS}
    shown = {
        metric.column: metric.better
        for topic in TOPICS.values()
        for metric in topic
        if metric.better is not None and metric.column in DIRECTIONS
    }
    assert judged
    assert shown
    for name, direction in (*judged.items(), *shown.items()):
        assert direction == better(name), name
