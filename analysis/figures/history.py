"""The history of the gate: the medians of all checks, with the change points between them."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from pandas import DataFrame

from analysis.figures.axes import Canvas, canvas, finished, in_paper_style, wrapped
from analysis.figures.marks import dot, draw_points
from analysis.figures.prepare import NothingToDraw
from analysis.figures.style import COLOURS, INK, SMALL_PT, Width
from bench.core.scales import SCALES

_MOST_PANELS = 6
_KEY = ["configuration", "metric"]
_DIGITS = 7  # of a commit beside a change
_LABEL_CHARACTERS = {"one": 24, "two": 30}
_CHARACTERS = {"one": 52, "two": 55}  # of a line above a panel


def data_history(runs: DataFrame, history: DataFrame) -> DataFrame:
    """Choose the series to draw: those that changed, the latest change first, then others.

    Args:
        runs: Ignored; the history has its own.
        history: Of load_history.

    Returns:
        Its rows, with `panel` (from 0), `segment` (number of the stretch between two changes) and
        `median` (of the values of that stretch), `num_series` (how many vary) and `num_constant`.

    Raises:
        NothingToDraw: There is no history, or nothing in it varies.
    """
    if history.empty:
        raise NothingToDraw("no history of checks: history=DIR names the folder of bench.compare")
    keys = [history[name] for name in _KEY]
    varies = history["value"].groupby(keys).transform("nunique") > 1
    rows = history[varies].copy()
    if rows.empty:
        raise NothingToDraw("no metric varies from check to check")
    ordered = _ordered(rows)
    rows["panel"] = [ordered[key] for key in zip(*(rows[name] for name in _KEY), strict=True)]
    num_constant = int((~varies & history["place"].eq(0)).sum())
    rows = rows.assign(num_series=len(ordered), num_constant=num_constant)
    rows = rows[rows["panel"] < _MOST_PANELS].sort_values(["panel", "place"], ignore_index=True)
    rows["segment"] = rows.groupby("panel")["is_change"].cumsum().astype(int)
    rows["median"] = rows.groupby(["panel", "segment"])["value"].transform("median")
    return rows


def _ordered(rows: DataFrame) -> dict[tuple[str, str], int]:
    """The place of each series: changed ones first, that of the latest change at the front."""
    latest = rows[rows["is_change"]].groupby(_KEY)["utc"].max()
    keys = [(str(one), str(two)) for one, two in rows[_KEY].drop_duplicates().to_numpy()]
    changed = sorted((key for key in keys if key in latest.index), key=lambda key: latest[key])
    others = [key for key in keys if key not in latest.index]
    return {key: place for place, key in enumerate([*changed[::-1], *others])}


@in_paper_style
def draw_history(data: DataFrame, *, width: Width = "one") -> Canvas:
    """Draw what `data_history` gives: a panel for each series."""
    panels = list(data.groupby("panel", sort=True))
    columns = 1 if width == "one" or len(panels) == 1 else 2
    figure, axes = canvas(width, 1.3, num=len(panels), columns=columns)
    is_one = data["configuration"].nunique() == 1
    for each, (_, rows) in zip(axes, panels, strict=True):
        _draw_series(each, rows, width)
        lines = [_changes_words(rows), "" if is_one else str(rows["configuration"].iloc[0])]
        title = "\n".join(wrapped(line, _CHARACTERS[width]) for line in lines if line)
        each.set_title(title, fontsize=SMALL_PT, loc="left")
    for each in axes[-columns:]:
        each.set_xlabel("checks, in order of commits")
    handles = [dot("check", COLOURS[0], face="white")]
    if data["accepted"].any():
        handles.append(dot("accepted as baseline", COLOURS[0]))
    handles.append(Line2D([], [], color=INK, linewidth=1.0, label="median between changes"))
    return finished(figure, handles, _words(data), width)


def _draw_series(axes: Axes, rows: DataFrame, width: Width) -> None:
    factor, unit = _display(rows)
    draw_points(axes, rows["place"], rows["value"] * factor, rows["accepted"], COLOURS[0], size=9)
    for _, part in rows.groupby("segment"):
        ends = [part["place"].iloc[0] - 0.5, part["place"].iloc[-1] + 0.5]
        axes.plot(ends, [part["median"].iloc[0] * factor] * 2, color=INK, linewidth=1.0)
    for place in rows.loc[rows["is_change"], "place"]:
        axes.axvline(place - 0.5, color=INK, linewidth=0.6, linestyle=":")
    title = str(rows["title"].iloc[0])
    axes.set_ylabel(wrapped(f"{title} ({unit})" if unit else title, _LABEL_CHARACTERS[width]))
    axes.margins(y=0.1)


def _changes_words(rows: DataFrame) -> str:
    """Each change with its commit, in order: `1a2b3c4: worse by 3.1%`."""
    return ", ".join(
        f"{str(row['commit'] or row['utc'])[:_DIGITS]}: "
        f"{'worse' if row['loss_frac'] > 0 else 'better'} by {abs(row['loss_frac']):.1%}"
        for row in rows[rows["is_change"]].to_dict("records")
    )


def _display(rows: DataFrame) -> tuple[float, str]:
    """What values are multiplied by, and the unit that they then have."""
    unit = str(rows["unit"].iloc[0])
    if unit in SCALES:
        return 1.0, unit  # the axis gets a prefix
    return float(rows["factor"].iloc[0]), str(rows["shown"].iloc[0])


def _words(data: DataFrame) -> str:
    shown, num = data["panel"].nunique(), int(data["num_series"].iloc[0])
    changes = int(data["is_change"].sum())
    names = data["configuration"].unique()
    name = f"{names[0]}. " if len(names) == 1 else ""
    most = int(data.groupby("panel").size().max())
    words = (
        f"{name}Each point is the median of one of {most} checks. Dotted: change points "
        f"(E-divisive, permutation test), {changes} in all."
    )
    if shown < num:
        words += f" {shown} of {num} series that vary, those with the latest changes first."
    constant = int(data["num_constant"].iloc[0])
    return f"{words} {constant} more never vary." if constant else words
