from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

from analysis.load.joules import COST_BASIS
from analysis.stats.lifecycle import break_even_predictions, cheapest_in_turn, lives, total
from bench.core.metric import Quantity
from tests.analysis.figures.literal import frame, reached, served

COUNTER = "serving__energy_per_prediction_label"


def trained(time_s: float = 60.0, energy_j: float | None = 900.0, **more: Any) -> dict[str, Any]:
    return reached("trained", time_s, energy_j, run_id="t", energy_label="modelled", **more)


def serving(scenario: str = "single_stream", **more: Any) -> dict[str, Any]:
    """2000 predictions in 4 s."""
    facts: dict[str, Any] = {"serving__num_predictions": 2000, "serving__duration_s": 4.0}
    return served("served", scenario, run_id="s", **({"trained__run_id": "t"} | facts | more))


def life(run: dict[str, Any], answer: dict[str, Any], quantity: Quantity) -> dict[str, Any]:
    return {str(name): value for name, value in lives(frame(run, answer), quantity).iloc[1].items()}


def at_rate(rate_per_s: float, **more: Any) -> dict[str, Any]:
    """A pass of the server scenario: 1000 predictions at the rate."""
    facts: dict[str, Any] = {
        "serving__num_predictions": 1000,
        "serving__duration_s": 1000 / rate_per_s,
        "serving__rate_per_s": rate_per_s,
        "serving__energy_per_prediction_j": 0.5,
        COUNTER: "modelled",
    }
    return serving("server", **(facts | more))


def test_a_life_is_training_and_predictions() -> None:
    run = trained(target__cost_to_target_usd=0.02)
    facts: dict[str, Any] = {"serving__energy_per_prediction_j": 0.03, COUNTER: "modelled"}
    answer = serving(serving__cost_per_million_usd=5.0, **facts)
    # 4 s / 2000 = 2 ms each; 60 s + 10,000 x 2 ms = 80 s.
    assert total(life(run, answer, "time_s"), 10_000) == pytest.approx(80.0)
    # 900 J + 10,000 x 0.03 J.
    assert total(life(run, answer, "energy_j"), 10_000) == pytest.approx(1200.0)
    # 0.02 + 10,000 x 5e-6.
    assert total(life(run, answer, "cost_usd"), 10_000) == pytest.approx(0.07)
    assert life(run, answer, "energy_j")["serving_label"] == "modelled"
    assert life(run, answer, "time_s")["serving_label"] == ""


def test_a_quantity_with_a_missing_part_is_not_known() -> None:
    run, answer = trained(energy_j=None), serving()
    assert life(run, answer, "time_s")["reason"] == ""
    reason = life(run, answer, "energy_j")["reason"]
    assert reason == "the training missed its target or was not metered"
    assert life(trained(), answer, "energy_j")["reason"] == "a prediction was not metered"
    reason = life(trained(target__cost_to_target_usd=1.0), answer, "cost_usd")["reason"]
    assert reason == "the cost of a prediction is not known"


def test_the_time_of_a_prediction_at_a_rate_that_was_asked_for_is_not_known() -> None:
    """At 50 queries/s it was drawn as 20 ms, which only repeats the question."""
    run, answer = trained(), at_rate(50.0)
    assert life(run, answer, "energy_j")["reason"] == ""
    assert life(run, answer, "energy_j")["rate_per_s"] == 50.0
    assert "a rate that was asked for" in life(run, answer, "time_s")["reason"]
    assert life(run, answer, "cost_usd")["reason"] != ""


def test_the_time_of_a_prediction_at_the_largest_rate_is_what_that_rate_takes() -> None:
    run, answer = trained(), at_rate(195.0, serving__max_rate_per_s=200.0)
    assert life(run, answer, "time_s")["per_prediction"] == pytest.approx(0.005)  # not 1 / 195
    assert pd.isna(life(run, answer, "energy_j")["rate_per_s"])


def test_a_search_that_found_no_rate_and_a_pass_that_was_not_valid_give_no_life() -> None:
    run = trained()
    invalid = at_rate(200.0, serving__max_rate_per_s=200.0, serving__valid=False)
    quantities: tuple[Quantity, ...] = ("time_s", "energy_j")
    for quantity in quantities:
        assert life(run, invalid, quantity)["reason"] == "the pass was not valid"
    nothing = at_rate(200.0, serving__failed_rate_per_s=200.0, serving__rate_per_s=None)
    assert life(run, nothing, "time_s")["reason"] == "no rate held its bound"
    assert (
        life(run, serving(serving__num_predictions=0), "time_s")["reason"] == "nothing was served"
    )


