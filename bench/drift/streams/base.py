"""What the deployment needs of a stream."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from bench.drift.samples import Pool, Samples


class Stream(Protocol):
    """A deployment as it comes: samples to train the first model, then windows of predictions."""

    @property
    def pool(self) -> Pool:
        """Where the samples come from."""

    @property
    def initial(self) -> Samples:
        """Samples to train the first model on, and to hold out for its reference."""

    @property
    def num_windows(self) -> int:
        """Number of windows."""

    @property
    def window(self) -> int:
        """Predictions of one window."""

    @property
    def changes(self) -> Sequence[int]:
        """The predictions at which the distribution begins to change, ascending.

        Empty if nothing changes, or if the drift is that of the pool itself, whose times nobody
        knows.
        """

    def samples(self, window: int) -> Samples:
        """The samples of a window, in the order in which they are served, before any fault."""

    def strength(self, window: int) -> float | None:
        """Mean strength of the drift in a window, 0 to 1; None for the drift of the pool itself."""
