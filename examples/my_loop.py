"""Measure a plain PyTorch loop: time, joules with their label and error bound, and health.

Run it with `python my_loop.py`. The loop needs no change: `Window` measures its `with` block.
"""

import torch
from torch import nn

from bench.measure.window import Window


def train() -> None:
    """Fit random labels for a moment, as a stand-in for your own training."""
    model = nn.Sequential(nn.Linear(64, 256), nn.ReLU(), nn.Linear(256, 10))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    images, labels = torch.randn(32, 64), torch.randint(10, (32,))
    for _ in range(500):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(images), labels).backward()
        optimizer.step()


with Window() as window:
    train()
print(window.time_s, window.energy_j, window.energy_label, window.energy_error_frac)
print(window.health, window.utilization)
