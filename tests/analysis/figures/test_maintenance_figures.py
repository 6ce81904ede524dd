"""Figures of deployments: what they show of known runs, and how they mark what is unusual."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from functools import cache
from pathlib import Path

import matplotlib as mpl
import pytest
from matplotlib.figure import Figure
from pandas import DataFrame

from analysis.figures.caption import caption_of
from analysis.figures.prepare import NothingToDraw
from analysis.figures.registry import Frames, draw_figure, figure_data
from analysis.load.runs import load_runs
from analysis.stats.deployments import cost_parts
from tests.analysis.figures.literal import by
from tests.analysis.made_maintained import Maintained, Policy, make_maintained, make_policies
from tests.analysis.made_records import SWEEP_START

NAMES = ("stream", "maintenance_pareto", "policy_price", "detectors", "maintenance_costs")
Make = Callable[[str], Frames]
Draw = Callable[[str, str], tuple[DataFrame, str]]


def make_shape(results: Path, shape: str) -> None:
    """Deployments of a shape that a figure must survive."""
    many: dict[str, Maintained] = {
        "policies": Maintained(),
        "never on target": Maintained(target=0.97),
        "unfit": Maintained(flags=("other_load",)),
        "no joules": Maintained(label=None),
    }
    if shape in many:
        make_policies(results, seeds=range(2), base=many[shape])
    elif shape == "one run":
        make_maintained(results, Maintained(policy="drift", schedule="seasonal"))
    elif shape == "streams":
        for day, schedule in enumerate(("none", "seasonal")):
            start = SWEEP_START + timedelta(days=day)
            base = Maintained(schedule=schedule, start=start)  # type: ignore[arg-type]
            few: tuple[Policy, ...] = ("never", "drift", "oracle")
            make_policies(results, policies=few, seeds=range(1), base=base)
    else:
        made = Maintained(schedule="seasonal")
        starts = (made.start + timedelta(minutes=n) for n in range(20))
        for policy in ("never", "performance", "drift", "oracle"):
            make_maintained(results, replace(made, policy=policy, start=next(starts)))
        for interval, start in enumerate(starts, 1):
            make_maintained(results, replace(made, interval=interval, start=start))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Make:
    @cache
    def frames(shape: str) -> Frames:
        results = tmp_path_factory.mktemp("results")
        make_shape(results, shape)
        return Frames(load_runs([results]).runs)

    return frames


def words_of(figure: Figure) -> str:
    figure.set_layout_engine("none")  # test_drawing.py lays out every figure
    figure.draw_without_rendering()
    texts = [text.get_text() for text in figure.findobj(mpl.text.Text)]
    return " ".join(" ".join(map(str, [*texts, caption_of(figure)])).split())


@pytest.fixture(scope="module")
def drawn(made: Make) -> Draw:
    """Data and words of a figure, one column wide, of a shape."""

    @cache
    def draw(name: str, shape: str) -> tuple[DataFrame, str]:
        data = figure_data(name, made(shape))
        return data, words_of(draw_figure(name, data, "one"))

    return draw


# The number of lines and panels decides what fits into a width; no other shape does.
WIDE = ("20 configurations", "streams")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shape", [*WIDE, "one run", "never on target", "unfit", "no joules"])
def test_every_shape_is_drawn_or_refused_with_a_reason(drawn: Draw, name: str, shape: str) -> None:
    try:
        data, words = drawn(name, shape)
    except NothingToDraw as reason:
        assert shape == "no joules"
        assert "bench.maintain" in str(reason)  # noqa: PT017
        return
    assert words
    if shape in WIDE:
        assert words_of(draw_figure(name, data, "two"))


def test_the_stream_shows_a_run_of_each_policy_from_best_to_worst(drawn: Draw) -> None:
    data, words = drawn("stream", "policies")
    configurations = list(dict.fromkeys(data["configuration"]))
    assert configurations[0] in ("policy=oracle", "policy=drift detector=two_sample")
    assert configurations[-1] == "policy=never"
    served = data[(data["configuration"] == "policy=never") & (data["kind"] == "window")]
    assert len(served) == 24
    assert served["end"].max() == 24 * 500
    # The drift is sudden, in the middle.
    assert list(served["strength"]) == [0.0] * 12 + [1.0] * 12
    trained = data[data["kind"] == "retraining"].groupby("configuration").size()
    assert trained["policy=every"] == 5
    assert "(J, modelled)" in words
    assert "false alarm" in words
    assert "alarm after a change" in words


def test_of_many_configurations_the_stream_shows_every_policy(drawn: Draw) -> None:
    data, words = drawn("stream", "20 configurations")
    shown = set(data["configuration"])
    assert {"policy=never", "policy=performance", "policy=oracle"} < shown
    assert len(shown) == 6
    assert "6 of 20 configurations" in words


def test_unknown_joules_of_retrainings_are_a_line_without_a_bar(drawn: Draw) -> None:
    _, words = drawn("stream", "no joules")
    assert "retrainings of unknown joules: dotted line only" in words
    assert "Right axis" not in words


def test_a_policy_that_is_never_on_target_is_drawn_and_marked(drawn: Draw) -> None:
    data, words = drawn("maintenance_pareto", "never on target")
    # All windows are below the target, and all policies are in the figure.
    assert set(data["x"]) == {1.0}
    assert len(data) == 5
    assert "never on target (4)" in words  # the oracle has a mark of its own
    assert "NEVER ON TARGET" in drawn("stream", "never on target")[1]


def test_the_oracle_is_on_no_front_and_named(drawn: Draw) -> None:
    data, words = drawn("maintenance_pareto", "policies")
    rows = by(data, "configuration")
    oracle, never = rows["policy=oracle"], rows["policy=never"]
    assert (oracle["is_oracle"], oracle["front"]) == (True, False)
    # It costs nothing but deciding, so nothing beats it in joules.
    assert never["front"]
    # 1 J is 8 W x 0.8 s of each of 5 retrainings, with 24 decisions and 5 promotions, per 12,000.
    joules = 8 * (5 * 0.8 + 24 * 1e-4 + 5 * 1e-3) / 12
    assert rows["policy=every"]["y"] == pytest.approx(joules)
    assert rows["policy=every"]["x"] == pytest.approx(4 / 24)
    assert "oracle n = 2: knows the future" in words
    assert "(J, modelled)" in words


def test_no_run_that_is_comparable_means_no_front(drawn: Draw) -> None:
    data, words = drawn("maintenance_pareto", "unfit")
    assert not data["front"].any()
    assert "No front: no run is comparable." in words
    assert "with incomparable runs (4)" in words


def test_the_cheapest_policy_changes_where_the_lines_cross(drawn: Draw) -> None:
    data, words = drawn("policy_price", "policies")
    policies = data[data["kind"] == "policy"].set_index("configuration")
    (crossing,) = data[data["kind"] == "crossing"].to_dict("records")
    never, other = policies.loc["policy=never"], policies.loc[crossing["configuration"]]
    # At this price, never retraining costs as much: errors saved pay for the retrainings.
    assert never["cost"] + crossing["price"] * never["errors"] == pytest.approx(crossing["cost"])
    saved = never["errors"] - other["errors"]
    assert crossing["price"] == pytest.approx((other["cost"] - never["cost"]) / saved)
    assert not policies.loc["policy=oracle", "cheapest"]
    assert policies.loc["policy=never", "cheapest"]
    assert "price of an error" in words
    assert "electricity, modelled" in words
    assert "price in the configurations" in words


def test_detectors_stand_beside_one_that_always_raises_an_alarm(drawn: Draw) -> None:
    data, words = drawn("detectors", "policies")
    watched = data[~data["is_baseline"].astype(bool)].iloc[0]
    # Seed 0 raises one false alarm in 12,000 predictions, seed 1 none.
    assert watched["x"] == pytest.approx(1e4 * 0.5 / 12_000)
    assert (watched["num_changes"], watched["num_missed"]) == (2, 0)
    # The change is at the beginning of a window, and the alarm after its last prediction.
    assert watched["y"] == 499
    baseline = data[data["is_baseline"].astype(bool)].iloc[0]
    assert baseline["x"] == pytest.approx(1e4 * 23 / 12_000)
    assert baseline["y"] == 499
    assert "an alarm after every window: found 1 of 1 change" in words


def test_a_detector_that_finds_nothing_is_drawn_without_a_delay(tmp_path: Path) -> None:
    make_maintained(tmp_path, Maintained(policy="drift", shift=2.0, num_false=0))
    data = figure_data("detectors", Frames(load_runs([tmp_path]).runs))
    words = words_of(draw_figure("detectors", data, "one"))
    assert "found 0 of 1 change" in words
    assert "found nothing, so without a delay (1)" in words


def test_the_parts_of_the_cost_add_up_to_the_cost(tmp_path: Path) -> None:
    base = Maintained(label_price_usd=1e-9, manual_hours=0.1, usd_per_person_hour=1e-5)
    make_policies(tmp_path, seeds=range(1), base=base)
    runs = load_runs([tmp_path]).runs
    parts = cost_parts(runs)
    assert parts.sum(axis=1).tolist() == pytest.approx(runs["maintenance.cost_usd"].tolist())
    every = parts[runs["maintenance.policy"] == "every"].iloc[0]
    assert every["people"] == pytest.approx(5 * 0.1 * 1e-5)
    # 0.3 s of the 0.8 s of a retraining are set-up.
    both = every["set-up of retraining"] + every["retraining"]
    assert every["set-up of retraining"] == pytest.approx(0.375 * both)
    data = figure_data("maintenance_costs", Frames(runs))
    words = words_of(draw_figure("maintenance_costs", data, "one"))
    for part in ("labels", "people", "set-up of retraining", "detection"):
        assert part in words
    assert "µUSD; machine: electricity, modelled" in words


def test_deployments_on_different_streams_have_panels(drawn: Draw) -> None:
    for name in NAMES:
        data, _ = drawn(name, "streams")
        assert set(data["group"]) == {"drift.schedule=none", "drift.schedule=seasonal"}
    # The units of a panel's axes, too.
    assert "error (nUSD" in drawn("policy_price", "streams")[1]


def test_any_two_numbers_of_deployments_can_be_drawn(made: Make) -> None:
    options = {"x": "maintenance.num_retrains", "y": "maintenance.regret_usd"}
    data = figure_data("tradeoff", made("policies"), options=options)
    rows = by(data, "configuration")
    assert (rows["policy=every"]["x"], rows["policy=oracle"]["y"]) == (5, 0.0)
    words = words_of(draw_figure("tradeoff", data, "one"))
    assert "regret (mUSD" in words
    streams = figure_data("tradeoff", made("streams"), options=options)
    assert streams["group"].nunique() == 2


def test_runs_that_did_not_serve_their_stream_are_no_deployments(tmp_path: Path) -> None:
    make_maintained(tmp_path, Maintained(is_killed=True))
    frames = Frames(load_runs([tmp_path]).runs)
    for name in NAMES:
        with pytest.raises(NothingToDraw, match=r"no run of bench\.maintain served"):
            figure_data(name, frames)
