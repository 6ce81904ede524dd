"""What a model costs over its life: training once, and every prediction that it serves.

    cost(n) = training + n * per prediction

in seconds, joules and money. Of two models the one that is dearer to train and cheaper to serve
has paid for itself after

    n = (training_b - training_a) / (per_prediction_a - per_prediction_b)

predictions. Pure functions of two records: a training run's and that of serving its model.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from bench.core.labels import EnergyLabel
from bench.core.records import RunRecord

Quantity = Literal["time_s", "energy_j", "cost_usd"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LifeCycle:
    """One quantity over the life of a model; the labels say how joules were obtained."""

    quantity: Quantity
    training: float
    per_prediction: float
    training_label: EnergyLabel | None = None
    serving_label: EnergyLabel | None = None

    def total(self, num_predictions: float) -> float:
        """Training and so many predictions.

        Raises:
            ValueError: The number is negative.
        """
        if num_predictions < 0:
            raise ValueError(f"num_predictions={num_predictions}: must be at least 0")
        return self.training + num_predictions * self.per_prediction


def life_cycles(trained: RunRecord, served: RunRecord) -> dict[Quantity, LifeCycle]:
    """What is known of a model's life from two records; a quantity that lacks a part is left out.

    The training of a run with a recipe includes the run that it learned from. A prediction's time
    is what it took in the scenario that was served: duration / predictions.

    Args:
        trained: Of bench.train.
        served: Of bench.serve, of the same model.

    Raises:
        ValueError: The model that was served is not the one that was trained.
    """
    if served.trained is None or served.trained.run_id != trained.run_id:
        raise ValueError(f"{served.run_id} did not serve the model of {trained.run_id}")
    training = _training(trained)
    serving = _per_prediction(served)
    labels: dict[str, EnergyLabel | None] = {}
    if served.serving is not None:
        labels["serving_label"] = served.serving.energy_per_prediction_label
    labels["training_label"] = (
        trained.recipe.total_energy_label if trained.recipe else trained.energy_label
    )
    found: dict[Quantity, LifeCycle] = {}
    for quantity, fixed in training.items():
        each = serving.get(quantity)
        if fixed is None or each is None:
            continue
        of_energy = labels if quantity != "time_s" else {}
        found[quantity] = LifeCycle(
            quantity=quantity, training=fixed, per_prediction=each, **of_energy
        )
    return found


def _training(trained: RunRecord) -> Mapping[Quantity, float | None]:
    recipe, target = trained.recipe, trained.target
    if recipe is not None:
        return {
            "time_s": recipe.total_time_to_target_s,
            "energy_j": recipe.total_energy_to_target_j,
            "cost_usd": recipe.total_cost_to_target_usd,
        }
    if target is None:
        return {}
    return {
        "time_s": target.time_to_target_s,
        "energy_j": target.energy_to_target_j,
        "cost_usd": target.cost_to_target_usd,
    }


def _per_prediction(served: RunRecord) -> Mapping[Quantity, float | None]:
    serving = served.serving
    if serving is None or not serving.num_predictions or serving.duration_s is None:
        return {}
    million_usd = serving.cost_per_million_usd
    return {
        "time_s": serving.duration_s / serving.num_predictions,
        "energy_j": serving.energy_per_prediction_j,
        "cost_usd": None if million_usd is None else million_usd / 1e6,
    }


def break_even_predictions(first: LifeCycle, second: LifeCycle) -> float | None:
    """Predictions after which the model that is dearer to train has paid for itself.

    Returns:
        The number at which both have cost the same, 0 or more; None where there is none: one of
        them is dearer (or no cheaper) in both training and serving.

    Raises:
        ValueError: They are of different quantities, or their joules were obtained differently.
    """
    if first.quantity != second.quantity:
        raise ValueError(f"{first.quantity} and {second.quantity} cannot be compared")
    for part in ("training_label", "serving_label"):
        labels = (getattr(first, part), getattr(second, part))
        if labels[0] != labels[1]:
            raise ValueError(
                f"{part}: {labels[0]} and {labels[1]} joules cannot be compared; measure both alike"
            )
    saved_each = first.per_prediction - second.per_prediction
    if saved_each == 0:
        return None
    num = (second.training - first.training) / saved_each
    return num if num >= 0 else None
