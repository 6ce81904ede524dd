"""Contexts that leave modules and data as they were, whatever is done with them meanwhile."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from pytorch_lightning.utilities.seed import isolate_rng
from torch import nn

from bench.tasks.snapshot import Snapshot


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Evaluation mode for the body; parts that were frozen in it stay so afterwards."""
    modes = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for part, training in modes:
            part.training = training


@contextmanager
def unchanged(modules: Sequence[nn.Module], data: object = None) -> Iterator[None]:
    """Put modules, data and all random states back as they were.

    That is every weight and buffer, persistent or not, the mode of each part, and whatever else
    the modules and the data keep: counters, lists, caches, generators, attributes of the user's
    own classes. Each object stays the same object (bench.tasks.snapshot). What cannot be put back
    is left: an open file, a Python generator, a global variable of a module.

    Args:
        modules: Are put back.
        data: A data module that is put back too, but for its samples.
    """
    on_cuda = torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
    snapshot = Snapshot(modules, data)
    with isolate_rng(include_cuda=on_cuda):
        try:
            yield
        finally:
            snapshot.restore()
