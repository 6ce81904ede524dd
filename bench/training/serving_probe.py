"""The serving probe: latency of one prediction, throughput in batch, joules per prediction.

It runs in this process in a closed loop, from a tensor on the device to outputs on the device,
without a network or a queue. It has four parts: warm-up, requests of one input each, a short trial
of each batch size, and a window for throughput and joules at the best one. None takes longer than
max_s. Inputs are cycled, so that no request repeats the one before.

The window consists of groups of batches. Throughput is that of the median group: what disturbs the
machine for some milliseconds would move the mean, and with it every comparison of two runs.
"""

from __future__ import annotations

import itertools
import logging
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from torch.utils._pytree import tree_leaves

from bench.config.train import ProbeConfig
from bench.core.records.serving import Serving
from bench.core.stats.percentiles import latency_percentile
from bench.measure.clock import Clock
from bench.measure.energy import MIN_REFRESHES, EnergyWindow, WindowEnergy, per_item
from bench.measure.meter_set import MeterSet
from bench.tasks.lightning_module import num_rows, take_rows
from bench.training.batch_timing import Throughput, Timing, nearly_best, per_second, together

_log = logging.getLogger(__name__)


# Each batch size is tried in groups of this share of min_batch_s, and the fastest one counts, since
# a disturbance rarely meets all. After the first round, only sizes within a factor of two go on.
_TRIAL_FRAC = 0.125
_NUM_ROUNDS = 3
_FAR_FRAC = 0.5
# Sizes that come this close to the best one are compared again, for min_batch_s each.
_CLOSE_FRAC = 0.9
_MOST_GROWTH = 100.0  # of the number of batches, since the first batches may take unusually long
_NUM_GROUPS = 20  # of the window, or one per batch if batches take longer


@torch.inference_mode()
def probe_serving(
    network: nn.Module,
    inputs: Any,
    *,
    samples_per_input: int,
    config: ProbeConfig,
    synchronize: Callable[[], None],
    meters: MeterSet,
    clock: Clock = time.perf_counter,
) -> Serving:
    """Measure what it costs to serve a model.

    Args:
        network: Maps inputs to outputs in the precision to measure. It is put into evaluation mode.
        inputs: On the network's device, shape (n, ...), n >= 1; or several such tensors in tuples,
            lists and dicts. With fewer than twice the largest batch size, batches of that size
            share inputs.
        samples_per_input: Samples that an input holds. Throughput and joules are per sample, and
            latencies are those of one input.
        config: Sizes and times.
        synchronize: Waits until the device has finished its work.
        meters: Open energy meters.
        clock: Gives monotonic seconds.

    Returns:
        A percentile is None if there are too few samples for it, and joules are None if the meter
        does not resolve them.

    Raises:
        ValueError: There is no input.
    """
    if num_rows(inputs) == 0:
        shape = tuple(tree_leaves(inputs)[0].shape)
        raise ValueError(f"inputs of shape {shape}: the probe needs at least one")
    network.eval()
    prober = _Prober(network, inputs, config, synchronize, clock)
    latencies_ms = prober.latencies_ms()
    best = prober.best_batch_size()
    found, spent = (None, None) if best is None else prober.measured(best, meters)
    return _as_recorded(latencies_ms, found, spent, samples_per_input)


def _as_recorded(
    latencies_ms: Sequence[float],
    found: Throughput | None,
    spent: WindowEnergy | None,
    samples_per_input: int,
) -> Serving:
    """Put the measurements into a record; `spent` is the energy of the inputs of `found`."""
    num = found.num_inputs * samples_per_input if found else 0
    return Serving(
        num_requests=len(latencies_ms),
        latency_p50_ms=latency_percentile(latencies_ms, 0.5),
        latency_p90_ms=latency_percentile(latencies_ms, 0.9),
        latency_p99_ms=latency_percentile(latencies_ms, 0.99),
        throughput_per_s=found.per_s * samples_per_input if found else None,
        throughput_batch_size=found.batch_size if found else None,
        energy_per_prediction_j=spent.total_j / num if spent and spent.total_j else None,
        energy_per_prediction_label=spent.label if spent else None,
        energy_per_prediction_error_frac=spent.error_frac if spent else None,
        energy_per_prediction_components=per_item(spent.rows, num) if spent else [],
    )


