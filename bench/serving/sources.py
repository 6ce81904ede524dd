"""Where the inputs and the network of a served model come from: a task, or a user's module.

A module of the user's own logs its qualities in steps that need its trainer, so what it answers
when it is served has no quality. What else serving needs of it are its inputs and its forward.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from typing_extensions import override

from bench.core.arrays import Inputs
from bench.core.records.model import Quality
from bench.core.store import read_record
from bench.runs.trained import load_network
from bench.serving.planted_skew import PlantedSkew
from bench.tasks.data import test_batches
from bench.tasks.feature_scale import FeatureScale
from bench.tasks.input_arrays import joined_array
from bench.tasks.lightning_module import forward_inputs
from bench.tasks.loaders import RawSplit
from bench.tasks.quality import recorded
from bench.tasks.task import Task, describe

# Outputs that an evaluation gets at once: any number gives the same quality.
_EVALUATED = 256
_Tensors = Tensor | Mapping[str, Tensor]
_How = Literal["by_name", "in_order", "whole"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TestSplit:
    """The test split as arrays.

    Attributes:
        inputs: Shape (n, ...): float32, or another type that the data has.
        targets: What is true, shape (n, ...); None for a user's module.
        raw: Pixels before they were standardised, if the data has them.
        output_shape: Shape of the outputs for one input; None if it is not known.
        scale: How the inputs were standardised, if the data says so.
        skew: The fault that is planted in the serving path.
    """

    inputs: Inputs
    targets: NDArray[Any] | None
    raw: RawSplit | None
    output_shape: tuple[int, ...] | None
    scale: FeatureScale | None = None
    skew: PlantedSkew | None = None

    def __len__(self) -> int:
        """The number of inputs."""
        return len(self.inputs)

    @property
    def served(self) -> Inputs:
        """The inputs as the serving path gives them to the model."""
        return self.inputs if self.skew is None else self.skew.apply(self.inputs)

    @property
    def checksum(self) -> int:
        """Checksum of inputs and targets, to notice a change."""
        targets = b"" if self.targets is None else self.targets.tobytes()
        return zlib.crc32(targets, zlib.crc32(self.inputs.tobytes()))


class Source(Protocol):
    """What serving needs of a training run."""

    def test_split(self) -> TestSplit:
        """The test split.

        Raises:
            ValueError: There is none, or its inputs cannot be served.
        """

    def training_inputs(self) -> Iterator[_Tensors]:
        """Inputs of the training split, batch by batch."""

    def network_maker(self) -> Callable[[], nn.Module]:
        """A function, which can be pickled, that loads the trained network."""

    def quality(self, outputs: NDArray[np.float32], test: TestSplit) -> Quality | None:
        """The quality of the outputs for the test split, in its order; None if it is not known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskSource:
    """A run of a built-in task."""

    task: Task
    folder: Path
    trust: Sequence[str]

    def test_split(self) -> TestSplit:
        """As in Source."""
        pairs = list(test_batches(self.task.data))
        targets = torch.cat([targets for _, targets in pairs])
        return TestSplit(
            inputs=joined_array([inputs for inputs, _ in pairs]),
            targets=targets.numpy(),
            raw=getattr(self.task.data, "raw_test", None),
            output_shape=self.task.output_shape(targets[:1])[1:],
            scale=getattr(self.task.data, "feature_scale", None),
        )

    def training_inputs(self) -> Iterator[_Tensors]:
        """As in Source."""
        return (inputs for inputs, _ in self.task.data.train_dataloader())

    def network_maker(self) -> Callable[[], nn.Module]:
        """As in Source."""
        return partial(load_network, self.folder, self.task.model_arguments(), list(self.trust))

    def quality(self, outputs: NDArray[np.float32], test: TestSplit) -> Quality:
        """As in Source, by the metrics of the task."""
        assert test.targets is not None, "the task has them"
        assert test.output_shape is not None, "the task decides it"
        evaluation = self.task.evaluation("test")
        shaped = torch.from_numpy(outputs).reshape(-1, *test.output_shape)
        targets = torch.from_numpy(test.targets)
        for start in range(0, len(targets), _EVALUATED):
            rows = slice(start, start + _EVALUATED)
            evaluation.update(shaped[rows], targets[rows])
        values = recorded(evaluation.compute())
        return Quality(at="served", num_samples=evaluation.num_samples, values=values)


class ModuleSource:
    """A run of a user's LightningModule."""

    def __init__(self, folder: Path, data: Any, trust: Sequence[str]) -> None:
        """Load the module, which shows how its forward is called.

        Args:
            folder: The run folder.
            data: The data of the run, set up.
            trust: Code that may be called besides this project's own.

        Raises:
            ValueError: The module cannot be loaded, or is not trusted.
        """
        self._data = data
        self._how: _How = "whole"
        # As in training: a learning rate of the command was given to the module.
        lr = read_record(folder).config.get("lr")
        arguments = {} if lr is None else {"lr": lr}
        self._load = partial(load_network, folder, arguments, list(trust))
        self._module: Any = self._load()

    def test_split(self) -> TestSplit:
        """As in Source."""
        batches = [self._tensors(batch) for batch in test_batches(self._data)]
        return TestSplit(
            inputs=joined_array(batches),
            targets=None,
            raw=None,
            output_shape=None,
            scale=getattr(self._data, "feature_scale", None),
        )

    def training_inputs(self) -> Iterator[_Tensors]:
        """As in Source."""
        return map(self._tensors, self._data.train_dataloader())

    def network_maker(self) -> Callable[[], nn.Module]:
        """As in Source; test_split() must have shown how the forward is called."""
        return partial(_loaded_module, self._load, self._how)

    def quality(self, outputs: NDArray[np.float32], test: TestSplit) -> None:
        """Nothing: only the module's own steps compute its qualities."""

    def _tensors(self, batch: Any) -> _Tensors:
        try:
            found = forward_inputs(self._module, batch)
        except ValueError as error:
            name = type(self._module).__name__
            raise ValueError(f"model {name}: cannot be served, {error}") from error
        tensors = found.tensors
        if found.by_name:
            self._how = "by_name"
        elif len(tensors) == 1:
            (tensors,) = tensors
        else:
            self._how = "in_order"
            tensors = {f"input_{place}": tensor for place, tensor in enumerate(tensors)}
        return tensors  # type: ignore[no-any-return]  # joined_array refuses anything else


def _loaded_module(load: Callable[[], nn.Module], how: _How) -> nn.Module:
    return ModuleNetwork(load(), how)


class ModuleNetwork(nn.Module):
    """Calls a module's forward as its batches show."""

    def __init__(self, module: nn.Module, how: _How) -> None:
        """Take the module.

        Args:
            module: In evaluation mode.
            how: Whether its forward takes the tensors of an input as arguments by name, as
                arguments in their order, or as one argument.
        """
        super().__init__()
        self.module = module
        self._how = how

    @override
    def forward(self, inputs: Any) -> Tensor:
        """What the module gives.

        Raises:
            ValueError: It is not one tensor.
        """
        if self._how == "by_name":
            outputs = self.module(**inputs)
        elif self._how == "in_order":
            outputs = self.module(*inputs.values())
        else:
            outputs = self.module(inputs)
        if not isinstance(outputs, Tensor):
            raise ValueError(f"forward gives {describe(outputs)}, must give one tensor")
        return outputs
