"""Exports to ONNX that are made once: one takes up to a second, and a test may need several."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import torch
from torch import nn


class Exports:
    """Keeps the program that torch.onnx.export makes of a network, for all further models of it."""

    def __init__(self) -> None:
        self._kept: dict[str, tuple[Any, dict[str, torch.Tensor]]] = {}

    @contextmanager
    def once(self, network: str) -> Iterator[None]:
        """In the block only the network of this name is exported, and only the first time.

        A network with other weights fails the test.
        """
        export = torch.onnx.export

        def first(model: nn.Module, *arguments: Any, **options: Any) -> Any:
            if network not in self._kept:
                weights = {name: each.clone() for name, each in model.state_dict().items()}
                self._kept[network] = export(model, *arguments, **options), weights
            program, weights = self._kept[network]
            torch.testing.assert_close(model.state_dict(), weights, rtol=0, atol=0)
            return program

        with mock.patch.object(torch.onnx, "export", first):
            yield
