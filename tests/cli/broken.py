"""Models that fail as real ones do, for the tests of the command."""

from __future__ import annotations

import math
import os
import signal
import threading
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn


class Linear(nn.Module):
    """Takes what every model takes; the others break in training."""

    def __init__(self, *, input_shape: tuple[int, int, int], num_classes: int) -> None:
        super().__init__()
        channels, height, width = input_shape
        self.layer = nn.Linear(channels * height * width, num_classes)
        self.num_training_calls = 0

    def forward(self, images: Tensor) -> Tensor:
        if self.training and torch.is_grad_enabled():
            self.num_training_calls += 1
            self.misbehave()
        logits: Tensor = self.layer(images.flatten(1))
        return logits

    def misbehave(self) -> None:
        """Do nothing wrong."""


class Raises(Linear):
    """Fails with a plain error after some evaluations."""

    def misbehave(self) -> None:
        if self.num_training_calls > 30:
            raise RuntimeError("a bug in the model")


class KillsItself(Linear):
    """Ends as the kernel ends a process when memory runs out, between two evaluations."""

    def misbehave(self) -> None:
        if self.num_training_calls > 30:
            os.kill(os.getpid(), signal.SIGKILL)


class IsToldToEnd(Linear):
    """Gets the SIGTERM that someone sends to the job alone, and once more while it ends."""

    def misbehave(self) -> None:
        if self.num_training_calls > 30:
            threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGTERM)).start()
            os.kill(os.getpid(), signal.SIGTERM)


class RunsOutOfMemory(Linear):
    """Asks the allocator for more than any machine has."""

    def misbehave(self) -> None:
        torch.empty(2**60, dtype=torch.uint8)


class Diverges(Linear):
    """Its logits are not numbers once training has begun."""

    def forward(self, images: Tensor) -> Tensor:
        factor = float("nan") if self.num_training_calls > 30 else 1.0
        return super().forward(images) * factor


class Slow(Linear):
    """Leaves time to be interrupted."""

    def misbehave(self) -> None:
        time.sleep(0.05)


class CannotBeBuilt(nn.Module):
    """Wants something that it is not given."""

    def __init__(self, *, input_shape: Any, num_classes: int) -> None:
        super().__init__()
        raise ValueError("width=0: must be at least 1")


class Locked(nn.Module):
    """Cannot be pickled or copied: it holds a lock and a lambda."""

    def __init__(self, input_shape: tuple[int, int, int], num_classes: int) -> None:
        super().__init__()
        self.head = nn.Linear(math.prod(input_shape), num_classes)
        self.lock = threading.Lock()
        self.scale: Callable[[Tensor], Tensor] = lambda logits: logits * 2.0

    def forward(self, images: Tensor) -> Tensor:
        with self.lock:
            logits: Tensor = self.scale(self.head(images.flatten(1)))
        return logits
