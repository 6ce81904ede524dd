"""The page: one file that holds everything it shows and asks nothing of a network."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, TypeVar

import altair as alt
import vl_convert
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from pandas import DataFrame

from analysis.figures.prepare import are_comparable
from analysis.load.values import column
from analysis.page.charts import MOST_GROUPS, chart_groups
from analysis.page.details import MOST_DETAILED, detailed_runs, details
from analysis.page.findings import Part, summary_words
from analysis.page.rows import page_rows, plain
from analysis.page.titles import table_columns
from analysis.stats.outcomes import hosts, refused
from analysis.tables.files import Make, at_once, writing
from analysis.tables.text_table import TextTable

_MOST_LISTED = 200  # rows of the list of incomparable runs
# What tells where a number comes from, of every host and revision among the runs.
_PROVENANCE = {
    "host.cpu_name": "processor",
    "host.num_cpus": "CPUs",
    "host.memory_bytes": "memory (bytes)",
    "host.os": "system",
    "host.python": "Python",
    "host.libraries.torch": "torch",
    "host.git_commit": "revision",
    "host.git_dirty": "changed since",
    "schema_version": "schema",
}


_Part = TypeVar("_Part")


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """What stands beside the runs on the page.

    Attributes:
        title: Of the page.
        unread: Folders that could not be read, with the reason.
        not_drawn: What could not be drawn or made, with the reason; parts of the page that fail
            may be added while it is made.
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


def page_html(runs: DataFrame, listed: Listed, make: Make = at_once) -> str:
    """The page as text.

    Args:
        runs: As loaded.
        listed: What stands beside them.
        make: Makes each part of the page.
    """

    def part(name: str, function: Callable[[], _Part], instead: _Part) -> _Part:
        return make(f"page: {name}", function, instead)

    shown = part("runs in detail", lambda: detailed_runs(runs), runs.iloc[:0])
    rows: list[dict[str, Any]] = part("table of runs", lambda: page_rows(runs), [])
    no_groups: list[dict[str, Any]] = []
    no_details: dict[str, dict[str, Any]] = {}
    data = {
        "columns": table_columns(),
        "runs": rows,
        "groups": part("charts", lambda: chart_groups(rows), no_groups),
        "details": part("runs in detail", lambda: details(shown), no_details),
    }
    words: list[Part] = part(
        "summary",
        lambda: summary_words(runs, listed.unread, listed.summary, listed.num_not_started),
        [],
    )
    provenance: list[dict[str, Any]] = part("provenance", lambda: _provenance(runs), [])
    incomparable, not_measured = runs[~are_comparable(runs)], runs[refused(runs)]
    html: str = (
        _environment()
        .get_template("report.html")
        .render(
            title=listed.title,
            parts=words,
            tables=listed.tables,
            provenance=provenance,
            incomparable=_listed(incomparable, "health.flags"),
            num_incomparable=len(incomparable),
            most_listed=_MOST_LISTED,
            refused=_listed(not_measured, "error.message"),
            num_refused=len(not_measured),
            unread=listed.unread.to_dict("records"),
            not_drawn=listed.not_drawn,
            num_detailed=len(shown),
            most_detailed=MOST_DETAILED,
            num_runs=len(runs),
            num_groups=len({row["group"] for row in rows}),
            most_groups=MOST_GROUPS,
            data=_json(data),
            # As JSON, because their own texts hold what a browser takes for tags.
            libraries=_json({"vega": _vega(), "datatables": _bundle("dt_bundle.js")}),
            style=_style(_own("page.css")),
            table_style=_style(_bundle("dt_bundle.css")),
            script=Markup(_own("page.js")),
        )
    )
    return html


def write_page(runs: DataFrame, listed: Listed, path: Path, make: Make = at_once) -> Path:
    """Write the page; its folder is made where there is none.

    Raises:
        CannotWrite: The folder cannot be written to.
    """
    html = page_html(runs, listed, make)
    with writing(path.parent):
        path.write_text(html, encoding="utf-8")
    return path


def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("analysis.page", "."), autoescape=True, undefined=StrictUndefined
    )


def _json(value: Any) -> Markup:
    """JSON that no browser takes for the end of its script, whatever the records hold."""
    text = json.dumps(value, allow_nan=False, separators=(",", ":"), ensure_ascii=False)
    for sign in "<>&\u2028\u2029":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return Markup(text)  # every sign that could end the script is escaped


def _own(name: str) -> str:
    return (files("analysis.page") / name).read_text(encoding="utf-8")


def _bundle(name: str) -> str:
    """DataTables or its style, as itables ships them for pages without a network."""
    return (files("itables") / "html" / name).read_text(encoding="utf-8")


def _style(text: str) -> Markup:
    """A style sheet that does not end before its end.

    Raises:
        ValueError: It holds the tag that would end it.
    """
    if "</style" in text.lower():
        raise ValueError("the style of the table cannot be put inside a page")
    return Markup(text)


@cache
def _vega() -> str:
    """Vega, Vega-Lite and vega-embed of the version that Altair writes for."""
    version = "_".join(alt.SCHEMA_VERSION.split(".")[:2])
    return vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;", vl_version=version)


def _provenance(runs: DataFrame) -> list[dict[str, Any]]:
    """Every combination of host and revision that runs were made with, and how many."""
    facts = DataFrame({title: column(runs, name) for name, title in _PROVENANCE.items()})
    texts = facts.astype(object).where(facts.notna(), "not recorded").map(_text)
    texts["host"] = hosts(runs)
    texts = texts.drop(columns="processor")
    names = ["host", *texts.columns.drop("host")]
    grouped = texts.groupby(names, sort=True).size().reset_index(name="num_runs")
    return [
        {
            "facts": [(str(name), str(row[name])) for name in names],
            "num_runs": int(row["num_runs"]),
        }
        for row in grouped.to_dict("records")
    ]


def _text(value: Any) -> str:
    return value if isinstance(value, str) else str(plain(value))


def _listed(runs: DataFrame, reason: str) -> list[dict[Any, Any]]:
    """The first of some runs, each with what is said of it in the column of the reason."""
    return runs[["run_id", "configuration", reason]].head(_MOST_LISTED).to_dict("records")
