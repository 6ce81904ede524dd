from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from bench.training.batches import have_same_batch, num_samples

IMAGES, LABELS = torch.zeros(4, 1, 2, 2), torch.zeros(4)


@pytest.mark.parametrize(
    "batch",
    [
        IMAGES,
        (IMAGES, LABELS),
        {"image": IMAGES, "meta": {"label": LABELS, "weight": torch.tensor(0.5)}},
        [np.zeros((4, 3)), LABELS, "a.png"],
    ],
)
def test_the_size_of_a_batch_is_what_all_of_it_agrees_on(batch: Any) -> None:
    assert num_samples(batch) == 4


@pytest.mark.parametrize(
    "batch",
    [
        (torch.zeros(7, 2), torch.zeros(3)),  # nodes and graphs
        (torch.zeros(9, 4, 8), LABELS),  # time first
        ["a sentence", "another one"],
        torch.tensor(1.0),
        object(),
        (),
    ],
)
def test_a_size_that_cannot_be_known_is_no_guess(batch: Any) -> None:
    assert num_samples(batch) is None


def test_ranks_with_the_same_batch_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    found = {}
    for other in (None, "of other samples"):

        def gather(digests: list[Any], own: Any, other: str | None = other) -> None:
            digests[:] = [own, own if other is None else other]

        monkeypatch.setattr(torch.distributed, "get_world_size", lambda: 2)
        monkeypatch.setattr(torch.distributed, "all_gather_object", gather)
        found[other] = have_same_batch((IMAGES, LABELS))
    assert found == {None: True, "of other samples": False}
