"""How figures look: sizes, settings, palette, and short names for legends.

Nothing is set at import; `paper_style` is a context manager that restores the previous settings.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Literal

import matplotlib as mpl

from analysis.load.values import short_name
from bench.config.report import WIDTH_IN

# How a figure is laid out: in one column, or across two.
Width = Literal["one", "two"]

# Of the whole figure, in inches, while a template's is drawn.
_TEMPLATE_IN: ContextVar[float | None] = ContextVar("template", default=None)
_TWO_COLUMNS_IN = 6.5  # from which on two panels fit side by side
_GAP_IN = 0.2  # between them

# seaborn's "colorblind" palette (Okabe and Ito). Colour is never the only difference: markers, line
# styles or hatches go with it.
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
# Without ^ and >, which mark a bound, and x, which marks a failure.
MARKERS = ("o", "s", "D", "P", "p", "h", "*", "8", "d", "H")
LINES: tuple[Any, ...] = ("-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1, 1, 1)))
HATCHES = ("", "////", "....", "xxxx", "\\\\\\\\", "++", "oo", "**")
SMALL_PT = 7  # the smallest type; journals ask for 7 to 9 points at the final size
GREY = "0.72"
INK = "0.25"

# Sizes in points are those of a caption in a paper with two columns: figures are not scaled.
_SETTINGS: Any = {  # keys of matplotlib's rcParams
    "font.family": "DejaVu Sans",  # comes with matplotlib, so it is the same everywhere
    "text.parse_math": False,  # no text is a formula: a $ in a name stays a $
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
    "pdf.fonttype": 42,  # TrueType, since publishers refuse Type 3
    "ps.fonttype": 42,
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "operational-metrics-bench",
    "savefig.dpi": 300,
}
# Keys whose value is clear without the key.
_PLAIN = {"policy", "model", "data", "scenario", "backend", "compression", "placement", "optimizer"}


def short_number(value: float) -> str:
    """Write at most three significant digits, without a row of zeros: 0.0032, 12.5, 3.1e6."""
    # The limits are beyond what most axes span, since 0.001 next to 9e-4 would look odd.
    if value == 0 or 1e-4 <= abs(value) < 1e6:
        return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"
    mantissa, exponent = f"{value:.2e}".split("e")
    return f"{float(mantissa):g}e{int(exponent)}"


@contextmanager
def template(name: str) -> Iterator[Width]:
    """Let figures be as wide as a template asks while the context lasts; returns their layout.

    Args:
        name: Of WIDTH_IN.

    Raises:
        ValueError: There is no such width.
    """
    if name not in WIDTH_IN:
        raise ValueError(f"width={name}: must be one of {', '.join(WIDTH_IN)}")
    token = _TEMPLATE_IN.set(WIDTH_IN[name])
    try:
        yield "two" if WIDTH_IN[name] >= _TWO_COLUMNS_IN else "one"
    finally:
        _TEMPLATE_IN.reset(token)


def width_in(width: Width) -> float:
    """Inches of a layout; a panel of a figure across two columns is as wide as one of them.

    Raises:
        ValueError: There is no such layout.
    """
    whole = _TEMPLATE_IN.get()
    if width not in ("one", "two"):
        raise ValueError(f"width={width}: must be one of one, two")
    if whole is None:
        return WIDTH_IN[width]
    is_panel = width == "one" and whole >= _TWO_COLUMNS_IN
    return (whole - _GAP_IN) / 2 if is_panel else whole


@contextmanager
def paper_style() -> Iterator[None]:
    """Use the settings of a figure for a paper while the context lasts."""
    with mpl.rc_context(_SETTINGS):
        yield


def short_names(names: Iterable[str]) -> tuple[dict[str, str], str]:
    """Shorten names by the parts that all of them share.

    Args:
        names: Of analysis.load.names: `key=value`, separated by spaces. Give the names of all
            configurations that are drawn, even without a legend entry, since the sentence is about
            all of them.

    Returns:
        The short name of each; the shared parts as a sentence for the note (empty if none). Names
        that would become equal are not shortened.
    """
    distinct = list(dict.fromkeys(names))
    parts = {name: name_parts(name) for name in distinct}
    whole = {name: short_name(plain_name(words)) for name, words in parts.items()}
    if len(distinct) < 2:
        return whole, ""
    shared = set.intersection(*map(set, parts.values()))
    short = {
        name: short_name(plain_name([part for part in words if part not in shared]))
        for name, words in parts.items()
    }
    # Two equal names, or an empty one, would name no configuration.
    if len(set(short.values())) < len(distinct) or not all(short.values()):
        return whole, ""
    common = plain_name([part for part in parts[distinct[0]] if part in shared])
    return short, f"All: {common}." if common else ""


def name_parts(name: str) -> list[tuple[int, str]]:
    """Split a name into parts, each with its side of `|`: what was served, and how."""
    sides = [side.strip() for side in name.split("|")]
    # With its side, because `model=` may stand on both and mean different things.
    return [(place, part) for place, side in enumerate(sides) if side for part in side.split(" ")]


def plain_name(parts: list[tuple[int, str]]) -> str:
    """Join parts of name_parts, without keys that are clear from their values."""
    texts = []
    for _, part in parts:
        key, equals, value = part.partition("=")
        # `none` by itself would not say what there is none of.
        clear = equals and key in _PLAIN and value not in ("", "none")
        texts.append(value if clear else part)
    return " ".join(texts)
