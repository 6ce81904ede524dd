"""What the parts of a card did, by NVML's GPM: means between calls, and means over the clock."""

from __future__ import annotations

from typing import Any

import pynvml
import pytest

from bench.measure import gpu_activity
from bench.measure.gpu_activity import METRICS, GpuActivity
from bench.measure.gpu_reader import GpuReader
from bench.measure.window import Window
from tests.fake_nvml import FakeGpu, FakeNvml, install
from tests.fakes import FakeClock

SHARES = dict(zip(METRICS, (0.8, 0.5, 0.25, 0.4), strict=True))


class Counters:
    """Hardware counters of a card that was idle for 100 s, and whose parts then work in shares."""

    def __init__(self, clock: FakeClock, **shares: float) -> None:
        self.clock = clock
        self.shares = SHARES | shares
        self.begun_s = clock()

    def __call__(self) -> dict[int, float]:
        worked_s = self.clock() - self.begun_s
        by_metric = {METRICS[name]: share * worked_s for name, share in self.shares.items()}
        return {0: 100.0 + worked_s, **by_metric}


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> FakeClock:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return FakeClock(50.0)


def watched(monkeypatch: pytest.MonkeyPatch, clock: FakeClock, gpu: FakeGpu) -> GpuActivity:
    install(monkeypatch, FakeNvml([gpu]))
    pynvml.nvmlInit()
    return GpuActivity(pynvml.nvmlDeviceGetHandleByIndex(0), clock)


def test_each_call_gives_the_means_since_the_one_before(
    monkeypatch: pytest.MonkeyPatch, clock: FakeClock
) -> None:
    counters = Counters(clock)
    activity = watched(monkeypatch, clock, FakeGpu("GPU-a", gpm=counters))
    clock.advance(0.5)
    assert dict(activity()) == pytest.approx(SHARES)
    clock.advance(0.05)
    assert activity() == []  # too soon for the hardware, and nothing is lost:
    clock.advance(0.06)
    assert dict(activity()) == pytest.approx(SHARES)
    # The tensor cores rest for half of the time: 0.1 s x 0.25 in 0.2 s is a mean of 0.125.
    clock.advance(0.1)
    counters.shares["gpu_tensor_active_frac"] *= (clock() - 50.0) / (clock() + 0.1 - 50.0)
    clock.advance(0.1)
    rested = SHARES | {"gpu_tensor_active_frac": 0.125}
    assert dict(activity()) == pytest.approx(rested)


def test_values_that_are_no_share_are_left_out(
    monkeypatch: pytest.MonkeyPatch, clock: FakeClock
) -> None:
    counters = Counters(clock, gpu_dram_active_frac=float("nan"), gpu_sm_occupancy_frac=65.0)
    del counters.shares["gpu_tensor_active_frac"]  # the driver refuses this metric alone
    activity = watched(monkeypatch, clock, FakeGpu("GPU-a", gpm=counters))
    clock.advance(0.5)
    assert dict(activity()) == pytest.approx({"gpu_sm_active_frac": 0.8})


@pytest.mark.parametrize(
    ("gpu", "reason"),
    [
        (FakeGpu("GPU-a"), "Not Supported (NVML's GPM needs Hopper or newer)"),
        (FakeGpu("GPU-a", gpm=dict, codes={"gpm": 4}), "Insufficient Permissions"),
        (FakeGpu("GPU-a", gpm=dict, codes={"gpm sample": 999}), "Unknown Error"),
    ],
)
def test_a_card_that_does_not_tell_is_named_once_and_all_else_is_read(
    monkeypatch: pytest.MonkeyPatch, clock: FakeClock, gpu: FakeGpu, reason: str
) -> None:
    fake = FakeNvml([gpu])
    install(monkeypatch, fake)
    window = Window({}, gpus=["a"], shared=True, clock=clock, period_s=None)
    with window:
        pass
    reasons = [each.reason for each in window.unavailable if each.meter == "gpu_activity"]
    assert reasons == [f"gpu0: {reason}"]
    assert (fake.gpm_samples, fake.num_open) == ({}, 0)
    use = window.utilization
    assert use is not None
    assert {getattr(use, name) for name in SHARES} == {None}


def test_the_sampler_reads_it_and_the_record_has_its_mean(
    monkeypatch: pytest.MonkeyPatch, clock: FakeClock
) -> None:
    monkeypatch.setattr(gpu_activity, "_LEAST_SPAN_S", 0.0)
    fake = FakeNvml([FakeGpu(f"GPU-{name}", gpm=Counters(clock)) for name in "ab"])
    install(monkeypatch, fake)
    reader = GpuReader()
    reader.open()
    (source,) = (s for s in reader.sources if getattr(s, "kind", "") == "GPU activity")
    clock.advance(0.5)
    samples: dict[tuple[str, str], Any] = {(gpu, name): value for gpu, name, value in source()}
    assert samples == pytest.approx(
        {(gpu, name): share for gpu in ("gpu0", "gpu1") for name, share in SHARES.items()}
    )
    assert reader.problems == reader.without_activity == []
    # A card that is lost is not asked again, and the other one is.
    fake.gpus[0].lost = True
    clock.advance(0.5)
    assert {gpu for gpu, _, _ in source()} == {"gpu1"}
    assert reader.failures == ["gpu0: GPU is lost"]
    reader.close()
    assert (fake.gpm_samples, fake.num_open) == ({}, 0)
