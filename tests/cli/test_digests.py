"""The hashes of the jobs of a sweep."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from bench.cli.digests import Digests


@pytest.mark.parametrize(
    "job", [[], ["seed=5"], ["repeat=1"], ["seed=0", "repeat=1"], ["seed=5", "repeat=0"]]
)
def test_all_seeds_and_repeats_have_the_hash_of_the_first(job: list[str]) -> None:
    """Also where another key refers to them."""

    def values(overrides: Sequence[str]) -> dict[str, Any]:
        found = {"seed": 0, "repeat": 0}
        found |= {key: int(value) for key, value in (each.split("=") for each in overrides)}
        return {**found, "refers": (found["lr"], found["seed"], found["repeat"])}

    digests = Digests(lambda values, _: [str(values["refers"])], values)
    assert digests.of(["lr=3", *job]) == ["(3, 0, 0)"]
