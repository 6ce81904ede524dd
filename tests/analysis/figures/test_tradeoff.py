from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure
from matplotlib.path import Path
from matplotlib.text import Text
from pandas import DataFrame

from analysis.figures.caption import caption_of
from analysis.figures.keyed import looks_of
from analysis.figures.letters import draw_letters, letter_marker, values_of_key
from analysis.figures.prepare import NothingToDraw
from analysis.figures.served import data_served_tradeoff, serving_source
from analysis.figures.tradeoff import data_tradeoff, tradeoff_peers
from analysis.figures.tradeoff_draw import draw_tradeoff, staircase
from bench.core.labels import ROW_FLAGS
from tests.analysis.figures.literal import by, frame, missed, reached, served

TIME, ENERGY = "target.time_to_target_s", "target.energy_to_target_j"


def test_the_front_is_of_medians_and_the_beaten_stay() -> None:
    runs = frame(
        reached("quick", 1.0, 9.0),
        reached("quick", 2.0, 9.0),
        reached("quick", 3.0, 9.0),
        reached("frugal", 5.0, 1.0),
        reached("beaten", 6.0, 9.5),
    )
    data = by(data_tradeoff(runs, x=TIME, y=ENERGY), "configuration")
    assert data["quick"]["x"] == 2.0
    assert (data["quick"]["x_low"], data["quick"]["x_high"]) == (1.0, 3.0)
    assert [data[name]["front"] for name in ("quick", "frugal", "beaten")] == [True, True, False]
    # Shares of resamples say nothing with fewer than six runs.
    assert np.isnan([row["front_share"] for row in data.values()]).all()


def test_the_legend_shows_the_letters_of_the_points() -> None:
    """Formulas are off, so that a marker `$A$` would be those three signs in one blot."""
    data = data_tradeoff(frame(reached("a", 1.0, 2.0), reached("b", 2.0, 1.0)), x=TIME, y=ENERGY)
    figure = draw_tradeoff(data)
    assert isinstance(figure, Figure)
    (legend,) = figure.legends
    markers = [line.get_marker() for line in legend.get_lines()]
    shapes = [marker for marker in markers if isinstance(marker, Path)]
    assert [len(shape) for shape in shapes] == [len(letter_marker(letter)) for letter in "AB"]
    for shape in shapes:
        assert shape.get_extents().width < 1.5 * shape.get_extents().height  # a single letter


def test_a_configuration_of_which_half_missed_is_never_on_the_front() -> None:
    runs = frame(missed("vain", 0.1, 0.1), missed("vain", 0.3, 0.3), reached("a", 5.0, 5.0))
    data = by(data_tradeoff(runs, x=TIME, y=ENERGY), "configuration")
    assert bool(data["vain"]["missed"])
    assert not bool(data["vain"]["front"])
    assert data["vain"]["x"] == pytest.approx(0.2)  # what was spent in vain
    assert bool(data["a"]["front"])


def test_runs_that_are_incomparable_decide_no_front() -> None:
    incomparable = {"health__comparable": False}
    runs = frame(
        *(reached("quick but hot", 1.0, 1.0, **incomparable) for _ in range(3)),
        reached("quiet", 5.0, 5.0),
        reached("mixed", 4.0, 9.0),
        reached("mixed", 1.0, 1.0, **incomparable),
    )
    data = by(data_tradeoff(runs, x=TIME, y=ENERGY), "configuration")
    assert {name: bool(row["front"]) for name, row in data.items()} == {
        "quick but hot": False,
        "quiet": True,
        "mixed": True,  # by its one comparable run it is neither better nor worse in both
    }
    texts = words_of(data_tradeoff(runs, x=TIME, y=ENERGY))
    assert "Incomparable runs do not affect the front." in texts
    assert "beaten by another" not in texts
    alone = data_tradeoff(runs[runs["configuration"] == "quick but hot"], x=TIME, y=ENERGY)
    assert not alone["front"].any()
    assert "No front: no run that hit is comparable." in words_of(alone)


