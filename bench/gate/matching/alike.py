"""Whether facts are the same in all runs that are compared, and what to report if they are not."""

from __future__ import annotations

from collections.abc import Sequence

from bench.gate.matching.findings import Findings, listed
from bench.gate.sides.facts import difference
from bench.gate.sides.side import SIDES, Pair


class Alike:
    """Compares facts, and collects those that a side does not record."""

    def __init__(self, findings: Findings) -> None:
        """Nothing has been compared.

        Args:
            findings: Filled; its settings say which facts may differ.
        """
        self._findings = findings
        # Ordered sets of facts, by side.
        self._unrecorded: dict[str, dict[str, None]] = {name: {} for name in SIDES}

    def same(self, fact: str, pairs: Sequence[Pair], because: str = "") -> bool:
        """Whether the comparison may go on: the fact is the same, not recorded, or forced.

        Args:
            fact: Its name.
            pairs: Runs that are compared, at least one pair.
            because: Why it may differ, for the report.
        """
        sides = [[run.facts.get(fact) for run in side] for side in zip(*pairs, strict=True)]
        if any(value is not None for side in sides for value in side):
            for name, side in zip(SIDES, sides, strict=True):
                if None in side:
                    self._unrecorded[name][fact] = None
        differs = difference(fact, sides)
        if differs is None:
            return True
        return self._findings.differing(fact, f"{fact} differs: {differs}{because}")

    def report_unrecorded(self) -> None:
        """Remark on facts that may differ because one side does not record them."""
        for name, facts in self._unrecorded.items():
            if facts:
                self._findings.remark(
                    f"{name}: not all runs record {', '.join(facts)}, which may differ"
                )


def why_unavailable(pairs: Sequence[Pair]) -> str:
    """Which meters only one side could not read, as the end of a message; empty if none."""
    sides = [
        dict.fromkeys(reason for run in side for reason in run.unavailable)
        for side in zip(*pairs, strict=True)
    ]
    texts = [
        f"{name}: no {listed(reasons)}"
        for name, here, there in zip(SIDES, sides, reversed(sides), strict=True)
        if (reasons := [reason for reason in here if reason not in there])
    ]
    return f" ({'; '.join(texts)})" if texts else ""
