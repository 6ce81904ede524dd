"""Contexts that put modules and data back as they were before."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from pytorch_lightning.utilities.seed import isolate_rng
from torch import nn

from bench.tasks.snapshot import Snapshot


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Run the body in evaluation mode, then give each part the mode that it had."""
    modes = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for part, training in modes:
            part.training = training


@contextmanager
def unchanged(modules: Sequence[nn.Module], data: object = None) -> Iterator[None]:
    """Run the body, then put modules, data and all random states back.

    That includes every weight and buffer, the mode of each part, and whatever else modules and data
    keep: counters, lists, caches, generators, attributes of the user's own classes. Each object
    stays the same object (bench.tasks.snapshot). Some things cannot be put back: an open file, a
    Python generator, a global variable of a module.

    Args:
        modules: The modules to put back.
        data: A data module to put back, except for its samples.
    """
    on_cuda = torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
    snapshot = Snapshot(modules, data)
    with isolate_rng(include_cuda=on_cuda):
        try:
            yield
        finally:
            snapshot.restore()
