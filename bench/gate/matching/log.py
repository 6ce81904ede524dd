"""The problems and remarks of a comparison, collected while its sides are matched."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace

from bench.config.gate import JudgeConfig
from bench.gate.model import GateRun, Problem, ProblemKind, problem
from bench.gate.sides.facts import difference, is_forced
from bench.gate.sides.side import SIDES, Pair, Side

_MOST_NAMED = 5


def listed(texts: Sequence[str]) -> str:
    """The first few of some texts, and how many more there are."""
    more = len(texts) - _MOST_NAMED
    return ", ".join(texts[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")


def list_runs(pairs: Iterable[Pair], describe: Callable[[GateRun], str]) -> str:
    """List the runs that have a description, each with its side; empty for none."""
    runs = ((side, run) for pair in pairs for side, run in zip(SIDES, pair, strict=True))
    return listed(
        [f"{side} {run.run_id} ({text})" for side, run in runs if (text := describe(run))]
    )


@dataclass(kw_only=True)
class ProblemLog:
    """Problems, or remarks where the settings allow what was found; each is listed once.

    Attributes:
        settings: What may be missing or differ.
        repeated_names: Configurations with enough runs, of which too few count.
    """

    settings: JudgeConfig
    problems: list[Problem] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    repeated_names: set[str] = field(default_factory=set)
    # Ordered sets of the facts that not all runs of a side record.
    _unrecorded: dict[str, dict[str, None]] = field(
        default_factory=lambda: {name: {} for name in SIDES}
    )

    def add(self, kind: ProblemKind, message: str) -> None:
        """Add a problem."""
        if (new := problem(kind, message)) not in self.problems:
            self.problems.append(new)

    def remark(self, message: str) -> None:
        """Add something that changes no exit code."""
        if message not in self.remarks:
            self.remarks.append(message)

    def add_side(self, name: str, side: Side) -> None:
        """Add what was wrong with a side when it was read."""
        for each in side.problems:
            self.problems.append(replace(each, message=f"{name}: {each.message}"))
        self.remarks += [f"{name}: {remark}" for remark in side.remarks]

    def add_missing(self, message: str) -> None:
        """Add something that one side does not have."""
        if self.settings.allow_missing:
            self.remark(f"{message} (allow_missing=true)")
        else:
            self.add("missing", f"{message}; measure it there too, or allow_missing=true")

    def add_repeated(self, name: str, reasons: Sequence[str]) -> None:
        """Add that too few runs of a configuration count; more like them would not help."""
        self.repeated_names.add(name)
        # In front: the other problems of the configuration follow from it.
        self.problems[:0] = [problem("repeated", f"{name}: {reason}") for reason in reasons]

    def is_same(self, fact: str, pairs: Sequence[Pair], why: str = "") -> bool:
        """Check a fact; return whether it is the same in all runs, not recorded, or forced.

        Args:
            fact: Its name.
            pairs: Runs that are compared, at least one pair.
            why: Why it may differ, for the report.
        """
        sides = [[run.facts.get(fact) for run in side] for side in zip(*pairs, strict=True)]
        if any(value is not None for side in sides for value in side):
            for name, side in zip(SIDES, sides, strict=True):
                if None in side:
                    self._unrecorded[name][fact] = None
        text = difference(fact, sides)
        if text is None:
            return True
        message = f"{fact} differs: {text}{why}"
        forced = is_forced(fact, self.settings.force)
        if forced:
            self.remark(f"{message} (forced)")
        else:
            self.add("incomparable", f"{message}; measure both alike, or force=[{fact}]")
        return forced

    def note_difference(self, fact: str, pairs: Sequence[Pair]) -> None:
        """Remark on a fact that differs between the sides but may do so."""
        sides = [[run.facts.get(fact) for run in side] for side in zip(*pairs, strict=True)]
        if text := difference(fact, sides):
            self.remark(f"{fact} differs: {text}")

    def remark_unrecorded(self) -> None:
        """Remark on facts that may differ because one side does not record them."""
        for name, facts in self._unrecorded.items():
            if facts:
                names = ", ".join(facts)
                self.remark(f"{name}: not all runs record {names}, which may differ")
