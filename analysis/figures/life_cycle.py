"""The cost of a model over its life against the number of predictions, with break-even points."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

from pandas import DataFrame, Series, concat

from analysis.figures.prepare import NothingToDraw, serving_runs
from analysis.figures.quantities import cost_bases, rate_words
from analysis.load.values import column
from analysis.stats.lifecycle import (
    ALIKE,
    break_even_predictions,
    cheapest_in_turn,
    lives,
    total,
)
from analysis.stats.peer_keys import peer_keys
from analysis.stats.peers import Group, host_words, peer_groups, target_words
from bench.core.metric import Quantity

_POINT_COLUMNS = ["kind", "configuration", "against", "num_predictions", "cost"]
_LIFE = "life."  # prefix of the columns of lives in the frame of the runs


def life_peers(runs: DataFrame, *, quantity: Quantity = "energy_j") -> list[Group]:
    """Group the served runs whose lives may be compared.

    They are peers as servings. In addition, their models were trained to one target on one kind of
    host, queries came as fast as they were answered or at one fixed rate, joules are of the same
    components, and money pays for the same things.
    """
    served = column(runs, "serving.scenario").notna()
    if not served.any():
        return []
    keys, runs = peer_keys(runs), _with_lives(runs, quantity)
    more = {
        "trained to": _training_words(runs, "trained to " + target_words(keys)),
        "rate": rate_words(runs),
    }
    if quantity == "cost_usd":
        more["price"] = cost_bases(runs)
        # A life whose training was on a rented machine is not comparable with one all on one's own.
        more["price of training"] = _training_words(runs, "training: " + cost_bases(runs))
    if quantity != "time_s":
        parts = column(runs, "energy_components").astype(object).fillna("no joules")
        more["joules of training"] = _training_words(runs, "training: joules of " + parts)
        parts = column(runs, "serving.energy_components").astype(object).fillna("no components")
        more["joules of serving"] = "serving: joules of " + parts
    more["trained on"] = _training_words(runs, "trained on " + host_words(keys))
    return peer_groups(runs, only=served, more=more, keys=keys)


def _training_words(runs: DataFrame, words: Series) -> Series:
    """The words for the training behind each serving; empty if that is not among the runs."""
    by_run = dict(zip(column(runs, "run_id"), words, strict=True))
    return column(runs, "trained.run_id").astype(object).map(by_run).astype(object).fillna("")


def _with_lives(runs: DataFrame, quantity: Quantity) -> DataFrame:
    """Add the lives to the runs, before these are grouped and separated from their trainings."""
    if f"{_LIFE}training" in runs or not column(runs, "serving.scenario").notna().any():
        return runs
    return concat([runs, lives(runs, quantity).add_prefix(_LIFE)], axis=1)


def data_life_cycle(runs: DataFrame, *, quantity: Quantity = "energy_j") -> DataFrame:
    """Prepare the cost of training and of a prediction, per configuration that was served.

    Args:
        runs: As loaded, or a group of `life_peers`.
        quantity: time_s, energy_j or cost_usd.

    Returns:
        Rows of two kinds. `kind` is `model`: `configuration`, `training` and `per_prediction`
        (medians over the pairs of runs, with `_low` and `_high`, their range), `num_runs`,
        `num_incomparable`, `training_label`, `serving_label`, `rate_per_s` (if it was fixed),
        `cheapest` (for some number of predictions). `kind` is `break_even`: `configuration` (costs
        more to train), `against`, `num_predictions`, `cost`, of neighbours among the cheapest. All
        have `quantity`, `num_without` (served runs whose costs are unknown) and `reasons` (why, as
        text).

    Raises:
        NothingToDraw: The costs of no model are known.
    """
    served = serving_runs(_with_lives(runs, quantity))
    served.columns = served.columns.str.removeprefix(_LIFE)
    known = served["reason"] == ""
    reasons = _reason_words(list(served.loc[~known, "reason"]))
    if not known.any():
        raise NothingToDraw(
            f"no model has a known {quantity} for both its training to the target and its serving: "
            f"{reasons}"
        )
    models = _models(served[known])
    # A free model beats every other at any number, and a log axis has no 0.
    if not (models["training"] + models["per_prediction"] > 0).all():
        raise NothingToDraw(f"a model has a {quantity} of 0: there is nothing to compare")
    cheapest = cheapest_in_turn(models)
    models["cheapest"] = models.index.isin(cheapest)
    data = concat([models, _break_evens(models, cheapest)], ignore_index=True)
    num_without = int((~known).sum())
    return data.assign(quantity=quantity, num_without=num_without, reasons=reasons)


def _reason_words(reasons: Sequence[str]) -> str:
    return "; ".join(f"{reason} ({num})" for reason, num in Counter(reasons).items())


def _models(pairs: DataFrame) -> DataFrame:
    # Pairs of a training run and a serving of its model: each serving counts once.
    alike = pairs.groupby(["configuration", *ALIKE], sort=True, dropna=False)
    models = alike[["training", "per_prediction"]].median()
    for name in ("training", "per_prediction"):
        models[f"{name}_low"], models[f"{name}_high"] = alike[name].min(), alike[name].max()
    models["num_runs"] = alike.size()
    models["num_incomparable"] = alike["comparable"].apply(lambda part: int((~part).sum()))
    return models.reset_index().assign(kind="model")


def _break_evens(models: DataFrame, order: Sequence[int]) -> DataFrame:
    rows = []
    for before, after in pairwise(models.loc[list(order)].to_dict("records")):
        num = break_even_predictions(before, after)
        assert num is not None, "neighbours of an envelope cross"
        rows.append(
            {
                "kind": "break_even",
                "configuration": after["configuration"],
                "against": before["configuration"],
                "num_predictions": num,
                "cost": total(after, num),
            }
        )
    return DataFrame(rows, columns=_POINT_COLUMNS)
