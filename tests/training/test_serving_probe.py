from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from bench.config.train import ProbeConfig
from bench.core.records.serving import Serving
from bench.measure.clock import Clock
from bench.measure.meter_set import MeterSet
from bench.measure.meters.base import Meter
from bench.training.serving_probe import probe_serving
from tests.fakes import FunctionMeter, ScriptedMeter

Cost = Callable[[Tensor], float]


class Device(nn.Module):
    """A network on a device of its own time: work is queued, and done when it is waited for."""

    def __init__(self, cost_s: Cost) -> None:
        super().__init__()
        self.now_s = 0.0
        self.batches: list[list[float]] = []
        self.read_at_s: list[float] = []
        self._queued_s = 0.0
        self._cost_s = cost_s

    def forward(self, images: Tensor) -> Tensor:
        assert torch.is_inference_mode_enabled()
        assert not self.training
        self.batches.append(images[:, 0, 0, 0].tolist())
        self._queued_s += self._cost_s(images)
        return images

    def synchronize(self) -> None:
        self.now_s += self._queued_s
        self._queued_s = 0.0

    def clock(self) -> float:
        return self.now_s

    def five_watts_j(self) -> float:
        self.read_at_s.append(self.now_s)
        return 1000.0 + 5.0 * self.now_s


def numbered(num_images: int) -> Tensor:
    """Images (n, 1, 1, 1) whose one pixel is 1, 2, 3 ..."""
    return torch.arange(1.0, num_images + 1).reshape(-1, 1, 1, 1)


def overhead_and_share(images: Tensor) -> float:
    """10 ms for each batch and 1 ms for each of its images."""
    return 0.010 + 0.001 * len(images)


def probed(
    device: Device,
    images: Tensor,
    *,
    meter: Meter | None = None,
    **config: Any,
) -> Serving:
    return probe_serving(
        device,
        images,
        samples_per_input=1,
        config=ProbeConfig(**config),
        clock=device.clock,
        synchronize=device.synchronize,
        meters=meter_set(meter, device.clock),
    )


def meter_set(meter: Meter | None, clock: Clock) -> MeterSet:
    meters = MeterSet({} if meter is None else {"meter": meter}, clock=clock)
    meters.open()
    return meters


def test_latency_lasts_until_the_result_is_there() -> None:
    # The n-th image takes n ms; a thousand requests take each of the thousand images once.
    device = Device(lambda images: float(images.sum()) / 1e3)
    serving = probed(device, numbered(1000), warmup_requests=0, batch_sizes=[1], max_s=1e4)
    assert serving.num_requests == 1000
    assert serving.latency_p50_ms == pytest.approx(500.0)
    assert serving.latency_p90_ms == pytest.approx(900.0)
    assert serving.latency_p99_ms == pytest.approx(990.0)


def test_warm_up_requests_are_not_timed() -> None:
    device = Device(lambda _: 0.150 if len(device.batches) <= 50 else 0.001)
    serving = probed(device, numbered(3), warmup_requests=50)
    assert serving.num_requests == 1000
    assert serving.latency_p99_ms == pytest.approx(1.0)


def test_requests_go_through_all_images_in_turn() -> None:
    device = Device(lambda _: 0.001)
    probed(device, numbered(3), num_requests=5, warmup_requests=2, batch_sizes=[1])
    assert device.batches[:7] == [[1.0], [2.0], [3.0], [1.0], [2.0], [3.0], [1.0]]


def test_percentiles_without_enough_requests_in_time_are_unknown() -> None:
    # 100 requests fit into 10 s: enough for p90 (64), not for p99 (662).
    serving = probed(Device(lambda _: 0.1001), numbered(3))
    assert serving.num_requests == 100
    assert serving.latency_p50_ms == pytest.approx(100.1)
    assert serving.latency_p90_ms == pytest.approx(100.1)
    assert serving.latency_p99_ms is None


def test_a_request_longer_than_the_limit_is_made_once() -> None:
    serving = probed(Device(lambda _: 30.0), numbered(3))
    assert serving.num_requests == 1
    assert serving.latency_p50_ms is None
    # No time is left for batches of 8.
    assert serving.throughput_batch_size == 1
    assert serving.throughput_per_s == pytest.approx(1 / 30)


def test_throughput_is_that_of_the_best_batch_size() -> None:
    # 256 images in 266 ms: more than 64 in 74 ms, 8 in 18 ms or 1 in 11 ms.
    serving = probed(Device(overhead_and_share), numbered(600))
    assert serving.throughput_batch_size == 256
    assert serving.throughput_per_s == pytest.approx(256 / 0.266)