@pytest.mark.parametrize("flag", ROW_FLAGS)
def test_flagged_joules_decide_no_front(flag: str) -> None:
    runs = frame(
        reached("flagged", 1.0, 1.0, energy_row_flags=flag),
        reached("fine", 5.0, 5.0, energy_row_flags=""),
    )
    data = by(data_tradeoff(runs, x=TIME, y=ENERGY), "configuration")
    assert (data["flagged"]["front"], data["fine"]["front"]) == (False, True)
    runs = runs.assign(**{"quality_test.accuracy": [0.9, 0.9]})
    times = by(data_tradeoff(runs, x=TIME, y="quality_test.accuracy"), "configuration")
    assert times["flagged"]["front"]


def test_a_miss_is_the_worst_in_cost_and_says_nothing_of_accuracy() -> None:
    runs = frame(
        reached("a", 1.0, quality_test__accuracy=0.9), missed("b", 2.0, quality_test__accuracy=0.99)
    )
    data = by(data_tradeoff(runs, x=TIME, y="quality_test.accuracy"), "configuration")
    assert data["b"]["y"] == 0.99
    assert [row["front"] for row in data.values()] == [True, False]


def test_more_accuracy_is_better_and_less_latency() -> None:
    runs = frame(
        reached("good", 1.0, serving__latency_p90_ms=1.0, quality_test__accuracy=0.95),
        reached("bad", 1.0, serving__latency_p90_ms=2.0, quality_test__accuracy=0.90),
    )
    data = data_tradeoff(runs, x="serving.latency_p90_ms", y="quality_test.accuracy")
    assert dict(zip(data["configuration"], data["front"], strict=True)) == {
        "good": True,
        "bad": False,
    }


def test_a_quantity_in_which_more_is_better_is_not_taken_for_one_of_less() -> None:
    runs = frame(
        served("kept", compression__accuracy_change=0.0, serving__goodput_per_s=10.0),
        served("lost", compression__accuracy_change=-0.1, serving__goodput_per_s=9.9),
    )
    options = {"x": "compression.accuracy_change", "y": "serving.goodput_per_s"}
    data = by(data_tradeoff(runs, **options), "configuration")
    assert [data["kept"]["front"], data["lost"]["front"]] == [True, False]


def test_a_quantity_without_a_direction_is_refused_with_its_key() -> None:
    runs = frame(reached("a", 1.0, utilization__gpu_busy_frac=0.5))
    with pytest.raises(ValueError, match=r"x=utilization\.gpu_busy_frac: neither more nor less"):
        data_tradeoff(runs, x="utilization.gpu_busy_frac", y=TIME)


def test_a_setting_on_an_axis_means_no_front_and_the_note_says_so() -> None:
    runs = frame(reached("a", 1.0, config__lr=0.1), reached("b", 2.0, config__lr=0.2))
    data = data_tradeoff(runs, x="config.lr", y=TIME)
    assert list(data["x"]) == [0.1, 0.2]
    assert not data["front"].any()
    assert "No front: learning rate is a setting, not a result." in words_of(data)


def test_batch_sizes_are_ticks_of_their_axis() -> None:
    runs = frame(*(reached(f"{n}", 1.0, config__batch_size=2**n) for n in (5, 6, 7)))
    figure = draw_tradeoff(data_tradeoff(runs, x="config.batch_size", y=TIME))
    assert isinstance(figure, Figure)
    figure.draw_without_rendering()
    assert [tick.get_text() for tick in figure.axes[0].get_xticklabels()] == ["32", "64", "128"]


def words_of(data: DataFrame) -> str:
    figure = draw_tradeoff(data, width="two")
    assert isinstance(figure, Figure)
    figure.set_layout_engine("none")  # half of the work; test_drawing.py lays out every figure
    figure.draw_without_rendering()
    texts = [text.get_text() for text in figure.findobj(Text)]
    return " ".join(" ".join([*texts, caption_of(figure)]).split())


