"""A figure of several groups of peers, each in a panel of its own.

Only runs within a group may be compared: axes, ranking, front, tests and legend are per panel.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from matplotlib.figure import Figure
from matplotlib.gridspec import GridSpec
from pandas import DataFrame, concat

from analysis.figures.axes import Canvas, Panel, drawing_on, in_paper_style, wrapped
from analysis.figures.caption import caption_of, panel_captions, set_caption
from analysis.figures.prepare import NothingToDraw
from analysis.figures.style import Width, width_in
from analysis.load.values import column
from analysis.stats.peer_keys import KEYS
from analysis.stats.peers import Group, peer_groups

MOST_PANELS = 6  # a page has no room for more
_TITLE_IN, _LINE_IN = 0.22, 0.13  # room for a title, and for each further line
_PER_INCH = 15  # characters of a title
_HOST_KEYS = ("processor", "num_cpus", "memory_gib", "gpus")


def trainings(runs: DataFrame) -> list[Group]:
    """Group the runs that had a target."""
    return peer_groups(runs, only=column(runs, "target.metric").notna())


def servings(runs: DataFrame) -> list[Group]:
    """Group the runs of bench.serve by data and kind of host; the figures separate scenarios."""
    return peer_groups(runs, only=column(runs, "serving.scenario").notna(), ignore=["scenario"])


def hosts(runs: DataFrame) -> list[Group]:
    """Group all runs by kind of host, for figures that compare each run only with itself."""
    return peer_groups(runs, ignore=[key for key in KEYS if key not in _HOST_KEYS])


def panel_data(
    runs: DataFrame, groups: Sequence[Group], data_of: Callable[[DataFrame], DataFrame]
) -> DataFrame:
    """Concatenate the data of all groups.

    Args:
        runs: All runs, from which the message follows if there is no group.
        groups: Groups of them, the largest first.
        data_of: Function from the runs of one group to the data of a figure.

    Returns:
        What data_of returns. If there are several groups, also `group`, the title of the group, and
        `omitted`, a text about the groups that are not shown and why.

    Raises:
        NothingToDraw: No group has what the figure shows.
    """
    # One group needs no title. Without any, the function raises with the reason.
    if len(groups) < 2:
        return data_of(groups[0].runs if groups else runs)
    parts: list[DataFrame] = []
    omitted: list[str] = []
    reasons: list[NothingToDraw] = []
    for group in groups:
        try:
            data = data_of(group.runs)
        except NothingToDraw as reason:
            reasons.append(reason)
            omitted.append(f"{group.title} ({len(group.runs)} runs): {reason}")
            continue
        # The groups come largest first, so the small ones are named instead of drawn.
        if len(parts) < MOST_PANELS:
            parts.append(data.assign(group=group.title))
        else:
            omitted.append(f"{group.title} ({len(group.runs)} runs): no room")
    if not parts:
        # The reason of the largest group is the one that a user looks for.
        raise reasons[0]
    return concat(parts, ignore_index=True).assign(omitted=_omitted_words(omitted))


def _omitted_words(omitted: Sequence[str]) -> str:
    if not omitted:
        return ""
    more = f"; and {len(omitted) - MOST_PANELS} more" if len(omitted) > MOST_PANELS else ""
    return f"Not shown: {'; '.join(omitted[:MOST_PANELS])}{more}."


@in_paper_style
def draw_panels(data: DataFrame, draw: Callable[..., Canvas], width: Width) -> Canvas:
    """Draw each panel with the function that draws the figure of one group.

    Panels are below one another. A figure of two columns has two panels side by side, each as wide
    as one column.

    Args:
        data: Of panel_data, with `group` and `omitted`.
        draw: From the data of one group and a width to a figure.
        width: Of the whole figure.
    """
    parts = list(data.groupby("group", sort=False))
    columns = 2 if width == "two" and len(parts) > 1 else 1
    panel_width: Width = "one" if columns == 2 else width
    titles = [wrapped(str(title), int(width_in(panel_width) * _PER_INCH)) for title, _ in parts]
    num_rows = -(-len(parts) // columns)
    figure = Figure(figsize=(width_in(width), num_rows), layout="constrained")
    grid = GridSpec(num_rows, columns, figure, left=0, right=1, bottom=0, top=1)
    panels = [Panel(figure.add_subfigure(grid[n])) for n in range(num_rows * columns)]
    for panel, title, (_, rows) in zip(panels, titles, parts, strict=False):
        panel.figure.suptitle(title, x=0.01, ha="left", fontsize=8, fontweight="bold")
        with drawing_on(panel):
            draw(rows, width=panel_width)
        panel.height_in += _TITLE_IN + _LINE_IN * title.count("\n")
    # Only a panel that is drawn tells the height that it needs, with its legend.
    heights = [panel.height_in for panel in panels]
    rows_in = [max(heights[n : n + columns]) for n in range(0, len(heights), columns)]
    figure.set_figheight(sum(rows_in))
    grid.set_height_ratios(rows_in)
    for panel in panels:
        panel.figure._redo_transform_rel_fig()  # type: ignore[attr-defined]  # by these ratios
        for function in panel.later:
            function()
    omitted = data["omitted"].iloc[0]
    captions = [
        (str(title), caption_of(panel))
        for panel, (title, _) in zip(figure.subfigs, parts, strict=False)
    ]
    set_caption(figure, panel_captions(captions, omitted if isinstance(omitted, str) else ""))
    return figure
