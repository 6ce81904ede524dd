"""Which GPUs CUDA programs see: names, numbers in CUDA's order, instances of MIG."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from bench.measure import visible_gpus
from bench.measure.gpu import close_library
from bench.measure.meters.base import MeterUnavailable
from bench.measure.run_gpus import RunGpus, open_gpus
from tests.fake_nvml import FakeGpu, FakeInstance, FakeNvml, install

UUIDS = [f"GPU-{letters}00000-0000-0000-0000-000000000000" for letters in ("aa1", "aa2", "bb3")]
INSTANCES = [
    FakeInstance("MIG-c0", "MIG 1g.10gb", 7),
    None,  # a place without an instance
    FakeInstance("MIG-c1", "MIG 3g.40gb", 9, 1),
]
NO_COUNTER = "an instance of MIG of gpu1 has no energy counter of its own"


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.delenv("CUDA_DEVICE_ORDER", raising=False)
    visible_gpus.ask_cuda.cache_clear()


def found(
    monkeypatch: pytest.MonkeyPatch,
    visible: str | None,
    *,
    order: str | None = None,
    divided: bool = False,
    num_cards: int = 3,
) -> RunGpus:
    """What is found on a machine with three cards, of which MIG may have divided the second."""
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    if order is not None:
        monkeypatch.setenv("CUDA_DEVICE_ORDER", order)
    cards = [FakeGpu(uuid) for uuid in UUIDS[:num_cards]]
    if divided:
        cards[1].mig_enabled, cards[1].instances = True, INSTANCES
    install(monkeypatch, FakeNvml(cards))
    opened = open_gpus()
    close_library()
    return opened


def cuda_says(monkeypatch: pytest.MonkeyPatch, *numbers: int) -> None:
    """Have CUDA answer with cards by NVML's number; with none, asking it is an error."""

    def ask(visible: str, order: str | None) -> list[str]:
        assert numbers, f"CUDA was asked about {visible}"
        return [UUIDS[number].removeprefix("GPU-") for number in numbers]

    monkeypatch.setattr(visible_gpus, "ask_cuda", ask)


@pytest.mark.parametrize(
    ("visible", "indices"),
    [
        (None, [0, 1, 2]),
        ("2,0", [2, 0]),
        (" 1 , 2 ", [1, 2]),
        ("0,-1,1", [0]),  # what follows an entry that names no device does not count
        ("0,7", [0]),
        ("1,2ndcard", [1, 2]),  # numbers are read as by C's strtoul
        ("+1", [1]),
        ("1,GPU-bb3", [1]),  # numbers and names do not mix
        ("GPU-bb3", [2]),
        ("GPU-bb3,GPU-aa1", [2, 0]),
        ("GPU-bb3,0", [2]),
        ("GPU-bb3,GPU-zz", [2]),
        ("GPU-bb3,GPU-aa", [2]),  # two cards begin so
    ],
)
def test_names_and_numbers_are_read_as_cuda_reads_them(
    monkeypatch: pytest.MonkeyPatch, visible: str | None, indices: list[int]
) -> None:
    cuda_says(monkeypatch)
    opened = found(monkeypatch, visible, order="PCI_BUS_ID")
    assert [(one.index, one.chosen_by) for one in opened.devices] == [
        (index, "visible") for index in indices
    ]


@pytest.mark.parametrize(
    "visible", ["", "-1", "-1,0", "x", "7", "0,0", "1,0,1", "GPU-aa", "GPU-aa1,GPU-aa1", "gpu0"]
)
@pytest.mark.parametrize("order", [None, "PCI_BUS_ID"])
def test_what_leaves_cuda_without_a_device_leaves_none(
    monkeypatch: pytest.MonkeyPatch, visible: str, order: str | None
) -> None:
    cuda_says(monkeypatch)
    with pytest.raises(MeterUnavailable, match="none of 3 GPUs is visible"):
        found(monkeypatch, visible, order=order)


@pytest.mark.parametrize("order", [None, "FASTEST_FIRST", "unknown to us"])
def test_numbers_that_choose_some_cards_count_in_the_order_of_cuda(
    monkeypatch: pytest.MonkeyPatch, order: str | None
) -> None:
    """The fastest card is the last on the bus: CUDA's 0 is NVML's 2. Before it was NVML's 0."""
    cuda_says(monkeypatch, 2)
    opened = found(monkeypatch, "0", order=order)
    assert [(one.index, one.chosen_by) for one in opened.devices] == [(2, "cuda")]
    assert [gpu.name for gpu in opened.gpus] == ["gpu2"]


@pytest.mark.parametrize(
    ("visible", "num_cards"), [(None, 3), ("2,0,1", 3), ("GPU-bb3", 3), ("0", 1)]
)
def test_cuda_is_not_asked_where_its_order_does_not_matter(
    monkeypatch: pytest.MonkeyPatch, visible: str | None, num_cards: int
) -> None:
    cuda_says(monkeypatch)
    assert found(monkeypatch, visible, num_cards=num_cards).gpus


