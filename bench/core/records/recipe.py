"""The run that a training builds on, and its cost."""

from __future__ import annotations

from dataclasses import dataclass

from bench.core.labels import EnergyLabel


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """The run that a training builds on (the teacher, or the run that was pruned), and its cost.

    Attributes:
        name: `distill` or `prune`.
        source_run_id: Run that this one builds on.
        source_time_s: Time to target of that run, including the run that it builds on, if any. This
            and the next four are None if the run missed its target.
        source_energy_j: Energy to target of that run.
        source_energy_label: Label of `source_energy_j`.
        source_cost_usd: Cost to target of that run.
        source_emissions_gco2e: Emissions to target of that run.
        source_num_parameters: Parameters of the teacher, or of the network before it was pruned.
        source_flops_per_sample: FLOPs per sample of the teacher, or of the network before it was
            pruned.
        total_time_to_target_s: Time to target of the source and this run together. This and the
            next four are None if either part is unknown.
        total_energy_to_target_j: Energy to target of both runs.
        total_energy_label: The weaker of the two labels.
        total_cost_to_target_usd: Cost to target of both runs.
        total_emissions_to_target_gco2e: Emissions to target of both runs.
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
