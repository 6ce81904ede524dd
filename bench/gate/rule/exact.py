"""Metrics that are the same whenever the same work is done: judged as they are, or demoted."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from bench.gate.model import Kind, Samples
from bench.gate.rule.effect import ROUNDING, loss_of

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


def exact_loss(samples: Samples, loss: float) -> tuple[Kind, float, str]:
    """Kind, loss as a share of the base, and a word on it.

    Demoted to measured where the same work does not give the same number.

    Args:
        samples: Of an exact metric.
        loss: Of the medians of all seeds.
    """
    base = _by_stratum(samples.base, samples.strata)
    candidate = _by_stratum(samples.candidate, samples.strata)
    if any(len(values) > 1 for side in (base, candidate) for values in side.values()):
        return "measured", loss, "differs between runs of one revision: judged as measured"
    losses = [
        loss_of(base[stratum], candidate[stratum], samples.metric.direction)
        for stratum in sorted(base.keys() & candidate.keys())
    ]
    # Two misses of one seed are equal, whatever they had spent.
    losses = [0.0 if math.isnan(each) else each for each in losses]
    if not losses:
        return "measured", loss, "no seed is on both sides: judged as measured"
    extreme, least_frac = max(losses, key=abs), samples.metric.least_effect_frac
    if min(losses) < 0 < max(losses) and abs(extreme) >= least_frac:
        return "measured", loss, "losses in some seeds and gains in others: judged as measured"
    if _counts(extreme, least_frac) and not _counts(loss, least_frac):
        return "exact", extreme, "the medians hardly differ: the loss is that of one seed"
    return "exact", loss if extreme else 0.0, ""


def _counts(loss: float, least_frac: float) -> bool:
    """Whether it is large enough; not where most runs missed, so that there is no median."""
    return abs(loss) > ROUNDING and abs(loss) >= least_frac - ROUNDING


def _by_stratum(values: Floats, strata: Ints) -> dict[int, Floats]:
    """The values that differ, by stratum."""
    return {int(each): np.unique(values[strata == each]) for each in np.unique(strata)}