def test_what_a_note_says_of_all_is_true_of_the_beaten_too() -> None:
    """A9: `All: lr=0.02.` stood above points with another learning rate."""
    runs = frame(
        reached("model=mlp lr=0.02", 1.0, 9.0),
        reached("model=cnn lr=0.02", 5.0, 1.0),
        reached("model=mlp lr=0.1", 9.0, 99.0),
    )
    data = data_tradeoff(runs, x=TIME, y=ENERGY)
    assert list(data.sort_values("x")["front"]) == [True, True, False]
    words = words_of(data)
    assert "All:" not in words
    assert "mlp lr=0.1" in words  # the beaten one is named as well
    alike = data_tradeoff(runs.iloc[:2], x=TIME, y=ENERGY)
    assert "All: lr=0.02." in words_of(alike)


def grid(num_lrs: int, num_sizes: int) -> DataFrame:
    """A grid in which each configuration is worse than the one before in both metrics."""
    pairs = [(lr, size) for lr in range(1, num_lrs + 1) for size in range(num_sizes)]
    return frame(
        *(
            reached(f"batch_size={2**size} lr={lr / 10}", 1.0 + n, 1.0 + n)
            for n, (lr, size) in enumerate(pairs)
        )
    )


def test_what_beats_a_configuration_is_named_in_the_data_and_beside_its_letter() -> None:
    runs = frame(reached("a", 1.0, 9.0), reached("b", 5.0, 1.0), reached("c", 9.0, 2.0))
    data = data_tradeoff(runs, x=TIME, y=ENERGY)
    assert list(data["beaten_by"].fillna("")) == ["", "", "b"]
    assert "c n = 1, beaten by B" in words_of(data)


def test_many_configurations_have_the_colour_of_one_key_and_the_shape_of_the_others() -> None:
    data = data_tradeoff(grid(3, 4), x=TIME, y=ENERGY)
    figure = draw_tradeoff(data)
    assert isinstance(figure, Figure)
    (axes,) = figure.axes
    looks = {
        (str(points.get_facecolor()), str(points.get_paths()[0].vertices))
        for points in axes.collections
        if isinstance(points, PathCollection)
    }
    assert len(looks) == 12  # each of the 3 x 4 configurations has a look of its own
    texts = [text.get_text() for text in figure.legends[0].get_texts()]
    keys = [f"batch_size={2**n}" for n in range(4)] + [f"lr={n / 10}" for n in (1, 2, 3)]
    assert texts == ["batch_size=1 lr=0.1\nn = 1", *keys, "beaten by another (11)"]


def test_keys_with_too_many_values_leave_the_points_grey() -> None:
    assert looks_of([f"lr={n}" for n in range(9)], 50) is None
    many = [f"lr={n} width={m} depth={m}" for n in range(2) for m in range(12)]
    assert looks_of(many, 50) is None
    looks = looks_of(["model=cnn lr=0.1", "model=cnn", "model=mlp #1a"], 50)
    assert looks is not None
    assert len({(looks.colours[n], looks.markers[n]) for n in looks.colours}) == 3


def test_values_of_the_only_key_stand_at_the_points() -> None:
    limits = {"150": (7.0, 1.5), "200": (5.0, 1.0), "400": (1.0, 4.0)}
    runs = frame(
        *(
            reached(f"model=mlp trainer.gpu_power_limit_w={limit}", *costs)
            for limit, costs in limits.items()
            for _ in range(6)
        )
    )
    figure = draw_tradeoff(data_tradeoff(runs, x=TIME, y=ENERGY))
    assert isinstance(figure, Figure)
    assert [text.get_text() for text in figure.axes[0].texts] == ["400", "200", "150"]
    texts = [text.get_text() for text in figure.legends[0].get_texts()]
    assert texts == ["at a point: trainer.gpu_power_limit_w", "beaten by another (1)"]
    assert "On the front: 400 100%, 200 100%." in caption_of(figure)


@pytest.mark.parametrize(
    "names",
    [["lr=1"], ["lr=1", "batch_size=2"], ["a", "b"], ["lr=1", "lr=1 width=2"], ["x=", "x=1"]],
)
def test_configurations_that_differ_in_more_have_letters(names: list[str]) -> None:
    assert values_of_key(names) is None
    assert values_of_key(["lr=0.1", "lr=0.01"]) == ("lr", {"lr=0.1": "0.1", "lr=0.01": "0.01"})
    assert values_of_key(["lr=1", "lr=1.2345678"]) is None