def test_a_disturbance_of_the_window_does_not_move_the_throughput() -> None:
    """One second in which nothing is computed, in a window of 50 refreshes of 0.1 s."""
    device = Device(lambda _: 0.010)

    def cost_s(_: Tensor) -> float:
        return 0.010 + (1.0 if device.read_at_s and len(device.batches) == 150 else 0.0)

    device._cost_s = cost_s
    meter = FunctionMeter(device.five_watts_j, refresh_s=0.1)
    serving = probed(device, numbered(8), batch_sizes=[8], num_requests=1, meter=meter)
    assert serving.throughput_per_s == pytest.approx(8 / 0.010)
    # The joules are those of the whole window: 5 s at 5 W, for 4 s of predictions.
    joules = 5 * 5.0 / (8 * 4.0 / 0.010)
    assert serving.energy_per_prediction_j == pytest.approx(joules, rel=0.01)


def timed_s(device: Device, batch_size: int, cost_s: float) -> float:
    return cost_s * sum(len(batch) == batch_size for batch in device.batches)


def test_only_batch_sizes_that_may_be_the_best_are_timed_for_long() -> None:
    costs_s = {8: 0.008, 64: 0.016, 128: 0.022, 256: 0.0425}
    # 1,000, 4,000, 5,818 and 6,024 images per second: too slow, slower by a third, and two alike.
    device = Device(lambda images: costs_s.get(len(images), 0.001))
    serving = probed(device, numbered(600), batch_sizes=list(costs_s), num_requests=1)
    assert serving.throughput_batch_size == 256
    trial_s, least_s = 0.25 / 8, 0.25
    lengths_s = {size: timed_s(device, size, cost_s) for size, cost_s in costs_s.items()}
    assert lengths_s[8] < 3 * trial_s  # an untimed batch, one to estimate by, and one trial
    assert 3 * trial_s < lengths_s[64] < least_s
    assert lengths_s[128] > least_s
    assert lengths_s[256] > least_s


def test_a_disturbance_of_one_trial_does_not_rule_out_the_best_size() -> None:
    large: list[int] = []

    def disturbed(images: Tensor) -> float:
        large.extend([1] * (len(images) == 64))
        # The second trial of 64, of which the first had 1 + 1 + 4 batches, stops for a while.
        return 0.009 + (0.2 if len(images) == 64 and len(large) == 7 else 0.0)

    device = Device(disturbed)
    serving = probed(device, numbered(600), batch_sizes=[32, 64])
    assert len(large) > 7
    assert serving.throughput_batch_size == 64
    assert serving.throughput_per_s == pytest.approx(64 / 0.009)


def test_the_largest_batch_size_need_not_be_the_best() -> None:
    # 64 images in 64 ms; from 100 on, each takes 2 ms.
    def cost_s(images: Tensor) -> float:
        return len(images) * (0.001 if len(images) < 100 else 0.002)

    serving = probed(Device(cost_s), numbered(600), batch_sizes=[256, 64])
    assert serving.throughput_batch_size == 64
    assert serving.throughput_per_s == pytest.approx(1000.0)


def test_the_first_batch_of_a_size_is_not_timed() -> None:
    seen: set[int] = set()

    def compiling(images: Tensor) -> float:
        new = len(images) not in seen
        seen.add(len(images))
        return 60.0 if new else overhead_and_share(images)

    serving = probed(Device(compiling), numbered(600), batch_sizes=[8, 64])
    assert serving.throughput_batch_size == 64
    assert serving.throughput_per_s == pytest.approx(64 / 0.074)


def test_batches_are_full_and_hold_every_image() -> None:
    device = Device(lambda _: 1.0)
    probed(device, numbered(3), num_requests=1, warmup_requests=0, batch_sizes=[2, 4])
    # Of each size one that is not timed, and one that is: longer than min_batch_s.
    assert device.batches[1:] == [[1.0, 2.0], [3.0, 1.0], *([[1.0, 2.0, 3.0, 1.0]] * 2)]


def refusing(limit: int) -> Cost:
    def cost_s(images: Tensor) -> float:
        if len(images) > limit:
            raise torch.OutOfMemoryError("no more")
        return overhead_and_share(images)

    return cost_s


