"""The data behind the training figures: runs written out by hand, with expected values."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text
from pandas import DataFrame, concat

from analysis.figures.batch_size import data_batch_size, draw_batch_size
from analysis.figures.caption import caption_of
from analysis.figures.codecarbon import data_codecarbon
from analysis.figures.curves import data_curves, draw_curves
from analysis.figures.factors import data_factors
from analysis.figures.heatmap import data_heatmap, draw_heatmap
from analysis.figures.hits import data_ecdf_targets, data_hits
from analysis.figures.ladder import data_ladder
from analysis.figures.phases import data_energy_components, data_phase_energy, data_phases
from analysis.figures.prepare import NothingToDraw
from analysis.figures.restarts import data_restarts
from analysis.figures.timeline import data_timeline, draw_timeline, phase_spans, pick_run
from tests.analysis.figures.labels import cut_labels
from tests.analysis.figures.literal import by, failed, frame, missed, reached, served


def curve_rows(run_id: str, times: list[float], accuracies: list[float]) -> DataFrame:
    return DataFrame(
        {
            "run_id": run_id,
            "time_s": times,
            "quality.accuracy": accuracies,
            "energy_total_j": [10 * time for time in times],
        }
    )


def test_curves_give_median_and_range_of_the_last_evaluation_so_far() -> None:
    runs = frame(reached("a", 2.0, run_id="p"), reached("a", 4.0, run_id="q"))
    curves = DataFrame(
        [
            *curve_rows("p", [1.0, 2.0], [0.5, 0.9]).to_dict("records"),
            *curve_rows("q", [1.0, 4.0], [0.7, 0.8]).to_dict("records"),
        ]
    )
    data = data_curves(runs, curves)
    at = {row["time_s"]: row for row in data.to_dict("records")}
    # At 1 s: 0.5 and 0.7. After 2 s: 0.9, kept since that run has ended, and still 0.7. At 4 s: 0.9
    # and 0.8.
    assert (at[1.0]["median"], at[1.0]["low"], at[1.0]["high"]) == (0.6, 0.5, 0.7)
    middle = next(row for time, row in at.items() if 2.0 < time < 4.0)
    assert (middle["low"], middle["high"]) == (0.7, 0.9)
    assert at[4.0]["median"] == pytest.approx(0.85)
    assert set(data["num_runs"]) == {2}
    assert set(data["num_reached"]) == {2}
    assert set(data["target_value"]) == {0.9}


def test_a_curve_of_one_evaluation_is_a_mark() -> None:
    """A line from a place to itself is not visible."""
    runs = frame(reached("a", 1.0, run_id="p"), reached("b", 2.0, run_id="q"))
    rows = [curve_rows("p", [1.0], [0.9]), curve_rows("q", [1.0, 2.0], [0.5, 0.9])]
    figure = draw_curves(data_curves(runs, concat(rows, ignore_index=True)))
    marks = {
        str(line.get_label()).split()[0]: line.get_marker()
        for line in figure.axes[0].get_lines()
        if not str(line.get_label()).startswith("_")
    }
    assert marks == {"a": "o", "b": "None"}


def test_curves_highlight_a_few_and_thin_the_rest() -> None:
    runs = [reached(f"c{n:03}", 1.0 + n, run_id=f"r{n}") for n in range(200)]
    curves = DataFrame(
        [
            row
            for n in range(200)
            for row in curve_rows(f"r{n}", [0.5, 1.0 + n], [0.1, 0.9]).to_dict("records")
        ]
    )
    data = data_curves(frame(*runs), curves)
    assert data.loc[data["shown"] == "line", "configuration"].nunique() == 6
    assert data.loc[data["shown"] == "grey", "configuration"].nunique() == 80
    assert set(data["num_configurations"]) == {200}


def test_curves_of_runs_without_energy_cannot_be_drawn_against_it() -> None:
    curves = curve_rows("p", [1.0], [0.5]).assign(energy_total_j=np.nan)
    with pytest.raises(NothingToDraw, match="accuracy and energy_total_j"):
        data_curves(frame(reached("a", 1.0, run_id="p")), curves, x="energy_total_j")


def test_batch_size_has_a_row_for_each_run_and_a_median_for_each_cell() -> None:
    runs = frame(
        reached("a", 1.0),
        reached("a", 3.0),
        reached("a", 2.0, health__comparable=False),
        missed("b", 9.0, config__batch_size=64),
    )
    data = data_batch_size(runs)
    singles = data[data["kind"] == "run"]
    assert list(singles["value"]) == [1.0, 3.0, 2.0, 9.0]
    assert list(singles["outcome"]) == ["reached"] * 3 + ["missed"]
    assert list(singles["comparable"]) == [True, True, False, True]
    cells = by(data[data["kind"] == "median"], "batch_size")
    assert cells[32]["value"] == 2.0
    assert np.isnan(cells[64]["value"])
    assert cells[64]["num_reached"] == 0


def test_batch_size_in_joules_needs_joules() -> None:
    with pytest.raises(NothingToDraw, match="energy_j"):
        data_batch_size(frame(reached("a", 1.0)), quantity="energy_j")


def test_heatmap_keeps_a_cell_that_missed_without_a_value() -> None:
    runs = frame(
        reached("a", 1.5), missed("b", 9.0, config__lr=1.0), failed("b", 1.0, config__lr=1.0)
    )
    data = by(data_heatmap(runs), "lr")
    assert data[0.1]["value"] == 1.5
    assert np.isnan(data[1.0]["value"])
    assert (data[1.0]["num_reached"], data[1.0]["num_runs"]) == (0, 2)


def test_the_label_of_the_colours_fits_a_map_of_one_row() -> None:
    runs = frame(reached("a", 1.0, 5.0), reached("b", 3.0, 9.0, config__batch_size=64))
    figure = draw_heatmap(data_heatmap(runs, quantity="energy_j"), width="one")
    assert isinstance(figure, Figure)
    figure.draw_without_rendering()
    assert not cut_labels(figure)


def test_factors_multiply_to_the_time_to_target() -> None:
    runs = frame(
        reached("a", 4.0, target__samples_to_target=200, target__time_per_sample_s=0.02),
        missed("b", 9.0, target__time_per_sample_s=0.03),
    )
    data = by(data_factors(runs), "configuration")
    assert data["a"]["samples"] * data["a"]["per_sample"] == pytest.approx(4.0)
    # 9 s at 0.03 s a sample: 300 samples used in vain.
    assert data["b"]["samples"] == pytest.approx(300)
    assert bool(data["b"]["missed"])
    assert not bool(data["a"]["missed"])


def rung(run_id: str, value: float, time_s: float | None) -> dict[str, object]:
    return {
        "run_id": run_id,
        "value": value,
        "reached": time_s is not None,
        "time_s": time_s,
        "energy_j": None,
        "samples": 1,
    }


def test_ladder_counts_a_rung_that_was_never_reached_as_infinite() -> None:
    runs = frame(*(reached("a", 1.0, run_id=name) for name in "pqr"))
    ladder = DataFrame(
        [
            *(rung(name, 0.5, time) for name, time in zip("pqr", [1.0, 2.0, 3.0], strict=True)),
            *(rung(name, 0.9, time) for name, time in zip("pqr", [4.0, None, 6.0], strict=True)),
            *(rung(name, 0.97, time) for name, time in zip("pqr", [8.0, None, None], strict=True)),
        ]
    )
    data = by(data_ladder(runs, ladder), "rung")
    assert data[0.5]["value"] == 2.0
    assert data[0.9]["value"] == 6.0
    assert np.isnan(data[0.97]["value"])
    assert [row["num_reached"] for row in data.values()] == [3, 2, 1]


def test_hits_are_kaplan_and_meiers_with_the_miss_censored() -> None:
    runs = frame(reached("a", 1.0), reached("a", 3.0), missed("a", 2.0), failed("a", 0.5))
    data = data_hits(runs)
    steps = data[data["kind"] == "step"].set_index("time_s")["probability"]
    # 4 at risk at 1 s (the failure stays, it never hits): 1/4. The miss leaves at 2 s, 2 are left
    # at 3 s: 1 - 3/4 * 1/2 = 5/8.
    assert steps[0.0] == 0.0
    assert steps[1.0] == pytest.approx(1 / 4)
    assert steps[3.0] == pytest.approx(5 / 8)
    marks = data[data["kind"] == "missed"].set_index("time_s")["probability"]
    assert marks[2.0] == pytest.approx(1 / 4)
    assert marks[0.5] == 0.0


def test_ecdf_of_targets_keeps_pairs_never_reached_in_the_denominator() -> None:
    runs = frame(reached("a", 1.0, run_id="p"), missed("a", 5.0, run_id="q"))
    ladder = DataFrame(
        [rung("p", 0.5, 1.0), rung("p", 0.9, 2.0), rung("q", 0.5, 4.0), rung("q", 0.9, None)]
    )
    data = data_ecdf_targets(runs, ladder).set_index("time_s")["share"]
    assert dict(data) == {0.0: 0.0, 1.0: 0.25, 2.0: 0.5, 4.0: 0.75}


def test_restarts_add_what_was_spent_in_vain() -> None:
    runs = frame(
        reached("a", 1.0),
        reached("a", 2.0),
        missed("a", 3.0),
        missed("never", 4.0),
        reached("b", 9.0),
    )
    data = data_restarts(runs)
    assert list(data["configuration"]) == ["a", "b", "never"]
    a, _, never = data.to_dict("records")
    assert a["expected_s"] == pytest.approx(3.0)  # (1 + 2 + 3) / 2 hits
    assert a["hits_mean_s"] == pytest.approx(1.5)
    assert np.isnan(never["expected_s"])
    assert never["total_s"] == 4.0


def test_phases_of_a_run_follow_from_its_cumulative_times() -> None:
    curve = DataFrame(
        {
            "time_s": [2.0, 5.0],
            "eval_time_s": [0.5, 1.1],
            "checkpoint_time_s": [0.0, 0.2],
        }
    )
    spans = phase_spans(curve, -1.0)
    found = [
        (row["series"], round(row["t_s"], 6), round(row["end_s"], 6))
        for row in spans.to_dict("records")
    ]
    # The first evaluation took 0.5 s and ended at 2 s; writing it down took 0.2 s after it; the
    # second took 1.1 - 0.5.
    assert found == [
        # Set-up has ended by then: the sampler starts after it.
        ("before the clock: idle measurement, meters starting", -1.0, 0.0),
        ("evaluation", 1.5, 2.0),
        ("evaluation", 4.4, 5.0),
        ("checkpoint", 2.0, 2.2),
    ]


def test_a_timeline_is_of_the_run_named_or_of_a_typical_one() -> None:
    runs = frame(
        reached("a", 1.0, run_id="quick"),
        reached("a", 2.0, run_id="typical"),
        reached("a", 3.0, run_id="slow"),
        reached("a", 2.5, run_id="incomparable", health__comparable=False),
    )
    assert list(pick_run(runs)["run_id"]) == ["typical"]
    assert list(pick_run(runs, "slow")["run_id"]) == ["slow"]
    with pytest.raises(NothingToDraw, match="run=none: not among"):
        pick_run(runs, "none")
    vain = frame(missed("a", 1.0, run_id="vain"))
    assert list(pick_run(vain)["run_id"]) == ["vain"]


def test_a_timeline_thins_its_samples_and_says_what_is_incomparable() -> None:
    run = frame(reached("a", 1.0, run_id="p", health__comparable=False, health__flags="steal"))
    telemetry = DataFrame(
        {
            "run_id": "p",
            "t_s": np.arange(5000) / 1000,
            "device": "machine",
            "metric": "cpu_busy_frac",
            "value": 0.5,
        }
    )
    curve = DataFrame(
        {"run_id": ["p"], "time_s": [1.0], "eval_time_s": [0.1], "checkpoint_time_s": [0.0]}
    )
    data = data_timeline(run, curve, telemetry)
    assert (data["kind"] == "sample").sum() == 400
    assert set(data["incomparable"]) == {"steal"}
    with pytest.raises(NothingToDraw, match="no telemetry"):
        data_timeline(run, curve, telemetry[telemetry["metric"] == "none"])


def test_phases_are_means_whose_sum_is_the_mean_of_the_whole() -> None:
    runs = frame(
        reached("a", 1.0, phases__init_s=1.0, phases__train_s=2.0),
        missed("a", 1.0, phases__init_s=3.0, phases__train_s=6.0),
    )
    data = by(data_phases(runs), "part")
    assert data["init"]["mean"] == 2.0
    assert data["train"]["mean"] == 4.0
    assert (data["init"]["total_low"], data["init"]["total_high"]) == (3.0, 9.0)
    assert data["train"]["num_reached"] == 1.0


def test_runs_of_which_other_components_were_measured_are_no_repeats() -> None:
    runs = frame(
        reached("a", 1.0, 4.0, run_id="p"),
        reached("a", 1.0, 4.0, run_id="q"),
        reached("a", 1.0, 4.0, run_id="r"),
        reached("b", 2.0, 4.0, run_id="s"),
    )
    energy = DataFrame(
        [
            {"run_id": run_id, "component": component, "label": "counter", "energy_j": joules}
            for run_id, component, joules in (
                ("p", "cpu0", 4.0),
                ("p", "gpu0", 6.0),
                ("q", "cpu0", 2.0),
                ("r", "cpu0", 4.0),
                ("s", "cpu0", 1.0),
            )
        ]
    )
    data = data_energy_components(runs, energy)
    found = {(row["configuration"], row["part"]): row["mean"] for row in data.to_dict("records")}
    # Not (4 + 2 + 4) / 3 and 6 / 3: two of the runs do not know what the GPU took.
    both, alone = "a [cpu0 (counter)+gpu0 (counter)]", "a [cpu0 (counter)]"
    assert found[both, "gpu0 (counter)"] == 6.0
    assert found[both, "cpu0 (counter)"] == 4.0
    assert found[alone, "cpu0 (counter)"] == 3.0
    assert found["b", "cpu0 (counter)"] == 1.0


def test_a_run_with_an_unknown_phase_does_not_halve_the_bar() -> None:
    """A killed run does not know its init_s: 5 s were drawn as 2.5."""
    runs = frame(
        reached("a", 1.0, phases__launch_s=2.0, phases__init_s=5.0, phases__train_s=2.0),
        failed("a", 1.0, phases__launch_s=None, phases__init_s=None, phases__train_s=1.0),
    )
    data = data_phases(runs)
    means = dict(zip(data["part"], data["mean"], strict=True))
    assert means == {"init": 5.0, "train": 2.0}
    assert set(data["num_runs"]) == {1}
    assert "1 runs with a phase of unknown time are left out" in data["remark"].iloc[0]


def test_a_phase_that_a_command_does_not_have_is_absent_and_not_unknown() -> None:
    own_loop: dict[str, Any] = {"command": "lightning", "phases__init_s": None}
    runs = frame(
        reached("a", 1.0, phases__init_s=5.0, phases__train_s=2.0),
        reached("b", 1.0, phases__train_s=3.0, **own_loop),
    )
    data = data_phases(runs)
    assert set(data["configuration"]) == {"a", "b"}
    assert "left out" not in data["remark"].iloc[0]


def test_start_up_paid_by_the_first_run_of_a_command_is_not_in_its_bar() -> None:
    """A8: the imports of the first run were drawn as a property of its configuration."""
    runs = frame(
        reached("first", 1.0, phases__launch_s=10.0, phases__init_s=1.0, phases__train_s=2.0),
        reached("second", 1.0, phases__launch_s=0.02, phases__init_s=1.0, phases__train_s=2.0),
    )
    data = data_phases(runs)
    assert set(data["total_high"]) == {3.0}
    assert "Not shown: launch of the process" in data["remark"].iloc[0]


def test_ladder_and_curves_carry_the_metric_of_their_own_runs() -> None:
    """A1: all runs were drawn under the most frequent metric."""
    f1: dict[str, Any] = {"target__metric": "macro_f1"}
    runs = frame(
        reached("a", 1.0, run_id="p"),
        reached("a", 1.0, run_id="q"),
        reached("b", 1.0, run_id="r", **f1),
    )
    rungs = DataFrame([rung(name, 0.5, 1.0) for name in "pqr"])
    metrics = dict(data_ladder(runs, rungs)[["configuration", "metric"]].to_numpy())
    assert metrics == {"a": "accuracy", "b": "macro_f1"}
    curves = DataFrame(
        {
            "run_id": list("pqr"),
            "time_s": 1.0,
            "quality.accuracy": 0.9,
            "quality.macro_f1": [0.1, 0.2, 0.7],
        }
    )
    data = by(data_curves(runs, curves), "configuration")
    assert (data["a"]["metric"], data["a"]["median"]) == ("accuracy", 0.9)
    assert (data["b"]["metric"], data["b"]["median"]) == ("macro_f1", 0.7)


def test_factors_tell_learning_rates_of_one_batch_size_apart() -> None:
    runs = frame(
        reached("lr=0.1", 1.0),
        reached("lr=0.2", 2.0, config__lr=0.2),
        reached("lr=0.1 optimizer=adamw", 3.0),
    )
    found = by(data_factors(runs), "configuration")
    assert {name: row["kind"] for name, row in found.items()} == {
        "lr=0.1": "Mlp lr 0.1",
        "lr=0.2": "Mlp lr 0.2",
        "lr=0.1 optimizer=adamw": "Mlp optimizer=adamw lr 0.1",
    }


def test_cells_of_a_sweep_do_not_mix_what_else_differs() -> None:
    runs = frame(
        reached("model=mlp batch_size=32 optimizer=sgd", 1.0),
        reached("model=mlp batch_size=32 optimizer=adamw", 3.0),
    )
    cells = by(data_heatmap(runs), "architecture")
    assert {name: row["value"] for name, row in cells.items()} == {
        "Mlp optimizer=sgd": 1.0,
        "Mlp optimizer=adamw": 3.0,
    }


def test_a_failure_at_an_unknown_cost_stays_in_its_cell() -> None:
    """Killed before its first evaluation: it vanished, and 1 of 2 became 1 of 1."""
    unknown: dict[str, Any] = {"phases__wall_time_s": None, "target__censored_at_s": None}
    runs = frame(reached("a", 1.0), failed("a", 1.0, **unknown))
    (cell,) = data_heatmap(runs).to_dict("records")
    assert (cell["num_reached"], cell["num_runs"]) == (1, 2)
    assert np.isnan(cell["value"])  # half of them never got there
    (point,) = data_factors(runs).to_dict("records")
    assert (point["num_runs"], point["missed"]) == (2, True)


def test_misses_of_runs_without_a_meter_are_not_all_that_is_left_of_them() -> None:
    """Their hits have no joules: with the misses alone, nothing would ever have hit."""
    runs = frame(
        reached("a", 1.0),
        missed("a", 9.0),
        reached("b", 1.0, 5.0),
        missed("b", 9.0, status="killed", phases__wall_time_s=None, target__censored_at_s=None),
    )
    data = data_batch_size(runs, quantity="energy_j")
    cell = data[data["kind"] == "median"]
    assert list(cell["num_runs"]) == [2]  # of b; the killed one was metered like its repeats
    assert set(data["num_without"]) == {2}


def test_a_run_without_an_evaluation_has_no_curve_and_is_counted() -> None:
    runs = frame(reached("a", 1.0, run_id="p"), failed("a", 1.0, run_id="early"))
    data = data_curves(runs, curve_rows("p", [1.0], [0.9]))
    assert (set(data["num_curves"]), set(data["num_runs"])) == ({1}, {2})
    assert set(data["num_reached"]) == {1}
    figure = draw_curves(data)
    words = " ".join(" ".join(text.get_text() for text in figure.findobj(Text)).split())
    assert "1/2" in words
    assert "1 runs without an evaluation here have no curve" in caption_of(figure)


def test_runs_without_a_batch_size_are_counted() -> None:
    runs = frame(reached("a", 1.0), reached("b", 1.0, config__batch_size=None))
    data = data_batch_size(runs)
    assert set(data["num_without"]) == {1}
    assert "are left out: b (1)." in caption_of(draw_batch_size(data))


def test_an_architecture_without_a_point_has_no_panel() -> None:
    runs = frame(
        reached("a", 1.0),
        failed("b", 0.0, model__name="Gpt", phases__wall_time_s=0.0, target__censored_at_s=0.0),
    )
    data = data_batch_size(runs)
    figure = draw_batch_size(data)
    assert [axes.get_title() for axes in figure.axes] == ["Mlp"]
    assert "No run of Gpt has a point." in caption_of(figure)
    with pytest.raises(NothingToDraw, match="above 0"):
        data_batch_size(runs.iloc[1:])


def test_an_axis_of_accuracy_shows_the_range_in_which_the_configurations_differ() -> None:
    """0.94 and 0.97 of a target of 0.9: from 0.9 - 3 x 0.07 on, a quarter of the axis is theirs."""
    runs = frame(reached("a", 1.0, run_id="p"), reached("b", 1.0, run_id="q"))
    curves = concat(
        [curve_rows("p", [1, 2, 3], [0.1, 0.5, 0.94]), curve_rows("q", [1, 2, 3], [0.1, 0.8, 0.97])]
    )
    figure = draw_curves(data_curves(runs, curves))
    assert figure.axes[0].get_ylim()[0] == pytest.approx(0.69)
    assert "Cut off below 0.69" in caption_of(figure)
    alone = draw_curves(data_curves(runs.iloc[:1], curves))
    assert alone.axes[0].get_ylim()[0] < 0.1  # nothing to compare: the whole curve


def test_a_failure_at_an_unknown_time_stays_in_the_probability_of_a_hit() -> None:
    """Killed before its first evaluation: it never hits, whenever that was."""
    unknown: dict[str, Any] = {"phases__wall_time_s": None, "target__censored_at_s": None}
    runs = frame(reached("a", 1.0), failed("a", 1.0, **unknown))
    data = data_hits(runs)
    steps = data[data["kind"] == "step"].set_index("time_s")["probability"]
    assert steps[1.0] == pytest.approx(1 / 2)
    assert (data["kind"] == "missed").sum() == 0  # where it ended is not known


def test_an_unknown_cost_means_no_expected_cost() -> None:
    unknown: dict[str, Any] = {"phases__wall_time_s": None, "target__censored_at_s": None}
    runs = frame(reached("a", 1.0), failed("a", 1.0, **unknown), reached("b", 2.0))
    data = by(data_restarts(runs), "configuration")
    assert np.isnan(data["a"]["expected_s"])
    assert (data["a"]["total_s"], data["a"]["num_unknown"]) == (1.0, 1)
    assert data["b"]["expected_s"] == 2.0


def test_a_sample_above_1_does_not_set_the_scale_of_a_timeline() -> None:
    """A4: in older records the first sample of a processor is several times 1."""
    run = frame(reached("a", 1.0, run_id="p"))
    values = [3.6, *([0.5] * 9)]
    telemetry = DataFrame(
        {
            "run_id": "p",
            "t_s": np.arange(10) / 10,
            "device": "machine",
            "metric": "cpu_busy_frac",
            "value": values,
        }
    )
    figure = draw_timeline(data_timeline(run, DataFrame({"run_id": []}), telemetry))
    (axes,) = figure.axes
    assert axes.get_ylim()[1] < 1.1
    assert "1 samples above 1" in caption_of(figure)


def phase_energy(
    init_j: float | None, train_j: float, eval_j: float, checkpoint_j: float, **more: object
) -> dict[str, object]:
    """Columns of a run's energy by phase, none of them below the meters' resolution."""
    columns: dict[str, object] = {
        "init_j": init_j,
        "train_j": train_j,
        "eval_j": eval_j,
        "checkpoint_j": checkpoint_j,
        "eval_error_frac": 0.1,
        "below_resolution": "",
        **more,
    }
    return {f"phase_energy__{name}": value for name, value in columns.items()}


def test_energy_by_phase_is_means_whose_sum_is_the_mean_of_the_whole() -> None:
    too_short = {"eval_error_frac": 0.3, "below_resolution": "eval,checkpoint"}
    runs = frame(
        reached("a", 1.0, 5.5, **phase_energy(2.0, 4.0, 1.0, 0.5)),
        missed("a", 2.0, 9.5, **phase_energy(4.0, 6.0, 3.0, 0.5, **too_short)),
        reached("b", 1.0),
    )
    data = data_phase_energy(runs)
    parts = by(data, "part")
    assert [parts[f"{name} (counter)"]["mean"] for name in ("init", "train", "eval")] == [3, 5, 2]
    assert data["mean"].sum() == 10.5  # (7.5 + 13.5) / 2
    eval_row = parts["eval (counter)"]
    assert (eval_row["total_low"], eval_row["total_high"]) == (7.5, 13.5)
    assert (eval_row["num_runs"], eval_row["num_reached"]) == (2, 1.0)
    assert (eval_row["max_error_frac"], eval_row["num_below_resolution"]) == (0.3, 1)
    assert parts["train (counter)"]["num_below_resolution"] == 0
    (remark,) = set(data["remark"])
    assert "1 runs have no energy by phase" in remark
    assert "eval in 1, checkpoint in 1 of 2 runs" in remark


def test_energy_by_phase_says_how_it_was_obtained_and_mixes_nothing() -> None:
    runs = frame(
        reached("a", 1.0, 5.5, **phase_energy(None, 4.0, 1.0, 0.5)),
        reached("a", 1.0, 2.0, **phase_energy(1.0, 1.5, 0.5, 0.0), energy_label="modelled"),
    )
    data = data_phase_energy(runs)
    found = {(row["configuration"], row["part"]): row for row in data.to_dict("records")}
    assert found["a [counter]", "train (counter)"]["mean"] == 4.0
    assert found["a [modelled]", "train (modelled)"]["mean"] == 1.5
    assert found["a [modelled]", "train (modelled)"]["label"] == "modelled"
    assert found["a [counter]", "train (modelled)"]["mean"] == 0.0
    assert "Init was not metered in 1 configurations" in data["remark"].iloc[0]


def test_a_run_whose_set_up_was_not_metered_does_not_pass_for_one_without() -> None:
    killed = {"init_j": None, "eval_error_frac": None, "below_resolution": None}
    runs = frame(
        reached("a", 1.0, 5.5, **phase_energy(2.0, 4.0, 1.0, 0.5)),
        missed(
            "a",
            1.0,
            9.0,
            **phase_energy(0.0, 8.0, 1.0, 0.0)
            | {f"phase_energy__{name}": value for name, value in killed.items()},
        ),
    )
    data = by(data_phase_energy(runs), "part")
    assert data["init (counter)"]["mean"] == 2.0  # not (2 + 0) / 2
    assert data["train (counter)"]["num_runs"] == 1
    assert "1 runs without metered init are left out" in data["init (counter)"]["remark"]


def test_runs_without_meters_have_no_energy_by_phase() -> None:
    with pytest.raises(NothingToDraw, match="no run has energy by phase"):
        data_phase_energy(frame(reached("a", 1.0)))


def test_codecarbon_is_compared_run_by_run_and_those_without_are_counted() -> None:
    runs = frame(
        reached("a", 1.0, 10.0, codecarbon_energy_j=13.0),
        reached("a", 1.0, 10.0, codecarbon_energy_j=None),
    )
    data = data_codecarbon(runs)
    assert list(data["ratio"]) == [1.3]
    assert list(data["num_without"]) == [1]
    with pytest.raises(NothingToDraw, match="codecarbon_energy_j"):
        data_codecarbon(frame(served("s")))
