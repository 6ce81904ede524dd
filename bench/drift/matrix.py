"""The matrix of an oracle: every model that could be trained, on every window it could serve.

Model i is trained at the end of window i - 1 on what a policy could have had then; model 0 is the
first one. The matrix is filled before the stream begins, in the phase `observe`: nobody who
deploys a model has it.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.config.maintain import MaintainConfig
from bench.core.files import read_file, replace_file
from bench.drift.books import Books, Spent, difference
from bench.drift.labels import LabelVault
from bench.drift.log import ServingLog
from bench.drift.matrix_run import MATRIX
from bench.drift.model import DeployedModel
from bench.drift.oracle import cheapest, fewest_joules
from bench.drift.retraining import ModelTrainer
from bench.drift.samples import UNKNOWN
from bench.drift.service import labelled_samples


@dataclass(frozen=True, slots=True, kw_only=True)
class Matrix:
    """Errors of all models in all windows, and what the models cost.

    Attributes:
        errors: errors[i, j]: wrong answers of model i in window j, (T, T); 0 for j < i, and for
            models whose training diverged.
        num_judged: Answers of each window whose truth is ever known, (T,).
        is_trained: Whether there is each model, (T,); there is none if its training diverged.
        retrain_usd: Price of each model, (T,); NaN if it is unknown.
        retrain_j: Joules of each model, (T,); NaN if they are unknown.
    """

    errors: NDArray[np.float64]
    num_judged: NDArray[np.int64]
    is_trained: NDArray[np.bool_]
    retrain_usd: NDArray[np.float64]
    retrain_j: NDArray[np.float64]

    def write(self, folder: Path) -> None:
        """Write it to a run folder."""
        values = {field.name: _plain(getattr(self, field.name)) for field in fields(self)}
        replace_file(folder / MATRIX, json.dumps(values).encode())

    @classmethod
    def read(cls, folder: Path) -> Matrix:
        """Read it from a run folder.

        Raises:
            OSError: It cannot be read.
        """
        values: dict[str, Any] = json.loads(read_file(folder / MATRIX))
        return cls(
            errors=np.array(values["errors"], dtype=np.float64),
            num_judged=np.array(values["num_judged"], dtype=np.int64),
            is_trained=np.array(values["is_trained"], dtype=np.bool_),
            retrain_usd=np.array(values["retrain_usd"], dtype=np.float64),  # null becomes NaN
            retrain_j=np.array(values["retrain_j"], dtype=np.float64),
        )


def _plain(array: NDArray[Any]) -> Any:
    """As JSON has it: NaN becomes null."""
    values: Any = array.astype(object)
    values[np.isnan(array)] = None
    return values.tolist()


def best_schedule(
    matrix: Matrix, objective: str, target: float, error_price_usd: float
) -> tuple[int, ...]:
    """Compute the schedule that an oracle follows: windows at whose end it retrains.

    Args:
        matrix: Of the stream.
        objective: `cost`: least price of retrainings and errors. `energy`: fewest joules with as
            many windows on target as can be.
        target: The accuracy to hold.
        error_price_usd: Price of one wrong prediction.

    Raises:
        ValueError: What a retraining costs is unknown.
    """
    costs = matrix.retrain_usd if objective == "cost" else matrix.retrain_j
    if np.isnan(costs).any():
        word = "price" if objective == "cost" else "energy"
        raise ValueError(
            f"policy=oracle: the {word} of a retraining is unknown, because no meter works here; "
            "give retrain.usd, with policy.objective=cost"
        )
    possible = np.where(matrix.is_trained, costs, np.inf)
    if objective == "cost":
        return cheapest(matrix.errors, possible, error_price_usd).windows
    return fewest_joules(matrix.errors, matrix.num_judged, possible, target).windows


def fill_matrix(
    config: MaintainConfig,
    log: ServingLog,
    vault: LabelVault,
    trainer: ModelTrainer,
    books: Books,
    *,
    first: DeployedModel,
    price_of: Callable[[Spent], float | None],
    report: Callable[[int], None],
) -> Matrix:
    """Train every model and try it in every window from its own on.

    Args:
        config: Of the deployment.
        log: The stream, of which nothing has been served.
        vault: Empty.
        trainer: Trains models, as in the deployment.
        books: Phases of the deployment.
        first: The first model.
        price_of: Price in dollars of a training, people included; None if it is unknown.
        report: Receives the number of each window that has been filled.
    """
    num, size = config.stream.num_windows, config.stream.window
    errors, num_judged = np.zeros((num, num)), np.zeros(num, dtype=np.int64)
    usd, joules = np.zeros(num), np.zeros(num)
    models: list[DeployedModel | None] = []
    for window in range(num):
        model: DeployedModel | None = first
        if window:
            before = books.spent("observe")
            samples = labelled_samples(config, log, vault, window * size)
            model = trainer.train(samples, number=window, window=window - 1).model
            books.begin("observe")
            spent = difference(books.spent("observe"), before)
            usd[window], joules[window] = _number(price_of(spent)), _number(spent.energy_j)
        models.append(model)
        served = log.serve(window)
        is_known = served.labels != UNKNOWN
        num_judged[window] = is_known.sum()
        for place, each in enumerate(models):
            if each is not None:
                answers = each.answers(served.features, log.scaler_of(each, first, window))
                errors[place, window] = (answers != served.labels)[is_known].sum()
                last = answers
        # Labels that depend on the answers have no oracle, so any answers will do.
        vault.add(window * size, served, last)
        vault.open((window + 1) * size)
        books.begin("observe")
        report(window)
    return Matrix(
        errors=errors,
        num_judged=num_judged,
        is_trained=np.array([model is not None for model in models]),
        retrain_usd=usd,
        retrain_j=joules,
    )


def _number(value: float | None) -> float:
    return np.nan if value is None else value