def test_a_letter_stands_where_no_other_mark_is() -> None:
    """Five places near to one another: no letter is on a point, nor on another letter."""
    cross = [(0.0, 0.0), (1.0, 0.0), (-1.0, 0.0), (0.0, 1.0), (0.0, -1.0), (0.0, 0.0)]
    rows = DataFrame(cross, columns=["x", "y"]).assign(
        configuration=list("abcdef"), front=False, beaten_by=None, front_share=np.nan, num_runs=1
    )
    axes = Figure(figsize=(3.5, 2.4)).subplots()
    axes.set(xlim=(-6, 6), ylim=(-6, 6))  # 16 points from one to the next across, 11 upwards
    draw_letters(axes, rows.iloc[:0], rows, 50)
    assert [text.get_text() for text in axes.texts] == ["a f", "b", "c", "d", "e"]
    to_pt = 72 / axes.figure.dpi
    points = np.array([axes.transData.transform(place) * to_pt for place in cross[:5]])
    offsets = np.array([text.get_position() for text in axes.texts])
    marks = np.concatenate([points, points + offsets])
    gaps = np.hypot(*(marks[:, None] - marks[None]).transpose(2, 0, 1))
    assert gaps[~np.eye(len(marks), dtype=bool)].min() >= 6.0


def sweep_of_one_network(num: int, accuracies: list[float], jitter: float) -> DataFrame:
    """One architecture at many batch sizes: its latency is the same but for what the probe adds."""
    rng = np.random.default_rng(7)
    return frame(
        *(
            reached(
                f"batch_size={2**n}",
                1.0,
                serving__latency_p90_ms=1.0 + jitter * rng.standard_normal(),
                serving__num_requests=1000,
                serving__scenario=None,
                quality_test__accuracy=accuracies[n] + 0.0002 * rng.standard_normal(),
                quality_test__num_samples=10_000,
            )
            for n in range(len(accuracies))
            for _ in range(num)
        )
    )


@pytest.mark.parametrize("num", [1, 3, 8])
def test_jitter_of_the_probe_makes_no_front_of_one_network(num: int) -> None:
    """A10: eight batch sizes of one network are no rivals in latency; accuracy alone decides."""
    # 0.97 against 0.95 on 10,000 images: far beyond the sampling error of 0.3 points; 0.9701
    # against 0.97: one image.
    accuracies = [0.97, 0.9701, 0.95, 0.95, 0.9699, 0.95, 0.94, 0.95]
    runs = sweep_of_one_network(num, accuracies, jitter=0.02)
    x, y = "serving.latency_p90_ms", "quality_test.accuracy"
    data = by(data_tradeoff(runs, x=x, y=y), "configuration")
    front = {name for name, row in data.items() if row["front"]}
    assert front == {"batch_size=1", "batch_size=2", "batch_size=16"}
    shares = [row["front_share"] for row in data.values()]
    assert np.isnan(shares).all() == (num < 6)


def test_trainings_of_one_network_are_one_model_to_a_latency() -> None:
    """The best that hit its target stands for them: neither a better miss nor an unfit one."""
    probed: dict[str, Any] = {"serving__num_requests": 500, "serving__scenario": None}

    def run(name: str, accuracy: float, *, hit: bool = True, **more: Any) -> dict[str, Any]:
        facts: dict[str, Any] = {"serving__latency_p90_ms": 1.0, "quality_test__accuracy": accuracy}
        return (reached if hit else missed)(name, 1.0, **facts, **probed, **more)

    runs = frame(
        run("model=cnn batch_size=32 lr=0.1", 0.93),
        run("model=cnn batch_size=64 lr=0.1", 0.95),
        run("model=cnn batch_size=64 lr=0.9", 0.97, hit=False),
        run("model=cnn optimizer.momentum=0.5", 0.96, health__comparable=False),
        run("model=mlp batch_size=32 lr=0.1", 0.91),
        run("model=mlp precision=bf16 lr=0.1", 0.92),  # this one predicts differently
    )
    data = data_served_tradeoff(runs, x="serving.latency_p90_ms", y="quality_test.accuracy")
    assert set(data["configuration"]) == {
        "model=cnn batch_size=64 lr=0.1",
        "model=mlp batch_size=32 lr=0.1",
        "model=mlp precision=bf16 lr=0.1",
    }
    assert "stands for them (3 others)" in words_of(data)


