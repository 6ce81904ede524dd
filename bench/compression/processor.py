"""What the processor of this machine computes in natively, as torch reports it."""

from __future__ import annotations

import torch

# On processors with none of these, torch takes a model in half precision all the same, and
# converts it to float32 and back inside each operator.
_NATIVE = {
    "bf16": ("avx512_bf16", "amx_bf16", "bf16"),
    "fp16": ("avx512_fp16", "amx_fp16", "fp16_arith"),
}
_INT8_PRODUCTS = ("avx512_vnni", "avx_vnni", "amx_int8")


def computes_natively(method: str) -> bool:
    """Whether torch's operators compute in half precision on this processor.

    Both must agree: oneDNN, which has the operators, also takes bfloat16 on processors that only
    convert it; and what the processor has is of no use if oneDNN is not there.

    Args:
        method: "bf16" or "fp16".
    """
    supported = {
        "bf16": torch.ops.mkldnn._is_mkldnn_bf16_supported,
        "fp16": torch.ops.mkldnn._is_mkldnn_fp16_supported,
    }
    return has_any(_NATIVE[method]) and bool(supported[method]())


def half_refusal(method: str, device: str) -> str | None:
    """Why torch would not really compute in bf16 or fp16; None if it would, or for other methods.

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
    """Whether sums of products of int8 would overflow: x86 without instructions for them."""
    return is_x86() and not has_any(_INT8_PRODUCTS)


def is_x86() -> bool:
    """Whether this is an x86 processor."""
    return str(torch.cpu.get_capabilities()["architecture"]) in ("x86", "x86_64")


def has_any(names: tuple[str, ...]) -> bool:
    """Whether the processor has one of these instruction sets."""
    found = torch.cpu.get_capabilities()
    return any(found.get(name, False) for name in names)
