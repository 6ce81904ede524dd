"""Joules of a run: by component, by phase, and beyond the idle machine."""

from __future__ import annotations

from dataclasses import dataclass

from bench.core.labels import EnergyLabel


@dataclass(frozen=True, slots=True, kw_only=True)
class EnergyRow:
    """Joules of one component over the clock, with where they came from and how far to trust them.

    label says how: read from a counter, integrated from power, modelled, or a constant.
    energy_error_frac bounds the systematic error, as a share of energy_j.
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
    """Joules by phase, without constants: train, eval and checkpoint sum to energy_total_j.

    init_j lies before the clock and is not in that sum; it is of the last init_metered_s seconds
    of set-up, from when the meters were open. *_error_frac bound the systematic error, as a share
    of the joules: that of a window, with the edges of every stretch of the phase. below_resolution
    names the phases whose edges alone can shift more than 2%. Both are None where only the curve
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
    """Power of the idle machine around a run, and what the run took beyond it.

    net_error_frac bounds the error of net_energy_j, as a share of it.
    """

    each_s: float
    before_w: float | None = None
    after_w: float | None = None
    net_energy_j: float | None = None
    net_error_frac: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class UnavailableMeter:
    """A meter that was asked for and could not be read, with the reason."""

    meter: str
    reason: str
