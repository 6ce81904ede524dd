"""A configuration has one colour, line and mark in all figures of a report."""

from __future__ import annotations

from pathlib import Path

import pytest
from matplotlib.colors import to_hex
from pandas import DataFrame

from analysis.figures.caption import caption_of
from analysis.figures.looks import assigned, identity, looks, places_of
from analysis.figures.registry import Frames, draw_figure, figure_data
from analysis.load.runs import load_runs
from tests.analysis.made import make_sweep


@pytest.fixture(scope="module")
def frames(tmp_path_factory: pytest.TempPathFactory) -> Frames:
    """Eight configurations, so that two are grey, and which is first differs by the figure."""
    folder = tmp_path_factory.mktemp("results")
    make_sweep(folder, batch_sizes=(32, 256), lrs=(0.1, 1.0), models=("Mlp", "Cnn"), seeds=range(2))
    return Frames(load_runs([folder]).runs)


def test_a_configuration_is_the_same_in_all_figures_of_a_report(frames: Frames) -> None:
    found: dict[str, set[tuple[str, str]]] = {}
    for name in ("quality_time", "quality_energy", "hits", "ladder_time", "ecdf_targets"):
        with assigned(frames.places()):
            figure = draw_figure(name, figure_data(name, frames), "two")
        for handle in figure.legends[0].legend_handles:
            words = str(handle.get_label()).split("  ")[0] if handle else ""
            if handle is not None and "=" in words:
                look = (to_hex(handle.get_color()), handle.get_linestyle())  # type: ignore[attr-defined]
                found.setdefault(words, set()).add(look)
    assert len(found) == 6  # the best six by share of hits and time, in each of these figures
    assert {len(shown) for shown in found.values()} == {1}
    assert "In colour: the best 6 of 8 configurations" in caption_of(figure)
    assert len({colour for shown in found.values() for colour, _ in shown}) == 6


def names_of(*names: str, command: str = "train") -> DataFrame:
    return DataFrame({"configuration": names, "command": command})


def test_places_follow_sorted_names_and_numbers_by_value() -> None:
    runs = names_of("batch_size=256", "batch_size=32", "batch_size=32")
    assert places_of(runs) == {"batch_size=32": 0, "batch_size=256": 1}
    # Another run of a known configuration, or one that comes last, changes no colour.
    more = names_of("batch_size=512", "batch_size=256", "batch_size=32")
    assert places_of(more) == {**places_of(runs), "batch_size=512": 2}


def test_a_variant_has_the_colour_of_its_configuration_and_another_line() -> None:
    assert identity("lr=1 [modelled, cpu]") == identity("lr=1 @ Made CPU") == "lr=1"
    assert identity("scenario=server model=cnn") == "model=cnn"
    with assigned({"lr=1": 3, "lr=2": 4}):
        one, other = looks(["lr=1 [counter]", "lr=1 [modelled]"]).values()
    assert one.colour == other.colour
    assert (one.line, one.marker) != (other.line, other.marker)


def test_more_configurations_than_colours_differ_in_line_and_mark() -> None:
    shown = looks(f"n={n}" for n in range(30))
    assert len({each.colour for each in shown.values()}) == 7
    assert len({(each.colour, str(each.line), each.marker) for each in shown.values()}) == 30


def test_those_that_figures_highlight_come_first_if_there_are_many(tmp_path: Path) -> None:
    make_sweep(tmp_path, batch_sizes=(32, 64, 128, 256, 512), lrs=(0.1, 1.0), seeds=range(1))
    frames = Frames(load_runs([tmp_path]).runs)
    data = figure_data("hits", frames)
    best = set(data.loc[data["shown"] == "line", "configuration"])
    assert len(best) == 6
    assert {frames.places()[identity(name)] for name in best} == set(range(6))
