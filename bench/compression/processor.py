"""Which precisions the processor of this machine computes natively, by torch's report."""

from __future__ import annotations

import torch

# Without any of these instruction sets, torch still accepts a model in half precision, but converts
# to float32 and back in each operator.
_NATIVE = {
    "bf16": ("avx512_bf16", "amx_bf16", "bf16"),
    "fp16": ("avx512_fp16", "amx_fp16", "fp16_arith"),
}
_INT8_PRODUCTS = ("avx512_vnni", "avx_vnni", "amx_int8")


def computes_natively(method: str) -> bool:
    """Whether torch's operators compute in half precision on this processor.

    Both checks are needed. oneDNN, which has the operators, also accepts bfloat16 on processors
    that only convert it. And the processor's instructions are of no use without oneDNN.

    Args:
        method: "bf16" or "fp16".
    """
    supported = {
        "bf16": torch.ops.mkldnn._is_mkldnn_bf16_supported,
        "fp16": torch.ops.mkldnn._is_mkldnn_fp16_supported,
    }
    return has_any(_NATIVE[method]) and bool(supported[method]())


def half_refusal(method: str, device: str) -> str | None:
    """The reason why torch would not really compute in bf16 or fp16; None for other methods, too.

    Args:
        method: One of bench.config.serve.COMPRESSIONS.
        device: "cpu" or "cuda".
    """
    if method not in _NATIVE:
        return None
    if device == "cpu" and not computes_natively(method):
        return (
            f"this processor does not compute in {method}, and torch would convert to float32 and "
            "back in each operator"
        )
    if method == "bf16" and device == "cuda" and not torch.cuda.is_bf16_supported(False):
        return "this GPU only emulates bfloat16"
    return None


def needs_smaller_int8() -> bool:
    """Whether weights must have 7 bits: sums of int8 products overflow on older x86 processors."""
    return is_x86() and not has_any(_INT8_PRODUCTS)


def is_x86() -> bool:
    """Whether this is an x86 processor."""
    return str(torch.cpu.get_capabilities()["architecture"]) in ("x86", "x86_64")


def has_any(names: tuple[str, ...]) -> bool:
    """Whether the processor has one of these instruction sets."""
    capabilities = torch.cpu.get_capabilities()
    return any(capabilities.get(name, False) for name in names)
