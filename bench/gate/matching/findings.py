"""What is found wrong while two sides are matched: problems, or remarks where it was allowed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from bench.config.gate import JudgeConfig
from bench.gate.model import EXIT_FAILED, EXIT_INCOMPARABLE, EXIT_TOO_LITTLE, Problem
from bench.gate.settings import HEALTH
from bench.gate.sides.facts import is_forced

_MOST_NAMED = 5


def listed(texts: Sequence[str]) -> str:
    """The first few of some texts, and how many there are beside them."""
    more = len(texts) - _MOST_NAMED
    return ", ".join(texts[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")


@dataclass(kw_only=True)
class Findings:
    """Filled as the matching goes; the same thing found again is told once."""

    settings: JudgeConfig
    problems: list[Problem] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    # Configurations that have enough runs, of which too few count.
    repeated_labels: set[str] = field(default_factory=set)

    def remark(self, message: str) -> None:
        """Something that is only to be known."""
        if message not in self.remarks:
            self.remarks.append(message)

    def missing(self, message: str) -> None:
        """Something that one side lacks."""
        if self.settings.allow_missing:
            self.remark(f"{message} (allow_missing=true)")
        else:
            remedy = "measure it there too, or allow_missing=true"
            self._add(
                Problem(kind="missing", message=f"{message}; {remedy}", exit_code=EXIT_TOO_LITTLE)
            )

    def differing(self, fact: str, message: str) -> bool:
        """A fact that has to be the same and is not; whether the comparison may go on."""
        if is_forced(fact, self.settings.force):
            self.remark(f"{message} (forced)")
            return True
        self.incomparable(f"{message}; measure both alike, or force=[{fact}]")
        return False

    def incomparable(self, message: str) -> None:
        """The sides cannot be compared."""
        self._add(Problem(kind="incomparable", message=message, exit_code=EXIT_INCOMPARABLE))

    def failed(self, message: str) -> None:
        """The candidate cannot do what the base did."""
        self._add(Problem(kind="failed", message=message, exit_code=EXIT_FAILED))

    def health(self, message: str) -> None:
        """Runs are not comparable, and too few are left or they cannot be left out."""
        self._add(Problem(kind="health", message=message, exit_code=EXIT_TOO_LITTLE))

    def invalid(self, message: str) -> None:
        """Servings that do not count by their own rules."""
        if HEALTH in self.settings.force:
            self.remark(f"{message} (forced)")
        else:
            self.health(f"{message}; choose a load that is held, or force=[{HEALTH}]")

    def repeated(self, label: str, messages: Sequence[str]) -> None:
        """Too few runs of a configuration count; more runs like them would not help."""
        self.repeated_labels.add(label)
        # First: what else is missing follows from it.
        self.problems[:0] = [
            Problem(kind="repeated", message=f"{label}: {message}", exit_code=EXIT_TOO_LITTLE)
            for message in messages
        ]

    def empty(self, message: str) -> None:
        """There is nothing to compare."""
        self._add(Problem(kind="empty", message=message, exit_code=EXIT_TOO_LITTLE))

    def _add(self, problem: Problem) -> None:
        if problem not in self.problems:
            self.problems.append(problem)
