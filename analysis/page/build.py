"""The page: one file that contains everything it shows and needs no network."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version as installed
from importlib.resources import files
from pathlib import Path
from typing import Any, TypeVar

import altair as alt
import vl_convert
from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from markupsafe import Markup
from pandas import DataFrame

from analysis.figures.prepare import are_comparable
from analysis.load.history import load_history
from analysis.load.once import settled
from analysis.load.records import Lists
from analysis.load.runs import NO_LISTS
from analysis.page.charts import MOST_GROUPS, chart_groups
from analysis.page.decide import decisions
from analysis.page.details import MOST_DETAILED, detailed_runs, details
from analysis.page.findings import finding_words
from analysis.page.history import history_section
from analysis.page.neighbours import neighbours
from analysis.page.provenance import provenance
from analysis.page.rows import page_rows
from analysis.page.summary_parts import Part, read_words
from analysis.page.titles import PAGE_SCALES, table_columns
from analysis.stats.outcomes import refused
from analysis.tables.files import Make, at_once, writing
from analysis.tables.text_table import TextTable
from bench.core.files import cache_folder, replace_file

_MOST_LISTED = 200  # runs in the lists of incomparable and of refused runs
_SCRIPTS = ("units.js", "decide.js", "panel.js", "page.js")  # one module

_Part = TypeVar("_Part")


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """What the page shows besides the runs.

    Attributes:
        title: Of the page.
        unread: Folders that could not be read, with the reason.
        not_drawn: What could not be drawn or made, with the reason. The list grows if parts of the
            page itself fail.
        summary: Of summarise, of the runs.
        tables: By topic.
        num_not_started: Runs that were interrupted before they began.
    """

    title: str
    unread: DataFrame
    not_drawn: Sequence[tuple[str, str]]
    summary: DataFrame
    tables: Sequence[TextTable]
    num_not_started: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """What the page shows of the runs themselves.

    Attributes:
        variables: Of the template.
        findings: Parts of the summary, after what was read.
    """

    variables: Mapping[str, Any]
    findings: Sequence[Part]


def prepare_page(
    runs: DataFrame,
    summary: DataFrame,
    make: Make = at_once,
    *,
    lists: Lists = NO_LISTS,
    history: DataFrame | None = None,
) -> Prepared:
    """Make the parts of the page that follow from the runs alone, which takes most of the time.

    Args:
        runs: As loaded.
        summary: Of summarise, of these runs.
        make: Makes each part of the page.
        lists: Of load_runs; without them, the records of runs in detail are read again.
        history: Of load_history; None for none.
    """
    runs = settled(runs)
    checks = load_history(None) if history is None else history
    part = _parts(make)
    no_words: list[Part] = []
    no_dicts: list[dict[str, Any]] = []
    no_details: dict[str, dict[str, Any]] = {}
    # Curves and telemetry of all runs would make the page too large for a browser.
    shown = part("runs in detail", lambda: detailed_runs(runs), runs.iloc[:0])
    rows = part("table of runs", lambda: page_rows(runs), no_dicts)
    section = part("history", lambda: history_section(runs, checks), None)
    data = {
        "scales": PAGE_SCALES,
        "columns": table_columns(rows),
        "runs": rows,
        "groups": part("charts", lambda: chart_groups(rows), no_dicts),
        "details": part("runs in detail", lambda: details(shown, lists), no_details),
        "neighbours": _only(shown, part("nearest configurations", lambda: neighbours(runs), {})),
        "history": section.charts if section else [],
        "decide": part("decisions", lambda: decisions(runs), no_dicts),
    }
    variables = {
        "history": section,
        "provenance": part("provenance", lambda: provenance(runs), no_dicts),
        "num_detailed": len(shown),
        "num_groups": len({row["group"] for row in rows}),
        "data": _json(data),
    }
    findings = part("findings", lambda: finding_words(runs, summary), no_words)
    return Prepared(variables=variables | _assets(), findings=findings)


def page_html(
    runs: DataFrame, listed: Listed, make: Make = at_once, prepared: Prepared | None = None
) -> str:
    """Make the page as text.

    Args:
        runs: As loaded.
        listed: What the page shows besides.
        make: Makes each part of the page.
        prepared: Of prepare_page, of these runs; made here by default.
    """
    prepared = prepared or prepare_page(runs, listed.summary, make)
    no_words: list[Part] = []
    first = _parts(make)(
        "what was read",
        lambda: [read_words(runs, listed.unread, listed.num_not_started)],
        no_words,
    )
    parts = [*first, *prepared.findings]
    html: str = _template().render(parts=parts, **_lists(runs, listed), **prepared.variables)
    return html


def _only(shown: DataFrame, by_run: dict[str, Any]) -> dict[str, Any]:
    """What there is about the runs that are shown in detail."""
    return {run_id: by_run[run_id] for run_id in shown["run_id"] if run_id in by_run}


def _parts(make: Make) -> Make:
    """Make parts under names that say that they are of the page."""

    def part(name: str, function: Callable[[], _Part], instead: _Part) -> _Part:
        return make(f"page: {name}", function, instead)

    return part


def _lists(runs: DataFrame, listed: Listed) -> dict[str, Any]:
    """The variables of the template that list runs, folders and tables, and their limits."""
    incomparable, not_measured = runs[~are_comparable(runs)], runs[refused(runs)]
    return {
        "title": listed.title,
        "tables": listed.tables,
        "unread": listed.unread.to_dict("records"),
        "not_drawn": listed.not_drawn,
        "incomparable": _with_reasons(incomparable, "health.flags"),
        "num_incomparable": len(incomparable),
        "refused": _with_reasons(not_measured, "error.message"),
        "num_refused": len(not_measured),
        "num_runs": len(runs),
        "most_listed": _MOST_LISTED,
        "most_detailed": MOST_DETAILED,
        "most_groups": MOST_GROUPS,
    }


def _assets() -> dict[str, Markup]:
    """The scripts and style sheets of the page."""
    return {
        # As JSON, because the libraries contain texts that a browser would take for tags.
        "libraries": _json({"vega": _vega(), "datatables": _bundle("dt_bundle.js")}),
        "style": _style(_page_file("page.css")),
        "table_style": _style(_bundle("dt_bundle.css")),
        "script": Markup("".join(map(_page_file, _SCRIPTS))),
    }


def write_page(
    runs: DataFrame,
    listed: Listed,
    path: Path,
    make: Make = at_once,
    prepared: Prepared | None = None,
) -> Path:
    """Write the page; its folder is created if it does not exist. Arguments: as page_html.

    Raises:
        CannotWrite: The folder cannot be written to.
    """
    html = page_html(runs, listed, make, prepared)
    with writing(path.parent):
        path.write_text(html, encoding="utf-8")
    return path


def _template() -> Template:
    # Everything is escaped, and a name that the template misspells is an error.
    loader = PackageLoader("analysis.page", ".")
    environment = Environment(loader=loader, autoescape=True, undefined=StrictUndefined)
    return environment.get_template("report.html")


def _json(value: Any) -> Markup:
    """JSON inside a script, escaped so that nothing in the records can end the script."""
    # NaN is no JSON, and a browser would refuse the whole page.
    text = json.dumps(value, allow_nan=False, separators=(",", ":"), ensure_ascii=False)
    for sign in "<>&\u2028\u2029":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return Markup(text)


def _page_file(name: str) -> str:
    return (files("analysis.page") / name).read_text(encoding="utf-8")


def _bundle(name: str) -> str:
    """DataTables or its style, which itables ships for pages without a network."""
    return (files("itables") / "html" / name).read_text(encoding="utf-8")


def _style(text: str) -> Markup:
    """A style sheet inside a page.

    Raises:
        ValueError: It contains the tag that would end it.
    """
    if "</style" in text.lower():
        raise ValueError("a style sheet contains </style and cannot be put inside the page")
    return Markup(text)


@cache
def _vega() -> str:
    """Vega, Vega-Lite and vega-embed in the version that Altair writes for.

    Putting them together takes more than a second, so the result is kept in the user's cache.
    """
    # Another version of Vega-Lite may draw a specification of Altair differently.
    version = "_".join(alt.SCHEMA_VERSION.split(".")[:2])
    kept = cache_folder() / f"vega-embed-{version}-vl_convert-{installed('vl-convert-python')}.js"
    with suppress(OSError, UnicodeDecodeError):
        return kept.read_text(encoding="utf-8")
    bundle = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;", vl_version=version)
    with suppress(OSError):  # without a cache, every report takes that time
        kept.parent.mkdir(parents=True, exist_ok=True)
        replace_file(kept, bundle.encode())
    return bundle


def _with_reasons(runs: DataFrame, reason: str) -> list[dict[Any, Any]]:
    """The first of some runs, each with the column that holds its reason."""
    return runs[["run_id", "configuration", reason]].head(_MOST_LISTED).to_dict("records")