def test_the_interval_of_an_accuracy_holds_its_sampling_error() -> None:
    runs = sweep_of_one_network(1, [0.97], jitter=0.0)
    x, y = "serving.latency_p90_ms", "quality_test.accuracy"
    (row,) = data_tradeoff(runs, x=x, y=y).to_dict("records")
    # Wilson's interval of 9700 of 10,000: 0.97 +- 0.0033.
    assert row["y"] - row["y_low"] == pytest.approx(0.0035, abs=3e-4)
    assert row["y_high"] - row["y"] == pytest.approx(0.0032, abs=3e-4)
    assert np.isnan(row["x_low"])  # a single latency has none


def test_a_configuration_that_missed_its_target_is_marked_in_accuracy_against_latency() -> None:
    probed: dict[str, Any] = {"serving__num_requests": 500, "serving__scenario": None}
    runs = frame(
        reached("a", 1.0, serving__latency_p90_ms=2.0, quality_test__accuracy=0.95, **probed),
        missed("b", 1.0, serving__latency_p90_ms=1.0, quality_test__accuracy=0.80, **probed),
    )
    x, y = "serving.latency_p90_ms", "quality_test.accuracy"
    data = data_served_tradeoff(runs, x=x, y=y)
    assert dict(zip(data["configuration"], data["off_target"], strict=True)) == {
        "a": False,
        "b": True,
    }
    assert "half or more missed their target (1)" in words_of(data)


def test_a_run_without_a_label_is_a_repeat_of_the_others() -> None:
    """A2: a run cut off before its joules had a label ended the report in an InvalidIndexError."""
    runs = frame(
        reached("a", 1.0, 5.0),
        missed("a", 0.5, energy_label=None, status="killed"),
        reached("b", 2.0, 6.0),
    )
    data = by(data_tradeoff(runs, x=TIME, y=ENERGY), "configuration")
    assert set(data) == {"a", "b"}
    assert data["a"]["num_runs"] == 2
    assert {row["labels"] for row in data.values()} == {"counter"}


def test_joules_of_other_components_are_no_repeats() -> None:
    runs = frame(
        reached("a", 1.0, 5.0, energy_components="cpu"),
        reached("a", 1.0, 9.0, energy_components="cpu + gpu"),
    )
    data = by(data_tradeoff(runs, x=TIME, y=ENERGY), "configuration")
    assert set(data) == {"a [counter, cpu]", "a [counter, cpu + gpu]"}
    assert all(row["front"] for row in data.values())  # each has a front of its own


def priced(name: str, usd: float, **price: float) -> dict[str, object]:
    prices = {f"config__price__{key}": value for key, value in price.items()}
    return reached(name, usd, 1.0, target__cost_to_target_usd=usd, **prices)


def test_money_for_electricity_and_for_a_rented_machine_are_groups_of_their_own() -> None:
    runs = frame(
        priced("own", 0.001, usd_per_kwh=0.15),
        priced("own", 0.002, usd_per_kwh=0.15),
        priced("rented", 0.5, usd_per_hour=1.0),
    )
    options = {"x": TIME, "y": "target.cost_to_target_usd"}
    found = tradeoff_peers(runs, **options)
    assert [group.title for group in found] == ["electricity", "rental"]
    data = by(data_tradeoff(runs, **options), "configuration")  # without groups: apart all the same
    assert {row["label"] for row in data.values()} == {"electricity, counter", "rental"}
    alone = data_tradeoff(found[1].runs, **options)
    assert "cost to target (USD, rental)" in words_of(alone)


