"""Writes the tables of docs/*.md that are generated from the code: `python -m tools.field_docs`.

A table stands between its marker and the next `<!-- end -->`. There are three kinds:

    <!-- fields: TargetResult -->   the fields of a class of the record, from its docstring
    <!-- metrics of the gate -->    the metrics that the gate compares
    <!-- qualities -->              the qualities that tasks report

Units and directions come from bench/core/metrics.py, so they are not written twice.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Sequence
from dataclasses import fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import get_args, get_origin, get_type_hints

from bench.core.metric import Better, Metric, words_and_unit
from bench.core.metrics import METRICS
from bench.core.qualities import QUALITIES, TASK_QUALITIES
from bench.core.records.curve import CurveRow
from bench.core.records.maintenance import MaintenanceEvent, WindowRow
from bench.core.records.run import RunRecord
from bench.gate.metrics import GATE_METRICS

DOCS = Path(__file__).parents[1] / "docs"
_MARKED = re.compile(
    r"(<!-- (fields: (\w+)|metrics of the gate|qualities) -->\n).*?(<!-- end -->)", re.S
)
_NODES = "nodes[]."
# Rows of files beside the record.
_ROWS = (CurveRow, WindowRow, MaintenanceEvent)
_BETTER: dict[Better | None, str] = {"min": "lower", "max": "higher", None: ""}


def rendered(page: str) -> str:
    """Return the page with all tables regenerated.

    Raises:
        ValueError: A marker names no class of the record, or a field has no definition.
    """

    def table(match: re.Match[str]) -> str:
        kind, name = match.group(2, 3)
        if name:
            rows = fields_table(name)
        else:
            rows = qualities_table() if kind == "qualities" else gate_table()
        made = _markdown(rows)
        return f"{match.group(1)}\n{made}\n\n{match.group(4)}"

    return _MARKED.sub(table, page)


def definitions(cls: type) -> dict[str, str]:
    """Parse the `Attributes:` of a Google docstring; each definition becomes one line."""
    texts: dict[str, str] = {}
    section = inspect.cleandoc(cls.__doc__ or "").partition("\nAttributes:\n")[2]
    for line in section.splitlines():
        if entry := re.match(r" {4}(\w+): (.+)", line):
            name, text = entry.groups()
            texts[name] = text
        elif line.startswith(" " * 8):
            texts[name] += f" {line.strip()}"
        else:
            break
    return texts


@cache
def record_classes() -> dict[str, tuple[type, tuple[str, ...]]]:
    """Find the classes of a record and of rows in other files, and the places of each.

    A place is a prefix: empty for the record itself, `target.` for a nested class and `energy[].`
    for the rows of a list.
    """
    places: dict[type, list[str]] = {}
    for cls, place in [found for root in (RunRecord, *_ROWS) for found in _nested(root, "")]:
        places.setdefault(cls, []).append(place)
    # What a node has is defined where the run has it, too.
    kept = {
        cls: [name for name in names if not name.startswith(_NODES) or name == _NODES] or names
        for cls, names in places.items()
    }
    return {cls.__name__: (cls, tuple(names)) for cls, names in kept.items()}


def _nested(cls: type, place: str) -> Iterator[tuple[type, str]]:
    yield cls, place
    for name, hint in get_type_hints(cls).items():
        rows = "[]" if get_origin(hint) is list else ""
        for part in (hint, *get_args(hint)):
            if isinstance(part, type) and is_dataclass(part):
                yield from _nested(part, f"{place}{name}{rows}.")


def fields_table(name: str) -> list[list[str]]:
    """Table of a class: field, unit, which direction is better, and definition.

    Columns that are empty in every row are left out.

    Args:
        name: Name of a class of the record.

    Raises:
        ValueError: The record has no such class, or a field has no definition.
    """
    if name not in record_classes():
        raise ValueError(f"<!-- fields: {name} -->: no class of the record")
    cls, places = record_classes()[name]
    defined = definitions(cls)
    rows = []
    for field in fields(cls):
        if field.name not in defined:
            raise ValueError(f"{name}.{field.name}: no definition in the docstring of {name}")
        shown = f"{places[0]}{field.name}" if len(places) == 1 else field.name
        text = re.sub(r"\bNone\b", "`null`", defined[field.name])
        rows.append([f"`{shown}`", *_unit_and_better(cls, places[0], field.name), text])
    return _without_empty_columns([["field", "unit", "better", "definition"], *rows])


def _unit_and_better(cls: type, place: str, name: str) -> tuple[str, str]:
    metric = METRICS.get(f"{place}{name}")
    if cls not in _ROWS and metric is not None:
        return metric.unit, _BETTER[metric.better]
    # The catalogue has no rows of lists or of other files: the unit comes from the field's name.
    hint = get_type_hints(cls)[name]
    is_number = bool({int, float} & {hint, *get_args(hint)})
    return (words_and_unit(name)[1] if is_number else ""), ""


def qualities_table() -> list[list[str]]:
    """Table of the qualities: the tasks that report each, its unit, direction and definition."""
    rows = [
        [
            f"`{name}`",
            ", ".join(task for task, names in TASK_QUALITIES.items() if name in names),
            facts.unit,
            _BETTER[facts.mode],
            facts.definition,
        ]
        for name, facts in QUALITIES.items()
    ]
    return [["quality", "tasks", "unit", "better", "definition"], *rows]


def gate_table() -> list[list[str]]:
    """Table of the metrics that the gate compares, in the order of its report."""
    rows = [
        [
            f"`{metric.name}`",
            metric.unit,
            _BETTER[metric.better],
            str(metric.kind),
            _least_effect(metric),
        ]
        for metric in GATE_METRICS
    ]
    return [["metric", "unit", "better", "kind", "least effect"], *rows]


def _least_effect(metric: Metric) -> str:
    if not metric.least_effect_frac:
        return "any"
    of_base = f"{metric.least_effect_frac:.0%}"
    floor = f"{metric.least_effect_abs:g} {metric.unit}"
    return f"{of_base}, at least {floor}" if metric.least_effect_abs else of_base


def _without_empty_columns(rows: Sequence[Sequence[str]]) -> list[list[str]]:
    kept = [i for i in range(len(rows[0])) if any(row[i] for row in rows[1:])]
    return [[row[i] for i in kept] for row in rows]


def _markdown(rows: Sequence[Sequence[str]]) -> str:
    head, *body = ([cell.replace("|", r"\|") for cell in row] for row in rows)
    lines = [f"| {' | '.join(row)} |" for row in (head, *body)]
    lines.insert(1, f"|{'---|' * len(head)}")
    return "\n".join(lines)


def main() -> None:
    """Rewrite the pages whose tables are out of date."""
    for path in sorted(DOCS.glob("*.md")):
        page = path.read_text()
        made = rendered(page)
        if made != page:
            path.write_text(made)
            print(f"wrote {path}")


if __name__ == "__main__":
    main()
