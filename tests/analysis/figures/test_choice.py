"""Which figures a report draws: the ten that matter for what was measured, or those named."""

from __future__ import annotations

from typing import Any

import pytest
from pandas import DataFrame

from analysis.figures.choice import MOST, chosen_figures, default_figures, left_out
from analysis.figures.entries import FIGURES

_TRAINED: dict[str, Any] = {
    "target.metric": "accuracy",
    "target.energy_to_target_j": 1.0,
    "energy_total_j": 1.0,
    "serving.latency_p90_ms": 1.0,
    "serving.throughput_per_s": 1.0,
    "serving.energy_per_prediction_j": 1.0,
}
_SERVED = {**_TRAINED, "target.metric": None, "serving.scenario": "server"}
_SWEEP = [
    {**_TRAINED, "config.batch_size": size, "seed": seed} for size in (32, 64) for seed in (0, 1)
]
_DEPLOYED = {"maintenance.policy": "every", "maintenance.upkeep_j": 1.0}


def drawn(*rows: dict[str, Any], has_history: bool = False) -> set[str]:
    return set(default_figures(DataFrame(rows), has_history=has_history))


def test_a_sweep_of_trainings_has_ten_figures_of_trainings() -> None:
    names = drawn(*_SWEEP)
    assert len(names) == MOST
    assert {"quality_time", "tta_eta", "batch_size_time", "factors_time", "hits"} <= names
    assert not names & {"latency", "stream", "compression", "history"}


@pytest.mark.parametrize(
    ("rows", "missing"),
    [
        ([_TRAINED], {"batch_size_time", "factors_time", "hits", "restarts"}),  # nothing differs
        ([{"target.metric": "accuracy"}], {"tta_eta", "energy_components", "quality_latency"}),
        ([_SERVED], {"load", "skew", "compression", "quality_time"}),
        ([_DEPLOYED], {"policy_price", "detectors", "maintenance_costs"}),
    ],
)
def test_a_figure_without_data_is_passed_over(
    rows: list[dict[str, Any]], missing: set[str]
) -> None:
    names = drawn(*rows)
    assert names
    assert not names & missing


def test_programs_have_a_figure_of_their_own() -> None:
    assert drawn({"program.exit_code": 0, "phase_energy.run_j": 1.0}) == {"programs"}


def test_several_kinds_take_turns_so_that_each_has_its_first_figures() -> None:
    names = drawn(*_SWEEP, _SERVED, _DEPLOYED, has_history=True)
    assert len(names) == MOST
    # Three kinds: three turns of the trainings, after the history of the gate.
    assert {"history", "quality_time", "tta_eta", "batch_size_time"} <= names
    assert {"quality_latency", "latency", "stream", "maintenance_pareto"} <= names


def test_all_and_names_are_drawn_as_asked_and_each_once() -> None:
    runs = DataFrame(_SWEEP)
    assert chosen_figures(["all"], runs, has_history=False) == list(FIGURES)
    assert chosen_figures(["hits", "skew"], runs, has_history=False) == ["hits", "skew"]
    names = chosen_figures(["default", "heatmap_time", "hits"], runs, has_history=False)
    assert names == [*default_figures(runs, has_history=False), "heatmap_time"]


def test_only_figures_of_what_was_measured_are_named_as_left_out() -> None:
    rest = left_out(["quality_time"], DataFrame(_SWEEP))
    assert {"quality_energy", "heatmap_time", "timeline"} <= set(rest)
    assert not set(rest) & {"quality_time", "history", "latency", "stream"}
    assert left_out(list(FIGURES), DataFrame(_SWEEP)) == []
