"""What a model costs over its life: training once, and every prediction that it serves.

    cost(n) = training + n * per prediction

in seconds, joules and money. If one of two models costs more to train and less to serve, it has
paid for itself after

    n = (training_b - training_a) / (per_prediction_a - per_prediction_b)

predictions. Pure functions of two records: a training run's and that of serving its model.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from bench.core.labels import EnergyLabel
from bench.core.price import known_basis
from bench.core.records.run import RunRecord
from bench.core.records.serving import Serving

Quantity = Literal["time_s", "energy_j", "cost_usd"]
QUANTITIES: tuple[Quantity, ...] = ("time_s", "energy_j", "cost_usd")


@dataclass(frozen=True, slots=True, kw_only=True)
class LifeCycle:
    """One quantity over the life of a model.

    Attributes:
        quantity: Of which.
        training: Of the training to its target.
        per_prediction: Of one prediction.
        training_label: How joules were obtained (`counter`); of money also what it pays for
            (`electricity, counter`).
        serving_label: Likewise, of a prediction.
        rate_per_s: The rate of queries that was asked for, if one was. Energy and money of a
            prediction are then those at that rate: the machine is idle between queries.
    """

    quantity: Quantity
    training: float
    per_prediction: float
    training_label: str | None = None
    serving_label: str | None = None
    rate_per_s: float | None = None

    def total(self, num_predictions: float) -> float:
        """Training and that many predictions.

        Raises:
            ValueError: The number is negative.
        """
        if num_predictions < 0:
            raise ValueError(f"num_predictions={num_predictions}: must be at least 0")
        return self.training + num_predictions * self.per_prediction


def life_cycles(trained: RunRecord, served: RunRecord) -> dict[Quantity, LifeCycle]:
    """What is known of a model's life from two records; see `unknown_reasons` for the rest.

    The training of a run with a recipe includes the run that it learned from. The time of a
    prediction is what one takes where the system answers as fast as it can: duration / predictions,
    or 1 / the largest rate that held its bound. At a rate that was asked for it is not known: 1 /
    rate would only repeat the question.

    Args:
        trained: Of bench.train.
        served: Of bench.serve, of the same model.

    Raises:
        ValueError: The model that was served is not the one that was trained.
    """
    training, serving = _parts(trained, served)
    return {
        quantity: LifeCycle(
            quantity=quantity,
            training=fixed,
            per_prediction=each,
            **_labels(trained, served, quantity),
            rate_per_s=asked_rate_per_s(served),
        )
        for quantity, fixed in training.items()
        if isinstance(fixed, float | int) and isinstance(each := serving[quantity], float | int)
    }


def unknown_reasons(trained: RunRecord, served: RunRecord) -> dict[Quantity, str]:
    """Why each quantity that `life_cycles` leaves out is not known.

    Args:
        trained: As for life_cycles.
        served: Likewise.

    Raises:
        ValueError: As life_cycles.
    """
    training, serving = _parts(trained, served)
    found: dict[Quantity, str] = {}
    for quantity, fixed in training.items():
        each = serving[quantity]
        if fixed is None:
            found[quantity] = "the training missed its target or was not metered"
        elif isinstance(each, str):
            found[quantity] = each
    return found


def asked_rate_per_s(served: RunRecord) -> float | None:
    """The rate of queries that was asked for; None where none was, or where it was searched for."""
    serving = served.serving
    if serving is None or serving.scenario != "server" or serving.max_rate_per_s is not None:
        return None
    return serving.rate_per_s


def _labels(trained: RunRecord, served: RunRecord, quantity: Quantity) -> dict[str, str | None]:
    if quantity == "time_s":
        return {}
    of_training = trained.recipe.total_energy_label if trained.recipe else trained.energy_label
    of_serving = served.serving.energy_per_prediction_label if served.serving else None
    if quantity == "energy_j":
        return {"training_label": of_training, "serving_label": of_serving}
    return {
        "training_label": _money_label(trained.config, of_training),
        "serving_label": _money_label(served.config, of_serving),
    }


def _money_label(config: Mapping[str, Any], joules: EnergyLabel | None) -> str | None:
    """What the money pays for and, where joules are among it, how these were obtained."""
    basis = known_basis(config.get("price"))
    if basis is None:
        return joules
    return f"{basis}, {joules}" if "electricity" in basis and joules else basis


def _parts(
    trained: RunRecord, served: RunRecord
) -> tuple[Mapping[Quantity, float | None], Mapping[Quantity, float | str]]:
    """Of the training, and of one prediction; of that a text where it is not known, saying why."""
    if served.trained is None or served.trained.run_id != trained.run_id:
        raise ValueError(f"{served.run_id} did not serve the model of {trained.run_id}")
    return _training(trained), _per_prediction(served)


def _training(trained: RunRecord) -> Mapping[Quantity, float | None]:
    recipe, target = trained.recipe, trained.target
    if recipe is not None:
        return {
            "time_s": recipe.total_time_to_target_s,
            "energy_j": recipe.total_energy_to_target_j,
            "cost_usd": recipe.total_cost_to_target_usd,
        }
    if target is None:
        return dict.fromkeys(QUANTITIES)
    return {
        "time_s": target.time_to_target_s,
        "energy_j": target.energy_to_target_j,
        "cost_usd": target.cost_to_target_usd,
    }


def _per_prediction(served: RunRecord) -> Mapping[Quantity, float | str]:
    serving = served.serving
    if serving is None or not serving.num_predictions or serving.duration_s is None:
        return dict.fromkeys(QUANTITIES, "nothing was served")
    if serving.valid is False:
        return dict.fromkeys(QUANTITIES, "the pass was not valid")
    energy_j, million_usd = serving.energy_per_prediction_j, serving.cost_per_million_usd
    return {
        "time_s": _time_s(served, serving, serving.duration_s / serving.num_predictions),
        "energy_j": "a prediction was not metered" if energy_j is None else energy_j,
        "cost_usd": "the cost of a prediction is not known"
        if million_usd is None
        else million_usd / 1e6,
    }


def _time_s(served: RunRecord, serving: Serving, mean_s: float) -> float | str:
    if serving.scenario != "server":
        return mean_s
    if asked_rate_per_s(served) is not None:
        return "served at a rate that was asked for, not as fast as it can"
    return 1 / serving.max_rate_per_s if serving.max_rate_per_s else "no rate held its bound"


def break_even_predictions(first: LifeCycle, second: LifeCycle) -> float | None:
    """Predictions after which the model that costs more to train has paid for itself.

    Returns:
        The number at which both have cost the same, 0 or more; None where there is none: one of
        them costs more (or no less) in both training and serving.

    Raises:
        ValueError: They are of different quantities, their joules or money were obtained
            differently, or their predictions were asked for at different rates.
    """
    if first.quantity != second.quantity:
        raise ValueError(f"{first.quantity} and {second.quantity} cannot be compared")
    for part in ("training_label", "serving_label"):
        labels = (getattr(first, part), getattr(second, part))
        if labels[0] != labels[1]:
            what = " joules" if first.quantity == "energy_j" else ""
            raise ValueError(
                f"{part}: {labels[0]} and {labels[1]}{what} cannot be compared; measure both alike"
            )
    if first.rate_per_s != second.rate_per_s:
        raise ValueError(
            f"rate_per_s: {first.rate_per_s} and {second.rate_per_s} cannot be compared; the cost "
            "of a prediction depends on the rate"
        )
    saved_each = first.per_prediction - second.per_prediction
    if saved_each == 0:
        return None
    num = (second.training - first.training) / saved_each
    return num if num >= 0 else None
