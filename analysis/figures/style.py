"""How figures look: sizes, settings, palette, and names that are short enough for a legend.

Nothing is set at import: `paper_style` is a context manager, and what it sets ends with it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Literal

import matplotlib as mpl

Width = Literal["one", "two"]

# Widths of one and of two columns of a paper, in inches.
WIDTH_IN: dict[str, float] = {"one": 3.5, "two": 7.2}

# seaborn's "colorblind" (Okabe and Ito's colours), and for everything a second sign beside it.
COLOURS = (
    "#0173b2",
    "#de8f05",
    "#029e73",
    "#d55e00",
    "#cc78bc",
    "#ca9161",
    "#fbafe4",
    "#949494",
    "#ece133",
    "#56b4e9",
)
# Without the arrowheads that mark a bound and the x that marks a failure.
MARKERS = ("o", "s", "D", "P", "p", "h", "*", "8", "d", "H")
LINES: tuple[Any, ...] = ("-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1, 1, 1)))
HATCHES = ("", "////", "....", "xxxx", "\\\\\\\\", "++", "oo", "**")
GREY = "0.72"
INK = "0.25"

_SETTINGS: Any = {  # keys of matplotlib's rcParams
    "font.family": "DejaVu Sans",  # comes with matplotlib: the same everywhere
    "text.parse_math": False,  # a $ in a name is a $: no text of these figures is a formula
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.labelsize": 8,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7,
    "legend.frameon": False,
    "legend.handlelength": 2.4,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "0.9",
    "grid.linewidth": 0.6,
    "axes.linewidth": 0.7,
    "lines.linewidth": 1.3,
    "lines.markersize": 4.5,
    "hatch.linewidth": 0.5,
    "pdf.fonttype": 42,  # TrueType: publishers refuse Type 3
    "ps.fonttype": 42,
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "operational-metrics-bench",
    "savefig.dpi": 300,
}
# Keys whose value says enough by itself.
_PLAIN = {"model", "data", "scenario", "backend", "compression", "placement", "optimizer"}


def short_number(value: float) -> str:
    """At most three digits that count, without a row of zeros: 0.0032, 12.5, 3.1e6."""
    # The bounds lie one digit beyond what axes mostly span: 0.001 and 9e-4 side by side look odd.
    if value == 0 or 1e-4 <= abs(value) < 1e6:
        return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"
    mantissa, exponent = f"{value:.2e}".split("e")
    return f"{float(mantissa):g}e{int(exponent)}"


@contextmanager
def paper_style() -> Iterator[None]:
    """Settings of a figure for a paper, for as long as the context lasts."""
    with mpl.rc_context(_SETTINGS):
        yield


def short_names(names: Iterable[str]) -> tuple[dict[str, str], str]:
    """Names without the parts that all have in common, and those parts.

    Args:
        names: As analysis.load.names makes them: `key=value` with spaces between. Give those of
            all configurations that are drawn, also of those that the legend does not name: the
            sentence must be true of each.

    Returns:
        The short name of each; what was left out, as a sentence for the note (empty if nothing).
        Names that would become equal stay as they are.
    """
    distinct = list(dict.fromkeys(names))
    parts = {name: _parts(name) for name in distinct}
    if len(distinct) < 2:
        return {name: _plain(parts[name]) for name in distinct}, ""
    shared = set.intersection(*(set(own) for own in parts.values()))
    short = {
        name: _plain([part for part in own if part not in shared]) for name, own in parts.items()
    }
    if len(set(short.values())) < len(distinct) or not all(short.values()):
        return {name: _plain(own) for name, own in parts.items()}, ""
    common = _plain([part for part in parts[distinct[0]] if part in shared])
    return short, f"All: {common}." if common else ""


def _parts(name: str) -> list[tuple[int, str]]:
    """The parts of a name, each with its side: what was served stands before `|`, how after it."""
    sides = [side.strip() for side in name.split("|")]
    return [(place, part) for place, side in enumerate(sides) if side for part in side.split(" ")]


def _plain(parts: list[tuple[int, str]]) -> str:
    texts = []
    for _, part in parts:
        key, equals, value = part.partition("=")
        texts.append(value if equals and key in _PLAIN and value else part)
    return " ".join(texts)
