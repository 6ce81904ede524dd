"""Joules of a run: by component, by phase, and net of the idle machine."""

from __future__ import annotations

from dataclasses import dataclass

from bench.core.labels import EnergyLabel


@dataclass(frozen=True, slots=True, kw_only=True)
class EnergyRow:
    """Joules of one component over the clock, from its start to its stop.

    Attributes:
        component: `cpu0`, `dram0`, `gpu0` and so on; `cpu` for all processors together.
        energy_j: Joules over the clock.
        source: The meter that read them, with its settings.
        label: `counter` (hardware counter), `integrated` (power samples), `modelled` or `constant`;
            from strongest to weakest.
        refresh_s: Time between two changes of the counter. For a GPU it is measured before the
            clock starts.
        energy_error_frac: Bound on the systematic error, as a share of `energy_j`; see How far to
            trust it.
        below_resolution: Whether the clock ran for less than 50 refreshes of the counter. The
            joules must then not be compared.
        counter_reset: Whether the counter was reset during the run. The stretch around the reset is
            estimated from the power before it, and the bound covers everything from 0 to the most
            that can have flowed.
        counter_gap: Whether a wrap may have gone unseen between two readings, or the counter of a
            GPU showed one value for more than 5 refreshes. The joules of that time may be lost, and
            the bound includes them.
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
    """Joules by phase, without constants; the phases are those of Phases.

    The joules of a phase are None if the command does not have it or if they are unknown. The
    others, without `init_j`, add up to `energy_total_j`, except for rounding, and have its label.

    Attributes:
        init_j: Joules of the same components during set-up, before the clock; not part of the sum.
            They cover less than `phases.init_s`: they begin after the meters are open, and end
            before the idle machine is measured and the sampler and CodeCarbon start. None if joules
            may have gone unseen, because power that must be integrated is not sampled before the
            clock.
        train_j: Joules in the phase `train`.
        eval_j: Joules in the phase `eval`.
        checkpoint_j: Joules in the phase `checkpoint`.
        serve_j: Joules in the phase `serve` of `bench.maintain`.
        detect_j: Joules in the phase `detect`.
        decide_j: Joules in the phase `decide`.
        retrain_j: Joules in the phase `retrain`.
        promote_j: Joules in the phase `promote`.
        observe_j: Joules in the phase `observe`.
        run_j: Joules in the phase `run`.
        init_metered_s: Time that `init_j` covers.
        init_error_frac: Bound on the systematic error of `init_j`, as a share of it. This and the
            bounds of the other phases are None if the phase has no joules, or if only the curve
            is known.
        train_error_frac: The same for `train_j`; includes the edges of every stretch of the phase.
        eval_error_frac: The same for `eval_j`.
        checkpoint_error_frac: The same for `checkpoint_j`.
        serve_error_frac: The same for `serve_j`.
        detect_error_frac: The same for `detect_j`.
        decide_error_frac: The same for `decide_j`.
        retrain_error_frac: The same for `retrain_j`.
        promote_error_frac: The same for `promote_j`.
        observe_error_frac: The same for `observe_j`.
        run_error_frac: The same for `run_j`.
        below_resolution: Phases whose stretches are on average shorter than 50 refreshes of the
            slowest counter, so that the edges alone can shift the joules by more than 2%. None if
            only the curve is known.
    """

    init_j: float | None = None
    train_j: float | None = None
    eval_j: float | None = None
    checkpoint_j: float | None = None
    serve_j: float | None = None
    detect_j: float | None = None
    decide_j: float | None = None
    retrain_j: float | None = None
    promote_j: float | None = None
    observe_j: float | None = None
    run_j: float | None = None
    init_metered_s: float | None = None
    init_error_frac: float | None = None
    train_error_frac: float | None = None
    eval_error_frac: float | None = None
    checkpoint_error_frac: float | None = None
    serve_error_frac: float | None = None
    detect_error_frac: float | None = None
    decide_error_frac: float | None = None
    retrain_error_frac: float | None = None
    promote_error_frac: float | None = None
    observe_error_frac: float | None = None
    run_error_frac: float | None = None
    below_resolution: list[str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Idle:
    """Power of the idle machine around a run, and the net energy, if `meter.idle_s` is above 0.

    Attributes:
        each_s: How long the idle machine was measured before the run, and again after it.
        before_w: Power of the idle machine before the run.
        after_w: Power of the idle machine after the run.
        net_energy_j: Gross energy - idle power x time, with the mean of the two idle powers. It is
            never the headline.
        net_error_frac: Bound on the error of `net_energy_j`, as a share of it. It adds the bounds
            of gross and idle energy and half of the difference between the two idle powers. It is
            larger if the load hardly exceeds the idle machine.
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
        meter: Name of the meter; for other counters `gpu_telemetry`,
            `gpu_activity`, `cgroup` or `cpu_times`.
        reason: Why it could not be read.
    """

    meter: str
    reason: str
