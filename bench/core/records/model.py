"""Size and quality of the trained model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import model_serializer, model_validator


@dataclass(frozen=True, slots=True, kw_only=True)
class Quality:
    """Quality on one split.

    In JSON, the values stand beside the other fields: `quality.accuracy`.

    Attributes:
        at: Which model was evaluated: the one at the `crossing`, the one at the `end` of a run that
            missed, or the one that was `served`.
        num_samples: Size of the split, in samples of the task. None for a user's own training loop,
            which only says what it measured, and where batches do not show their size.
        values: Values of the task's metrics, by name; None if a value is not a finite number.
    """

    at: Literal["crossing", "end", "served"]
    num_samples: int | None
    values: dict[str, float | None] = field(default_factory=dict)

    def __getitem__(self, name: str) -> float | None:
        """The value of a metric.

        Raises:
            KeyError: The task does not report it.
        """
        return self.values[name]

    @model_validator(mode="before")
    @classmethod
    def _from_json(cls, fields: Any) -> Any:
        if not isinstance(fields, Mapping):
            return fields
        rest = {name: value for name, value in fields.items() if name not in RESERVED}
        return {name: fields[name] for name in RESERVED if name in fields} | {"values": rest}

    @model_serializer
    def _to_json(self) -> dict[str, Any]:
        return {"at": self.at, "num_samples": self.num_samples, **self.values}


# Names that no metric can have, because they stand beside its value.
RESERVED = ("at", "num_samples")


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFacts:
    """Size of the trained model, or of the served model.

    Attributes:
        name: Name of the model.
        num_parameters: All parameters.
        size_bytes: Size of `checkpoint.pt`, the weights as PyTorch saves them. For `bench.serve`,
            the size of all files of the served model. With `ProfilerCallback`, the size that the
            weights of the module would have as such a file.
        flops_per_sample: Floating-point operations of one forward pass of one sample, by torch's
            `FlopCounterMode` (a multiply-add counts two).
        flops_uncounted_ops: Operators without a formula in the counter, which are not in the sum.
    """

    name: str
    num_parameters: int | None = None
    size_bytes: int | None = None
    flops_per_sample: int | None = None
    flops_uncounted_ops: list[str] = field(default_factory=list)
