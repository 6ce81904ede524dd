"""The columns of the table that ends bench.serve: medians over models and repeats."""

from __future__ import annotations

from collections.abc import Sequence

from bench.core.flat import value_of
from bench.core.metrics import METRICS, better
from bench.core.price import cost_basis
from bench.core.records.run import RunRecord
from bench.core.records.skew import Skew
from bench.core.scales import BYTES, PLAIN, RATE, TIME, Scale, digits, quantity
from bench.runs.table.columns import Column, number_column, shared_text, spread_column
from bench.runs.table.fields import (
    field_column,
    field_median,
    field_medians,
    formatted_column,
    heading_of,
    joules_column,
    joules_of,
    latency_column,
    number_of,
    quality_column,
)
from bench.runs.table.groups import Group
from bench.runs.table.medians import Median, median_with_worst, spread_text, value_text
from bench.runs.table.selection import Rank, rank_of

_RATE, _SIZE = "serving.throughput_per_s", "model.size_bytes"
_CHANGE, _RATIO = "compression.accuracy_change", "compression.latency_ratio"
_BESIDE, _TRAINING = "serving.beside.latency_p99_ratio", "serving.beside.training_ratio"
_OTHER_CHANGE = "compression.quality_change"
# Shown besides the metric of the target, where the task reports them; the first ones count more.
_QUALITIES = ("accuracy", "worst_class_recall", "mae", "r2", "perplexity", "bits_per_byte")
_MOST_QUALITIES = 3
_ENERGY = "serving.energy_per_prediction_j"
_TOKEN_ENERGY = "serving.energy_per_output_token_j"
_COST, _CARBON = "serving.cost_per_million_usd", "serving.emissions_per_million_gco2e"


def serve_columns(groups: Sequence[Group]) -> list[Column]:
    """All columns except the outcome, in the order of display."""
    return [
        *_headlines(groups),
        latency_column(groups, rank=4, note="Latency: from when a request was due."),
        latency_column(groups, "ttft", rank=3, note="TTFT: time to first token."),
        latency_column(groups, "tpot", rank=3, note="TPOT: time per output token after the first."),
        field_column(groups, _RATE, RATE, rank=5),
        *_qualities(groups),
        *_skew(groups),
        _change(groups),
        field_column(groups, _SIZE, BYTES, rank=9),
        _ratio(groups, _RATIO, rank=8),
        *_beside(groups),
        _energy(groups),
        joules_column(heading_of(_TOKEN_ENERGY), joules_of(groups, _TOKEN_ENERGY), rank=3),
        _cost(groups),
        field_column(groups, _CARBON, PLAIN, rank=12),
    ]


def headline_text(record: RunRecord) -> str | None:
    """The headline of the scenario, such as `p90 latency 31.8 µs`; None if the run has none."""
    value = _headline_value(record)
    if value is None:
        return None
    name, scale = _headline_name(record)
    return f"{name} {quantity(value, scale)}"


def _headline_value(record: RunRecord) -> float | None:
    """The headline in its base unit; None for a failed run and an invalid pass."""
    serving = record.serving
    if record.status != "ok" or serving is None or serving.headline is None or not serving.valid:
        return None
    return number_of(record, f"serving.{serving.headline}")


def _headline_name(record: RunRecord) -> tuple[str, Scale]:
    field = value_of(record, "serving.headline")
    if field is None:
        return "", PLAIN
    heading = METRICS[f"serving.{field}"].heading
    return (heading, RATE) if field.endswith("_per_s") else (f"{heading} latency", TIME)


def _headline_median(group: Group) -> Median | None:
    """The median over all passes; a failed or invalid one counts as the worst."""
    values = [_headline_value(run) for run in group.measured]
    field = next((run.serving.headline for run in group.measured if run.serving), None)
    if field is None or all(value is None for value in values):
        return None
    # For a rate, the worst of several passes is the smallest.
    is_larger_better = better(f"serving.{field}") == "max"
    return median_with_worst(values, is_larger_better=is_larger_better)


def headline_rank(group: Group) -> Rank | None:
    """Rank a configuration by the headline of its scenario; None if no pass has a valid one."""
    median = _headline_median(group)
    return None if median is None else rank_of(_headline_name(group.measured[0])[0], median)


