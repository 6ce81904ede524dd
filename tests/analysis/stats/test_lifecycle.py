from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from analysis.stats.lifecycle import (
    LifeCycle,
    break_even_predictions,
    life_cycles,
    unknown_reasons,
)
from bench.core.labels import EnergyLabel
from bench.core.records.recipe import Recipe
from bench.core.records.run import RunRecord
from bench.core.records.serving import Serving, TrainedRun
from bench.core.records.target import TargetResult
from bench.core.store import new_identity


def blank(command: str) -> RunRecord:
    identity = new_identity(command, "0123456789ab", 0, 0)
    return RunRecord(
        run_id=identity.run_id,
        command=command,
        config_hash=identity.config_hash,
        seed=0,
        repeat=0,
        started_utc=identity.started_utc,
        status="ok",
        config={},
        host={},
    )


def trained(**target: Any) -> RunRecord:
    facts: dict[str, Any] = {
        "metric": "accuracy",
        "value": 0.9,
        "mode": "max",
        "rule": "first",
        "consecutive": 2,
    }
    return replace(
        blank("train"),
        energy_label="modelled",
        target=TargetResult(reached=True, **facts, **target),
    )


def served(of: RunRecord, **serving: Any) -> RunRecord:
    link = TrainedRun(
        run_id=of.run_id,
        config_hash=of.config_hash,
        seed=0,
        reached=True,
        model=None,
        data=None,
    )
    return replace(blank("serve"), trained=link, serving=Serving(num_requests=1, **serving))


def test_a_life_is_training_and_predictions() -> None:
    run = trained(time_to_target_s=60.0, energy_to_target_j=900.0, cost_to_target_usd=0.02)
    answer = served(
        run,
        num_predictions=2000,
        duration_s=4.0,
        energy_per_prediction_j=0.03,
        energy_per_prediction_label="modelled",
        cost_per_million_usd=5.0,
    )
    lives = life_cycles(run, answer)
    # 4 s / 2000 = 2 ms each; 60 s + 10,000 x 2 ms = 80 s.
    assert lives["time_s"].total(10_000) == pytest.approx(80.0)
    # 900 J + 10,000 x 0.03 J.
    assert lives["energy_j"].total(10_000) == pytest.approx(1200.0)
    # 0.02 + 10,000 x 5e-6.
    assert lives["cost_usd"].total(10_000) == pytest.approx(0.07)
    assert lives["energy_j"].serving_label == "modelled"
    assert lives["time_s"].serving_label is None


def test_a_quantity_that_lacks_a_part_is_left_out() -> None:
    run = trained(time_to_target_s=60.0, energy_to_target_j=None)
    lives = life_cycles(run, served(run, num_predictions=10, duration_s=1.0))
    assert set(lives) == {"time_s"}


def at_rate(run: RunRecord, rate_per_s: float, **serving: Any) -> RunRecord:
    """A pass of the server scenario: 1000 predictions at the rate."""
    return served(
        run,
        scenario="server",
        num_predictions=1000,
        duration_s=1000 / rate_per_s,
        rate_per_s=rate_per_s,
        energy_per_prediction_j=0.5,
        energy_per_prediction_label="modelled",
        **serving,
    )


def test_the_time_of_a_prediction_at_a_rate_that_was_asked_for_is_not_known() -> None:
    """A7: at 50 queries/s it was drawn as 20 ms, which only repeats the question."""
    run = trained(time_to_target_s=60.0, energy_to_target_j=900.0)
    answer = at_rate(run, 50.0)
    lives = life_cycles(run, answer)
    assert set(lives) == {"energy_j"}
    assert lives["energy_j"].rate_per_s == 50.0
    reasons = unknown_reasons(run, answer)
    assert "a rate that was asked for" in reasons["time_s"]
    assert set(reasons) == {"time_s", "cost_usd"}


def test_the_time_of_a_prediction_at_the_largest_rate_is_what_that_rate_takes() -> None:
    run = trained(time_to_target_s=60.0, energy_to_target_j=900.0)
    lives = life_cycles(run, at_rate(run, 195.0, max_rate_per_s=200.0))
    assert lives["time_s"].per_prediction == pytest.approx(0.005)  # 1 / 200, not 1 / 195
    assert lives["energy_j"].rate_per_s is None