def test_batch_sizes_stop_where_memory_ends(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        serving = probed(Device(refusing(8)), numbered(600))
    assert serving.throughput_batch_size == 8
    assert serving.throughput_per_s == pytest.approx(8 / 0.018)
    assert "batch size 64 does not fit in memory" in caplog.text


def test_no_batch_size_that_fits_leaves_throughput_unknown() -> None:
    device = Device(refusing(1))
    serving = probed(
        device,
        numbered(9),
        batch_sizes=[8],
        meter=FunctionMeter(device.five_watts_j),
    )
    assert serving.latency_p99_ms == pytest.approx(11.0)
    assert serving.throughput_per_s is None
    assert serving.throughput_batch_size is None
    assert serving.energy_per_prediction_j is None


def test_another_error_of_the_model_is_not_hidden() -> None:
    def broken(images: Tensor) -> float:
        raise RuntimeError("shapes differ")

    with pytest.raises(RuntimeError, match="shapes differ"):
        probed(Device(broken), numbered(3))


def test_energy_is_power_times_the_time_of_a_prediction() -> None:
    device = Device(overhead_and_share)
    serving = probed(
        device,
        numbered(600),
        meter=FunctionMeter(device.five_watts_j, label="integrated", error_frac=0.1),
    )
    # 5 W x 266 ms for 256 predictions
    assert serving.energy_per_prediction_j == pytest.approx(5 * 0.266 / 256)
    assert serving.energy_per_prediction_label == "integrated"
    (part,) = serving.energy_per_prediction_components
    assert part.energy_j == pytest.approx(serving.energy_per_prediction_j)
    assert serving.energy_per_prediction_error_frac == pytest.approx(0.1)


@pytest.mark.parametrize(("refresh_s", "window_s"), [(0.001, 0.05), (0.1, 5.0)])
def test_the_energy_window_holds_fifty_refreshes(refresh_s: float, window_s: float) -> None:
    device = Device(lambda images: 0.020)
    probed(
        device,
        numbered(3),
        batch_sizes=[1],
        min_batch_s=0.01,  # one batch is enough
        meter=FunctionMeter(device.five_watts_j, refresh_s=refresh_s),
    )
    length_s = device.read_at_s[-1] - device.read_at_s[0]
    assert window_s <= length_s + 1e-9 < window_s + 0.021


def test_a_counter_too_slow_for_the_limit_is_not_read() -> None:
    device = Device(overhead_and_share)
    serving = probed(
        device,
        numbered(3),
        meter=FunctionMeter(device.five_watts_j, refresh_s=1.0),
    )
    assert device.read_at_s == []
    assert serving.energy_per_prediction_j is None
    assert serving.energy_per_prediction_label is None


@pytest.mark.parametrize("readings", [[OSError("gone")], [7.0, OSError("gone")], [7.0, 7.0]])
def test_what_the_meter_did_not_resolve_is_unknown_and_not_zero(
    readings: list[float | Exception],
) -> None:
    # A group of batches lasts longer than the window: the meter is read at its two ends.
    serving = probed(Device(lambda _: 1.0), numbered(3), meter=ScriptedMeter(readings))
    assert serving.energy_per_prediction_j is None
    assert serving.energy_per_prediction_label is None


def test_without_a_meter_that_was_lost_in_the_run_there_are_no_joules() -> None:
    device = Device(overhead_and_share)
    gpu = ScriptedMeter([OSError("gone")], component="gpu0")
    meters = MeterSet({"cpu": FunctionMeter(device.five_watts_j), "gpu": gpu})
    meters.open()
    meters.read()
    serving = probe_serving(
        device,
        numbered(600),
        samples_per_input=1,
        config=ProbeConfig(),
        clock=device.clock,
        synchronize=device.synchronize,
        meters=meters,
    )
    assert serving.energy_per_prediction_j is None


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("num_requests", 0),
        ("warmup_requests", -1),
        ("batch_sizes", []),
        ("batch_sizes", [8, 0]),
        ("min_batch_s", 0.0),
        ("max_s", float("inf")),
        ("max_s", float("nan")),
    ],
)
def test_a_setting_out_of_range_is_named_with_its_value(key: str, value: Any) -> None:
    with pytest.raises(ValueError, match=f"probe.{key}=") as raised:
        ProbeConfig.from_dict({key: value}, "probe.")
    wrong = 0 if value == [8, 0] else value  # of a list the element
    assert f"probe.{key}={wrong}: must " in str(raised.value)


def test_no_image_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        probed(Device(overhead_and_share), torch.zeros(0, 1, 8, 8))


def test_a_real_model_on_the_real_clock() -> None:
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(72, 10))
    statistics = network[1].state_dict()
    serving = probe_serving(
        network,
        torch.randn(20, 1, 8, 8),
        samples_per_input=1,
        config=ProbeConfig(warmup_requests=5, min_batch_s=0.01),
        synchronize=lambda: None,
        meters=meter_set(FunctionMeter(time.process_time, label="modelled"), time.perf_counter),
    )
    assert serving.num_requests == 1000
    assert serving.latency_p50_ms is not None
    assert serving.latency_p90_ms is not None
    assert serving.latency_p99_ms is not None
    assert 0 < serving.latency_p50_ms <= serving.latency_p90_ms <= serving.latency_p99_ms
    assert serving.throughput_per_s is not None
    assert serving.throughput_per_s > 0
    assert serving.throughput_batch_size in (1, 8, 64, 256)
    assert serving.energy_per_prediction_j is not None
    assert serving.energy_per_prediction_j > 0
    assert torch.equal(statistics["running_mean"], torch.zeros(2))
