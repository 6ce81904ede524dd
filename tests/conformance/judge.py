"""Runs a tool through a case, and judges what it states against the true energy.

Where a window begins within a refresh is luck, so each case has ten windows that begin at different
moments. A tool conforms if it does so in all of them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

from tests.conformance.case import Case
from tests.conformance.machine import SimulatedMachine, simulated
from tests.conformance.tool import EnergyTool, Measured, NotRun, Refused

FIRST_START_S = 1000.0
WINDOWS = 10
WINDOW_STEP_S = 0.137  # each window begins this much later than the one before
# How exact joules must be that the hardware shows. A number without a bound claims as much.
KNOWABLE_FRAC = 0.01

ToolFactory = Callable[[], EnergyTool]
# "marked": off by more than it claims, but marked as doubtful. "crashed": no reason for a user.
Answer = Literal["within", "marked", "refused", "wrong", "crashed", "not run"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a tool made of a case: its worst window, and the largest error of all.

    Attributes:
        case: Name of the case.
        true_j: True energy of the first window.
        answer: What the tool did; "within" means: by no more than it may be off.
        conforms: Whether that is what it must do; None if it was not run.
        error_frac: Largest error, signed, as a share of the truth; None without joules.
        bound_frac: Largest bound that it states, as a share of its joules; None if it states none.
        reason: Why it refused, crashed or was not run, or what it marks; empty otherwise.
    """

    case: str
    true_j: float
    answer: Answer
    conforms: bool | None
    error_frac: float | None = None
    bound_frac: float | None = None
    reason: str = ""

    @property
    def complaint(self) -> str:
        """What it did and why that does not conform, in a line."""
        if self.answer == "refused":
            return f"refused although the hardware shows the energy: {self.reason}"
        if self.answer == "crashed":
            return f"crashed, without a reason that it states itself: {self.reason}"
        error = "no joules" if self.error_frac is None else f"off by {self.error_frac:+.2%}"
        bound = "no bound" if self.bound_frac is None else f"a bound of {self.bound_frac:.2%}"
        marks = f"marked as: {self.reason}" if self.reason else "nothing marked as doubtful"
        return f"{error} of {self.true_j:g} J, with {bound} and {marks}"


def outcome(make_tool: ToolFactory, case: Case) -> Outcome:
    """Run a tool through all windows of a case."""
    windows: list[Outcome] = []
    with simulated(
        zones=case.zones,
        cards=case.cards,
        environment=case.environment,
        gpu_uuids=case.gpu_uuids,
        cuda_uuids=case.cuda_uuids,
        num_gpus=case.num_gpus,
    ) as machine:
        for i in range(WINDOWS):
            machine.restart()
            start_s = FIRST_START_S + i * WINDOW_STEP_S
            windows.append(_window(make_tool, machine, case, start_s))
            if windows[-1].answer == "not run":
                break
    worst = next((one for one in windows if one.conforms is False), windows[0])
    errors = [one.error_frac for one in windows if one.error_frac is not None]
    bounds = [one.bound_frac for one in windows if one.bound_frac is not None]
    return replace(
        worst,
        true_j=windows[0].true_j,
        error_frac=max(errors, key=abs, default=None),
        bound_frac=max(bounds, default=None),
    )


def _window(
    make_tool: ToolFactory, machine: SimulatedMachine, case: Case, start_s: float
) -> Outcome:
    true_j = case.true_j(start_s)
    try:
        measured = measure(make_tool(), machine, start_s, case.length_s)
    except NotRun as skipped:
        return _silent(case, true_j, "not run", None, str(skipped))
    except Refused as refusal:
        return _silent(case, true_j, "refused", not case.knowable, str(refusal))
    except Exception as error:  # a tool of anyone may raise anything: that is its answer
        return _silent(case, true_j, "crashed", False, f"{type(error).__name__}: {error}")
    return judged(case, measured, true_j)


def _silent(
    case: Case, true_j: float, answer: Answer, conforms: bool | None, reason: str
) -> Outcome:
    return Outcome(case=case.name, true_j=true_j, answer=answer, conforms=conforms, reason=reason)


def measure(
    tool: EnergyTool, machine: SimulatedMachine, start_s: float, length_s: float
) -> Measured:
    """Measure one window.

    Raises:
        Refused: The tool states no joules.
        NotRun: The case says nothing about it.
    """
    try:
        tool.open(machine)
        machine.sleep_until(start_s, tool.tick, tool.tick_s)
        tool.start()
        machine.sleep_until(start_s + length_s, tool.tick, tool.tick_s)
        return tool.stop()
    finally:
        tool.close()


def judged(case: Case, measured: Measured, true_j: float) -> Outcome:
    """Judge the joules of one window.

    A bound of 100% or more is as good as none. Where the hardware shows the energy, a wide bound
    excuses nothing: it stands for errors of sensors, and simulated sensors have none.
    """
    off_j = abs(measured.energy_j - true_j)
    allowed_j = KNOWABLE_FRAC * true_j
    if measured.bound_j is not None and measured.bound_j < measured.energy_j:
        allowed_j = min(measured.bound_j, allowed_j) if case.knowable else measured.bound_j
    answer: Answer = "within" if off_j <= allowed_j else "marked" if measured.doubts else "wrong"
    return Outcome(
        case=case.name,
        true_j=true_j,
        answer=answer,
        conforms=answer == "within" or (answer == "marked" and not case.knowable),
        error_frac=measured.energy_j / true_j - 1,
        bound_frac=_share(measured.bound_j, measured.energy_j),
        reason="; ".join(measured.doubts),
    )


def _share(bound_j: float | None, energy_j: float) -> float | None:
    return None if bound_j is None or energy_j <= 0 else bound_j / energy_j
