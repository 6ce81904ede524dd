"""The configuration of the serving probe that ends a training."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class ProbeConfig:
    """How long and with what the model is probed."""

    # p99 needs 662 requests.
    num_requests: int = 1000
    warmup_requests: int = 50
    batch_sizes: Sequence[int] = (1, 8, 64, 256)
    min_batch_s: float = 0.25
    max_s: float = 10.0

    def __post_init__(self) -> None:
        """Check ranges.

        Raises:
            ValueError: A value is out of range; the message names the key.
        """
        if self.num_requests < 1:
            raise ValueError(f"probe.num_requests={self.num_requests}: must be at least 1")
        if self.warmup_requests < 0:
            raise ValueError(f"probe.warmup_requests={self.warmup_requests}: must be at least 0")
        if not self.batch_sizes or min(self.batch_sizes) < 1:
            raise ValueError(
                f"probe.batch_sizes={list(self.batch_sizes)}: must be one or more sizes, each at "
                "least 1"
            )
        for key in ("min_batch_s", "max_s"):
            value = getattr(self, key)
            if not 0 < value < math.inf:
                raise ValueError(f"probe.{key}={value}: must be a positive number of seconds")
