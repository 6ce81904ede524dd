"""Faults of the pipeline: the world does not change, but something else reaches the model.

A fault of the serving path alone spares the log that retraining reads, so no retraining can cure
it. A fault of both is in that log, too, and a new model can learn to live with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bench.config.maintain import FaultConfig
from bench.drift.columns import find_column
from bench.drift.samples import Floats, Pool

_FREEZING_F, _FAHRENHEIT_PER_CELSIUS = 32.0, 1.8
# The column that celsius takes if none is named: that of stream=flights.
_TEMPERATURE = "temp"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """A fault from one prediction up to another; outside of these nothing changes, bit for bit.

    Attributes:
        kind: none, celsius, missing or stale_scaler.
        columns: Numbers of the faulty columns; None is the whole sample.
        at: The first prediction with the fault.
        until: The first one without it again.
        fill: What replaces a missing value: `mean` leaves it missing, so that the preprocessing
            fills in the mean of the training samples; `zero` is a raw 0.
        in_log: Whether what retraining reads has the fault, too.
    """

    kind: str
    columns: Sequence[int] | None
    at: int
    until: int
    fill: str
    in_log: bool

    def served(self, features: Floats, first: int) -> Floats:
        """What the serving path sees of features.

        Args:
            features: Of consecutive predictions, (n, ...).
            first: Number of the first prediction.
        """
        start, end = (min(max(edge - first, 0), len(features)) for edge in (self.at, self.until))
        if self.kind not in ("celsius", "missing") or start == end:
            return features
        faulty = features.copy()
        columns: Any = slice(None) if self.columns is None else list(self.columns)
        if self.kind == "celsius":
            values = (faulty[start:end, columns] - _FREEZING_F) / _FAHRENHEIT_PER_CELSIUS
            faulty[start:end, columns] = values
        else:
            faulty[start:end, columns] = np.nan if self.fill == "mean" else 0.0
        return faulty

    def logged(self, features: Floats, first: int) -> Floats:
        """What retraining reads; arguments as for served()."""
        return self.served(features, first) if self.in_log else features

    def has_stale_scaler(self, first: int) -> bool:
        """Whether a window uses the preprocessing of the first model instead of its own.

        Args:
            first: Number of the first prediction of the window: the fault concerns whole windows.
        """
        return self.kind == "stale_scaler" and self.at <= first < self.until

    def edges(self, num_predictions: int) -> list[int]:
        """The predictions of the stream at which the fault begins or ends."""
        edges = [] if self.kind == "none" else [self.at, self.until]
        return [edge for edge in edges if edge < num_predictions]


def build_fault(fault: FaultConfig, pool: Pool, num_predictions: int) -> Fault:
    """Build the fault of a configuration.

    Args:
        fault: Its keys. `at` None is the middle of the stream, `until` None its end.
        pool: What the stream consists of.
        num_predictions: Length of the stream.

    Raises:
        ValueError: The fault is impossible, or ignores a key.
    """
    _refuse_ignored(fault)
    at = num_predictions // 2 if fault.at is None else fault.at
    until = num_predictions if fault.until is None else fault.until
    if at >= num_predictions:
        raise ValueError(
            f"fault.at={at}: the stream ends after {num_predictions} predictions; choose an "
            "earlier one"
        )
    if not at < until <= num_predictions:
        raise ValueError(
            f"fault.until={until}: must be after fault.at={at}, and the stream ends after "
            f"{num_predictions} predictions; null lasts until then"
        )
    return Fault(
        kind=fault.kind,
        columns=_find_columns(fault, pool),
        at=at,
        until=until,
        fill=fault.fill,
        in_log=fault.where == "both",
    )


def _refuse_ignored(fault: FaultConfig) -> None:
    any_fault = ("celsius", "missing", "stale_scaler")
    used_by = {
        "at": any_fault,
        "until": any_fault,
        "feature": ("celsius", "missing"),
        "fill": ("missing",),
        # The log holds raw features, which no preprocessing has touched.
        "where": ("celsius", "missing"),
    }
    for key, kinds in used_by.items():
        value = getattr(fault, key)
        if fault.kind not in kinds and value != getattr(FaultConfig(), key):
            raise ValueError(
                f"fault.{key}={value}: fault={fault.kind} ignores it; leave it out, or choose "
                f"fault={' or '.join(kinds)}"
            )


def _find_columns(fault: FaultConfig, pool: Pool) -> list[int] | None:
    if fault.kind in ("none", "stale_scaler"):
        return None
    is_table = len(pool.input_shape) == 1
    if fault.kind == "celsius" and not is_table:
        raise ValueError(
            "fault=celsius: images have no temperatures; choose fault=missing or another stream"
        )
    feature = fault.feature
    if feature is None and not is_table:
        return None
    if feature is None and fault.kind == "celsius" and _TEMPERATURE in pool.feature_names:
        feature = _TEMPERATURE
    if feature is None:
        raise ValueError(
            f"fault.feature=null: fault={fault.kind} needs the name or the number of a feature"
        )
    features = feature if isinstance(feature, list) else [feature]
    return [find_column("fault.feature", each, pool) for each in features]
