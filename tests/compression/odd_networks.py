"""User networks with attributes that cannot be pickled or copied, but that can be built again."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tests.compression.networks import NUM_CLASSES, SHAPE

_NUM_PIXELS = SHAPE[0] * SHAPE[1] * SHAPE[2]


class _Net(nn.Module):
    """Two products of matrices, for which torch.compile need not compile a kernel in C++."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Linear(_NUM_PIXELS, 32)
        self.head = nn.Linear(32, NUM_CLASSES, bias=False)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.head(self.body(images.flatten(1)))
        return logits


class WithLambda(_Net):
    def __init__(self) -> None:
        super().__init__()
        self.scale: Callable[[Tensor], Tensor] = lambda x: x * 2.0

    def forward(self, images: Tensor) -> Tensor:
        return self.scale(super().forward(images))


class WithLock(_Net):
    def __init__(self) -> None:
        super().__init__()
        self.lock = threading.Lock()


class WithOpenFile(_Net):
    def __init__(self) -> None:
        super().__init__()
        self.log = Path(__file__).open()  # noqa: SIM115 -- a user's own fault, and harmless


class WithWeakref(_Net):
    def __init__(self) -> None:
        super().__init__()
        self.parent = weakref.ref(self.head)


class WithHook(_Net):
    def __init__(self) -> None:
        super().__init__()
        self.body.register_forward_hook(lambda module, images, output: output + 1.0)


class WithComputedTensor(_Net):
    """Holds a tensor that is not a leaf: deepcopy refuses it, and pickle takes it."""

    def __init__(self) -> None:
        super().__init__()
        self.last = self.head.weight.sum()


class WithGenerator(_Net):
    def __init__(self) -> None:
        super().__init__()
        self.numbers = (one for one in range(3))


class WithExtraState(_Net):
    """Its extra state is no tensor, and its lambda has it saved as weights."""

    def __init__(self) -> None:
        super().__init__()
        self.factor, self.scale = 1.0, lambda x: x

    def get_extra_state(self) -> dict[str, Any]:
        return {"factor": self.factor, "names": ["a", "b"]}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        self.factor = state["factor"]

    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images) * self.factor


def local_class() -> nn.Module:
    """Its class is defined in a function, where pickle does not find it."""

    class Local(_Net):
        pass

    return Local()


def made(kind: Callable[[], nn.Module]) -> nn.Module:
    """The same network at each call, in evaluation mode."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = kind()
    if isinstance(network, WithExtraState):
        network.factor = 3.0
    return network.eval()


KINDS: list[Callable[[], nn.Module]] = [
    *(WithLambda, WithLock, WithOpenFile, WithWeakref, WithHook, WithComputedTensor),
    *(WithGenerator, WithExtraState, local_class),
]