def test_a_search_that_found_no_rate_and_a_pass_that_was_not_valid_tell_nothing() -> None:
    run = trained(time_to_target_s=60.0, energy_to_target_j=900.0)
    invalid = at_rate(run, 200.0, max_rate_per_s=200.0, valid=False)
    assert life_cycles(run, invalid) == {}
    assert set(unknown_reasons(run, invalid).values()) >= {"the pass was not valid"}
    nothing = at_rate(run, 200.0, failed_rate_per_s=200.0, max_rate_per_s=None)
    assert "time_s" not in life_cycles(run, nothing)


def test_predictions_at_different_rates_do_not_break_even() -> None:
    slow = replace(life(1000.0, 1.0), rate_per_s=50.0)
    quick = replace(life(2000.0, 0.5), rate_per_s=100.0)
    with pytest.raises(ValueError, match=r"rate_per_s: 50\.0 and 100\.0 cannot be compared"):
        break_even_predictions(slow, quick)


def test_money_says_what_it_pays_for() -> None:
    """A11: electricity alone and a rented machine differ by a factor of 66."""
    run = trained(cost_to_target_usd=0.02)
    own = replace(run, config={"price": {"usd_per_hour": None, "usd_per_kwh": 0.15}})
    answer = served(
        own,
        num_predictions=10,
        duration_s=1.0,
        cost_per_million_usd=5.0,
        energy_per_prediction_label="counter",
    )
    rented = replace(answer, config={"price": {"usd_per_hour": 1.0, "usd_per_kwh": None}})
    life_own = life_cycles(own, answer)["cost_usd"]
    life_rented = life_cycles(own, rented)["cost_usd"]
    assert life_own.training_label == "electricity, modelled"
    assert life_rented.serving_label == "rental"
    with pytest.raises(ValueError, match="serving_label: counter and rental"):
        break_even_predictions(life_own, life_rented)


def test_a_recipe_pays_for_the_run_that_it_learned_from() -> None:
    run = replace(
        trained(time_to_target_s=60.0, energy_to_target_j=100.0),
        recipe=Recipe(
            name="distill",
            source_run_id="x",
            total_time_to_target_s=200.0,
            total_energy_to_target_j=None,
        ),
    )
    answer = served(run, num_predictions=10, duration_s=1.0, energy_per_prediction_j=1.0)
    lives = life_cycles(run, answer)
    assert lives["time_s"].training == 200.0
    assert "energy_j" not in lives  # the teacher's joules are not known: the sum is not either


def test_another_run_is_refused() -> None:
    run = trained(time_to_target_s=60.0)
    with pytest.raises(ValueError, match="did not serve the model of"):
        life_cycles(trained(time_to_target_s=1.0), served(run))


def life(training: float, each: float, label: EnergyLabel = "counter") -> LifeCycle:
    return LifeCycle(
        quantity="energy_j",
        training=training,
        per_prediction=each,
        training_label=label,
        serving_label=label,
    )


@pytest.mark.parametrize(
    ("first", "second", "num"),
    [
        # 1000 J more to train, 0.5 J less each: after 2000 predictions both have cost 3000 J.
        (life(2000.0, 0.5), life(1000.0, 1.0), 2000.0),
        (life(1000.0, 1.0), life(2000.0, 0.5), 2000.0),
        (life(1000.0, 1.0), life(1000.0, 0.5), 0.0),  # as dear to train: at once
        (life(1000.0, 1.0), life(2000.0, 2.0), None),  # dearer in both
        (life(1000.0, 1.0), life(2000.0, 1.0), None),  # nothing is saved that could pay
        (life(1000.0, 1.0), life(1000.0, 1.0), None),
    ],
)
def test_the_dearer_to_train_has_paid_when_both_have_cost_the_same(
    first: LifeCycle, second: LifeCycle, num: float | None
) -> None:
    found = break_even_predictions(first, second)
    assert found == (None if num is None else pytest.approx(num))
    if found is not None:
        assert first.total(found) == pytest.approx(second.total(found))


def test_joules_of_other_origin_or_other_quantities_are_not_compared() -> None:
    with pytest.raises(ValueError, match="counter and modelled joules"):
        break_even_predictions(life(1.0, 1.0), life(2.0, 0.5, "modelled"))
    time = LifeCycle(quantity="time_s", training=1.0, per_prediction=1.0)
    with pytest.raises(ValueError, match="cannot be compared"):
        break_even_predictions(time, life(1.0, 1.0))
    with pytest.raises(ValueError, match="at least 0"):
        time.total(-1)
