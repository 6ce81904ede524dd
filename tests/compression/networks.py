"""Small networks to compress, one of them trained, and images that they can classify."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from bench.compression.precisions import Combination
from bench.serving.find_backend import built_in_backends, find_backend

SHAPE = (1, 8, 8)
NUM_CLASSES = 4


def images_and_labels(n: int, seed: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Noise with one bright quadrant, which is the class; shapes (n, 1, 8, 8) and (n,)."""
    rng = np.random.default_rng(seed)
    images = rng.uniform(0, 0.3, (n, *SHAPE)).astype(np.float32)
    labels = rng.integers(0, NUM_CLASSES, n)
    for image, label in zip(images, labels, strict=True):
        row, column = 4 * (label // 2), 4 * (label % 2)
        image[0, row : row + 4, column : column + 4] += 0.7
    return images, labels


def depthwise() -> nn.Module:
    """What MobileNets are made of, on a small scale: depthwise, pointwise, hard swish."""
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1, bias=False),
        nn.BatchNorm2d(16),
        nn.Hardswish(),
        nn.Conv2d(16, 16, 3, stride=2, padding=1, groups=16, bias=False),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        nn.Conv2d(16, 64, 1, bias=False),
        nn.BatchNorm2d(64),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(64 * 4 * 4, NUM_CLASSES),
    )


def trained(network: nn.Module) -> nn.Module:
    """The network after a few steps on such images, in evaluation mode."""
    images, labels = (torch.from_numpy(one) for one in images_and_labels(256, seed=0))
    optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
    network.train()
    for _ in range(30):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(network(images), labels)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return network.eval()


def logits_of(network: nn.Module, images: NDArray[np.float32]) -> NDArray[np.float32]:
    """Outputs of the network itself, (n, num_classes)."""
    with torch.no_grad():
        logits: NDArray[np.float32] = network(torch.from_numpy(images)).numpy()
    return logits


def combination(runtime: str, method: str, device: str = "cpu") -> Combination:
    """As bench.serving.find_backend makes it, also for devices that are not here."""
    known = tuple(built_in_backends().values())
    return Combination(backend=find_backend(runtime), method=method, device=device, known=known)
