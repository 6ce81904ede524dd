from __future__ import annotations

import dataclasses
import types
from typing import Any, Union, get_args, get_origin, get_type_hints

import pytest

from bench.config.gate import JudgeConfig
from bench.core.labels import ComponentEnergy, EnergyLabel
from bench.core.metric import Metric
from bench.core.quality_rows import is_quality
from bench.core.records.energy import EnergyRow
from bench.core.records.model import Quality
from bench.core.records.run import RunRecord
from bench.core.target import FLOAT32_ROUNDING
from bench.gate.metrics import GATE_METRICS, is_default, metric_named
from bench.gate.settings import require_known, selected
from bench.gate.sides.facts import FACTS
from bench.gate.sides.joules import JOULE_FACTS, PARTS
from tests.gate.made import made_run


def type_at(path: str) -> Any:
    """The type of a place in a record, by its classes, without `| None`."""
    hint: Any = RunRecord
    for name in path.split("."):
        assert dataclasses.is_dataclass(hint), f"{path}: nothing lies in {hint}"
        hints = get_type_hints(hint)
        # Qualities are a mapping in the record, and named directly in a path.
        hint = get_args(hints["values"])[1] if hint is Quality else hints[name]
        if get_origin(hint) in (Union, types.UnionType):
            (hint,) = (part for part in get_args(hint) if part is not types.NoneType)
    return hint


@pytest.mark.parametrize("metric", GATE_METRICS, ids=lambda metric: metric.name)
def test_every_metric_is_a_number_of_the_record(metric: Metric) -> None:
    if metric.part is None:
        assert type_at(metric.path) in (int, float)
    else:
        assert type_at(metric.path) in (list[EnergyRow], list[ComponentEnergy])


JOULE_METRICS = [metric for metric in GATE_METRICS if metric.unit == "J"]


@pytest.mark.parametrize("metric", JOULE_METRICS, ids=lambda metric: metric.name)
def test_joules_are_compared_only_with_the_same_label_and_components(metric: Metric) -> None:
    assert metric.joules is not None
    assert set(metric.joules.facts) <= set(JOULE_FACTS)
    if metric.part is None:
        assert type_at(metric.joules.label) == EnergyLabel
        return
    total = metric_named(metric.part_of or "")
    assert total.joules is not None
    assert metric.joules.facts == tuple(f"{fact}.{metric.part}" for fact in total.joules.facts)
    same = (total.least_effect_frac, total.censored_by, total.kind)
    assert (metric.least_effect_frac, metric.censored_by, metric.kind) == same


def test_only_joules_have_labels_and_each_part_has_a_metric() -> None:
    assert {m.name for m in GATE_METRICS if m.joules} == {m.name for m in JOULE_METRICS}
    for total in ("energy_to_target_j", "energy_per_prediction_j"):
        assert tuple(m.part for m in GATE_METRICS if m.part_of == total) == PARTS


def test_only_what_older_records_hold_in_float32_is_rounded() -> None:
    rounded = {metric.name: metric.rounding_frac for metric in GATE_METRICS if metric.rounding_frac}
    assert rounded == {"accuracy": FLOAT32_ROUNDING}


def test_names_are_unique_and_end_in_their_unit() -> None:
    assert len({metric.name for metric in GATE_METRICS}) == len(GATE_METRICS)
    suffixes = {"_s": "s", "_ms": "ms", "_j": "J", "_bytes": "bytes", "_per_s": "1/s"}
    suffixes["_frac"] = "fraction"
    for metric in GATE_METRICS:
        fitting = [s for s in suffixes if metric.name.endswith(s)]
        if not is_quality(metric.path):
            assert metric.unit == (suffixes[max(fitting, key=len)] if fitting else "")


def test_what_is_to_be_reached_is_censored_and_nothing_else() -> None:
    censored = {metric.name for metric in GATE_METRICS if metric.censored_by}
    assert censored == {
        metric.name for metric in GATE_METRICS if metric.path.endswith("_to_target_s")
    } | {
        "energy_to_target_j",
        "gpu_energy_j",
        "cpu_energy_j",
        "dram_energy_j",
        "samples_to_target",
        "steps_to_target",
    }


