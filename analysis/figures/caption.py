"""Captions of figures: the prose that a picture does not hold, as text and as LaTeX.

A caption says what is shown, what marks and intervals mean, how many runs there are and how they
ended, how joules were obtained, and the method with its source. In the picture stays only what
would mislead if the picture were cut out: labels of joules on the axes and marks in the legend.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from matplotlib.figure import Figure, SubFigure
from matplotlib.text import Text
from pandas import DataFrame

from analysis.figures.prepare import are_comparable, counted_copy, outcome_names
from analysis.load.values import column
from analysis.tables.text_table import escape
from bench.core.labels import EnergyLabel
from bench.core.printable import printable

_ORIGINS: dict[EnergyLabel, str] = {
    "counter": "read from a counter of the hardware",
    "integrated": "the integral of sampled power",
    "modelled": "estimated from utilization, not measured",
    "constant": "time x an assumed power, not measured",
}
_DEFINITIONS = "Definitions: docs/metrics.md of operational-metrics-bench."
_SENTENCE = re.compile(r"(?<=[.]) +")


def set_caption(figure: Figure | SubFigure, text: str) -> None:
    """Keep what a figure has to say about itself; it is not drawn."""
    figure.set_label(" ".join(text.split()))


def caption_of(figure: Figure | SubFigure) -> str:
    """What `set_caption` was given."""
    return str(figure.get_label())


def panel_captions(captions: Sequence[tuple[str, str]], last: str) -> str:
    """Join the captions of panels; sentences that all of them share are not repeated.

    Args:
        captions: Title and caption of each panel.
        last: A sentence about the whole figure; may be empty.
    """
    panels = [(title, _SENTENCE.split(text)) for title, text in captions]
    shared = [each for each in panels[0][1] if all(each in texts for _, texts in panels)]
    parts = [" ".join(shared)]
    for title, sentences in panels:
        own = " ".join(each for each in sentences if each not in shared)
        parts.append(f"Panel “{title}”: {own}" if own else "")
    return " ".join(filter(None, [*parts, last]))


def whole_caption(title: str, figure: Figure, runs: DataFrame, method: str) -> str:
    """Compose the caption of a figure.

    Args:
        title: What the figure shows, in one line.
        figure: The figure, drawn, with its own caption.
        runs: The runs that it was drawn from; empty if it does not show runs.
        method: How the numbers were computed, with its source; may be empty.
    """
    first = f"{title[:1].upper()}{title[1:]}."
    parts = [first, caption_of(figure), runs_words(runs), _origin_words(figure), method]
    return printable(" ".join(filter(None, [*parts, _DEFINITIONS])))


def runs_words(runs: DataFrame) -> str:
    """Count the runs, and those that missed, failed or are not comparable; empty without runs."""
    counted = counted_copy(runs) if len(runs) else runs
    if counted.empty:
        return ""
    trained = counted[column(counted, "target.metric").notna()]
    ended = list(outcome_names(trained)) if len(trained) else []
    numbers = {
        "missed the target": ended.count("missed"),
        "failed": ended.count("failed"),
        "not comparable (a health flag says why)": int((~are_comparable(counted)).sum()),
    }
    notes = ", ".join(f"{number} {words}" for words, number in numbers.items() if number)
    plural = "s" * (len(counted) != 1)
    which = "which counts" if len(counted) == 1 else "that count"
    return f"From {len(counted)} run{plural} {which}{f': {notes}' if notes else ''}."


def _origin_words(figure: Figure) -> str:
    """Explain the labels of joules that the picture and its caption name."""
    texts = [text.get_text() for text in figure.findobj(Text)] + [caption_of(figure)]
    words = set(re.findall(r"\w+", " ".join(texts)))
    named = [f"{label}: {origin}" for label, origin in _ORIGINS.items() if label in words]
    return f"Energy {'; '.join(named)}." if named else ""


def latex_caption(name: str, caption: str) -> str:
    r"""The caption and the label of a figure, for a `figure` environment of LaTeX.

    Args:
        name: Of the figure; `\ref{fig:NAME}` refers to it.
        caption: Text.
    """
    return "\n".join(
        [
            rf"% \begin{{figure}} \includegraphics{{{name}_WIDTH}} \input{{{name}}} \end{{figure}}",
            rf"\caption{{{escape(caption)}}}",
            rf"\label{{fig:{name}}}",
            "",
        ]
    )
