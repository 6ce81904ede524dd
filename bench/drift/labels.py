"""The label vault: it keeps the classes of served samples, and opens each when it becomes known.

The clock counts predictions: `now` is the number made so far. The label of prediction i becomes
known at i + 1 at the earliest, when that prediction has been made. A delay of d adds d predictions,
so at `now` no label is known of a prediction later than now - d.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.config.maintain import LabelsConfig
from bench.drift.samples import UNKNOWN, Index, Samples

# Tells the coins of the vault from whatever else the same seed draws.
_COINS = int.from_bytes(b"labels", "big")
_NEVER = np.iinfo(np.int64).max


class SealedLabel(Exception):  # noqa: N818  # it is the label that is at fault
    """A label was read before its time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """Labels that have become known, in the order in which they did.

    Attributes:
        predictions: Numbers of their predictions, int64 (m,).
        labels: Classes, int64 (m,).
        propensities: The probability with which each was to become known, (m,).
    """

    predictions: Index
    labels: Index
    propensities: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.predictions)


class LabelVault:
    """Decides which labels become known, when, and with which probability.

    - `immediate`: each at once. `delayed`: each after `delay` further predictions.
    - `partial`: each with probability `fraction`, after `delay`.
    - `selective`: the system refuses what the model predicts to be `positive_class`, and never
      learns whether that was right. A label is therefore seen if the model predicts another class
      (probability 1), or if the sample is let through nonetheless (probability `held_out`); after
      `delay`. A sample let through that is really positive does harm.
    - `natural`: as the data says, for each label.

    Nobody ever learns a label that is UNKNOWN in the data. Each prediction has one coin, which
    depends on the seed and on the number of the prediction alone, so that policies share coins.

    Attributes:
        least_propensity: The smallest probability with which a label becomes known, of those that
            the data has.
        num_opened: Labels opened so far; each is paid for.
        held_out_errors: Samples let through so far that did harm.
    """

    def __init__(self, config: LabelsConfig, num_classes: int, seed: int) -> None:
        """Start with an empty vault.

        Raises:
            ValueError: labels.positive_class is not a class.
        """
        if config.kind == "selective" and config.positive_class >= num_classes:
            raise ValueError(
                f"labels.positive_class={config.positive_class}: the data has the classes 0 to "
                f"{num_classes - 1}"
            )
        self.least_propensity = {"partial": config.fraction, "selective": config.held_out}.get(
            config.kind, 1.0
        )
        self.num_opened = 0
        self.held_out_errors = 0
        self._config = config
        self._coins = np.random.default_rng([seed, _COINS])
        self._labels: Index = np.empty(0, dtype=np.int64)
        self._known_at: Index = np.empty(0, dtype=np.int64)
        self._propensities = np.empty(0)
        self._opened_until = 0

    @property
    def is_censored(self) -> bool:
        """Whether the labels of some predictions can never be seen, by design."""
        return self.least_propensity == 0

    def add(self, first: int, samples: Samples, predicted: Index) -> None:
        """Store the labels of samples that have just been served.

        Args:
            first: Number of the prediction of the first one: those before are in the vault.
            samples: The samples, in the order in which they were served.
            predicted: The class that the deployed model gave to each, (n,).

        Raises:
            ValueError: The predictions before are not in the vault; or the data does not say when
                labels become known, and labels=natural asks for that.
        """
        if first != len(self._labels):
            raise ValueError(f"prediction {first}: {len(self._labels)} are in the vault")
        is_positive = predicted == self._config.positive_class
        propensities = self._propensities_of(is_positive)
        is_seen = self._coins.random(len(samples)) < propensities
        if self._config.kind == "selective":
            harmful = is_seen & is_positive & (samples.labels == self._config.positive_class)
            self.held_out_errors += int(harmful.sum())
        known_at = first + 1 + np.arange(len(samples)) + self._delays(samples)
        known_at[~is_seen | (samples.labels == UNKNOWN)] = _NEVER
        self._labels = np.concatenate([self._labels, samples.labels])
        self._known_at = np.concatenate([self._known_at, known_at])
        self._propensities = np.concatenate([self._propensities, propensities])

    def open(self, now: int) -> Opened:
        """Open the labels that have become known since the last call.

        Args:
            now: Predictions made so far; all are in the vault.

        Returns:
            Those labels, by the time at which they became known, then by prediction.

        Raises:
            ValueError: `now` is ahead of the predictions in the vault.
        """
        if now > len(self._labels):
            raise ValueError(f"now={now}: only {len(self._labels)} predictions are in the vault")
        new = np.flatnonzero((self._known_at > self._opened_until) & (self._known_at <= now))
        new = new[np.argsort(self._known_at[new], kind="stable")]
        self._opened_until = max(now, self._opened_until)
        self.num_opened += len(new)
        return Opened(
            predictions=new, labels=self.labels_of(new, now), propensities=self._propensities[new]
        )

    def known(self, now: int) -> Index:
        """Numbers of all predictions whose labels are known, ascending."""
        return np.flatnonzero(self._known_at <= now)

    def labels_of(self, predictions: Index, now: int) -> Index:
        """Read labels that are known.

        Raises:
            SealedLabel: One is not known yet, or never will be.
        """
        sealed = predictions[self._known_at[predictions] > now]
        if len(sealed):
            raise SealedLabel(
                f"{len(sealed)} of {len(predictions)} labels are not known at {now}; the first is "
                f"that of prediction {sealed[0]}"
            )
        return self._labels[predictions]

    def _propensities_of(self, is_positive: NDArray[np.bool_]) -> NDArray[np.float64]:
        """The probability with which the label of each prediction is to become known, (n,)."""
        if self._config.kind == "selective":
            return np.where(is_positive, self.least_propensity, 1.0)
        return np.full(len(is_positive), self.least_propensity)

    def _delays(self, samples: Samples) -> Index | int:
        """Predictions between each one and its label."""
        if self._config.kind != "natural":
            return self._config.delay
        if samples.known_after is None:
            raise ValueError(
                "labels=natural: the data does not say when its labels become known; choose "
                "labels=immediate or labels=delayed"
            )
        return samples.known_after
