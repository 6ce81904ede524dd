"""Model FLOPs utilization, and the peaks that it is a share of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from bench.core.mfu import peak_flops_per_s, with_mfu
from bench.core.records.curve import CurveRow
from bench.core.records.health import Utilization
from bench.core.records.model import ModelFacts
from bench.core.records.node import NodeFacts
from bench.core.records.run import RunRecord
from bench.measure.window import Window
from bench.runs.measured import measured_record
from tests.fake_nvml import FakeGpu, FakeNvml, install

A100 = "NVIDIA A100-SXM4-80GB"


def row(samples: int | None, train_time_s: float) -> CurveRow:
    return CurveRow(
        time_s=train_time_s + 30.0,  # evaluations do not count
        train_time_s=train_time_s,
        eval_time_s=30.0,
        checkpoint_time_s=0.0,
        samples=samples,
        steps=None,
        epochs=None,
        energy_total_j=None,
        energy_label=None,
        train_loss=None,
    )


def trained(
    *cards: str,
    precision: Any = "bf16-mixed",
    flops: int | None = 10_000_000_000,
    nodes: Sequence[NodeFacts] = (),
) -> RunRecord:
    host: Mapping[str, Any] = {"gpus": [{"name": name} for name in cards]}
    return RunRecord(
        run_id="made",
        command="train",
        config_hash="abc",
        seed=0,
        repeat=0,
        started_utc="2026-11-29T00:00:00Z",
        status="ok",
        config={"precision": precision},
        host=dict(host),
        model=ModelFacts(name="Gpt", flops_per_sample=flops),
        utilization=Utilization(),
        nodes=list(nodes),
    )


ROWS = [row(100_000, 10.0), row(1_040_000, 200.0)]


def mfu(record: RunRecord, rows: Sequence[CurveRow] = ROWS) -> tuple[float | None, float | None]:
    use = with_mfu(record, rows).utilization
    assert use is not None
    return use.mfu_frac, use.mfu_peak_flops_per_s


def test_it_is_three_forward_passes_by_the_training_time_and_the_peak_of_all_gpus() -> None:
    # 3 x 1e10 FLOPs x 1,040,000 samples / 200 s = 156 TFLOPS: half of an A100 in bfloat16.
    assert mfu(trained(A100)) == pytest.approx((0.5, 312e12))
    assert mfu(trained(A100, A100)) == pytest.approx((0.25, 624e12))
    host = {"gpus": [{"name": A100}, {"name": A100}]}
    nodes = [NodeFacts(node=node, host=host) for node in (0, 1)]
    assert mfu(trained(A100, A100, nodes=nodes)) == pytest.approx((0.125, 1248e12))


def test_a_measured_run_has_it_in_its_record(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    install(monkeypatch, FakeNvml([FakeGpu("GPU-a", name="NVIDIA H100 80GB HBM3")]))
    with Window({}, gpus=["a"], shared=True, period_s=None) as window:
        pass
    made = trained()
    record = measured_record(
        made.identity,
        {"precision": "32"},
        ROWS,
        window,
        host={},
        fields={"model": made.model},
        status="ok",
    )
    # The 156 TFLOPS of above are a share of the TF32 of an H100, 494.5.
    assert record.utilization is not None
    assert record.utilization.mfu_frac == pytest.approx(156 / 494.5)


@pytest.mark.parametrize(
    ("record", "rows"),
    [
        (trained(), ROWS),  # on the CPU
        (trained("NVIDIA GeForce GTX 1080"), ROWS),  # its peak is not known
        (trained(A100, "NVIDIA GeForce GTX 1080"), ROWS),  # that of the whole is not either
        (trained("Tesla T4"), ROWS),  # it emulates bfloat16
        (trained(A100, precision=None), ROWS),  # a training of one's own that does not say
        (trained(A100, flops=None), ROWS),
        (trained(A100), []),
        (trained(A100), [row(None, 10.0)]),  # batches of unknown size
        (trained(A100), [row(100, 0.0)]),
    ],
)
def test_what_is_not_known_is_not_guessed(record: RunRecord, rows: Sequence[CurveRow]) -> None:
    assert mfu(record, rows) == (None, None)


@pytest.mark.parametrize(
    ("name", "precision", "tera"),
    [
        ("Tesla V100-SXM2-16GB", "16-mixed", 125.0),
        ("Tesla V100-PCIE-32GB", "32", 14.0),  # no TF32
        ("A100-SXM4-40GB", "32", 156.0),  # an older driver; convolutions use TF32
        ("NVIDIA A100 80GB PCIe", "16-mixed", 312.0),
        ("NVIDIA A100-SXM-64GB", "32", None),  # another chip, with more multiprocessors
        ("NVIDIA A10", "bf16-true", 125.0),
        ("NVIDIA A10G", "bf16-mixed", None),
        ("NVIDIA H100 80GB HBM3", "bf16-mixed", 989.5),
        ("NVIDIA H100 PCIe", "bf16-mixed", 756.5),
        ("NVIDIA H200", "32-true", 494.5),
        ("NVIDIA L4", "bf16-mixed", 121.0),
        ("NVIDIA L40S", "32", 183.0),
        ("NVIDIA GeForce RTX 4090", "16-mixed", 165.2),
        ("NVIDIA GeForce RTX 4090 D", "16-mixed", None),
        ("NVIDIA B200", "bf16-mixed", 2250.0),
        ("NVIDIA B200", "64-true", None),
    ],
)
def test_peaks_are_dense_and_of_exactly_this_card(
    name: str, precision: str, tera: float | None
) -> None:
    peak = peak_flops_per_s(name, precision)
    assert peak == (None if tera is None else pytest.approx(tera * 1e12))
