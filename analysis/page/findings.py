"""Findings: which configuration is cheapest in what, how certain that is, and what it gives up.

Every number has its n and its bounds. A finding says so if a difference is not significant, or if
joules were obtained in different ways.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pandas import DataFrame, Series

from analysis.figures.prepare import are_comparable
from analysis.load.values import column
from analysis.page.deployments import deployment_heading, deployment_words, deployments_of
from analysis.page.losses import losses
from analysis.stats.outcomes import TO_TARGET, counted_runs, outcomes, reached, refused, with_target
from analysis.stats.repeats import KEYS, counted_with_keys
from analysis.stats.summary import as_estimate, is_modelled
from analysis.tables.digits import estimate_text
from bench.core.metric import Metric, Quantity
from bench.core.metrics import METRICS
from bench.core.stats.ranks import ALPHA

_MOST_TARGETS = 4  # combinations of target and host that are described, the largest ones


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A row of the summary: the best configuration in one respect.

    Attributes:
        objective: What it is cheapest in, with how joules were obtained.
        best: The configuration; empty if none can be named.
        value: Its median with its bounds, in a unit.
        hits: How many of its runs reached the target.
        second: The next one, with its median.
        verdict: Whether it is better than all others, by which test, or why that is not known.
        gives_up: What it loses in other respects.
    """

    objective: str
    best: str = ""
    value: str = ""
    hits: str = ""
    second: str = ""
    verdict: str
    gives_up: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A heading with sentences, and findings as a table."""

    heading: str
    sentences: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()


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


def read_words(runs: DataFrame, unread: DataFrame, num_not_started: int = 0) -> Part:
    """Write the first part of the summary at the top of the page: what was read.

    Args:
        runs: As loaded.
        unread: Folders that could not be read.
        num_not_started: Runs that were interrupted before they began.
    """
    read = (*_read(runs, unread), *_uncounted(runs, num_not_started), *_health_words(runs))
    return Part(heading="What was read", sentences=(*read, *_label_words(runs)))


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
        words = _count(len(groups) - _MOST_TARGETS, "other stream")
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
            f"{_count(rest, 'run')} with {_count(num, 'other combination')} of target and host."
        )
        parts.append(Part(heading="Not described here", sentences=(sentence,)))
    return parts


def _heading(group: DataFrame) -> str:
    first = group.iloc[0]
    sign = "≤" if first["target.mode"] == "min" else "≥"
    metric = str(first["target.metric"]).replace("_", " ")
    target = f"{metric} {sign} {first['target.value']:g} (rule {first['target.rule']})"
    return f"{target} on {first['host']}"


def _read(runs: DataFrame, unread: DataFrame) -> Iterator[str]:
    is_training = runs["target.metric"].notna()
    configurations = runs.loc[is_training, "configuration"].nunique()
    found = (
        f"{_count(int(is_training.sum()), 'training')} of "
        f"{_count(configurations, 'configuration')} and "
        f"{_count(int((~is_training).sum()), 'other run')}"
    )
    if not is_training.any():
        found = _count(len(runs), "run")
    yield f"{found} were read; {_count(len(unread), 'folder')} could not be read."
    counted = counted_runs(runs)
    trained = with_target(counted)
    if len(trained):
        ended = outcomes(trained)
        missed = len(trained) - ended.num_hits - int(ended.failed.sum())
        yield (
            f"Of the trainings, {ended.num_hits} reached their target, {missed} missed it, "
            f"{ended.failed.sum()} failed. Every number below includes misses and failures as the "
            "worst values."
        )
    others = counted[counted["target.metric"].isna()]
    if len(others):
        failed = int(others["status"].ne("ok").sum())
        which = "other runs" if len(trained) else "runs"
        yield f"Of the {which}, {len(others) - failed} succeeded, {failed} failed."
    num_refused = int(refused(runs).sum())
    if num_refused:
        yield (
            f"{num_refused} refused: that combination of settings does not exist, so nothing was"
            " measured. They count nowhere; the reasons are listed under Provenance and health."
        )


def _uncounted(runs: DataFrame, num_not_started: int) -> Iterator[str]:
    # Refused runs are described above.
    num = len(runs) - len(counted_runs(runs)) - int(refused(runs).sum())
    if num:
        yield (
            "One run counts per configuration, seed and repeat. Interrupted or measured again"
            f" later, and only in the cost of the search: {_count(num, 'run')}."
        )
    if num_not_started:
        words = _count(num_not_started, "run")
        yield f"Interrupted before the start, and counted nowhere: {words}."


def _health_words(runs: DataFrame) -> Iterator[str]:
    incomparable = runs[~are_comparable(runs)]
    if incomparable.empty:
        yield "No run is marked as not comparable."
        return
    texts = incomparable["health.flags"].dropna()
    flags = sorted({flag for text in texts for flag in text.split(",")})
    words = _count(len(incomparable), "run")
    yield f"{words} not comparable ({', '.join(flags)}); figures, tables and charts mark them."


def _label_words(runs: DataFrame) -> Iterator[str]:
    labels = column(runs, "energy_label").dropna().value_counts()
    if labels.empty:
        yield "No run has measured or modelled joules, so there are no findings on energy."
        return
    words = ", ".join(f"{label} ({count})" for label, count in labels.items())
    yield f"Joules by label: {words}."
    if len(labels) > 1:
        yield "Joules of different labels are not compared with one another."
    if "modelled" in labels:
        yield (
            "Modelled joules are an estimate, CPU time times watts from a table. They cannot rank "
            "configurations by energy, nor by money that includes it."
        )


def _target_part(heading: str, group: DataFrame, summary: DataFrame) -> Part:
    """What was found about one target on one host, whose runs may be compared."""
    if not reached(group).any():
        words = f"None of {_count(len(group), 'run')} reached it, so none is the cheapest."
        return Part(heading=heading, sentences=(words,))
    incomparable = sorted(set(group.loc[~are_comparable(group), "configuration"]))
    # A disturbed run is usually slower, so ranking it would favour the others.
    group = group[~group["configuration"].isin(incomparable)]
    words = f"Not ranked, since some of their runs are incomparable: {', '.join(incomparable)}."
    quantities = summary.merge(group[list(KEYS)].drop_duplicates(), on=list(KEYS))
    return Part(
        heading=heading,
        sentences=(words,) if incomparable else (),
        findings=tuple(_findings(group, quantities)),
    )


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
    return f"{estimate_text(as_estimate(row))} {cost.metric.unit}"


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


def _count(num: int, word: str) -> str:
    return f"{num} {word}" if num == 1 else f"{num} {word}s"