@dataclass
class _Prober:
    """Makes the measurements of a model on its device."""

    _network: nn.Module
    _inputs: Any
    _config: ProbeConfig
    _synchronize: Callable[[], None]
    _clock: Clock
    _cycles: dict[int, Iterator[Any]] = field(default_factory=dict)

    def latencies_ms(self) -> list[float]:
        """Time one input after another, each until its outputs are there, without the warm-up."""
        # The same input again and again could be answered faster, from caches.
        inputs = itertools.cycle(_batches(self._inputs, 1))
        self._requests_ms(inputs, self._config.warmup_requests)
        return self._requests_ms(inputs, self._config.num_requests)

    def _requests_ms(self, inputs: Iterator[Any], num_requests: int) -> list[float]:
        """Time this many requests, or as many as max_s allows."""
        latencies_ms: list[float] = []
        self._synchronize()
        end_s = self._clock()
        deadline_s = end_s + self._config.max_s
        while len(latencies_ms) < num_requests and end_s < deadline_s:
            one = next(inputs)
            start_s = self._clock()
            self._network(one)
            self._synchronize()
            end_s = self._clock()
            latencies_ms.append((end_s - start_s) * 1e3)
        return latencies_ms

    @property
    def _least_s(self) -> float:
        """Shortest time for which a batch size is timed."""
        return min(self._config.min_batch_s, self._config.max_s)

    def best_batch_size(self) -> Timing | None:
        """Find the batch size with the highest throughput that memory and max_s allow.

        Only the sizes that may be the best are timed for min_batch_s, since no other is reported.

        Returns:
            Its timing; None if no size fits.
        """
        trials = self._first_round()
        for _ in range(_NUM_ROUNDS - 1):
            # Take turns, so that a slow moment of the machine meets all sizes alike.
            trials = [self._tried_again(one) for one in nearly_best(trials, _FAR_FRAC)]
        close = nearly_best(trials, _CLOSE_FRAC)
        if len(close) > 1:
            close = [self._grown(one, self._least_s) for one in close]
        return max(close, key=per_second, default=None)

    def _first_round(self) -> list[Timing]:
        trials: list[Timing] = []
        # From the smallest up, because a size that does not fit rules out all larger ones.
        for batch_size in sorted(self._config.batch_sizes):
            if sum(one.spent_s for one in trials) >= self._config.max_s:
                _log.warning("serving probe: no time left for batch size %d", batch_size)
                break
            try:
                # A new size may have to be compiled for, which is not part of the measurement.
                self._timed_s(batch_size, 1)
                first = self._group(batch_size, 1)
                trials.append(self._grown(first, _TRIAL_FRAC * self._least_s))
            except torch.OutOfMemoryError:
                _log.warning("serving probe: batch size %d does not fit in memory", batch_size)
                break
        return trials

    def _tried_again(self, one: Timing) -> Timing:
        """Time a group of a size again, and return the faster timing."""
        if one.elapsed_s >= self._least_s:  # long enough to count as it is
            return one
        return max(one, self._group(one.batch_size, one.num_batches), key=per_second)

    def _grown(self, group: Timing, least_s: float) -> Timing:
        """Time larger and larger groups, until one takes least_s."""
        while group.elapsed_s < least_s:
            # A tenth more, so that the next group is unlikely to be too short again.
            times = 1.1 * least_s / group.elapsed_s if group.elapsed_s else _MOST_GROWTH
            num_batches = math.ceil(group.num_batches * min(times, _MOST_GROWTH))
            group = self._group(group.batch_size, num_batches, group.spent_s)
        return group

    def _group(self, batch_size: int, num_batches: int, spent_s: float = 0.0) -> Timing:
        elapsed_s = self._timed_s(batch_size, num_batches)
        return Timing(
            batch_size=batch_size,
            num_batches=num_batches,
            elapsed_s=elapsed_s,
            spent_s=spent_s + elapsed_s,
        )

    def _timed_s(self, batch_size: int, num_batches: int) -> float:
        """Time a group of batches.

        The device is synchronised at the ends of the group only. If it were after each batch, the
        time of small batches would mostly be waiting.
        """
        if batch_size not in self._cycles:
            self._cycles[batch_size] = itertools.cycle(_batches(self._inputs, batch_size))
        batches = itertools.islice(self._cycles[batch_size], num_batches)
        self._synchronize()
        start_s = self._clock()
        for batch in batches:
            self._network(batch)
        self._synchronize()
        return self._clock() - start_s

    def _groups(self, best: Timing, least_s: float, window_s: float) -> Iterator[Timing]:
        """Time groups of the best batch size, until they take least_s together.

        Args:
            best: An earlier timing of that size.
            least_s: The time that they should take at least.
            window_s: The whole window, of which a group is a fixed share.
        """
        per_s = best.num_batches / best.elapsed_s
        spent_s = 0.0
        while spent_s < least_s:
            length_s = min(window_s / _NUM_GROUPS, least_s - spent_s)
            group = self._group(best.batch_size, math.ceil(length_s * per_s), spent_s)
            spent_s = group.spent_s
            yield group

    def measured(self, best: Timing, meters: MeterSet) -> tuple[Throughput, WindowEnergy | None]:
        """Measure throughput and joules at the best batch size, in one window.

        Joules are None if the window would be longer than max_s, or if the meter gave nothing or
        did not move: energy that it does not resolve is not zero. If a meter was lost in the
        meantime, they are None too, since those of the others would look like a saving.
        """
        refresh_s = meters.refresh_s if meters.complete else None
        if refresh_s is None or MIN_REFRESHES * refresh_s > self._config.max_s:
            is_long = best.elapsed_s >= self._least_s
            groups = [best] if is_long else [*self._groups(best, self._least_s, self._least_s)]
            return together(groups), None
        least_s = max(MIN_REFRESHES * refresh_s, self._least_s)
        groups, elapsed_s = [], 0.0
        energy = EnergyWindow(meters)
        self._synchronize()
        energy.start()
        start_s = self._clock()
        while elapsed_s < least_s:
            groups += self._groups(best, least_s - elapsed_s, least_s)
            # The device is idle at the end of a group. The clock comes after the meter, so the
            # window never counts less time than energy.
            spent = energy.read()
            elapsed_s = self._clock() - start_s
        resolved = spent.total_j is not None and spent.total_j > 0
        return together(groups), spent if resolved else None


def _batches(inputs: Any, batch_size: int) -> list[Any]:
    """Make full batches that together hold every input; the last one starts over at the first.

    Args:
        inputs: Shape (n, ...), n >= 1.
        batch_size: Inputs of each batch. If it is more than n, inputs repeat within a batch.
    """
    num, device = num_rows(inputs), tree_leaves(inputs)[0].device
    offsets = torch.arange(batch_size, device=device)
    return [take_rows(inputs, (start + offsets) % num) for start in range(0, num, batch_size)]