def test_servings_at_different_rates_asked_for_are_no_rivals() -> None:
    facts = {"serving__latency_p99_ms": 1.0, "serving__throughput_per_s": 50.0}
    runs = frame(
        *(served(f"{rate}", "server", serving__rate_per_s=rate, **facts) for rate in (50.0, 100.0))
    )
    found = tradeoff_peers(runs, x="serving.latency_p99_ms", y="serving.throughput_per_s")
    assert [group.title for group in found] == ["at 100 queries/s", "at 50 queries/s"]


def test_joules_of_another_label_have_a_front_of_their_own() -> None:
    runs = frame(
        reached("a", 1.0, 1.0, energy_label="modelled"),
        reached("b", 5.0, 5.0),
        reached("c", 6.0, 6.0),
    )
    data = by(data_tradeoff(runs, x=TIME, y=ENERGY), "configuration")
    fronts = {name: row["front"] for name, row in data.items()}
    assert fronts == {"a [modelled]": True, "b [counter]": True, "c [counter]": False}
    assert {row["labels"] for row in data.values()} == {"counter, modelled"}


def test_runs_without_one_of_the_two_quantities_are_counted() -> None:
    runs = frame(reached("a", 1.0, 2.0), reached("a", 1.0, None))
    assert set(data_tradeoff(runs, x=TIME, y=ENERGY)["num_without"]) == {1}


def test_if_no_run_has_both_quantities_their_names_are_reported() -> None:
    with pytest.raises(NothingToDraw, match=f"{TIME} and {ENERGY}"):
        data_tradeoff(frame(reached("a", 1.0)), x=TIME, y=ENERGY)
    with pytest.raises(ValueError, match=r"y=model\.size: no such column; did you mean model\.siz"):
        data_tradeoff(frame(reached("a", 1.0)), x=TIME, y="model.size")


def test_emissions_of_runs_that_all_missed_cannot_be_placed() -> None:
    runs = frame(missed("a", 1.0, target__emissions_to_target_gco2e=None))
    with pytest.raises(NothingToDraw, match="all runs missed"):
        data_tradeoff(runs, x="target.emissions_to_target_gco2e", y=TIME)


def test_a_staircase_reaches_to_where_the_next_point_begins() -> None:
    x, y = staircase(np.array([1.0, 2.0, 4.0]), np.array([9.0, 5.0, 1.0]))
    assert list(zip(x, y, strict=True)) == [(1, 9), (2, 9), (2, 5), (4, 5), (4, 1)]


def pass_over(scenario: str, backend: str, **more: object) -> dict[str, object]:
    return served(
        f"{scenario} {backend}",
        scenario,
        trained__run_id="t",
        serving__backend=backend,
        **more,
    )


def test_latency_and_throughput_of_one_model_come_from_two_passes() -> None:
    runs = frame(
        pass_over(
            "single_stream", "http", serving__latency_p90_ms=2.0, serving__throughput_per_s=400.0
        ),
        pass_over("offline", "http", serving__throughput_per_s=900.0),
        pass_over("single_stream", "eager", serving__latency_p90_ms=1.0),
    )
    names = ("serving.latency_p90_ms", "serving.throughput_per_s")
    chosen, remark = serving_source(runs, names)
    assert list(chosen["serving.throughput_per_s"].fillna(-1)) == [900.0, -1]
    assert "offline" in remark
    data = data_served_tradeoff(runs, x=names[0], y=names[1])
    assert list(data["y"]) == [900.0]
    assert set(data["num_without"]) == {1}


def test_without_servings_the_probes_of_trainings_are_shown() -> None:
    runs = frame(
        reached(
            "a", 1.0, serving__num_requests=500, serving__latency_p90_ms=1.0, serving__scenario=None
        )
    )
    _, remark = serving_source(runs, ("serving.latency_p90_ms",))
    assert remark.startswith("From the probe")
    with pytest.raises(NothingToDraw, match=r"serving\.throughput_per_s"):
        serving_source(runs, ("serving.throughput_per_s",))
