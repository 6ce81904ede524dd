"""How much a short training step varies here, and what slowdown the gate could find in that.

The step is one of the digits MLP: small enough that most of it is PyTorch's own work, so it shows
disturbances of the processor and not of memory. All repeats are made in one process. Runs of a
command are processes of their own and differ more, so the slowdowns are the best that can be hoped
for; bench.noise measures whole runs.
"""

from __future__ import annotations

import bisect
import math
import time
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from torch.nn.functional import cross_entropy

from bench.core.arrays import Floats
from bench.core.metrics import METRICS
from bench.core.stats.ranks import ALPHA, p_better
from bench.diagnosis.model import StepNoise
from bench.gate.rule.effect import loss_of
from bench.gate.rule.power import reaches
from bench.measure.clock import Clock
from bench.tasks.models import Mlp

BATCH_SIZE = 32
_REPEAT_S = 0.1  # ten ticks of the kernel's clock: shorter repeats would hide what comes in bursts
_WARM_UP_S = 0.3

# The comparison to imagine: of this metric alone, as with metrics=[time_per_sample_s].
_METRIC = METRICS["target.time_per_sample_s"]
# A slowdown counts as found if this share of comparisons finds it.
_FOUND_FRAC = 0.9
_NUM_COMPARISONS = 200
_SLOWDOWNS_FRAC = np.concatenate([[0.0], np.geomspace(1e-3, 10.0, 300)])


def step_times_s(num_repeats: int, clock: Clock = time.perf_counter) -> tuple[Floats, int]:
    """Time the same steps again and again.

    Args:
        num_repeats: How often.
        clock: Monotonic seconds.

    Returns:
        Seconds of a step in each repeat, shape (num_repeats,), and the steps of a repeat.
    """
    step = _make_step()
    num_steps = _num_steps(step, clock)
    times_s = [_time_s(step, num_steps, clock) / num_steps for _ in range(num_repeats)]
    return np.array(times_s), num_steps


def _make_step() -> Callable[[], None]:
    generator = torch.Generator().manual_seed(0)
    inputs = torch.rand(BATCH_SIZE, 1, 8, 8, generator=generator)
    classes = torch.randint(10, (BATCH_SIZE,), generator=generator)
    model = Mlp((1, 8, 8), 10, width=64, depth=1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)

    def step() -> None:
        optimizer.zero_grad()
        loss = cross_entropy(model(inputs), classes)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()

    return step


def _num_steps(step: Callable[[], None], clock: Clock) -> int:
    """Warm up, and count how many steps make a repeat."""
    started_s = clock()
    num_steps = 0
    while clock() - started_s < _WARM_UP_S:
        step()
        num_steps += 1
    return max(1, math.ceil(num_steps * _REPEAT_S / _WARM_UP_S))


def _time_s(step: Callable[[], None], num_steps: int, clock: Clock) -> float:
    started_s = clock()
    for _ in range(num_steps):
        step()
    return clock() - started_s


def step_noise(times_s: Floats, num_steps: int, nums_runs: Sequence[int]) -> StepNoise:
    """Summarize repeats.

    Args:
        times_s: Seconds of a step in each repeat, shape (n,), n >= 2.
        num_steps: Steps of a repeat.
        nums_runs: Runs on each side of the comparisons to imagine.
    """
    return StepNoise(
        num_repeats=len(times_s),
        num_steps=num_steps,
        step_s=float(np.median(times_s)),
        variation_frac=float(np.std(times_s, ddof=1) / np.mean(times_s)),
        slowdown_frac=_smallest_slowdowns(times_s, nums_runs),
    )


def _smallest_slowdowns(times_s: Floats, nums_runs: Sequence[int]) -> Mapping[int, float | None]:
    """By the number of runs, the slowdown that nine of ten comparisons find.

    Both sides of a comparison are drawn from the repeats with replacement, and one side is slowed
    down. The larger the slowdown, the larger the loss and the smaller p, so each comparison has a
    smallest slowdown that the rule of the gate finds; of all, the 90th percentile is taken.
    """
    random = np.random.default_rng(0)
    smallest = {}
    for num in nums_runs:
        found = [
            _smallest_found(*random.choice(times_s, (2, num))) for _ in range(_NUM_COMPARISONS)
        ]
        slowdown = float(np.quantile(found, _FOUND_FRAC, method="higher"))
        smallest[num] = slowdown if math.isfinite(slowdown) else None
    return smallest


def _smallest_found(base: Floats, head: Floats) -> float:
    """The smallest slowdown of the head that the gate finds; infinite for none of those tried."""
    found = bisect.bisect_left(
        _SLOWDOWNS_FRAC, True, key=lambda frac: _is_found(base, head * (1 + frac))
    )
    return float(_SLOWDOWNS_FRAC[found]) if found < len(_SLOWDOWNS_FRAC) else math.inf


def _is_found(base: Floats, head: Floats) -> bool:
    """Whether the gate calls this a regression: an effect that counts, and evidence for it."""
    loss = loss_of(base, head, _METRIC.direction)
    is_worse = loss >= _METRIC.least_effect_frac
    return is_worse and reaches(p_better(base, head, _METRIC.direction), ALPHA)
