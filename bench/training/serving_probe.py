"""The serving probe: latency of one prediction, throughput in batch, joules per prediction.

In-process and closed loop: from a tensor on the device to logits on the device, with no network
and no queue. Four parts, each held to max_s: warm-up, requests of one input each, batches of each
size, and a window for the energy meter. Inputs are cycled, so that no request repeats the last.
"""

from __future__ import annotations

import itertools
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from bench.config.train import ProbeConfig
from bench.core.records.serving import Serving
from bench.core.stats.percentiles import latency_percentile
from bench.measure.clock import Clock
from bench.measure.energy import MIN_REFRESHES, EnergyWindow, WindowEnergy, per_item
from bench.measure.meter_set import MeterSet

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Throughput:
    """The group of batches that a batch size is judged by; spent_s counts earlier groups too."""

    batch_size: int
    num_batches: int
    elapsed_s: float
    spent_s: float

    @property
    def per_s(self) -> float:
        """Samples per second."""
        return self.batch_size * self.num_batches / self.elapsed_s


@torch.inference_mode()
def probe_serving(
    network: nn.Module,
    images: Tensor,
    *,
    config: ProbeConfig,
    synchronize: Callable[[], None],
    meters: MeterSet,
    clock: Clock = time.perf_counter,
) -> Serving:
    """Measure what serving a model costs.

    Args:
        network: Maps images to logits in the precision that is to be measured; put into evaluation
            mode.
        images: Inputs on the network's device, shape (n, c, h, w), n >= 1. Below twice the
            largest batch size the batches of that size share inputs.
        config: Sizes and times.
        synchronize: Waits until the device has done all that it was given.
        meters: Open energy meters.
        clock: Monotonic seconds.

    Returns:
        Percentiles below their floor of samples, and joules that the meter does not resolve, are
        None.

    Raises:
        ValueError: There is no image.
    """
    if len(images) == 0:
        raise ValueError(f"images of shape {tuple(images.shape)}: the probe needs at least one")
    network.eval()
    prober = _Prober(network, images, config, synchronize, clock)
    latencies_ms = prober.latencies_ms()
    best = prober.best_throughput()
    spent, num = None, 0
    # Without a meter that was lost on the way, the rest would look like a saving.
    if best is not None and meters.refresh_s is not None and meters.complete:
        window_s = MIN_REFRESHES * meters.refresh_s
        spent, num = prober.energy_of_predictions(best, EnergyWindow(meters), window_s)
    return _as_recorded(latencies_ms, best, spent, num)


def _as_recorded(
    latencies_ms: Sequence[float], best: _Throughput | None, spent: WindowEnergy | None, num: int
) -> Serving:
    """The measurements as a record has them; `spent` is the energy of `num` predictions."""
    return Serving(
        num_requests=len(latencies_ms),
        latency_p50_ms=latency_percentile(latencies_ms, 0.5),
        latency_p90_ms=latency_percentile(latencies_ms, 0.9),
        latency_p99_ms=latency_percentile(latencies_ms, 0.99),
        throughput_per_s=best.per_s if best else None,
        throughput_batch_size=best.batch_size if best else None,
        energy_per_prediction_j=spent.total_j / num if spent and spent.total_j else None,
        energy_per_prediction_label=spent.label if spent else None,
        energy_per_prediction_error_frac=spent.error_frac if spent else None,
        energy_per_prediction_components=per_item(spent.rows, num) if spent else [],
    )


@dataclass(frozen=True)
class _Prober:
    """A model on its device with a clock: the three measurements."""

    _network: nn.Module
    _images: Tensor
    _config: ProbeConfig
    _synchronize: Callable[[], None]
    _clock: Clock

    def latencies_ms(self) -> list[float]:
        """One input at a time, each until its logits are there; warm-up left out."""
        inputs = itertools.cycle(_batches(self._images, 1))
        self._requests_ms(inputs, self._config.warmup_requests)
        return self._requests_ms(inputs, self._config.num_requests)

    def _requests_ms(self, inputs: Iterator[Tensor], num_requests: int) -> list[float]:
        """Latencies of this many requests, or of those that were made within max_s."""
        latencies_ms: list[float] = []
        self._synchronize()
        end_s = self._clock()
        deadline_s = end_s + self._config.max_s
        while len(latencies_ms) < num_requests and end_s < deadline_s:
            image = next(inputs)
            start_s = self._clock()
            self._network(image)
            self._synchronize()
            end_s = self._clock()
            latencies_ms.append((end_s - start_s) * 1e3)
        return latencies_ms

    def best_throughput(self) -> _Throughput | None:
        """The best of the batch sizes that memory and max_s leave room for; None if none fits."""
        best: _Throughput | None = None
        remaining_s = self._config.max_s
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
        """Time groups of batches, twice as many each time, until one lasts min_batch_s.

        The last group counts. The device is waited for at the ends of a group only: for every
        batch, a small one would mostly measure the waiting.
        """
        batches = itertools.cycle(_batches(self._images, batch_size))
        # A size that is new may be compiled for: that is neither timed nor taken off the budget.
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

    def _timed_s(self, batches: Iterator[Tensor], num_batches: int) -> float:
        self._synchronize()
        start_s = self._clock()
        for batch in itertools.islice(batches, num_batches):
            self._network(batch)
        self._synchronize()
        return self._clock() - start_s

    def energy_of_predictions(
        self, best: _Throughput, energy: EnergyWindow, window_s: float
    ) -> tuple[WindowEnergy | None, int]:
        """Joules at the best batch size over a window of window_s or more, and its predictions.

        None where the window would be longer than max_s, or the meter gave nothing or stood still:
        what it did not resolve is not zero.
        """
        if window_s > self._config.max_s:
            return None, 0
        batches = itertools.cycle(_batches(self._images, best.batch_size))
        num_predictions = 0
        elapsed_s = 0.0
        self._synchronize()
        energy.start()
        start_s = self._clock()
        while elapsed_s < window_s:
            self._timed_s(batches, best.num_batches)  # ends with the device at rest
            spent = energy.read()
            elapsed_s = self._clock() - start_s
            num_predictions += best.batch_size * best.num_batches
        if spent.total_j is None or spent.total_j <= 0:
            return None, 0
        return spent, num_predictions


def _batches(images: Tensor, batch_size: int) -> list[Tensor]:
    """Full batches that together hold every image at least once, the last one wrapping round.

    Args:
        images: Shape (n, c, h, w), n >= 1.
        batch_size: Images of each batch; more than n repeats some within a batch.
    """
    offsets = torch.arange(batch_size, device=images.device)
    starts = range(0, len(images), batch_size)
    return [images[(start + offsets) % len(images)] for start in starts]
