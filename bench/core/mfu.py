"""Model FLOPs utilization (MFU): the FLOPs that a training needed, as a share of the GPUs' peak.

A training step is taken to need three times the FLOPs of a forward pass: the backward pass computes
two products for each one of the forward pass. FLOPs that an implementation adds do not count, such
as activations that it computes again. Source: Chowdhery et al., "PaLM: Scaling Language Modeling
with Pathways", arXiv:2204.02311, appendix B.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from bench.core.records.curve import CurveRow
from bench.core.records.run import RunRecord

FORWARD_AND_BACKWARD = 3
_TERA = 1e12


@dataclass(frozen=True, slots=True)
class _Peak:
    """Dense peak of a card in TFLOPS, without sparsity, with sums in float32.

    Attributes:
        fp32: Of float32 without tensor cores.
        tf32: Of float32 on tensor cores; None where the card has none for it.
        fp16: Of float16 on tensor cores.
        bf16: Of bfloat16 on tensor cores; None where the card has none for it.
    """

    fp32: float
    tf32: float | None
    fp16: float
    bf16: float | None


# From NVIDIA's data sheets. Those from Ada on print most figures with sparsity, which is twice the
# dense one. By the names that NVML gives, without "NVIDIA" or "Tesla" in front. Cards that are sold
# under a similar name (A10G, RTX 4090 D, A100 with 64 GB) are others and have no row.
_PEAKS = {
    # NVIDIA V100 data sheet, January 2020.
    r"V100-SXM2-(16|32)GB": _Peak(15.7, None, 125.0, None),
    r"V100-PCIE-(16|32)GB": _Peak(14.0, None, 112.0, None),
    r"V100S-PCIE-32GB": _Peak(16.4, None, 130.0, None),
    # NVIDIA T4 data sheet, March 2019.
    r"T4": _Peak(8.1, None, 65.0, None),
    # NVIDIA A100 data sheet, June 2021: SXM and PCIe alike.
    r"A100(-SXM4?-(40|80)GB|-PCIE-40GB| 80GB PCIe)": _Peak(19.5, 156.0, 312.0, 312.0),
    # NVIDIA A10 data sheet, March 2022.
    r"A10": _Peak(31.2, 62.5, 125.0, 125.0),
    # NVIDIA H100 data sheet: SXM, PCIe (2022) and NVL (2024); 989, 1,979 and so on with sparsity.
    r"H100 80GB HBM3": _Peak(67.0, 494.5, 989.5, 989.5),
    r"H100 PCIe": _Peak(51.0, 378.0, 756.5, 756.5),
    r"H100 NVL": _Peak(60.0, 417.5, 835.5, 835.5),
    # NVIDIA H200 data sheet, 2024: SXM and NVL.
    r"H200": _Peak(67.0, 494.5, 989.5, 989.5),
    r"H200 NVL": _Peak(60.0, 417.5, 835.5, 835.5),
    # NVIDIA L4 data sheet, 2023: 120 and 242 with sparsity.
    r"L4": _Peak(30.3, 60.0, 121.0, 121.0),
    # NVIDIA L40S data sheet, 2023, which prints both.
    r"L40S": _Peak(91.6, 183.0, 362.0, 362.0),
    # NVIDIA Ada GPU architecture, version 2.1, appendix A; float16 with sums in float32.
    r"GeForce RTX 4090": _Peak(82.6, 82.6, 165.2, 165.2),
    # NVIDIA HGX B200 data sheet, of 8 cards: 600 TFLOPS of FP32; with sparsity 18 PFLOPS of TF32
    # and 36 of FP16.
    r"B200": _Peak(75.0, 1125.0, 2250.0, 2250.0),
}
# What a precision may use, the fastest first. torch lets convolutions in float32 use TF32 unless it
# is told otherwise, so the peak of float32 is that of TF32 where the card has it.
_UNITS: Mapping[str, Sequence[str]] = {
    **dict.fromkeys(("32", "32-true"), ("tf32", "fp32")),
    **dict.fromkeys(("bf16-mixed", "bf16-true"), ("bf16",)),
    **dict.fromkeys(("16-mixed", "16-true"), ("fp16",)),
}


def peak_flops_per_s(name: str, precision: str) -> float | None:
    """The dense peak of a card, in FLOPs per second.

    Args:
        name: Its name, as NVML gives it.
        precision: The precision of the training, as `precision` names it.

    Returns:
        None if the peak is not known, or the card does not have the precision.
    """
    bare = re.sub(r"^(NVIDIA |Tesla )+", "", name)
    peak = next((peak for names, peak in _PEAKS.items() if re.fullmatch(names, bare)), None)
    if peak is None:
        return None
    found = (getattr(peak, unit) for unit in _UNITS.get(precision, ()))
    tera = next((each for each in found if each is not None), None)
    return None if tera is None else tera * _TERA


def with_mfu(record: RunRecord, rows: Sequence[CurveRow]) -> RunRecord:
    """Add model FLOPs utilization, from the samples and the training time at the last evaluation.

    Args:
        record: A record whose host lists its GPUs; of a training over several nodes, each node's.
        rows: Its evaluations.
    """
    if record.utilization is None:
        return record
    peak = _peak_of(record)
    flops = record.model.flops_per_sample if record.model else None
    last = rows[-1] if rows else None
    mfu: float | None = None
    if peak and flops and last is not None and last.samples and last.train_time_s > 0:
        needed = FORWARD_AND_BACKWARD * flops * last.samples
        mfu = needed / (last.train_time_s * peak)
    use = replace(
        record.utilization, mfu_frac=mfu, mfu_peak_flops_per_s=None if mfu is None else peak
    )
    return replace(record, utilization=use)


def _peak_of(record: RunRecord) -> float | None:
    """The peak of all GPUs of a run together; None without a GPU, or if that of one is unknown."""
    precision = str(record.config.get("precision"))
    hosts = [node.host for node in record.nodes] or [record.host]
    names = [str(gpu.get("name")) for host in hosts for gpu in host.get("gpus") or ()]
    known = [peak for name in names if (peak := peak_flops_per_s(name, precision)) is not None]
    return sum(known) if known and len(known) == len(names) else None