def test_where_cuda_cannot_be_asked_no_card_is_taken_for_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def ask(visible: str, order: str | None) -> list[str]:
        raise visible_gpus.CudaOrderUnknownError("cuInit failed with error 999")

    monkeypatch.setattr(visible_gpus, "ask_cuda", ask)
    opened = found(monkeypatch, "1")
    assert opened.gpus == []
    assert len(opened.devices) == 1  # so the joules of a GPU are missing
    assert opened.problems == {
        "CUDA_VISIBLE_DEVICES=1": "CUDA has an order of its own for these numbers, and cannot be "
        "asked: cuInit failed with error 999"
    }


@pytest.mark.parametrize(
    ("visible", "name", "kind"),
    [
        ("MIG-c1", "MIG-c1", "MIG 3g.40gb"),
        (f"MIG-{UUIDS[1]}/9/1", f"MIG-{UUIDS[1]}/9/1", "MIG 3g.40gb"),
        ("MIG-GPU-aa2/7/0", "MIG-GPU-aa2/7/0", "MIG 1g.10gb"),
        ("MIG-c1,MIG-c0", "MIG-c1", "MIG 3g.40gb"),  # CUDA uses one only
        ("1", "MIG-c0", "MIG 1g.10gb"),  # of a divided card, the first one
        ("0,1,2", "MIG-c0", "MIG 1g.10gb"),  # and beside it no whole card
        (None, "MIG-c0", "MIG 1g.10gb"),
        (UUIDS[1], "MIG-c0", "MIG 1g.10gb"),
    ],
)
def test_an_instance_of_mig_is_found_by_all_its_names(
    monkeypatch: pytest.MonkeyPatch, visible: str | None, name: str, kind: str
) -> None:
    opened = found(monkeypatch, visible, order="PCI_BUS_ID", divided=True)
    assert opened.gpus == []
    assert [(one.index, one.uuid, one.name) for one in opened.devices] == [(None, name, kind)]
    assert opened.problems[name].startswith(NO_COUNTER)


def test_an_instance_that_nobody_knows_is_one_nevertheless(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    opened = found(monkeypatch, "MIG-GPU-aa1/7/0", divided=True)
    assert [one.name for one in opened.devices] == ["MIG instance"]
    (reason,) = opened.problems.values()
    assert reason.startswith("an instance of MIG has no energy counter of its own")


@pytest.mark.parametrize("uuid", ["MIG-c1", "c1", "GPU-c1"])
def test_the_uuid_that_torch_has_of_an_instance_is_found(
    monkeypatch: pytest.MonkeyPatch, uuid: str
) -> None:
    cards = [FakeGpu("GPU-a"), FakeGpu("GPU-b", mig_enabled=True, instances=INSTANCES)]
    install(monkeypatch, FakeNvml(cards))
    (device,) = open_gpus([uuid]).devices
    assert (device.uuid, device.name, device.chosen_by) == (uuid, "MIG 3g.40gb", "uuid")


def test_a_divided_card_without_an_instance_is_no_device_of_cuda(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cards = [FakeGpu("GPU-a", mig_enabled=True), FakeGpu("GPU-b")]
    install(monkeypatch, FakeNvml(cards))
    assert [gpu.name for gpu in open_gpus().gpus] == ["gpu1"]


_LIBCUDA = r"""
#include <stdlib.h>
#include <string.h>
/* Three devices, fastest first: the last on the bus is the first. CUDA_VISIBLE_DEVICES=N is one. */
int cuInit(unsigned flags) { return getenv("FAKE_CUDA_FAILS") ? 999 : 0; }
int cuDeviceGetCount(int *count) { *count = getenv("CUDA_VISIBLE_DEVICES") ? 1 : 3; return 0; }
int cuDeviceGet(int *device, int ordinal) {
    const char *visible = getenv("CUDA_VISIBLE_DEVICES");
    *device = 2 - (visible ? atoi(visible) : ordinal);
    return 0;
}
int cuDeviceGetUuid_v2(unsigned char *uuid, int device) {
    static const unsigned char first[3][2] = {{0xaa, 0x10}, {0xaa, 0x20}, {0xbb, 0x30}};
    memset(uuid, 0, 16);
    memcpy(uuid, first[device], 2);
    return 0;
}
"""


@pytest.fixture(scope="module")
def libcuda(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a driver's library that answers as CUDA does."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler")
    folder = tmp_path_factory.mktemp("libcuda")
    source = folder / "cuda.c"
    source.write_text(_LIBCUDA)
    target = folder / "libcuda.so.1"
    subprocess.run([compiler, "-shared", "-fPIC", "-o", str(target), str(source)], check=True)
    return folder


def test_cuda_is_asked_in_a_process_of_its_own(
    monkeypatch: pytest.MonkeyPatch, libcuda: Path
) -> None:
    paths = [str(libcuda), os.environ.get("LD_LIBRARY_PATH", "")]
    monkeypatch.setenv("LD_LIBRARY_PATH", ":".join(filter(None, paths)))
    opened = found(monkeypatch, "1")
    assert [(one.index, one.chosen_by) for one in opened.devices] == [(1, "cuda")]
    opened = found(monkeypatch, "0")
    assert [(one.index, one.uuid) for one in opened.devices] == [(2, UUIDS[2])]
    monkeypatch.setenv("FAKE_CUDA_FAILS", "1")
    opened = found(monkeypatch, "2")
    (reason,) = opened.problems.values()
    assert reason.endswith("cannot be asked: cuInit failed with error 999")