def test_predictions_at_different_rates_do_not_break_even() -> None:
    slow, quick = model(1000.0, 1.0, rate_per_s=50.0), model(2000.0, 0.5, rate_per_s=100.0)
    with pytest.raises(ValueError, match=r"rate_per_s: 50\.0 and 100\.0 cannot be compared"):
        break_even_predictions(slow, quick)


def test_money_says_what_it_pays_for() -> None:
    """Electricity alone and a rented machine differ by a factor of 66."""
    run = trained(target__cost_to_target_usd=0.02) | {COST_BASIS: "electricity"}
    facts: dict[str, Any] = {"serving__cost_per_million_usd": 5.0, COUNTER: "counter"}
    own = life(run, serving(**facts, **{COST_BASIS: "electricity"}), "cost_usd")
    rented = life(run, serving(**facts, **{COST_BASIS: "rental"}), "cost_usd")
    assert own["training_label"] == "electricity, modelled"
    assert own["serving_label"] == "electricity, counter"
    assert rented["serving_label"] == "rental"
    with pytest.raises(ValueError, match="serving_label: electricity, counter and rental"):
        break_even_predictions(own, rented)


def test_a_recipe_pays_for_the_run_that_it_learned_from() -> None:
    run = trained(recipe__name="distill", recipe__total_time_to_target_s=200.0)
    answer = serving(serving__energy_per_prediction_j=1.0)
    assert life(run, answer, "time_s")["training"] == 200.0
    # The teacher's joules are not known: the sum is not either.
    assert "was not metered" in life(run, answer, "energy_j")["reason"]


def test_a_training_that_is_not_there_is_the_reason() -> None:
    answer = serving(trained__run_id="elsewhere")
    assert life(trained(), answer, "time_s")["reason"] == "its training is not among the runs"


def model(
    training: float, each: float, label: str = "counter", rate_per_s: float | None = None
) -> dict[str, Any]:
    labels = {"training_label": label, "serving_label": label}
    return {"training": training, "per_prediction": each, "rate_per_s": rate_per_s, **labels}


@pytest.mark.parametrize(
    ("first", "second", "num"),
    [
        # 1000 J more to train, 0.5 J less each: after 2000 predictions both have cost 3000 J.
        (model(2000.0, 0.5), model(1000.0, 1.0), 2000.0),
        (model(1000.0, 1.0), model(2000.0, 0.5), 2000.0),
        (model(1000.0, 1.0), model(1000.0, 0.5), 0.0),  # the same to train: at once
        (model(1000.0, 1.0), model(2000.0, 2.0), None),  # costs more in both
        (model(1000.0, 1.0), model(2000.0, 1.0), None),  # nothing is saved that could pay
        (model(1000.0, 1.0), model(1000.0, 1.0), None),
    ],
)
def test_what_costs_more_to_train_has_paid_when_both_have_cost_the_same(
    first: dict[str, Any], second: dict[str, Any], num: float | None
) -> None:
    found = break_even_predictions(first, second)
    assert found == (None if num is None else pytest.approx(num))
    if found is not None:
        assert total(first, found) == pytest.approx(total(second, found))


def test_joules_of_other_origin_are_not_compared() -> None:
    with pytest.raises(ValueError, match="counter and modelled cannot be compared"):
        break_even_predictions(model(1.0, 1.0), model(2.0, 0.5, "modelled"))


def test_the_cheapest_in_turn_are_the_lower_envelope() -> None:
    # 10 + 5n, 20 + 2n (from n = 10/3), 100 + n (from n = 80); 50 + 4n is never the cheapest.
    models = frame(model(10, 5), model(20, 2), model(50, 4), model(100, 1))
    assert cheapest_in_turn(models) == [0, 1, 3]


def test_joules_of_another_label_are_not_on_the_envelope() -> None:
    assert cheapest_in_turn(frame(model(10, 5), model(20, 2), model(1, 1, "modelled"))) == [0, 1]
