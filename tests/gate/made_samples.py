"""Builders of samples, the rows in the form that the rule of the gate takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from bench.core.metric import Metric, metric_of
from bench.gate.model import Kind, RowValues

TIME = metric_of("time_s", "min", kind="measured", least_effect_frac=0.05)
RATE = replace(TIME, name="rate_per_s", unit="1/s", better="max")


def samples(
    base: Sequence[float] | npt.NDArray[np.float64],
    candidate: Sequence[float] | npt.NDArray[np.float64],
    metric: Metric = TIME,
    *,
    seeds: Sequence[int] | None = None,
    servers: Sequence[int] | None = None,
    kind: Kind | None = None,
    floor_frac: float = 0.0,
    note: str = "",
) -> RowValues:
    """A row; `seeds` are the strata of the pairs, all of one by default; `servers` likewise."""
    return RowValues(
        metric=metric,
        kind=kind or metric.kind or "measured",
        configuration="batch_size=32",
        command="train",
        config_hash="abc",
        base=np.array(base, dtype=np.float64),
        candidate=np.array(candidate, dtype=np.float64),
        strata=np.array([0] * len(base) if seeds is None else seeds, np.int64),
        servers=None if servers is None else np.array(servers, np.int64),
        floor_frac=floor_frac,
        note=note,
    )
