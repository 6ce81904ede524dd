"""What a benchmark knows of a stream and nobody else does: when something really changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from bench.drift.streams.base import Stream

# Strengths of the drift in two windows that differ by less are the same state of the world.
_SAME = 1e-9


@dataclass
class Timeline:
    """Judges alarms by the true changes of a stream.

    Attributes:
        stream: The stream.
        edges: Predictions at which a fault begins or ends.
    """

    stream: Stream
    edges: Sequence[int] = ()
    _found: set[int] = field(default_factory=set, init=False)

    @property
    def changes(self) -> list[int] | None:
        """The predictions at which something begins to change; None if nobody knows them all."""
        if self.stream.strength(0) is None:
            return None
        return sorted({*self.stream.changes, *self.edges})

    def has_changed(self, start: int, end: int) -> bool | None:
        """Whether something changed between two predictions; None if nobody knows.

        Args:
            start: The earlier prediction.
            end: The later prediction.
        """
        window = self.stream.window
        last = self.stream.num_windows - 1
        windows = range(min(start // window, last), min(end // window, last) + 1)
        strengths = [self.stream.strength(each) for each in windows]
        if any(start < edge <= end for edge in self.edges):
            return True
        known = [strength for strength in strengths if strength is not None]
        if len(known) < len(strengths):
            return None
        return max(known) - min(known) > _SAME

    def judged(self, alarm: int, learned: int) -> tuple[bool | None, int | None]:
        """Whether an alarm is false, and how many predictions after its change it came.

        Args:
            alarm: Number of the prediction at which it was raised.
            learned: Number of the oldest prediction that the model has learned from. If a change
                lies among its samples, its reference is a mixture, and what is served since is not.

        Returns:
            Both None if nobody knows. The delay is None for all but the first alarm after a change.
        """
        changed = self.has_changed(learned, alarm)
        if changed is None:
            return None, None
        before = [change for change in self.changes or () if change <= alarm]
        if not changed or not before or before[-1] in self._found:
            return not changed, None
        self._found.add(before[-1])
        return False, alarm - before[-1]
