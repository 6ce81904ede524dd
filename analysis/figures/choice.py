"""Which figures a report draws: those asked for, or the ten that matter for what was measured.

Each kind of work has an order of questions. Trainings: how fast and at what joules is the target
reached, by what settings, how surely, and where did time and joules go. Servings: which model is
good enough and fast enough, what is its tail, what breaks under load. Compression: what did it cost
in quality. Deployments: when did accuracy fall, what did upkeep cost, which policy pays. Programs:
which takes less time, and which fewer joules. A folder with several kinds takes turns, so that each
gets its first questions. The other figures look at the same quantities in another way, and are
drawn when they are asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, zip_longest
from typing import TYPE_CHECKING

from analysis.figures.entries import ALL, DEFAULT, DEPLOYMENTS, FIGURES, entry_of
from analysis.load.values import column

if TYPE_CHECKING:
    from pandas import DataFrame

MOST = 10  # figures of figures=default

_LATENCY, _ENERGY = "serving.latency_p90_ms", "energy_total_j"
_PREDICTION = "serving.energy_per_prediction_j"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Candidate:
    """A figure that matters, if the runs of its kind hold something for it to show.

    Attributes:
        name: Of FIGURES.
        known: Columns that some run has.
        varied: Settings of which one must differ between runs; empty if none has to.
    """

    name: str
    known: tuple[str, ...] = ()
    varied: tuple[str, ...] = ()

    def has_data(self, runs: DataFrame) -> bool:
        known = all(column(runs, name).notna().any() for name in self.known)
        varies = any(column(runs, name).nunique() > 1 for name in self.varied)
        return known and (varies or not self.varied)


_SWEPT = ("config.batch_size", "config.lr")
# By kind: the column that only its runs have, and its figures, the most important first.
_KINDS: dict[str, tuple[_Candidate, ...]] = {
    "target.metric": (
        _Candidate(name="quality_time"),
        _Candidate(name="tta_eta", known=("target.energy_to_target_j",)),
        _Candidate(name="batch_size_time", varied=_SWEPT),
        _Candidate(name="factors_time", varied=_SWEPT),
        _Candidate(name="hits", varied=("seed", "repeat")),
        _Candidate(name="phases"),
        _Candidate(name="energy_components", known=(_ENERGY,)),
        _Candidate(name="quality_latency", known=(_LATENCY,)),
        _Candidate(name="throughput_latency", known=(_LATENCY, "serving.throughput_per_s")),
        _Candidate(name="quality_prediction_energy", known=(_PREDICTION,)),
        _Candidate(name="restarts", varied=("seed", "repeat")),
        _Candidate(name="ladder_time"),
    ),
    "serving.scenario": (
        _Candidate(name="quality_latency", known=(_LATENCY,)),
        _Candidate(name="latency"),
        _Candidate(name="throughput_latency", known=(_LATENCY, "serving.throughput_per_s")),
        _Candidate(name="load", known=("serving.max_rate_per_s",)),
        _Candidate(name="quality_prediction_energy", known=(_PREDICTION,)),
        _Candidate(name="stages"),
        _Candidate(name="life_cycle_energy", known=(_PREDICTION,)),
        _Candidate(name="skew", known=("skew.found",)),
    ),
    "compression.latency_ratio": (_Candidate(name="compression"),),
    "maintenance.policy": (
        _Candidate(name="stream"),
        _Candidate(name="maintenance_pareto", known=("maintenance.upkeep_j",)),
        _Candidate(name="policy_price", known=("maintenance.cost_usd",)),
        _Candidate(name="maintenance_costs", known=("maintenance.cost_usd",)),
        _Candidate(name="detectors", known=("maintenance.detector",)),
    ),
    "program.exit_code": (_Candidate(name="programs", known=("phase_energy.run_j",)),),
}


def chosen_figures(asked: Sequence[str], runs: DataFrame, *, has_history: bool) -> list[str]:
    """The figures to draw, in the order of FIGURES unless they were named.

    Args:
        asked: Names of figures, `default` or `all`.
        runs: As loaded.
        has_history: Whether a history of checks was given, which is then among the ten.
    """
    groups = {ALL: list(FIGURES), DEFAULT: []}
    if DEFAULT in asked:
        groups[DEFAULT] = default_figures(runs, has_history=has_history)
    return list(dict.fromkeys(chain.from_iterable(groups.get(name, [name]) for name in asked)))


def default_figures(runs: DataFrame, *, has_history: bool) -> list[str]:
    """At most MOST figures, in the order of FIGURES."""
    by_kind = [
        [each.name for each in candidates if each.has_data(part)]
        for kind, candidates in _KINDS.items()
        if len(part := runs[column(runs, kind).notna()])
    ]
    turns = [name for names in zip_longest(*by_kind) for name in names if name is not None]
    first = list(dict.fromkeys(["history"] * has_history + turns))[:MOST]
    return [name for name in FIGURES if name in first]


def left_out(drawn: Sequence[str], runs: DataFrame) -> list[str]:
    """Figures of the kinds of work that were measured, which are not drawn."""
    kinds = {"panels:servings": "serving.scenario", DEPLOYMENTS: "maintenance.policy"}
    rest = [name for name in FIGURES if name not in drawn and name != "history"]
    return [
        name
        for name in rest
        if column(runs, kinds.get(entry_of(name).groups or "", "target.metric")).notna().any()
    ]
