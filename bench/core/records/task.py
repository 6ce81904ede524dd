"""What a run learned."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskFacts:
    """The task of a run, as it followed from the configuration and the data.

    Attributes:
        name: Value of the key `task`; `own` for a user's own training loop.
        kind: Kind of the task, which follows from the data: `multiclass`, `binary`, `multilabel`,
            `regression`, `next_token` or, with task=module, `module`; `own` for a training of one's
            own.
        sample: What is counted as one sample: an `image`, a `row` of a table or a `token`; `sample`
            if nobody knows. To `bench.serve`, a request of a language model is a `sequence`.
            Throughput, latency and joules per sample are those of one.
        directions: For each quality that the run reports, which direction is better: `max` or
            `min`. A metric whose direction nobody knows has none.
        data_hash: Hash of the data, if the data gives one: two runs on different versions of a file
            cannot be compared.
    """

    name: str
    kind: str
    sample: str
    directions: dict[str, Literal["max", "min"]] = field(default_factory=dict)
    data_hash: str | None = None
