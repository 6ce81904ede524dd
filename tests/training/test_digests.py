from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from bench.training.batches import digest


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (torch.eye(4).to_sparse(), 2 * torch.eye(4).to_sparse()),
        (torch.eye(4).to_sparse(), torch.eye(4).flip(0).to_sparse()),
        (torch.tensor([1 + 1j]).conj(), torch.tensor([1 + 1j])),
        (torch.ones(2, dtype=torch.bfloat16), torch.zeros(2, dtype=torch.bfloat16)),
        (np.array(["a", "bb"]), np.array(["a", "bc"])),
        (np.array(["2024-01-01"], "datetime64[D]"), np.array(["2024-01-02"], "datetime64[D]")),
        (np.arange(3)[::-1], np.arange(3)),
        (np.ones(2, ">f4"), np.zeros(2, ">f4")),
    ],
)
def test_any_kind_of_array_is_told_apart_by_its_content(one: Any, other: Any) -> None:
    assert digest([one]) == digest([one])
    assert digest([one]) != digest([other])


@pytest.mark.filterwarnings("ignore:Sparse CSR")
@pytest.mark.filterwarnings("ignore:The PyTorch API of nested")
def test_other_layouts_are_told_apart_by_their_content() -> None:
    digests = set()
    for one in (torch.eye(4), torch.eye(4).flip(0)):
        jagged = torch.nested.nested_tensor([one, one[:2]], layout=torch.jagged)
        digests |= {
            digest([tensor]) for tensor in (one.to_sparse_csr(), one.to_sparse_bsr((2, 2)), jagged)
        }
    assert len(digests) == 6


def test_python_objects_in_an_array_say_nothing() -> None:
    assert digest([np.ones(2), np.array([{}, {}])]) == digest([np.ones(2)])
