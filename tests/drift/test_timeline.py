"""An alarm is false if nothing has changed since the deployed model learned."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from bench.drift.timeline import Timeline


@dataclass
class FakeStream:
    """Windows of 100 predictions with given strengths of the drift."""

    strengths: list[float | None]
    changes: tuple[int, ...] = ()
    window: int = 100
    pool: Any = None
    initial: Any = None

    @property
    def num_windows(self) -> int:
        return len(self.strengths)

    def strength(self, window: int) -> float | None:
        return self.strengths[window]

    def samples(self, window: int) -> Any:
        raise NotImplementedError


SUDDEN = FakeStream([0.0, 0.0, 1.0, 1.0], changes=(200,))


@pytest.mark.parametrize(
    ("alarm", "learned", "verdict"),
    [
        (150, 0, (True, None)),  # before the change
        (230, 0, (False, 30)),  # 30 predictions after it
        (350, 210, (True, None)),  # the model knows only the new world: nothing changed since
        (350, 150, (False, 150)),  # a part of its samples is of the old world
    ],
)
def test_an_alarm_is_judged_by_what_changed_since_the_model_learned(
    alarm: int, learned: int, verdict: tuple[bool, int | None]
) -> None:
    assert Timeline(SUDDEN).judged(alarm, learned) == verdict


def test_only_the_first_alarm_after_a_change_has_a_delay() -> None:
    timeline = Timeline(SUDDEN)
    assert timeline.judged(230, 0) == (False, 30)
    assert timeline.judged(340, 0) == (False, None)  # not false: the change is not learned yet


def test_a_drift_that_goes_on_is_never_a_false_alarm() -> None:
    """The strength still grows from window 2 to window 3, after the model has learned window 2."""
    slow = FakeStream([0.0, 0.0, 0.5, 1.0], changes=(200,))
    assert Timeline(slow).judged(350, 250)[0] is False


def test_a_fault_is_a_change_when_it_begins_and_when_it_ends() -> None:
    quiet = FakeStream([0.0, 0.0, 0.0, 0.0])
    timeline = Timeline(quiet, edges=(150, 250))
    assert timeline.changes == [150, 250]
    assert timeline.judged(160, 0) == (False, 10)
    assert timeline.judged(260, 200) == (False, 10)
    assert timeline.judged(390, 300) == (True, None)


def test_nobody_knows_when_the_world_itself_changes() -> None:
    natural = FakeStream([None, None, None, None])
    timeline = Timeline(natural)
    assert timeline.changes is None
    assert timeline.judged(350, 0) == (None, None)
    # The begin of a fault on top of it is known nevertheless.
    assert Timeline(natural, edges=(150,)).judged(160, 0)[0] is False
