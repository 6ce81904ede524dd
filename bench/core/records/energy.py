"""Joules of a run: by component, by phase, and beyond the idle machine."""

from __future__ import annotations

from dataclasses import dataclass

from bench.core.labels import EnergyLabel


@dataclass(frozen=True, slots=True, kw_only=True)
class EnergyRow:
    """Joules of one component over the clock, from its start to its stop.

    Attributes:
        component: `cpu0`, `dram0`, `gpu0` and so on; `cpu` for all processors together.
        energy_j: Joules over the clock.
        source: Meter that read them, and with which settings.
        label: `counter` (hardware counter), `integrated` (power samples), `modelled` or `constant`;
            from strongest to weakest.
        refresh_s: Time between two changes of the counter; of a GPU found by watching it before the
            clock.
        energy_error_frac: Bound of the systematic error, as a share of `energy_j`; see How far to
            trust it.
        below_resolution: Whether the clock ran for less than 50 refreshes of the counter: the
            joules are not to be compared.
        counter_reset: Whether the counter began anew in between. That stretch is estimated from the
            power before it, and the bound covers everything from nothing to the most that can have
            flowed.
        counter_gap: Whether a wrap may have gone unseen between two readings, or a GPU's counter
            showed one value for more than 5 refreshes: what flowed meanwhile may be lost, and is in
            the bound.
    """

    component: str
    energy_j: float
    source: str
    label: EnergyLabel
    refresh_s: float | None = None
    energy_error_frac: float | None = None
    below_resolution: bool = False
    counter_reset: bool = False
    counter_gap: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseEnergy:
    """Joules by phase of the clock, as Phases divides its time, without constants.

    Attributes:
        init_j: Joules of the same components from when the meters are open to the end of set-up;
            before the clock, and not in the sum. Less than all of `phases.init_s`: opening the
            meters lies before it; measuring the idle machine and starting the sampler and
            CodeCarbon lie after it. None where joules of it may have gone unseen: power that has to
            be integrated is not sampled before the clock.
        train_j: Joules in the phase `train`. With `eval_j` and `checkpoint_j` it sums to
            `energy_total_j`, to the rounding of floats; all have its label.
        eval_j: Joules in the phase `eval`.
        checkpoint_j: Joules in the phase `checkpoint`.
        init_metered_s: Time that `init_j` covers.
        init_error_frac: Bound of the systematic error of `init_j`, as a share of it. This and the
            next three are None where the phase has no joules, and where only the curve is known.
        train_error_frac: Likewise for `train_j`, with the edges of every stretch of the phase.
        eval_error_frac: Likewise for `eval_j`.
        checkpoint_error_frac: Likewise for `checkpoint_j`.
        below_resolution: Phases whose stretches are on average less than 50 refreshes of the
            slowest counter long: the edges alone can shift more than 2%. None where only the curve
            is known.
    """

    init_j: float | None = None
    train_j: float
    eval_j: float
    checkpoint_j: float
    init_metered_s: float | None = None
    init_error_frac: float | None = None
    train_error_frac: float | None = None
    eval_error_frac: float | None = None
    checkpoint_error_frac: float | None = None
    below_resolution: list[str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Idle:
    """Power of the idle machine around a run, and the net energy; with `meter.idle_s` above 0.

    Attributes:
        each_s: Time for which the idle machine was measured, before the run and after it.
        before_w: Power of the idle machine before the run.
        after_w: Power of the idle machine after the run.
        net_energy_j: Gross energy - idle power x time, with the mean of both idle powers. Never the
            headline.
        net_error_frac: Bound of the error of `net_energy_j`, as a share of it: the bounds of gross
            and idle energy, and half of the difference between the two idle powers. The less a load
            stands out from the idle machine, the larger it is.
    """

    each_s: float
    before_w: float | None = None
    after_w: float | None = None
    net_energy_j: float | None = None
    net_error_frac: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class UnavailableMeter:
    """A meter, or another counter, that could not be read, or failed.

    Attributes:
        meter: Its name; of other counters `gpu_telemetry`, `cgroup` or `cpu_times`.
        reason: Why it could not be read.
    """

    meter: str
    reason: str
