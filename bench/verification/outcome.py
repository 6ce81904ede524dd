"""Recomputes the identity of a run, the cost of reaching its target, and what that is charged."""

from __future__ import annotations

import math
from dataclasses import asdict, fields

from bench.core.checks import value_at
from bench.core.files import file_stamp
from bench.core.identity import config_hash
from bench.core.labels import ENERGY_FLAGS
from bench.core.records.phases import Phases
from bench.core.target import Spent, TargetConfig, ladder, target_result
from bench.runs.charges import charge
from bench.verification.model import Findings
from bench.verification.raw import RawRun

_BEFORE_THE_CLOCK = ("launch_s", "init_s")
_JOULES = frozenset(("energy_to_target_j", "energy_to_target_error_frac", "energy_per_sample_j"))
_CHARGED = frozenset(("cost_to_target_usd", "emissions_to_target_gco2e"))
_OF_A_MISS = frozenset(("time_per_sample_s", "energy_per_sample_j", "cut_off_by"))


def verify_identity(run: RawRun, found: Findings) -> None:
    """Verify the hash of the configuration, and the name of the run."""
    record = run.record
    # The folder of a served model may lie elsewhere; what it was trained with counts.
    served = {} if record.trained is None else {"run": record.trained.config_hash}
    made = config_hash({**record.config, **served})
    if run.is_older:
        found.cannot("config_hash", "an older version made it, and other keys went into it")
    else:
        found.compare("config_hash", record.config_hash, made)
    begin = f"{file_stamp(record.started_utc)}-{record.config_hash}-"
    named_well = record.run_id.startswith(begin) and record.run_id == run.folder.name
    found.require("run_id", record.run_id, named_well, f"the name of its folder, {begin}...")
    for key in ("seed", "repeat"):
        if key in record.config:
            found.compare(key, getattr(record, key), record.config[key])


def verify_phases(run: RawRun, found: Findings) -> None:
    """Verify that the phases on the clock add up."""
    phases = run.record.phases
    if phases.wall_time_s is None:
        return
    names = [each.name for each in fields(Phases) if each.name != "wall_time_s"]
    on_clock = [getattr(phases, name) for name in names if name not in _BEFORE_THE_CLOCK]
    total_s = math.fsum(seconds for seconds in on_clock if seconds is not None)
    found.compare("phases.wall_time_s", phases.wall_time_s, total_s)


def verify_target(run: RawRun, found: Findings) -> None:
    """Verify the crossing, its costs and the ladder, from the evaluations."""
    record, stored = run.record, run.record.target
    if stored is None:
        return
    if record.nodes or record.recipe is not None:
        found.cannot("target", "costs are those of several nodes, or of several trainings")
        return
    target = TargetConfig.from_dict(record.config["target"], "target.").build()
    if target.rule == "final":
        found.cannot("target", "whether the schedule ran to its end is not stored")
        return
    phases = record.phases
    spent = None
    if phases.wall_time_s:
        spent = Spent(time_s=phases.wall_time_s, energy_j=record.energy_total_j, samples=None)
    censored = record.status in ("ok", "interrupted")
    made = target_result(run.curve, target, finished=False, spent=spent, censored=censored)
    doubtful = record.health is not None and bool(set(record.health.flags) & set(ENERGY_FLAGS))
    skipped = _CHARGED | (frozenset() if made.reached else _OF_A_MISS)
    for name, value in asdict(made).items():
        if name in skipped:
            continue
        if run.is_older and getattr(stored, name) is None:
            continue  # a field that did not exist then
        known = None if doubtful and (name in _JOULES or name == "censored_at_j") else value
        found.compare(f"target.{name}", getattr(stored, name), known)
    if not made.reached and stored.time_per_sample_s is not None:
        found.cannot("target.time_per_sample_s", "samples after the last evaluation are not stored")
    for number, (rung, again) in enumerate(
        zip(record.ladder, ladder(run.curve, target), strict=False)
    ):
        known_j = None if doubtful else again.energy_j
        found.compare_all(f"ladder[{number}].", rung, asdict(again) | {"energy_j": known_j})
    found.compare("ladder (number of rungs)", len(record.ladder), len(target.ladder))


def verify_charges(run: RawRun, found: Findings) -> None:
    """Verify money and emissions, from prices, times and joules."""
    record, target = run.record, run.record.target
    if target is not None and target.time_to_target_s is not None:
        node_s = target.time_to_target_s * (value_at(record.config, "trainer.num_nodes") or 1)
        usd, gco2e = charge(record.config, node_s, target.energy_to_target_j)
        found.compare("target.cost_to_target_usd", target.cost_to_target_usd, usd)
        stored = target.emissions_to_target_gco2e
        found.compare("target.emissions_to_target_gco2e", stored, gco2e)
    serving = record.serving
    if serving is None or not serving.num_predictions or serving.duration_s is None:
        return
    million_s = serving.duration_s / serving.num_predictions * 1_000_000
    each_j = serving.energy_per_prediction_j
    million_j = None if each_j is None else each_j * 1_000_000
    usd, gco2e = charge(record.config, million_s, million_j)
    found.compare("serving.cost_per_million_usd", serving.cost_per_million_usd, usd)
    stored = serving.emissions_per_million_gco2e
    found.compare("serving.emissions_per_million_gco2e", stored, gco2e)
