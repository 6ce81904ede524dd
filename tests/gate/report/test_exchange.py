"""The forms for other tools, read by their own schema or parser.

bmf.schema.json is Bencher's. github-action-benchmark publishes none: SCHEMA is what its source
demands of a custom benchmark (src/extract.ts, extractCustomBenchmarkResult, and README.md).
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import jsonschema
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from bench.core.stats.intervals import Estimate
from bench.gate.metrics import GATE_METRICS
from bench.gate.report.exchange import bencher, bigger_is_better, openmetrics, smaller_is_better
from tests.gate.made_rows import EXACT, IMPROVED, REGRESSED, UNCHANGED, comparison, row

BMF = json.loads(Path(__file__).with_name("bmf.schema.json").read_text())
SCHEMA = {
    "type": "array",
    "items": {
        "type": "object",
        "properties": {
            "name": {"type": "string", "minLength": 1},
            "value": {"type": "number"},
            "unit": {"type": "string", "minLength": 1},
            "range": {"type": "string"},
            "extra": {"type": "string"},
        },
        "required": ["name", "value", "unit"],
        "additionalProperties": False,
    },
}


def estimate(value: float | None, low: float | None = None, high: float | None = None) -> Estimate:
    return Estimate(value=value, low=low, high=high, num=8)


ROWS = [
    replace(REGRESSED, candidate_median=estimate(0.51, 0.5, 0.52)),
    replace(UNCHANGED, candidate_median=estimate(0.0276, 0.027, 0.028)),
    replace(IMPROVED, candidate_median=estimate(4.1e6)),
    replace(EXACT, candidate_median=estimate(16384.0, 16384.0, 16384.0)),
]
NAME = "train batch_size=32"
CHECK = comparison(ROWS)
# Most runs missed; and a name that would break what it is written into.
ODD = comparison(
    [
        row(candidate=None, candidate_median=estimate(None)),
        replace(ROWS[0], configuration='x="1"\n# EOF\\ \x1b'),
    ]
)


def test_bencher_has_each_metric_of_each_configuration_with_its_bounds() -> None:
    tree = json.loads(bencher(CHECK))
    jsonschema.validate(tree, BMF)
    assert tree == {
        NAME: {
            "time_to_target_s": {"value": 0.51, "lower_value": 0.5, "upper_value": 0.52},
            "latency_p50_ms": {"value": 0.0276, "lower_value": 0.027, "upper_value": 0.028},
            "throughput_per_s": {"value": 4.1e6},
            "samples_to_target": {"value": 16384, "lower_value": 16384, "upper_value": 16384},
        }
    }


def test_the_files_of_github_action_benchmark_share_the_metrics_by_direction() -> None:
    less, more = json.loads(smaller_is_better(CHECK)), json.loads(bigger_is_better(CHECK))
    jsonschema.validate(less, SCHEMA)
    jsonschema.validate(more, SCHEMA)
    assert [(each["name"], each["unit"], each["range"]) for each in less] == [
        (f"{NAME}: time_to_target_s", "s", "0.5 to 0.52"),
        (f"{NAME}: latency_p50_ms", "ms", "0.027 to 0.028"),
        (f"{NAME}: samples_to_target", "count", "1.638e+04 to 1.638e+04"),
    ]
    assert [(each["name"], each["value"]) for each in more] == [
        (f"{NAME}: throughput_per_s", 4.1e6)
    ]
    assert less[0]["extra"] == "regression, 8 runs"


def test_openmetrics_has_base_units_and_the_exit_code() -> None:
    families = {each.name: each for each in text_string_to_metric_families(openmetrics(CHECK))}
    (code,) = families["opbench_check_exit_code"].samples
    assert (code.value, code.labels) == (1, {"commit": "b" * 10})
    latency = families["opbench_latency_p50_seconds"]
    assert latency.unit == "seconds"
    values = {sample.labels["statistic"]: sample.value for sample in latency.samples}
    assert values == pytest.approx({"median": 27.6e-6, "low": 27e-6, "high": 28e-6})
    assert latency.samples[0].labels["configuration"] == NAME
    assert families["opbench_throughput_per_s"].unit == ""


def test_every_metric_of_the_gate_can_be_written() -> None:
    rows = [row(metric.name, candidate_median=estimate(1.0)) for metric in GATE_METRICS]
    check = comparison(rows)
    families = list(text_string_to_metric_families(openmetrics(check)))
    assert len(families) == len(rows) + 1
    jsonschema.validate(json.loads(bencher(check)), BMF)
    num = sum(len(json.loads(write(check))) for write in (smaller_is_better, bigger_is_better))
    assert num == len(rows)


def test_what_has_no_value_is_left_out_and_names_break_nothing() -> None:
    families = list(text_string_to_metric_families(openmetrics(ODD)))
    assert [each.name for each in families] == [
        "opbench_check_exit_code",
        "opbench_time_to_target_seconds",
    ]
    assert len(families[1].samples) == 3
    (names,) = [list(json.loads(bencher(ODD)))]
    assert len(names) == 1
    assert "\x1b" not in bencher(ODD)
    assert len(json.loads(smaller_is_better(ODD))) == 1


def test_without_rows_all_files_are_valid() -> None:
    nothing = replace(comparison([]), provenance={})
    assert json.loads(bencher(nothing)) == {}
    assert json.loads(smaller_is_better(nothing)) == json.loads(bigger_is_better(nothing)) == []
    (family,) = text_string_to_metric_families(openmetrics(nothing))
    assert family.samples[0].labels == {}