def test_an_unknown_name_is_reported_with_similar_names() -> None:
    with pytest.raises(
        ValueError, match=r"metrics=latency_p99: no such metric .*; did you mean .*p99_ms"
    ):
        metric_named("latency_p99")
    with pytest.raises(
        ValueError, match=r"min_effect\.zzz: no such metric .*; choose from time_to_tar"
    ):
        metric_named("zzz", key="min_effect.")


def test_settings_select_metrics_and_change_their_least_effects() -> None:
    settings = JudgeConfig(
        metrics=["accuracy", "time_to_target_s"], min_effect={"time_to_target_s": 0.2}
    )
    assert [(metric.name, metric.least_effect_frac) for metric in selected(settings)] == [
        ("time_to_target_s", 0.2),
        ("accuracy", 0.01),
    ]
    assert selected(JudgeConfig()) == list(GATE_METRICS)
    (init,) = selected(JudgeConfig(metrics=["init_s"]))
    assert init.least_effect_abs == 0.05
    (own,) = selected(JudgeConfig(metrics=["init_s"], min_effect={"init_s": 0.02}))
    assert (own.least_effect_frac, own.least_effect_abs) == (0.02, 0.0)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"alpha": 0.0}, "alpha=0.0: must be a positive number"),
        ({"alpha": 0.5}, "alpha=0.5"),
        ({"alpha": float("nan")}, "alpha=nan"),
        ({"min_runs": 0}, "min_runs=0: must be at least 1"),
        ({"min_runs": 10**6}, "min_runs=1000000: must be at most 1000"),
        ({"metrics": []}, r"metrics=\[\]: must have at least one element"),
        ({"metrics": ["time"]}, "metrics=time: no such metric"),
        ({"min_effect": {"time": 0.1}}, r"min_effect\.time: no such metric"),
        ({"min_effect": {"accuracy": -0.1}}, "min_effect.accuracy=-0.1: must be at least 0"),
        ({"min_effect": {"accuracy": float("nan")}}, "min_effect.accuracy=nan"),
        ({"force": ["hots"]}, r"force=\[hots\]: no such fact; did you mean host"),
        (
            {"force": ["host.cpu"]},
            r"force=\[host.cpu\]: no such fact; did you mean .*host.cpu_name",
        ),
    ],
)
def test_wrong_settings_are_named(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        require_known(JudgeConfig.from_dict(wrong))


GROUPS = ("host", "target", "serving", "health", "energy_label", "energy_components")


@pytest.mark.parametrize("name", [*FACTS, *GROUPS])
def test_facts_and_their_groups_can_be_forced(name: str) -> None:
    assert JudgeConfig(force=[name]).force == [name]


OWN = "quality_test.val/f1"


def test_metrics_of_ones_own_are_named_by_their_path() -> None:
    own, known = selected(JudgeConfig(metrics=[OWN, "rmse"]))[::-1]
    assert (own.name, own.kind, own.least_effect_frac, own.better) == (OWN, "exact", 0.01, None)
    assert (known.path, known.better) == ("quality_test.rmse", "min")


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("quality_test.rmse", "did you mean rmse"),
        ("quality.val/f1", "named quality_test.NAME"),
        ("quality_test.num_samples", "named quality_test.NAME"),
        ("val/f1", "named quality_test.NAME"),
    ],
)
def test_other_names_of_a_quality_are_refused(name: str, hint: str) -> None:
    with pytest.raises(ValueError, match=f"metrics={name}: no such metric.*{hint}"):
        metric_named(name)


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ({"target.metric": "accuracy"}, {"accuracy"}),  # a run without a task is of classification
        ({"task.name": "regression", "target.metric": "r2"}, {"rmse", "r2"}),
        ({"task.name": "language_modelling", "target.metric": None}, {"loss"}),
        ({"task.name": "classification", "target.metric": "auroc"}, {"accuracy", "auroc"}),
        ({"task.name": "module", "target.metric": "val/f1"}, set()),
    ],
)
def test_few_qualities_are_judged_by_default(facts: dict[str, Any], expected: set[str]) -> None:
    run = made_run(facts=facts)
    qualities = [metric for metric in GATE_METRICS if is_quality(metric.path)]
    assert {metric.name for metric in qualities if is_default(metric, run)} == expected
    others = [metric for metric in GATE_METRICS if not is_quality(metric.path)]
    assert all(is_default(metric, run) for metric in others)
