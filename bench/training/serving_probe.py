"""The serving probe: latency of one prediction, throughput in batch, joules per prediction.

It runs in this process in a closed loop, from a tensor on the device to outputs on the device,
without a network or a queue. It has four parts: warm-up, requests of one input each, batches of
each size, and an energy window. None takes longer than max_s. Inputs are cycled, so that no request
repeats the one before.
"""

from __future__ import annotations

import itertools
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
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

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Throughput:
    """The group of batches that decides for a batch size; spent_s includes earlier groups."""

    batch_size: int
    num_batches: int
    elapsed_s: float
    spent_s: float

    @property
    def per_s(self) -> float:
        """Inputs per second."""
        return self.batch_size * self.num_batches / self.elapsed_s


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
    best = prober.best_throughput()
    spent, num = None, 0
    # If a meter was lost in the meantime, the joules of the others would look like a saving.
    if best is not None and meters.refresh_s is not None and meters.complete:
        window_s = MIN_REFRESHES * meters.refresh_s
        spent, num = prober.energy_of_predictions(best, EnergyWindow(meters), window_s)
    return _as_recorded(latencies_ms, best, spent, num, samples_per_input)


def _as_recorded(
    latencies_ms: Sequence[float],
    best: _Throughput | None,
    spent: WindowEnergy | None,
    num_inputs: int,
    samples_per_input: int,
) -> Serving:
    """Put the measurements into a record; `spent` is the energy of `num_inputs` inputs."""
    num = num_inputs * samples_per_input
    return Serving(
        num_requests=len(latencies_ms),
        latency_p50_ms=latency_percentile(latencies_ms, 0.5),
        latency_p90_ms=latency_percentile(latencies_ms, 0.9),
        latency_p99_ms=latency_percentile(latencies_ms, 0.99),
        throughput_per_s=best.per_s * samples_per_input if best else None,
        throughput_batch_size=best.batch_size if best else None,
        energy_per_prediction_j=spent.total_j / num if spent and spent.total_j else None,
        energy_per_prediction_label=spent.label if spent else None,
        energy_per_prediction_error_frac=spent.error_frac if spent else None,
        energy_per_prediction_components=per_item(spent.rows, num) if spent else [],
    )


@dataclass(frozen=True)
class _Prober:
    """Makes the three measurements of a model on its device."""

    _network: nn.Module
    _inputs: Any
    _config: ProbeConfig
    _synchronize: Callable[[], None]
    _clock: Clock

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

    def best_throughput(self) -> _Throughput | None:
        """Find the best batch size that memory and max_s allow; None if none fits."""
        best: _Throughput | None = None
        remaining_s = self._config.max_s
        # From the smallest up, because a size that does not fit rules out all larger ones.
        for batch_size in sorted(self._config.batch_sizes):
            if remaining_s <= 0:
                _log.warning("serving probe: no time left for batch size %d", batch_size)
                break
            try:
                tried = self._throughput(batch_size, remaining_s)
            except torch.OutOfMemoryError:
                _log.warning("serving probe: batch size %d does not fit in memory", batch_size)
                break
            remaining_s -= tried.spent_s
            if best is None or tried.per_s > best.per_s:
                best = tried
        return best

    def _throughput(self, batch_size: int, budget_s: float) -> _Throughput:
        """Time groups of batches, each twice as large as the one before, up to min_batch_s.

        The last group counts. The device is synchronised at the ends of a group only. If it were
        after each batch, the time of small batches would mostly be waiting.
        """
        batches = itertools.cycle(_batches(self._inputs, batch_size))
        # A new batch size may have to be compiled for, which is not part of the measurement.
        self._timed_s(batches, 1)
        spent_s = 0.0
        num_batches = 1
        while True:
            elapsed_s = self._timed_s(batches, num_batches)
            spent_s += elapsed_s
            if elapsed_s >= self._config.min_batch_s or spent_s >= budget_s:
                break
            num_batches *= 2
        return _Throughput(
            batch_size=batch_size, num_batches=num_batches, elapsed_s=elapsed_s, spent_s=spent_s
        )

    def _timed_s(self, batches: Iterator[Any], num_batches: int) -> float:
        self._synchronize()
        start_s = self._clock()
        for batch in itertools.islice(batches, num_batches):
            self._network(batch)
        self._synchronize()
        return self._clock() - start_s

    def energy_of_predictions(
        self, best: _Throughput, energy: EnergyWindow, window_s: float
    ) -> tuple[WindowEnergy | None, int]:
        """Measure joules at the best batch size for at least window_s, and count predictions.

        Joules are None if the window would be longer than max_s, or if the meter gave nothing or
        did not move: energy that it does not resolve is not zero.
        """
        if window_s > self._config.max_s:  # the meter is too slow for the time that is allowed
            return None, 0
        batches = itertools.cycle(_batches(self._inputs, best.batch_size))
        num_predictions = 0
        elapsed_s = 0.0
        self._synchronize()
        energy.start()
        start_s = self._clock()
        while elapsed_s < window_s:
            self._timed_s(batches, best.num_batches)  # the device is idle at its end
            # The clock comes after the meter, so the window never counts less time than energy.
            spent = energy.read()
            elapsed_s = self._clock() - start_s
            num_predictions += best.batch_size * best.num_batches
        if spent.total_j is None or spent.total_j <= 0:
            return None, 0
        return spent, num_predictions


def _batches(inputs: Any, batch_size: int) -> list[Any]:
    """Make full batches that together hold every input; the last one starts over at the first.

    Args:
        inputs: Shape (n, ...), n >= 1.
        batch_size: Inputs of each batch. If it is more than n, inputs repeat within a batch.
    """
    num, device = num_rows(inputs), tree_leaves(inputs)[0].device
    offsets = torch.arange(batch_size, device=device)
    return [take_rows(inputs, (start + offsets) % num) for start in range(0, num, batch_size)]
