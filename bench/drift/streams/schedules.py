"""How the strength of a drift changes over a stream.

Source: J. Gama et al., A survey on concept drift adaptation, ACM Computing Surveys 46(4), 2014.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from bench.config.maintain import DriftConfig
from bench.drift.samples import Index

Strengths = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """A schedule whose times are all decided; they are predictions since the start of the stream.

    Attributes:
        name: sudden, gradual, incremental, seasonal or burst.
        at: When it begins; for gradual, when half of the samples are of the new concept.
        width: The time scale of gradual, and the duration of incremental and burst.
        period: Of seasonal.
    """

    name: str
    at: int
    width: int
    period: int

    @property
    def is_mixture(self) -> bool:
        """Whether the strength is the probability that a sample is of the new concept."""
        return self.name == "gradual"

    def strength(self, predictions: Index) -> Strengths:
        """The strength of the drift at predictions, 0 to 1, of the same shape.

        Source: gradual is the sigmoid of MOA's ConceptDriftStream (Bifet et al., 2010).
        """
        since = predictions - self.at
        if self.name == "gradual":
            sigmoid: Strengths = expit(4 * since / self.width)
            return sigmoid
        if self.name == "incremental":
            return np.clip(since / self.width, 0.0, 1.0)
        if self.name == "seasonal":
            turns = np.maximum(since, 0) / self.period
            return (1 - np.cos(2 * np.pi * turns)) / 2
        is_over = (since >= self.width) & (self.name == "burst")
        return ((since >= 0) & ~is_over).astype(np.float64)

    def changes(self, num_predictions: int) -> list[int]:
        """The predictions at which the distribution begins to change, ascending.

        gradual begins where the tangent at its middle leaves 0. seasonal never jumps: each half
        of a season counts as a change, which begins where the strength turns. A burst changes the
        distribution when it comes and when it goes.
        """
        starts = [self.at]
        if self.name == "gradual":
            starts = [max(self.at - self.width // 2, 0)]
        elif self.name == "seasonal":
            half_seasons = 2 * (num_predictions - self.at) // self.period + 1
            starts = [self.at + half * self.period // 2 for half in range(half_seasons)]
        elif self.name == "burst":
            starts.append(self.at + self.width)
        return [start for start in starts if start < num_predictions]


def resolve_schedule(drift: DriftConfig, num_predictions: int) -> Schedule:
    """Decide the times that a configuration leaves open; see DriftConfig.

    Raises:
        ValueError: The drift would begin after the stream, or a key has no effect.
    """
    if drift.at is not None and drift.at >= num_predictions:
        raise ValueError(
            f"drift.at={drift.at}: the stream ends after {num_predictions} predictions; choose an "
            "earlier one"
        )
    used_by = {"width": ("gradual", "incremental", "burst"), "period": ("seasonal",)}
    for key, schedules in used_by.items():
        if getattr(drift, key) is not None and drift.schedule not in schedules:
            raise ValueError(
                f"drift.{key}={getattr(drift, key)}: drift.schedule={drift.schedule} ignores it; "
                f"leave it out, or choose drift.schedule={' or '.join(schedules)}"
            )
    default_at = 0 if drift.schedule == "seasonal" else num_predictions // 2
    return Schedule(
        name=drift.schedule,
        at=default_at if drift.at is None else drift.at,
        width=drift.width or max(num_predictions // 10, 1),
        period=drift.period or max(num_predictions // 2, 1),
    )
