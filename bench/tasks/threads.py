"""How many threads PyTorch really uses in this process, whoever decided it."""

from __future__ import annotations

import torch


def thread_facts() -> dict[str, int]:
    """Facts of a record: threads of one operator, and operators at the same time."""
    return {
        "num_threads": torch.get_num_threads(),
        "num_interop_threads": torch.get_num_interop_threads(),
    }
