"""Recomputes the identity of a run, the cost of reaching its target, and what that is charged."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from typing import Any

from bench.core.checks import value_at
from bench.core.files import file_stamp
from bench.core.identity import config_hash
from bench.core.outcome import has_doubtful_joules
from bench.core.records.phases import Phases
from bench.core.target import Spent, TargetConfig, ladder, target_result
from bench.runs.charges import charge_recorded
from bench.verification.model import Findings
from bench.verification.raw import RawRun

# What the record of each command has if the run ended well.
_PARTS: dict[str, tuple[str, ...]] = {
    "train": ("target",),
    "serve": ("serving",),
    "maintain": ("maintenance",),
    "measure": ("program",),
}
_BEFORE_THE_CLOCK = ("launch_s", "init_s")
_JOULES = frozenset(("energy_to_target_j", "energy_to_target_error_frac", "energy_per_sample_j"))
_CHARGED = frozenset(("cost_to_target_usd", "emissions_to_target_gco2e"))
_OF_A_MISS = frozenset(("time_per_sample_s", "energy_per_sample_j", "cut_off_by"))


def verify_identity(run: RawRun, found: Findings) -> None:
    """Verify the hash of the configuration, and the name of the run."""
    record = run.record
    # The folder of a served model may lie elsewhere; what it was trained with counts.
    served = {} if record.trained is None else {"run": record.trained.config_hash}
    config = {**record.config, **served}
    if run.is_older:
        found.cannot("config_hash", "an older version made it, and other keys went into it")
    elif record.command == "serve" and record.trained is None:
        found.cannot("config_hash", "the run ended before the model that it serves was known")
    else:
        hashes = [config_hash(config), config_hash(_first_repeat(config))]
        is_hash = record.config_hash in hashes
        found.require("config_hash", record.config_hash, is_hash, hashes[-1])
    begin = f"{file_stamp(record.started_utc)}-{record.config_hash}-"
    named_well = record.run_id.startswith(begin) and record.run_id == run.folder.name
    found.require("run_id", record.run_id, named_well, f"the name of its folder, {begin}...")
    for key in ("seed", "repeat"):
        if key in record.config:
            found.compare(key, getattr(record, key), record.config[key])


def _first_repeat(config: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration of seed 0 and repeat 0, which all repeats are hashed as.

    Groups hold copies of both keys where the configuration refers to them.
    """
    own = {name: config.get(name) for name in ("seed", "repeat")}

    def replaced(node: Any, name: str = "") -> Any:
        if isinstance(node, Mapping):
            return {key: replaced(value, key) for key, value in node.items()}
        if isinstance(node, list):
            return [replaced(each) for each in node]
        return 0 if name in own and node == own[name] else node

    return {key: replaced(value, key) for key, value in config.items()}


def verify_parts(run: RawRun, found: Findings) -> None:
    """Verify that the record of a run that ended well has what its command measures."""
    record = run.record
    if record.status != "ok":
        return
    parts = _PARTS.get(record.command, ())
    if record.phases.wall_time_s and run.readings is not None and not record.nodes:
        parts += ("health", "utilization")
    for name in parts:
        is_there = getattr(record, name) is not None
        found.require(name, None, is_there, "measured in every such run")
    # Either of them leaves values unverified.
    with run.reading_config():
        num_nodes = value_at(record.config, "trainer.num_nodes") or 1
        is_built_on = bool(value_at(record.config, "recipe"))
    one_node = not record.nodes or num_nodes > 1
    found.require("nodes", "...", one_node, "none, by trainer.num_nodes")
    found.require("recipe", "...", record.recipe is None or is_built_on, "none, by recipe")


def verify_phases(run: RawRun, found: Findings) -> None:
    """Verify that the phases add up, and that they are those at the last reading of the meters."""
    phases = run.record.phases
    names = [each.name for each in fields(Phases) if each.name != "wall_time_s"]
    on_clock = [name for name in names if name not in _BEFORE_THE_CLOCK]
    for name in _BEFORE_THE_CLOCK:
        if getattr(phases, name) is not None:
            found.cannot(f"phases.{name}", "no file holds times before the clock")
    known = [seconds for name in on_clock if (seconds := getattr(phases, name)) is not None]
    if phases.wall_time_s is not None or known:
        found.compare("phases.wall_time_s", phases.wall_time_s, math.fsum(known))
    times = None if run.readings is None or run.record.nodes else run.readings.end_times
    if times is not None:
        for name in on_clock:
            seconds = times.by_phase_s.get(name.removesuffix("_s"))  # type: ignore[call-overload]
            found.compare(f"phases.{name}", getattr(phases, name), seconds)


def verify_target(run: RawRun, found: Findings) -> None:
    """Verify the crossing, its costs and the ladder, from the evaluations."""
    record, stored = run.record, run.record.target
    if stored is None:
        return
    if record.nodes or record.recipe is not None:
        found.cannot("target", "costs are those of several nodes, or of several trainings")
        return
    with run.reading_config():
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
    doubtful = has_doubtful_joules(record)
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
        with run.reading_config():
            node_s = target.time_to_target_s * (value_at(record.config, "trainer.num_nodes") or 1)
        charges = _charge(run, node_s, target.energy_to_target_j)
        names = ("cost_to_target_usd", "emissions_to_target_gco2e")
        _compare_charges(target, "target.", names, charges, found)
    serving = record.serving
    if serving is None or not serving.num_predictions or serving.duration_s is None:
        return
    million_s = serving.duration_s / serving.num_predictions * 1_000_000
    each_j = serving.energy_per_prediction_j
    million_j = None if each_j is None else each_j * 1_000_000
    charges = _charge(run, million_s, million_j)
    names = ("cost_per_million_usd", "emissions_per_million_gco2e")
    _compare_charges(serving, "serving.", names, charges, found)


def _charge(
    run: RawRun, time_s: float, energy_j: float | None
) -> tuple[float | None, float | None] | None:
    with run.reading_config():
        return charge_recorded(run.record.config, time_s, energy_j)


def _compare_charges(
    stored: Any,
    prefix: str,
    names: Sequence[str],
    charges: tuple[float | None, float | None] | None,
    found: Findings,
) -> None:
    for name, value in zip(names, charges or (None, None), strict=True):
        if charges is None:
            found.cannot(f"{prefix}{name}", "price._target_ is no class of ours, and is not called")
        else:
            found.compare(f"{prefix}{name}", getattr(stored, name), value)
