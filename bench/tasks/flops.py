"""Counts the floating-point operations of a prediction, and names the operators it cannot count."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map
from torch.utils.flop_counter import FlopCounterMode, flop_registry

from bench.tasks.neutral import evaluating, unchanged

# These create, copy or select data without arithmetic. An operator on no list is named in the
# result, because one name too many does less harm than uncounted work that nobody notices.
_MOVES_DATA = frozenset(
    "aten." + name
    for name in (
        *("empty", "empty_like", "empty_strided", "new_empty", "new_empty_strided", "resize_"),
        *("zeros", "zeros_like", "new_zeros", "zero_", "ones", "ones_like", "new_ones"),
        *("full", "full_like", "new_full", "fill", "fill_", "scalar_tensor", "arange"),
        *("clone", "copy", "copy_", "_to_copy", "lift_fresh", "cat", "stack", "repeat"),
        *("_unsafe_view", "as_strided_"),
        *("constant_pad_nd", "flip", "roll", "channel_shuffle"),
        *("index", "index_select", "gather", "embedding"),
        *("_local_scalar_dense", "item", "sym_size", "sym_stride", "sym_numel"),
    )
)


def count_flops(module: nn.Module, example: Any) -> tuple[int, list[str]]:
    """Count the FLOPs of a forward pass in evaluation mode; a multiply-add counts as two.

    Args:
        module: It and all random states are put back afterwards (bench.tasks.neutral.unchanged).
        example: One input on the module's device, shape (1, c, h, w), or several such tensors in
            tuples, lists and dicts.

    Returns:
        The FLOPs of all operators that torch has a formula for, and the sorted names of other
        operators that computed something.
    """
    counter = FlopCounterMode(display=False)
    # The counter does not report what it skips. It breaks composite operators into parts, and the
    # recorder, entered first, sees these parts.
    recorder = _Recorder()
    with unchanged([module]), evaluating(module), torch.no_grad(), recorder, counter:
        module(tree_map(torch.clone, example))  # a model may write into its input
    return counter.get_total_flops(), sorted(recorder.uncounted)


class _Recorder(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Collects the operators that compute something and have no formula."""

    # Otherwise torch would refuse higher-order operators here, such as flex_attention.
    supports_higher_order_operators = True

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.uncounted: set[str] = set()

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        # Higher-order operators have no packet and are never views.
        packet = getattr(func, "overloadpacket", func)
        name = str(packet)
        if not (packet in flop_registry or name in _MOVES_DATA or getattr(func, "is_view", False)):
            self.uncounted.add(name)
        return func(*args, **(kwargs or {}))
