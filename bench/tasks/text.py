"""The data module of a text: its bytes are the tokens, and a model predicts each from those before.

The splits are contiguous, so that no part of the text is in two of them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pydoc_data.topics import topics
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset
from typing_extensions import override

from bench.tasks.loaders import Batch, BatchOrder, Index, distributed_world
from bench.tasks.own_files import locate_file
from bench.tasks.split_data import SplitDataModule

_NUM_TENTHS = {"train": 8, "val": 1, "test": 1}
_TITLES = {"train": "training", "val": "validation", "test": "test"}


def text(*, path: str | None = None, root: str | None = None, **options: Any) -> TextDataModule:
    """A text file, or without a path the English text of Python's own help."""
    return TextDataModule(read=partial(read_text, path, root), **options)


def read_text(path: str | None, root: str | None) -> bytes:
    """Read a text file, or Python's help on its language: about 700 kB that every Python has.

    The help differs between versions of Python.

    Args:
        path: The file; None takes Python's help.
        root: The folder that the file is in; see locate_file().

    Raises:
        ValueError: The file is missing, empty or cannot be read.
    """
    if path is None:
        return "\n".join(topics[name] for name in sorted(topics)).encode()
    data = locate_file(path, root).read_bytes()
    if not data:
        raise ValueError(f"data.path={path}: the file is empty; give one with text")
    return data


@dataclass(eq=False)
class WindowSplit(Dataset[Batch]):
    """A part of a text. Its index is a batch of windows, each by the place of its first token.

    Attributes:
        tokens: The bytes, uint8 of shape (n,).
        context: Tokens of a window.
    """

    tokens: Tensor
    context: int

    def __len__(self) -> int:
        """The number of windows side by side, each with a token after its last."""
        return (len(self.tokens) - 1) // self.context

    def __getitem__(self, index: Index) -> Batch:
        """Tokens and the tokens after each of them, both int64 of shape (n, context)."""
        places = torch.from_numpy(index)[:, None] + torch.arange(self.context + 1)
        windows = self.tokens[places].long()
        return windows[:, :-1].contiguous(), windows[:, 1:].contiguous()


@dataclass(eq=False, kw_only=True)
class WindowOrder(BatchOrder):
    """The windows of a pass, by the place of their first token: shuffled, or side by side.

    A shuffled pass draws as many windows as lie side by side, at any place, so that they overlap.

    Attributes:
        num_tokens: Tokens of the split.
        context: Tokens of a window.
    """

    num_tokens: int
    context: int

    @override
    def _draw(self) -> Index:
        if not self.shuffle:
            places: Index = np.arange(self.num_samples) * self.context
            return places
        last = self.num_tokens - self.context  # the target of a window's last token must exist
        return torch.randint(last, (self.num_samples,), generator=self._generator).numpy()


@dataclass(kw_only=True, eq=False)
class TextDataModule(SplitDataModule):
    """Windows of a text: the first 80% of it to train on, 10% to validate, 10% to test.

    A sample is a token, but batch_size and eval_batch_size count windows. Training reads windows
    at random places; the other splits are read side by side, without a last one that is not full.

    Nothing is read before setup(), which sets the attributes after `context`.

    Attributes:
        read: Reads the text.
        context: Tokens of a window, which is also the longest sequence that a model sees.
        input_shape: (context,).
        data_hash: SHA-256 of the text.
    """

    read: Callable[[], bytes]
    context: int
    input_shape: tuple[int] = field(init=False)
    data_hash: str = field(init=False)

    vocabulary_size = 256
    bytes_per_token = 1.0

    @property
    def samples_per_example(self) -> int:
        """Tokens of one window."""
        return self.context

    @override
    def setup(self, stage: str = "fit") -> None:
        """Read and split the text, once.

        Raises:
            ValueError: The text cannot be read or is too short, or the batch is larger than the
                training split.
        """
        if self.splits:
            return
        data = self.read()
        tokens = torch.from_numpy(np.frombuffer(data, np.uint8).copy())
        splits = _cut(tokens, self.context)
        num_windows = len(splits["train"])
        if self.batch_size > num_windows:
            raise ValueError(
                f"batch_size={self.batch_size}: larger than the {num_windows} windows of "
                f"data.context={self.context} tokens in the training split; use at most that many"
            )
        self.splits.update(splits)
        self.num_train_samples = num_windows * self.context
        self.input_shape = (self.context,)
        self.data_hash = hashlib.sha256(data).hexdigest()

    @override
    def train_order(self) -> BatchOrder:
        """Windows at random places, as many as lie side by side."""
        return self._order(
            "train",
            batch_size=self.batch_size,
            shuffle=True,
            drop_last=True,
            seed=self.seed,
            world=distributed_world,
        )

    @override
    def eval_order(self, name: str) -> BatchOrder:
        """Windows side by side."""
        return self._order(name, batch_size=self.eval_batch_size)

    def _order(self, name: str, **options: Any) -> WindowOrder:
        split: WindowSplit = self.splits[name]
        return WindowOrder(
            num_samples=len(split), num_tokens=len(split.tokens), context=self.context, **options
        )


def _cut(tokens: Tensor, context: int) -> dict[str, WindowSplit]:
    if context < 1:
        raise ValueError(f"data.context={context}: must be at least 1")
    splits, start = {}, 0
    for name, tenths in _NUM_TENTHS.items():
        end = len(tokens) if name == "test" else start + len(tokens) * tenths // 10
        if end - start <= context:
            raise ValueError(
                f"data.context={context}: the {_TITLES[name]} split has only {end - start} tokens, "
                f"of a text of {len(tokens)}; use a longer text, or a context of at most "
                f"{max(len(tokens) // 10 - 1, 0)}"
            )
        splits[name] = WindowSplit(tokens[start:end], context)
        start = end
    return splits
