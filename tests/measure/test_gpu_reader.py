from __future__ import annotations

import itertools

import pynvml
import pytest

from bench.measure.gpu import GpuDevice, Sample
from bench.measure.gpu_reader import GpuReader
from bench.measure.meters.base import MeterUnavailable
from bench.measure.sampler import Sampler, Source
from tests.fake_nvml import FakeGpu, FakeNvml, OldFakeNvml, install
from tests.fakes import FakeClock


@pytest.fixture(autouse=True)
def _all_visible(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_DEVICE_ORDER", "PCI_BUS_ID")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


UUIDS = ["GPU-aa11", "GPU-aa22", "GPU-bb33"]


def test_busy_share_and_memory_of_each_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeNvml([FakeGpu("GPU-a", busy_pct=75, used_bytes=123), FakeGpu("GPU-b")])
    install(monkeypatch, fake)
    reader = GpuReader()
    reader.open()
    assert reader.devices[0] == GpuDevice(
        index=0, uuid="GPU-a", name="Fake RTX", chosen_by="visible"
    )
    assert samples(reader) == [
        ("gpu0", "gpu_busy_frac", 0.75),
        ("gpu1", "gpu_busy_frac", 0.5),
        ("gpu0", "gpu_memory_used_bytes", 123.0),
        ("gpu1", "gpu_memory_used_bytes", float(1 << 30)),
    ]
    reader.close()
    assert fake.num_open == 0


def samples(reader: GpuReader) -> list[Sample]:
    """One answer of each kind, with the processes."""
    sources: list[Source] = [*reader.sources, reader.processes]
    return [sample for source in sources for sample in source()]


def told(reader: GpuReader) -> dict[str, float]:
    return {metric: value for _, metric, value in samples(reader)}


def test_power_temperature_clock_and_reasons_are_sampled_if_the_card_offers_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gpu = FakeGpu(
        "GPU-a", power_w=lambda: 250.5, temperature_c=64, sm_clock_mhz=1410, reasons=0, pids=[]
    )
    install(monkeypatch, FakeNvml([gpu]))
    reader = GpuReader()
    reader.open()
    assert told(reader) == {
        "gpu_busy_frac": 0.5,
        "gpu_memory_used_bytes": float(1 << 30),
        "gpu_power_w": 250.5,
        "gpu_temperature_c": 64.0,
        "gpu_sm_clock_mhz": 1410.0,
        "gpu_thermal_slowdown": 0.0,
        "gpu_power_brake": 0.0,
        "gpu_power_cap": 0.0,
        "gpu_foreign_processes": 0.0,
    }


@pytest.mark.parametrize("library", [FakeNvml, OldFakeNvml])
@pytest.mark.parametrize(
    ("reasons", "raised"),
    [
        (0x1, set()),  # idle
        (0x4, {"gpu_power_cap"}),
        (0x20, {"gpu_thermal_slowdown"}),
        (0x40 | 0x8, {"gpu_thermal_slowdown"}),  # the hardware slows down, because of heat
        (0x80 | 0x8, {"gpu_power_brake"}),
        (0x8, {"gpu_power_brake"}),  # a card that does not say why
        (0x80 | 0x40, {"gpu_power_brake", "gpu_thermal_slowdown"}),
    ],
)
def test_reasons_of_a_slowdown(
    monkeypatch: pytest.MonkeyPatch, library: type[FakeNvml], reasons: int, raised: set[str]
) -> None:
    install(monkeypatch, library([FakeGpu("GPU-a", reasons=reasons)]))
    reader = GpuReader()
    reader.open()
    assert {metric for metric, value in told(reader).items() if value == 1.0} == raised


@pytest.mark.parametrize(
    ("pids", "num_foreign"),
    [
        ([], 0),
        ([10], 0),
        ([10, 11], 0),  # a worker of ours
        ([10, 99], 1),
        ([99], 0),  # in a container our number is another: one is taken for ours
        ([98, 99], 1),
    ],
)
def test_foreign_processes_are_those_that_are_not_the_runs(
    monkeypatch: pytest.MonkeyPatch, pids: list[int], num_foreign: int
) -> None:
    install(monkeypatch, FakeNvml([FakeGpu("GPU-a", pids=pids)]))
    reader = GpuReader(own_pids=lambda: {10, 11})
    reader.open()
    assert told(reader)["gpu_foreign_processes"] == num_foreign


@pytest.mark.parametrize(
    ("pids", "num_foreign"),
    [
        # A process of ours is on one card: what is on the other is not ours, container or not.
        ({"a": [10], "b": [99]}, {"gpu0": 0, "gpu1": 1}),
        ({"a": [99], "b": [10]}, {"gpu0": 1, "gpu1": 0}),
        ({"a": [10, 98], "b": [11]}, {"gpu0": 1, "gpu1": 0}),
        # None of ours is anywhere, as in a container: one on each card is taken for ours.
        ({"a": [98], "b": [99]}, {"gpu0": 0, "gpu1": 0}),
        ({"a": [97, 98], "b": [99]}, {"gpu0": 1, "gpu1": 0}),
        ({"a": [], "b": [99]}, {"gpu0": 0, "gpu1": 0}),
    ],
)
def test_foreign_processes_are_judged_by_card(
    monkeypatch: pytest.MonkeyPatch, pids: dict[str, list[int]], num_foreign: dict[str, int]
) -> None:
    gpus = [FakeGpu(f"GPU-{letter}", pids=found) for letter, found in pids.items()]
    install(monkeypatch, FakeNvml(gpus))
    reader = GpuReader(own_pids=lambda: {10, 11})
    reader.open()
    assert foreign(reader) == num_foreign


@pytest.mark.parametrize(
    ("pids", "clients", "num_foreign"),
    [
        # Under MPS the server (50) is on the card; before, it counted as a stranger.
        ([50], [10], 0),
        ([50], [10, 11], 0),
        ([50], [10, 99], 1),  # another client shares the card
        ([50, 98], [10], 1),  # one that does without MPS
        ([50, 10], [10], 0),  # a driver that lists clients twice
        ([50], [98], 0),  # in a container: one is taken for ours
        ([50], [98, 99], 1),
        ([10], [99], 0),  # not asked for: no other process is on the card
    ],
)
def test_the_server_of_mps_is_no_stranger_and_its_other_clients_are(
    monkeypatch: pytest.MonkeyPatch, pids: list[int], clients: list[int], num_foreign: int
) -> None:
    install(monkeypatch, FakeNvml([FakeGpu("GPU-a", pids=pids, mps_pids=clients)]))
    reader = GpuReader(own_pids=lambda: {10, 11})
    reader.open()
    found = told(reader)
    assert found[FOREIGN] == num_foreign
    assert found.get("gpu_mps_clients") == (len(clients) if 50 in pids else None)


def foreign(reader: GpuReader) -> dict[str, float]:
    return {name: n for name, metric, n in samples(reader) if metric == "gpu_foreign_processes"}


def test_once_our_number_was_seen_a_strangers_is_never_taken_for_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gpu = FakeGpu("GPU-a", pids=[10])
    install(monkeypatch, FakeNvml([gpu]))
    reader = GpuReader(own_pids=lambda: {10})
    reader.open()
    assert foreign(reader) == {"gpu0": 0}
    gpu.pids = [99]  # ours has left the card
    assert foreign(reader) == {"gpu0": 1}


def test_processes_on_cards_that_the_run_does_not_use_are_no_matter(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gpus = [FakeGpu("GPU-a", pids=[10]), FakeGpu("GPU-b", pids=[97, 98, 99])]
    install(monkeypatch, FakeNvml(gpus))
    reader = GpuReader(own_pids=lambda: {10}, gpus=["a"])
    reader.open()
    assert foreign(reader) == {"gpu0": 0}


UNKNOWN = int(pynvml.NVML_ERROR_UNKNOWN)
QUERIES = {
    "processes": {"gpu_foreign_processes"},
    "busy": {"gpu_busy_frac"},
    "memory": {"gpu_memory_used_bytes"},
    "power": {"gpu_power_w"},
    "temperature": {"gpu_temperature_c"},
    "clock": {"gpu_sm_clock_mhz"},
    "reasons": {"gpu_thermal_slowdown", "gpu_power_brake", "gpu_power_cap"},
}


def full(uuid: str) -> FakeGpu:
    """A card that tells everything."""
    return FakeGpu(
        uuid, power_w=lambda: 250.0, temperature_c=64, sm_clock_mhz=1410, reasons=0, pids=[]
    )


KINDS = ("utilization", "memory", "power", "temperature", "clock", "slowdowns")
FOREIGN = "gpu_foreign_processes"
EVERYTHING: set[str] = set().union(*QUERIES.values())


@pytest.mark.parametrize("call", QUERIES)
@pytest.mark.parametrize("later", [False, True])
def test_a_query_that_fails_takes_nothing_else_with_it(
    monkeypatch: pytest.MonkeyPatch, call: str, later: bool
) -> None:
    gpus = [full("GPU-a"), full("GPU-b")]
    install(monkeypatch, FakeNvml(gpus))
    reader = GpuReader()
    if not later:
        gpus[0].codes[call] = UNKNOWN
    reader.open()
    gpus[0].codes[call] = UNKNOWN
    for _ in range(2):
        found = samples(reader)
        assert {m for device, m, _ in found if device == "gpu0"} == EVERYTHING - QUERIES[call]
        assert {m for device, m, _ in found if device == "gpu1"} == EVERYTHING
    assert [device.uuid for device in reader.devices] == ["GPU-a", "GPU-b"]
    # At first it is not there; later it is given up, which is a failure of the watch. Each once.
    reasons = reader.failures if later else reader.problems
    assert len(reasons) == 1
    assert reasons[0].startswith("gpu0: ")
    assert "Unknown Error" in reasons[0]
    assert (reader.problems == []) == later


def test_a_card_that_is_lost_later_takes_nothing_else_with_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gpus = [full("GPU-a"), full("GPU-b")]
    install(monkeypatch, FakeNvml(gpus))
    reader = GpuReader()
    reader.open()
    gpus[0].lost = True
    assert {device for device, _, _ in samples(reader)} == {"gpu1"}
    assert all(failure.startswith("gpu0: ") for failure in reader.failures)


@pytest.mark.parametrize(
    ("visible", "gpus", "devices"),
    [("0", None, ["GPU-a"]), (None, None, ["GPU-a"]), (None, ["GPU-a"], ["GPU-a"])],
)
def test_a_card_that_cannot_be_opened_is_ignored_if_the_run_does_not_use_it(
    monkeypatch: pytest.MonkeyPatch,
    visible: str | None,
    gpus: list[str] | None,
    devices: list[str],
) -> None:
    lost = FakeGpu("GPU-b", codes={"handle": int(pynvml.NVML_ERROR_GPU_IS_LOST)})
    install(monkeypatch, FakeNvml([full("GPU-a"), lost]))
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    reader = GpuReader(gpus=gpus)
    reader.open()
    assert [device.uuid for device in reader.devices] == devices
    assert {device for device, _, _ in samples(reader)} == {"gpu0"}
    assert (reader.problems, reader.scope.num_gpus) == ([], 1)


def test_a_card_of_the_run_that_cannot_be_opened_is_listed_and_must_be_measured(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lost = FakeGpu("GPU-b", codes={"handle": int(pynvml.NVML_ERROR_GPU_IS_LOST)})
    install(monkeypatch, FakeNvml([full("GPU-a"), lost]))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    reader = GpuReader()
    reader.open()
    assert reader.problems == ["gpu1: GPU is lost"]
    assert reader.devices[1] == GpuDevice(
        index=1, uuid=None, name="unreadable GPU", chosen_by="visible"
    )
    assert reader.scope.num_gpus == 2


def test_an_unreadable_percentage_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, FakeNvml([FakeGpu("GPU-a", busy_pct=65535)]))
    reader = GpuReader()
    reader.open()
    assert set(told(reader)) == {"gpu_memory_used_bytes"}


@pytest.mark.parametrize(
    ("gpus", "indices", "names"),
    [
        (["GPU-bb33"], [2], {"gpu2"}),
        (["bb33"], [2], {"gpu2"}),  # torch's form
        (["BB33"], [2], {"gpu2"}),
        (["GPU-bb33", "aa11"], [2, 0], {"gpu0", "gpu2"}),
        (["GPU-bb33", "bb33"], [2], {"gpu2"}),  # one card named twice
    ],
)
def test_the_gpus_of_a_run_are_found_by_uuid_whatever_is_visible(
    monkeypatch: pytest.MonkeyPatch, gpus: list[str], indices: list[int], names: set[str]
) -> None:
    install(monkeypatch, FakeNvml([FakeGpu(uuid) for uuid in UUIDS]))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    reader = GpuReader(gpus=gpus)
    reader.open()
    assert [device.index for device in reader.devices] == indices
    assert {device for device, _, _ in samples(reader)} == names
    assert reader.scope.names == frozenset(names)
    assert reader.scope.num_gpus == len(indices)


@pytest.mark.parametrize(
    ("visible", "gpus", "name", "index"),
    [
        ("MIG-41b36db5", None, "MIG instance", None),
        (None, ["MIG-41b36db5"], "MIG instance", None),
        (None, ["GPU-a"], "Fake RTX", 0),  # the card is divided
        ("0", None, "Fake RTX", 0),
    ],
)
def test_an_instance_of_mig_is_named_as_the_reason_and_listed(
    monkeypatch: pytest.MonkeyPatch,
    visible: str | None,
    gpus: list[str] | None,
    name: str,
    index: int | None,
) -> None:
    fake = FakeNvml([FakeGpu("GPU-a", mig_enabled=True)])
    install(monkeypatch, fake)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    reader = GpuReader(gpus=gpus)
    with pytest.raises(MeterUnavailable, match="an instance of MIG has no energy counter of its"):
        reader.open()
    assert [(device.name, device.index) for device in reader.devices] == [(name, index)]
    assert reader.scope.num_gpus == 1
    assert fake.num_open == 0


def test_a_uuid_that_nobody_has_is_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, FakeNvml([FakeGpu("GPU-a")]))
    reader = GpuReader(gpus=["GPU-b"])
    with pytest.raises(MeterUnavailable, match="GPU-b: no GPU has this UUID"):
        reader.open()
    assert reader.scope.num_gpus == 1


@pytest.mark.parametrize(
    ("gpus", "num_gpus", "names"), [(None, 0, None), (["GPU-a"], 1, None), ([], 0, frozenset())]
)
def test_without_a_driver_only_what_the_run_says_is_known(
    monkeypatch: pytest.MonkeyPatch,
    gpus: list[str] | None,
    num_gpus: int,
    names: frozenset[str] | None,
) -> None:
    install(monkeypatch, FakeNvml([], init_code=pynvml.NVML_ERROR_DRIVER_NOT_LOADED))
    reader = GpuReader(gpus=gpus)
    with pytest.raises(MeterUnavailable):
        reader.open()
    assert (reader.scope.num_gpus, reader.scope.names) == (num_gpus, names)


def test_what_may_not_be_read_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    gpu = FakeGpu("GPU-a", reasons=0, codes={"reasons": int(pynvml.NVML_ERROR_NO_PERMISSION)})
    install(monkeypatch, FakeNvml([gpu]))
    reader = GpuReader()
    reader.open()
    assert set(told(reader)) == {"gpu_busy_frac", "gpu_memory_used_bytes"}


def test_only_visible_gpus_are_read_and_keep_their_index(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, FakeNvml([FakeGpu(uuid) for uuid in UUIDS]))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-bb")
    reader = GpuReader()
    reader.open()
    assert {device for device, _, _ in samples(reader)} == {"gpu2"}


def test_what_a_gpu_does_not_tell_is_absent_and_not_zero(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, FakeNvml([FakeGpu("GPU-a", busy_pct=None)]))
    reader = GpuReader()
    reader.open()
    assert [metric for _, metric, _ in samples(reader)] == ["gpu_memory_used_bytes"]


def test_each_kind_of_query_is_a_source_of_its_own_so_that_its_cost_is_known(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    install(monkeypatch, FakeNvml([full(f"GPU-{i}") for i in range(8)]))
    reader = GpuReader()
    reader.open()
    clock, cpu, num_waits = FakeClock(), FakeClock(), itertools.count(1)

    def wait(seconds: float) -> bool:
        clock.advance(seconds)
        return next(num_waits) >= 41

    sampler = Sampler(
        reader.sources,
        seldom=[(10.0, reader.processes)],
        clock=clock,
        wait=wait,
        thread_time=cpu,
    )
    sampler.sample_now(reader.processes)
    sampler.run()
    # Ticks at 0, 0.5 ... 20 s, and lists at the start, at 10 and at 20 s.
    assert {kind: cost.num_calls for kind, cost in sampler.report().call_costs.items()} == {
        **{f"GPU {kind}": 41 for kind in KINDS},
        "process lists": 3,
    }
    lists_s = [row.t_s for row in sampler.rows(origin_s=0.0) if row.metric == FOREIGN]
    assert sorted(set(lists_s)) == [0.0, 10.0, 20.0]
    assert len(lists_s) == 3 * 8


def test_a_missing_driver_is_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, FakeNvml([], init_code=pynvml.NVML_ERROR_DRIVER_NOT_LOADED))
    with pytest.raises(MeterUnavailable, match="no NVIDIA driver"):
        GpuReader().open()


def test_a_gpu_that_is_lost_at_the_start_is_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeNvml([FakeGpu("GPU-a", lost=True)])
    install(monkeypatch, fake)
    with pytest.raises(MeterUnavailable, match="NVML"):
        GpuReader().open()
    assert fake.num_open == 0


def test_hidden_gpus_are_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    fake = FakeNvml([FakeGpu("GPU-a")])
    install(monkeypatch, fake)
    with pytest.raises(MeterUnavailable, match="none of 1 GPUs is visible: CUDA_VISIBLE_DEVICES="):
        GpuReader().open()
    assert fake.num_open == 0
