"""What a plain PyTorch loop takes: time, joules with their label and error, and health."""

import torch
from torch import nn

from bench.measure.window import Window


def train() -> None:
    """Fit noise for a moment."""
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
