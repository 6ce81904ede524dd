"""Exports to ONNX that are made once: one takes up to a second, and a test may need several."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import torch


class Exports:
    """Keeps the program that torch.onnx.export makes of a network, for all further models of it."""

    def __init__(self) -> None:
        self._kept: dict[str, Any] = {}

    @contextmanager
    def once(self, network: str) -> Iterator[None]:
        """In the block only this network is exported, and only the first time under this name."""
        export = torch.onnx.export

        def first(*arguments: Any, **options: Any) -> Any:
            if network not in self._kept:
                self._kept[network] = export(*arguments, **options)
            return self._kept[network]

        with mock.patch.object(torch.onnx, "export", first):
            yield
