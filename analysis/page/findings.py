"""Findings: which configuration is cheapest in what, how certain that is, and what it gives up.

Every number has its n and its bounds. A finding says so if a difference is not significant, or if
joules were obtained in different ways.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pandas import DataFrame, Series

from analysis.figures.prepare import are_comparable
from analysis.page.deployments import deployment_heading, deployment_words, deployments_of
from analysis.page.losses import losses
from analysis.page.summary_parts import Finding, Part, count
from analysis.stats.outcomes import TO_TARGET, reached, with_target
from analysis.stats.repeats import KEYS, counted_with_keys
from analysis.stats.summary import as_estimate, is_modelled
from analysis.tables.digits import estimate_text
from bench.core.metric import Metric, Quantity
from bench.core.metrics import METRICS
from bench.core.scales import SCALES, unit_of
from bench.core.stats.ranks import ALPHA

_MOST_NAMES = 6  # of configurations in one sentence
_MOST_TARGETS = 4  # combinations of target and host that are described, the largest ones


@dataclass(frozen=True, slots=True, kw_only=True)
class _Cost:
    """A cost to be cheapest in, and its name in a sentence."""

    words: str
    metric: Metric
    quantity: Quantity


def _cost(words: str, quantity: Quantity) -> _Cost:
    return _Cost(words=words, metric=METRICS[TO_TARGET[quantity]], quantity=quantity)


# Each has a winner of its own: the tradeoff between them is the point of the page.
_COSTS = (_cost("time", "time_s"), _cost("energy", "energy_j"), _cost("money", "cost_usd"))


def finding_words(runs: DataFrame, summary: DataFrame) -> list[Part]:
    """Write the other parts of the summary: what was found, by target and by stream.

    Args:
        runs: As loaded.
        summary: Of summarise, of these runs.
    """
    counted = counted_with_keys(runs)
    return [*_training_parts(with_target(counted), summary), *_deployed_parts(counted)]


def _deployed_parts(counted: DataFrame) -> Iterator[Part]:
    """A part for each stream that was served, the one with the most runs first."""
    deployed = deployments_of(counted)
    groups = [group for _, group in deployed.groupby(["peer_group", "host"], sort=True)]
    for group in sorted(groups, key=lambda each: -len(each))[:_MOST_TARGETS]:
        title = group["peer_group"].iloc[0]
        heading = f"{deployment_heading(group)}{f': {title}' if title else ''}"
        yield Part(heading=heading, sentences=tuple(deployment_words(group)))
    if len(groups) > _MOST_TARGETS:
        words = count(len(groups) - _MOST_TARGETS, "other stream")
        yield Part(heading="Streams not described here", sentences=(f"{words}.",))


def _training_parts(trained: DataFrame, summary: DataFrame) -> list[Part]:
    """A part for each target and host, the one with the most runs first."""
    parts: list[Part] = []
    groups = [group for _, group in trained.groupby(["peer_group", "host"], sort=True)]
    # The sort is stable, so groups of equal size stay in alphabetical order.
    groups.sort(key=lambda group: -len(group))
    headings = [_heading(group) for group in groups]
    for heading, group in list(zip(headings, groups, strict=True))[:_MOST_TARGETS]:
        title = group["peer_group"].iloc[0]
        # Groups that differ in their data, for example, have the same heading otherwise.
        more = f": {title}" if headings.count(heading) > 1 and title else ""
        parts.append(_target_part(heading + more, group, summary))
    if len(groups) > _MOST_TARGETS:
        rest = sum(len(group) for group in groups[_MOST_TARGETS:])
        num = len(groups) - _MOST_TARGETS
        sentence = (
            f"{count(rest, 'run')} with {count(num, 'other combination')} of target and host."
        )
        parts.append(Part(heading="Not described here", sentences=(sentence,)))
    return parts


def _heading(group: DataFrame) -> str:
    first = group.iloc[0]
    sign = "≤" if first["target.mode"] == "min" else "≥"
    metric = str(first["target.metric"]).replace("_", " ")
    target = f"{metric} {sign} {first['target.value']:g} (rule {first['target.rule']})"
    return f"{target} on {first['host']}"


def _target_part(heading: str, group: DataFrame, summary: DataFrame) -> Part:
    """What was found about one target on one host, whose runs may be compared."""
    if not reached(group).any():
        words = f"None of {count(len(group), 'run')} reached it, so none is the cheapest."
        return Part(heading=heading, sentences=(words,))
    incomparable = sorted(set(group.loc[~are_comparable(group), "configuration"]))
    # A disturbed run is usually slower, so ranking it would favour the others.
    group = group[~group["configuration"].isin(incomparable)]
    words = f"Not ranked, since some of their runs are incomparable: {_listed(incomparable)}."
    quantities = summary.merge(group[list(KEYS)].drop_duplicates(), on=list(KEYS))
    return Part(
        heading=heading,
        sentences=(words,) if incomparable else (),
        findings=tuple(_findings(group, quantities)),
    )


def _listed(names: Sequence[str]) -> str:
    more = len(names) - _MOST_NAMES
    rest = [f"and {more} more (they are listed under Provenance and health)"] if more > 0 else []
    return ", ".join([*names[:_MOST_NAMES], *rest])


def _findings(group: DataFrame, quantities: DataFrame) -> Iterator[Finding]:
    for cost in _COSTS:
        rows = quantities[quantities["metric"] == cost.metric.name]
        # Joules of each label and set of parts have a winner of their own.
        kinds = [rows[name].fillna("") for name in ("label", "components")]
        for (label, _), part in rows.groupby(kinds, sort=True):
            yield from _cheapest(group, part, cost, str(label))


def _cheapest(group: DataFrame, rows: DataFrame, cost: _Cost, label: str) -> Iterator[Finding]:
    """The best configuration in one cost, how certain that is, and what it loses in the others."""
    # The value is missing if half of the runs or more missed the target.
    known = rows.dropna(subset=["value"]).sort_values("value", kind="stable")
    objective = f"{cost.words}, {label}" if label else cost.words
    if known.empty:
        if rows["num"].sum():
            verdict = "no configuration hit with more than half of its runs"
            yield Finding(objective=objective, verdict=verdict)
        return
    best = known.iloc[0]
    runs = group[group["configuration"] == best["configuration"]]
    # A winner in time that costs twice the energy is only half of the finding.
    others = [(each.words, each.quantity) for each in _COSTS if each != cost]
    yield Finding(
        objective=objective,
        best=str(best["configuration"]),
        value=_value(best, cost),
        hits=f"{int(reached(runs).sum())} of {len(runs)}",
        second=_second(known, cost),
        verdict=_verdict(known, rows, label),
        gives_up="; ".join(losses(group, str(best["configuration"]), others)),
    )


def _value(row: Series, cost: _Cost) -> str:
    """A median with its bounds, in the unit that suits the median."""
    factor, scale = SCALES[cost.metric.unit]
    unit = unit_of(row["value"] * factor, scale)
    return f"{estimate_text(as_estimate(row), factor / unit.size)} {unit.name}"


def _second(known: DataFrame, cost: _Cost) -> str:
    if len(known) == 1:
        return ""
    second = known.iloc[1]
    return f"{second['configuration']}, {_value(second, cost)} (n = {second['num']})"


def _verdict(known: DataFrame, rows: DataFrame, label: str) -> str:
    """Whether the leader is better than every other one."""
    if len(rows) == 1:
        return "nothing to compare with"
    if len(known) == 1:
        return "of each other one, half of the runs or more missed"
    if is_modelled(label):
        return "not tested: joules that nothing measured cannot rank"
    # Only the leader of a column has one.
    p_values = rows["p_best_holm"].dropna()
    if p_values.empty:
        return "not tested: too few comparable runs"
    verdict = "significant" if p_values.iloc[0] < ALPHA else "not significant"
    return f"{verdict}, p = {p_values.iloc[0]:.2g}"
