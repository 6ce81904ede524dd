"""Computes the hashes of the runs of a sweep, once for all seeds and repeats."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from bench.cli.overrides import key_of


class Digests:
    """The hashes of the runs of jobs."""

    def __init__(
        self,
        digests: Callable[[Mapping[str, Any], Sequence[str]], Sequence[str]],
        values: Callable[[Sequence[str]], Mapping[str, Any]],
    ) -> None:
        """Compute nothing yet.

        Args:
            digests: The hash of each run of a job. It gets the values with seed and repeat 0, and
                the overrides.
            values: The resolved values of a job, by its overrides.
        """
        self._digests = digests
        self._values = values
        self._known: dict[tuple[str, ...], Sequence[str]] = {}

    def of(self, overrides: Sequence[str]) -> Sequence[str]:
        """The hash of each run of a job."""
        others = [text for text in overrides if key_of(text) not in ("seed", "repeat")]
        first = (*others, "seed=0", "repeat=0")
        if first not in self._known:
            values = self._values(overrides)
            if values["seed"] != 0 or values["repeat"] != 0:
                values = self._values(first)
            self._known[first] = self._digests(values, first)
        return self._known[first]
