"""What a run learns: the loss, the qualities, and what one sample is.

A task is made for one data set, once that is set up. It is the one place that knows what inputs,
targets and outputs look like; the training, the serving and the record ask it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

from torch import Tensor, nn

from bench.core.metric import Better
from bench.core.qualities import QUALITIES
from bench.core.records.task import TaskFacts
from bench.tasks.evaluation import Evaluation
from bench.tasks.user_metrics import UserMetrics

Sample = Literal["image", "row", "token"]
Split = Literal["train", "val", "test"]


class Task(ABC):
    """A kind of learning, on one data set.

    Attributes:
        name: Value of the key `task`.
        needs: Attributes that the data must have after setup() besides num_train_samples, and how
            to provide each.
        data: The data, set up.
        samples_per_example: Samples that one row of a batch holds: 1, or the tokens of a sequence.
        input_word: What a row of a batch is called in messages.
        target_word: What its target is called.
        output_word: What the model gives for it.
    """

    name: ClassVar[str]
    needs: ClassVar[Mapping[str, str]]
    target_word: ClassVar[str] = "targets"
    output_word: ClassVar[str] = "outputs"

    def __init__(
        self,
        data: Any,
        metrics: Mapping[str, Any] | None = None,
        *,
        label_smoothing: float = 0.0,
    ) -> None:
        """Take the data.

        Args:
            data: Has the attributes of `needs`.
            metrics: The user's torchmetrics objects by name.
            label_smoothing: The share of each target that the training loss spreads evenly over all
                classes, in [0, 1); for tasks whose targets are classes or labels.

        Raises:
            ValueError: A metric cannot be used.
        """
        self.data = data
        self.samples_per_example = int(getattr(data, "samples_per_example", 1))
        self.input_word = "images" if len(data.input_shape) == 3 else "inputs"
        self._metrics = UserMetrics(metrics or {}, self.own_names())
        self._label_smoothing = label_smoothing

    @property
    def num_train_examples(self) -> int:
        """Rows of all batches of one pass over the training split."""
        return int(self.data.num_train_samples) // self.samples_per_example

    @property
    @abstractmethod
    def kind(self) -> str:
        """The kind of the task, which follows from the data: `multiclass`, for example."""

    @property
    def sample(self) -> Sample:
        """What is counted as one sample."""
        return "image" if len(self.data.input_shape) == 3 else "row"

    @abstractmethod
    def own_names(self) -> tuple[str, ...]:
        """The qualities that the task itself reports on this data."""

    def directions(self) -> dict[str, Better | None]:
        """The better direction of each quality that is reported; None if it is not known."""
        own: dict[str, Better | None] = {name: QUALITIES[name].mode for name in self.own_names()}
        return own | dict(self._metrics.directions)

    def facts(self) -> TaskFacts:
        """What the record says of the task."""
        known = {name: mode for name, mode in self.directions().items() if mode is not None}
        return TaskFacts(
            name=self.name,
            kind=self.kind,
            sample=self.sample,
            directions=known,
            data_hash=getattr(self.data, "data_hash", None),
        )

    @abstractmethod
    def model_arguments(self) -> dict[str, Any]:
        """What the data decides of a model, as arguments of its class."""

    def whole_model(self, network: nn.Module) -> nn.Module:
        """Add what the task itself does to the outputs of a network, to train and serve it too."""
        return network

    @abstractmethod
    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Loss that a training step minimises, a scalar."""

    @abstractmethod
    def predictions(self, outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Turn outputs and targets into what torchmetrics takes: probabilities or values."""

    @abstractmethod
    def require_targets(self, targets: Tensor, num: int, where: str) -> None:
        """Refuse targets of a batch that the task cannot learn.

        Args:
            targets: Of a batch of `num` rows.
            num: Number of rows.
            where: The loader that gave them, for the error.

        Raises:
            ValueError: They have another shape, type or range.
        """

    @abstractmethod
    def output_shape(self, targets: Tensor) -> tuple[int, ...]:
        """The shape of the outputs for targets of a batch."""

    def require_outputs(self, outputs: Any, targets: Tensor) -> None:
        """Refuse outputs of another shape than the task needs.

        Raises:
            ValueError: They are no tensor or have another shape.
        """
        wanted = self.output_shape(targets)
        text = f"model: must give {self.output_word} of shape ({shape_text(wanted)})"
        if not isinstance(outputs, Tensor):
            raise ValueError(f"{text}, gave {describe(outputs)}")
        if not self._is_output_shape(tuple(outputs.shape), wanted):
            raise ValueError(f"{text}, gave shape ({shape_text(outputs.shape)})")

    def _is_output_shape(self, shape: tuple[int, ...], wanted: tuple[int, ...]) -> bool:
        return shape == wanted

    def evaluation(self, split: Split) -> Evaluation:
        """Begin to evaluate a split, whose batches must come in the order of its loader."""
        self._metrics.reset()
        return _TaskEvaluation(self, self._own_evaluation(split), self._metrics)

    @abstractmethod
    def _own_evaluation(self, split: Split) -> Evaluation:
        """An accumulator of the task's own qualities."""


class _TaskEvaluation:
    """Adds the user's metrics to the qualities of the task."""

    def __init__(self, task: Task, own: Evaluation, metrics: UserMetrics) -> None:
        self._task = task
        self._own = own
        self._metrics = metrics

    @property
    def num_samples(self) -> int:
        """The number of samples so far."""
        return self._own.num_samples

    def update(self, outputs: Tensor, targets: Tensor) -> None:
        """Add a batch."""
        self._own.update(outputs, targets)
        if self._metrics.directions:
            self._metrics.update(*self._task.predictions(outputs, targets))

    def compute(self) -> dict[str, float]:
        """Compute all qualities."""
        return self._own.compute() | self._metrics.compute()


def describe(value: Any) -> str:
    """Say what a value is, for an error: `a list of 2`, `a Tensor`."""
    name = type(value).__name__
    return f"a {name} of {len(value)}" if isinstance(value, tuple | list | dict) else f"a {name}"


def shape_text(shape: Sequence[int]) -> str:
    """Write numbers for an error: `1, 8, 8`."""
    return ", ".join(map(str, shape))


def wrong_targets(where: str, word: str, wanted: str, targets: Tensor) -> ValueError:
    """The error for targets of another type or shape."""
    kind = str(targets.dtype).removeprefix("torch.")
    return ValueError(
        f"data: {word} of {where} must be {wanted}, are {kind} of shape "
        f"({shape_text(targets.shape)})"
    )
