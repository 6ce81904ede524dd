"""How long a request is held up by a network: drawn from a seed, in whole milliseconds."""

from __future__ import annotations

import math

import numpy as np

_BITS_PER_BYTE = 8


class Delays:
    """Delays of one connection to a place.

    Each is a round trip drawn from a gamma distribution with the mean and standard deviation asked
    for, which is positive and skewed to the right as round trips are, plus the time that the
    request takes on a line of the bandwidth. What delays takes whole milliseconds: each is rounded
    up with the probability of its fraction, so that their mean is right.
    """

    def __init__(
        self,
        *,
        round_trip_ms: float,
        jitter_ms: float,
        bandwidth_mbit_per_s: float | None,
        seed: int,
        stream: int = 0,
    ) -> None:
        """Draw nothing yet.

        Args:
            round_trip_ms: Mean round trip of an empty message.
            jitter_ms: Standard deviation of it.
            bandwidth_mbit_per_s: Megabits per second; None for a line that takes no time.
            seed: Of the draws.
            stream: Tells draws of the same seed apart.

        Raises:
            ValueError: There is jitter and no round trip for it to vary.
        """
        if jitter_ms and not round_trip_ms:
            raise ValueError(
                f"placement.jitter_ms={jitter_ms:g}: varies the round trip, and "
                "placement.round_trip_ms is 0"
            )
        self._round_trip_ms = round_trip_ms
        self._jitter_ms = jitter_ms
        self._bandwidth_mbit_per_s = bandwidth_mbit_per_s
        self._seed = seed
        self._random = np.random.default_rng((seed, stream))

    def spawn(self, stream: int) -> Delays:
        """The same network with draws of its own."""
        return Delays(
            round_trip_ms=self._round_trip_ms,
            jitter_ms=self._jitter_ms,
            bandwidth_mbit_per_s=self._bandwidth_mbit_per_s,
            seed=self._seed,
            stream=stream,
        )

    def draw_ms(self, num_bytes: int) -> int:
        """The delay of one request.

        Args:
            num_bytes: Size of its body.
        """
        delay_ms = self._round_trip_ms
        if self._jitter_ms:
            # Mean k * theta and variance k * theta^2 of a gamma distribution.
            shape = (self._round_trip_ms / self._jitter_ms) ** 2
            delay_ms = self._random.gamma(shape, self._round_trip_ms / shape)
        if self._bandwidth_mbit_per_s is not None:
            delay_ms += num_bytes * _BITS_PER_BYTE / (self._bandwidth_mbit_per_s * 1e3)
        whole = math.floor(delay_ms)
        return whole + (self._random.random() < delay_ms - whole)