def _headlines(groups: Sequence[Group]) -> list[Column]:
    """The headlines in one column; if the scenarios differ, the cells have the names and units."""
    medians = [_headline_median(group) for group in groups]
    names = [_headline_name(group.measured[0]) if group.measured else None for group in groups]
    known = [each for each, m in zip(names, medians, strict=True) if m is not None and each]
    note = "Of several runs: the median; a pass that failed or is INVALID counts as the worst."
    note = note if any(len(group.measured) > 1 for group in groups) else ""
    # Scenarios with one headline share a unit, so the heading can have it.
    if len({name for name, _ in known}) == 1:
        name, scale = known[0]
        heading = name.replace(" ", "\n")
        return [
            number_column(heading, medians, scale, rank=1, note=note),
            spread_column("range", medians, scale, rank=6),
        ]
    cells, ranges = [], []
    for each, median in zip(names, medians, strict=True):
        name, scale = each or ("", PLAIN)
        cells.append(f"{name} {value_text(median, scale, None)}" if median else "-")
        ranges.append(spread_text(median, scale, None))
    return [
        Column(heading="headline", cells=cells, rank=1, note=note),
        Column(heading="range", cells=ranges, rank=6),
    ]


def _qualities(groups: Sequence[Group]) -> list[Column]:
    """The quality of what was served: first the metrics that the models were trained to."""
    runs = [run for group in groups for run in group.measured if run.quality_test]
    targets = [run.trained.target_metric for run in runs if run.trained]
    reported = {name for run in runs if run.quality_test for name in run.quality_test.values}
    names = [name for name in dict.fromkeys([*targets, *_QUALITIES]) if name in reported]
    return [
        quality_column(groups, f"quality_test.{name}", rank=11 if place else 2)
        for place, name in enumerate(names[:_MOST_QUALITIES])
    ]


def _skew(groups: Sequence[Group]) -> list[Column]:
    """The share of predictions that change between training and serving, if any run found skew."""
    cells = [_skew_cell([run.skew for run in group.measured if run.skew]) for group in groups]
    if not any(run.skew and run.skew.found for group in groups for run in group.measured):
        return []
    note = "Skew: predictions that change between the training and the serving path."
    return [Column(heading="skew", cells=cells, rank=2, note=note)]


def _skew_cell(skews: Sequence[Skew]) -> str:
    """The worst of some runs, because one is enough for exit code 1."""
    if not any(skew.found for skew in skews):
        return "none" if skews else "-"
    changed = [skew.changed_predictions_frac for skew in skews if skew.found]
    known = [frac for frac in changed if frac is not None]
    return f"{max(known):.1%}" if known else "found"


def _change(groups: Sequence[Group]) -> Column:
    """The change of accuracy, or else of the metric that the models were trained to."""
    has_accuracy = any(value_of(run, _CHANGE) is not None for each in groups for run in each.runs)
    path = _CHANGE if has_accuracy else _OTHER_CHANGE
    changed = heading_of(path).replace("\n", " ").capitalize()
    note = f"{changed} and latency ratio: compared with the same model uncompressed."
    return formatted_column(groups, path, "+.4f" if has_accuracy else "+.4g", rank=5, note=note)


def _ratio(groups: Sequence[Group], path: str, rank: int, note: str = "") -> Column:
    """A ratio of latencies, such as compressed / uncompressed; a single run has a 95% interval."""
    cells = []
    for group in groups:
        ratio = field_median(group.measured, path)
        text = value_text(ratio, PLAIN, None)
        # Of several runs, their range says more than the interval of one of them.
        if ratio is not None and ratio.estimate.num == 1:
            text += _interval(group.measured, path)
        cells.append(text)
    return Column(heading=heading_of(path), cells=cells, rank=rank, note=note)


def _interval(runs: Sequence[RunRecord], path: str) -> str:
    for run in runs:
        low, high = (value_of(run, f"{path}_{end}") for end in ("low", "high"))
        if low is not None and high is not None:
            return f" [{digits(low)}, {digits(high)}]"
    return ""


def _beside(groups: Sequence[Group]) -> list[Column]:
    """What a training beside the server does, if there was one."""
    if not any(value_of(run, _BESIDE) is not None for each in groups for run in each.measured):
        return []
    note = (
        "With a training beside the server, all else in its row is measured beside it, joules of "
        "both; the ratios are with / without the other one."
    )
    return [
        _ratio(groups, _BESIDE, rank=2, note=note),
        field_column(groups, _TRAINING, PLAIN, rank=6),
    ]


def _energy(groups: Sequence[Group]) -> Column:
    joules = joules_of(groups, _ENERGY)
    note = "Energy: ± the bound of its error."
    return joules_column(heading_of(_ENERGY), joules, rank=3, note=note)


def _cost(groups: Sequence[Group]) -> Column:
    """Dollars, and what they pay for: electricity alone is not the price of a machine."""
    bases = [
        ", ".join(
            dict.fromkeys(
                cost_basis(run.config["price"])
                for run in group.measured
                if value_of(run, _COST) is not None
            )
        )
        for group in groups
    ]
    texts = [f"({basis})" if basis else "" for basis in bases]
    heading, suffixes = shared_text(heading_of(_COST), texts)
    note = "Dollars for electricity alone are not the price of a machine."
    medians = field_medians(groups, _COST)
    return number_column(heading, medians, PLAIN, rank=7, note=note, suffixes=suffixes)
