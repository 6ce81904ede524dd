"""The tables that end bench.serve, one row per configuration, and the line that ends a run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console, RenderableType

from bench.core.printable import printable
from bench.core.qualities import QUALITIES
from bench.core.records.run import RunRecord
from bench.core.records.serving import WHOLE_STAGE, Serving
from bench.core.scales import TIME, digits, unit_of
from bench.runs.table.columns import FittedTable, fit_table, legend, number_column, prose
from bench.runs.table.groups import (
    INVALID,
    Finished,
    Group,
    ending_line,
    flag_notes,
    group_runs,
    headline,
    incomparable_column,
    name_columns,
    outcome_column,
)
from bench.runs.table.medians import Median, median_of
from bench.runs.table.nodes import node_columns, node_notes
from bench.runs.table.selection import select_rows
from bench.serving.columns import headline_rank, headline_text, serve_columns

_SMALL_PART = 0.01  # share of the longest stage that the common unit must still show well
_SHORT_HASH = 6  # characters of a configuration's hash that tell two models of a sweep apart
# The fields that sweep.csv has for servings only.
SWEEP_COLUMNS = (
    "trained.run_id",
    "trained.seed",
    "trained.data",
    "trained.target_metric",
    "serving.scenario",
    "serving.backend",
    "serving.headline",
    "serving.valid",
    "serving.max_rate_per_s",
    "serving.goodput_per_s",
    "serving.prompt_tokens",
    "serving.output_tokens",
    *(f"serving.{time}_{p}_ms" for time in ("ttft", "tpot") for p in ("p50", "p90", "p99")),
    "serving.output_tokens_per_s",
    "serving.energy_per_output_token_j",
    "serving.cost_per_million_usd",
    "serving.emissions_per_million_gco2e",
    *(f"serving.beside.latency_p99_{name}" for name in ("alone_ms", "beside_ms", "ratio")),
    *(f"serving.beside.latency_p99_ratio_{end}" for end in ("low", "high")),
    *(f"serving.beside.training_{name}_steps_per_s" for name in ("alone", "beside")),
    "skew.planted",
    "skew.found",
    "skew.features_max_difference",
    "skew.outputs_max_difference",
    "skew.changed_predictions_frac",
    "compression.method",
    "compression.accuracy_change",
    "compression.quality_metric",
    "compression.quality_change",
    "compression.latency_ratio",
    "compression.latency_ratio_low",
    "compression.latency_ratio_high",
    # The accuracy is among the fields of every command.
    *(f"quality_test.{name}" for name in QUALITIES if name != "accuracy"),
)


def serve_tables(runs: Sequence[Finished], console: Console) -> Sequence[RenderableType]:
    """The table of a serving, a row per configuration; for requests over HTTP also their stages.

    Of many configurations, the table shows the best and the worst by the headline of the scenario.

    Args:
        runs: Records, each with the overrides it was started with.
        console: The wider it is, the more columns the table has.
    """
    records = [record for _, record in runs]
    # Overrides of bench.serve name a run by its id, which says nothing to a reader.
    names = _model_names(records)
    groups = group_runs(runs, lambda record: names[_trained_hash(record)])
    rows, gaps, note = select_rows(groups, [headline_rank(group) for group in groups])
    columns = [
        outcome_column(rows, "valid", _outcome, console),
        incomparable_column(rows),
        *node_columns(rows),
        *serve_columns(rows),
    ]
    tables = [fit_table(name_columns(rows, console), columns, console, gaps=gaps)]
    line = headline("serve", runs, groups, console, _served(records))
    shown: list[RenderableType] = [line, tables[0].table]
    staged = [group for group in rows if any(run.stages for run in group.runs)]
    if staged:
        tables.append(_stages(staged, console))
        shown += ["", prose("stages of a request: mean time in each", console), tables[1].table]
    return [*shown, *legend(tables, console, note, *flag_notes(records), *node_notes(records))]


def _outcome(record: RunRecord) -> str | None:
    """Whether a pass is valid; None if the status already shows the outcome."""
    if record.status != "ok":
        return None
    return "valid" if record.serving and record.serving.valid else INVALID


def _served(records: Sequence[RunRecord]) -> str:
    """The model and the data that all runs share; empty if they differ."""
    texts = {
        " on ".join(printable(part) for part in (run.trained.model, run.trained.data) if part)
        for run in records
        if run.trained
    }
    return f"model {texts.pop()}" if len(texts) == 1 else ""


def _trained_hash(record: RunRecord) -> str:
    """The hash of the training's configuration; if only the id of its run is known, from that."""
    if record.trained is not None:
        return record.trained.config_hash
    parts = Path(str(record.config.get("run", ""))).name.split("-")
    return parts[1] if len(parts) > 1 else parts[0]


def _model_names(records: Sequence[RunRecord]) -> dict[str, str]:
    """The override that names the model of each training configuration; empty if there is one."""
    models: dict[str, str] = {}
    for record in records:
        name = record.trained.model if record.trained else None
        models[_trained_hash(record)] = name or models.get(_trained_hash(record), "")
    if len(models) == 1:
        return dict.fromkeys(models, "")
    uses = Counter(models.values())
    return {
        digest: f"model={printable(name)}"
        if name and uses[name] == 1
        else f"model={printable(name)}({digest[:_SHORT_HASH]})"
        for digest, name in models.items()
    }


def _stages(groups: Sequence[Group], console: Console) -> FittedTable:
    """The time of each stage, in a common unit, because the stages add up.

    If the console is narrow, the longest stages are shown first.
    """
    names = list(dict.fromkeys(s.stage for group in groups for r in group.runs for s in r.stages))
    medians = {name: [_stage_median(group, name) for group in groups] for name in names}
    longest = {
        name: max((each.estimate.value or 0.0 for each in row if each), default=0.0)
        for name, row in medians.items()
    }
    unit = unit_of(_SMALL_PART * max(longest.values(), default=0.0), TIME)
    by_length = sorted(names, key=lambda name: (name != WHOLE_STAGE, -longest[name]))
    # A stage that is long somewhere comes first where there is no room for all.
    columns = [
        number_column(
            printable(name).replace("_", " "), medians[name], (unit,), rank=by_length.index(name)
        )
        for name in names
    ]
    return fit_table(name_columns(groups, console), columns, console, wanted_rank=len(columns))


def _stage_median(group: Group, name: str) -> Median | None:
    return median_of(
        next((stage.mean_ms / 1000 for stage in run.stages if stage.stage == name), None)
        for run in group.measured
    )


def serve_line(record: RunRecord) -> str:
    """How a run ended, in one line: `p90 latency 31.8 µs`, or `INVALID: REASON`."""
    if record.status != "ok":
        return ending_line(record)
    serving = record.serving
    if serving is None or not serving.valid:
        reasons = serving.invalid_reasons if serving else []
        return ": ".join([INVALID, *map(printable, reasons[:1])])
    skew = ", skew found" if record.skew and record.skew.found else ""
    return f"{headline_text(record) or 'valid'}{_beside(serving)}{skew}"


def _beside(serving: Serving) -> str:
    """What a training beside the server did to both; empty without one."""
    beside = serving.beside
    if beside is None:
        return ""
    low, high = (
        digits(end) for end in (beside.latency_p99_ratio_low, beside.latency_p99_ratio_high)
    )
    slower = f"one-input p99 x{digits(beside.latency_p99_ratio)} [{low}, {high}]"
    speed = "" if beside.training_ratio is None else f", training x{digits(beside.training_ratio)}"
    return f" beside a {beside.name} ({slower}{speed})"
