"""What a policy sees at the end of a window, for tests."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bench.drift.detectors.base import Detection, Outcomes, Reference, Served
from bench.drift.policies.base import View
from bench.drift.samples import Floats

WINDOW = 100


def outcomes(
    num_errors: int,
    num_labels: int = WINDOW,
    propensities: NDArray[np.float64] | None = None,
    least_propensity: float = 1.0,
) -> Outcomes:
    return Outcomes(
        predictions=np.arange(num_labels),
        errors=np.arange(num_labels) < num_errors,
        propensities=np.ones(num_labels) if propensities is None else propensities,
        least_propensity=least_propensity,
    )


def view_of(
    window: int = 0,
    known: Outcomes | None = None,
    *,
    since: int | None = None,
    probabilities: Floats | None = None,
    reference: Reference | None = None,
    alarm: int | None = None,
    error_price_usd: float = 0.01,
    retraining_usd: float | None = None,
) -> View:
    """A view of a window of a stream whose target is 0.9; no retraining so far unless `since`."""
    shown = np.full((WINDOW, 2), 0.5, dtype=np.float32) if probabilities is None else probabilities
    return View(
        window=window,
        num_windows=20,
        target=0.9,
        served=Served(
            first=window * WINDOW,
            inputs=np.zeros((len(shown), 1), dtype=np.float32),
            probabilities=shown,
            outcomes=outcomes(0, 0) if known is None else known,
        ),
        reference=reference
        or Reference(
            inputs=np.zeros((2, 1), dtype=np.float32),
            probabilities=np.eye(2, dtype=np.float32),
            labels=np.arange(2),
        ),
        detection=Detection(alarm=alarm),
        num_new_labels=0,
        windows_since_retraining=window + 1 if since is None else since,
        error_price_usd=error_price_usd,
        retraining_usd=retraining_usd,
    )
