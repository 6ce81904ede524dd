"""Match the runs of two sides, and collect the values of the rows that can be compared.

Runs of one command and configuration are paired by seed and repeat; those of a served model by the
seed of its training, too. Only pairs are compared; what only one side has is reported.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from bench.core.labels import ENERGY_FLAGS, ROW_FLAGS
from bench.gate.matching.log import ProblemLog, list_runs, listed
from bench.gate.matching.rows import RowBuilder
from bench.gate.model import GateRun, RowValues
from bench.gate.settings import CONFIG, HEALTH
from bench.gate.sides.configurations import (
    Groups,
    Partners,
    configuration_names,
    find_partners,
    nearest_differences,
    with_base_hashes,
)
from bench.gate.sides.facts import FACTS, NOTED, SM_CLOCK
from bench.gate.sides.joules import JOULE_FACTS
from bench.gate.sides.noise import NoiseFile
from bench.gate.sides.side import (
    SIDES,
    Configuration,
    Pair,
    Side,
    by_configuration,
    describe_place,
    place_of,
    shared_places,
)

# What a difference means, where the name of the fact does not tell.
_WHY = {"task.data_hash": " (the data have changed)"}

# By temperature alone, the mean clock of a card varies by less than this share.
_CLOCK_FRAC = 0.05


def match(base: Side, candidate: Side, log: ProblemLog, noise: NoiseFile | None) -> list[RowValues]:
    """Collect the rows that can be compared.

    Args:
        base: One side.
        candidate: The other.
        log: Filled with what is wrong; its settings select metrics and allow what may differ.
        noise: Floors of noise, if there are any.
    """
    groups: tuple[Groups, Groups] = by_configuration(base.runs), by_configuration(candidate.runs)
    if not all(groups):
        for name, side, group in zip(SIDES, (base, candidate), groups, strict=True):
            if not group and not side.problems and not side.refused:
                log.add("empty", f"{name}: {side.name} has no runs; measure some")
        return []
    is_forced = CONFIG in log.settings.force
    # Found before the hashes are changed: the report names them even where they are not forced.
    partners = find_partners(*groups)
    if is_forced:
        groups = groups[0], by_configuration(with_base_hashes(candidate, partners).runs)
    names = configuration_names(
        [run for group in groups for runs in group.values() for run in runs]
    )
    common = [key for key in groups[0] if key in groups[1]]
    if not common:
        log.add("incomparable", _why_nothing_common(*groups, partners))
        return []
    for each in partners if is_forced else []:
        log.remark(f"{names[each.base]}: {each.missing} (forced)")
    _report_missing(groups, names, partners, log)
    builder = RowBuilder(log, noise)
    rows = [
        row
        for key in common
        for row in _match_configuration(groups[0][key], groups[1][key], names[key], builder, log)
    ]
    builder.report_unfound()
    log.remark_unrecorded()
    return rows


def _why_nothing_common(base: Groups, candidate: Groups, partners: Sequence[Partners]) -> str:
    firsts = [[runs[0] for runs in group.values()] for group in (base, candidate)]
    commands = [sorted({command for command, _ in group}) for group in (base, candidate)]
    differences = nearest_differences(*firsts)
    if differences:
        reason = f"the nearest two differ in {', '.join(differences)}"
    elif set(commands[0]) & set(commands[1]):
        reason = "no key differs, but the hash; were both written by one version?"
    else:
        reason = f"base has runs of {', '.join(commands[0])}, candidate of {', '.join(commands[1])}"
    remedy = "run both with the same keys"
    if partners:
        remedy = f"{partners[0].missing}: force=[{CONFIG}] compares them anyway"
    return f"no configuration in common ({reason}); {remedy}"


def _report_missing(
    groups: Sequence[Groups],
    names: dict[Configuration, str],
    partners: Sequence[Partners],
    log: ProblemLog,
) -> None:
    """Report configurations that only one side has."""
    missing = {key: each.missing for each in partners for key in (each.base, each.candidate)}
    for here, (group, other) in enumerate(zip(groups, reversed(groups), strict=True)):
        for key, runs in group.items():
            if key not in other:
                remedy = (
                    f" ({missing[key]}: force=[{CONFIG}] compares them)" if key in missing else ""
                )
                log.add_missing(
                    f"{names[key]}: {SIDES[here]} has {len(runs)} runs of it, "
                    f"{SIDES[1 - here]} none{remedy}"
                )


def _match_configuration(
    base: list[GateRun], candidate: list[GateRun], name: str, builder: RowBuilder, log: ProblemLog
) -> list[RowValues]:
    """The rows of the runs of one configuration."""
    min_runs = log.settings.min_runs
    paired = _pair(base, candidate, name, log)
    pairs = _keep_comparable(paired, name, log)
    rows: list[RowValues] = []
    # Facts of joules matter only where these are compared.
    facts = [fact for fact in FACTS if fact not in JOULE_FACTS]
    # Whoever is told to measure again should learn now what else would be in the way.
    checked = pairs or paired
    # A list: all facts are checked and reported.
    are_alike = bool(checked) and all(
        [log.is_same(fact, checked, _WHY.get(fact, "")) for fact in facts]
    )
    if pairs and are_alike:
        _report_invalid(pairs, name, log)
        for fact in NOTED:
            log.note_difference(fact, pairs)
        _remark_on_clocks(pairs, name, log)
        if builder.has_joules:
            _remark_on_joules(pairs, name, log)
        rows = builder.rows(pairs, name)
    if len(pairs) < min_runs and (not pairs or any(row.kind == "measured" for row in rows)):
        sides = zip(SIDES, (base, candidate), strict=True)
        reasons = [f"{side}: {why}" for side, runs in sides if (why := shared_places(runs))]
        if reasons:
            log.add_repeated(name, reasons)
    return rows


def _pair(base: list[GateRun], candidate: list[GateRun], name: str, log: ProblemLog) -> list[Pair]:
    """Pair the runs of one configuration by their place."""
    places = [{place_of(run): run for run in side} for side in (base, candidate)]
    # Only pairs: an unequal mix of seeds would look like a difference of the revisions.
    both = [place for place in places[0] if place in places[1]]
    unpaired = [
        f"{side} alone has {listed([describe_place(runs[place]) for place in rest])}"
        for side, runs in zip(SIDES, places, strict=True)
        if (rest := [place for place in runs if place not in both])
    ]
    if unpaired:
        log.add_missing(
            f"{name}: base has {len(base)} runs, candidate {len(candidate)}, {len(both)} of "
            f"the same seed and repeat; {'; '.join(unpaired)}"
        )
    return [(places[0][place], places[1][place]) for place in both]


def _keep_comparable(pairs: list[Pair], name: str, log: ProblemLog) -> list[Pair]:
    """Leave out pairs of which one run is incomparable, unless force=[health] keeps them."""

    def describe(run: GateRun) -> str:
        return "" if run.comparable is not False else ", ".join(run.flags) or "no flag"

    incomparable = list_runs(pairs, describe)
    if not incomparable:
        return pairs
    if HEALTH in log.settings.force:
        log.remark(f"{name}: incomparable runs are kept: {incomparable} (forced)")
        return pairs
    kept = [pair for pair in pairs if all(run.comparable is not False for run in pair)]
    left_out = f"{len(pairs) - len(kept)} of {len(pairs)} pairs left out"
    message = f"{name}: {left_out}, incomparable: {incomparable}"
    if len(kept) >= log.settings.min_runs:
        log.remark(message)
    else:
        log.add("health", f"{message}; measure these again, or force=[{HEALTH}] keeps them")
    return kept


def _report_invalid(pairs: list[Pair], name: str, log: ProblemLog) -> None:
    """Report servings that broke their bound; they stay in, or the slowest would be hidden."""
    invalid = list_runs(pairs, lambda run: "; ".join(run.invalid))
    if not invalid:
        return
    message = f"{name}: served, but not validly: {invalid}"
    if HEALTH in log.settings.force:
        log.remark(f"{message} (forced)")
    else:
        log.add("health", f"{message}; choose a load that is held, or force=[{HEALTH}]")


def _remark_on_clocks(pairs: list[Pair], name: str, log: ProblemLog) -> None:
    """Remark on GPUs that were slower on one side: NVML does not tell whether a clock is locked."""
    sides = [
        [mhz for run in side if (mhz := run.facts.get(SM_CLOCK))]
        for side in zip(*pairs, strict=True)
    ]
    if not all(sides):
        return
    base_mhz, candidate_mhz = (median(side) for side in sides)
    if abs(candidate_mhz - base_mhz) > _CLOCK_FRAC * base_mhz:
        log.remark(
            f"{name}: the GPUs ran at {base_mhz:.0f} / {candidate_mhz:.0f} MHz in the median; "
            "a clock may be locked on one side"
        )


def _remark_on_joules(pairs: list[Pair], name: str, log: ProblemLog) -> None:
    """Remark on runs whose flags speak against their joules only: the rest of them is compared."""
    flags = (*ENERGY_FLAGS, *ROW_FLAGS)
    flagged = list_runs(pairs, lambda run: ", ".join(flag for flag in run.flags if flag in flags))
    if flagged:
        log.remark(f"{name}: joules are not compared of {flagged}; all else is")
