"""The quality of predicted numbers."""

from __future__ import annotations

import math

from torch import Tensor


def regression_quality(outputs: Tensor, targets: Tensor) -> dict[str, float]:
    """Compute the errors of predicted numbers, in float64.

    Args:
        outputs: Predictions, shape (n,) or (n, num_outputs), n >= 1.
        targets: True values, of the same shape; (n, 1) and (n,) match.

    Returns:
        `mse`, `mae` and `rmse` (mean squared, mean absolute and root mean squared error) over all
        outputs, and `r2`, the share of the variance that is explained:
        the mean over the outputs whose targets vary, and NaN if none does. A NaN prediction makes
        all of them NaN.

    Raises:
        ValueError: The shapes do not match, or there are no samples.
    """
    outputs, targets = outputs.detach().double(), targets.double()
    error = (matching_outputs(outputs, targets) - targets).reshape(len(targets), -1)
    mse = float(error.square().mean())
    return {
        "mse": mse,
        "mae": float(error.abs().mean()),
        "rmse": math.sqrt(mse),
        "r2": _r2(error, targets.reshape(len(targets), -1)),
    }


def matching_outputs(outputs: Tensor, targets: Tensor) -> Tensor:
    """Give outputs the shape of their targets.

    Args:
        outputs: Shape (n,), (n, 1) or (n, num_outputs).
        targets: Shape (n,) or (n, num_outputs).

    Raises:
        ValueError: The shapes do not match, or there are no samples.
    """
    # Subtracting (n,) from (n, 1) would give all n * n differences.
    shapes = [
        tuple(part.shape[:1] if part.shape[1:] == (1,) else part.shape)
        for part in (outputs, targets)
    ]
    if shapes[0] != shapes[1] or targets.ndim not in (1, 2) or not targets.numel():
        raise ValueError(
            f"outputs of shape {tuple(outputs.shape)} and targets of shape "
            f"{tuple(targets.shape)}: both must be (n,) or (n, num_outputs) with n at least 1"
        )
    return outputs.reshape(targets.shape)


def _r2(error: Tensor, targets: Tensor) -> float:
    """Compute R2 from errors and targets, both float64 of shape (n, num_outputs)."""
    # Not torchmetrics: it takes targets with a sum of squares below 1e-4 for constant ones.
    varies = (targets != targets[0]).any(dim=0)
    if not varies.any():
        return math.nan
    deviation = (targets - targets.mean(dim=0))[:, varies]
    unexplained = error[:, varies].square().sum(dim=0) / deviation.square().sum(dim=0)
    return float((1 - unexplained).mean())
