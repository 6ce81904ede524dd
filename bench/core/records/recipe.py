"""The run that a training builds on, and its cost."""

from __future__ import annotations

from dataclasses import dataclass

from bench.core.labels import EnergyLabel


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """What a training took besides its own clock: the run that it learned from or began with.

    source_* is what that run had cost when it reached its target; total_* is both together.
    """

    name: str
    source_run_id: str
    source_time_s: float | None = None
    source_energy_j: float | None = None
    source_energy_label: EnergyLabel | None = None
    source_cost_usd: float | None = None
    source_emissions_gco2e: float | None = None
    source_num_parameters: int | None = None
    source_flops_per_sample: int | None = None
    total_time_to_target_s: float | None = None
    total_energy_to_target_j: float | None = None
    total_energy_label: EnergyLabel | None = None
    total_cost_to_target_usd: float | None = None
    total_emissions_to_target_gco2e: float | None = None
