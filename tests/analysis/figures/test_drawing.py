"""Draws every figure from several shapes of synthetic runs and checks what it tells the reader."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import cache
from io import StringIO
from pathlib import Path

import matplotlib as mpl
import pandas as pd
import pytest
from matplotlib.figure import Figure
from pandas import DataFrame

from analysis.figures.axes import log_axis, wrapped
from analysis.figures.caption import caption_of
from analysis.figures.entries import FIGURES
from analysis.figures.prepare import NothingToDraw
from analysis.figures.registry import Frames, draw_figure, figure_data, require_figures
from analysis.figures.save import save_all, save_figure
from analysis.figures.style import short_names, short_number
from analysis.load.history import load_history
from analysis.load.runs import load_runs
from bench.config.report import WIDTH_IN
from bench.core.metrics import label_of
from tests.analysis.figures.labels import cut_labels
from tests.analysis.figures.literal import frame, reached
from tests.analysis.made import Made, make_served, make_sweep
from tests.analysis.made_history import STEP, series, written
from tests.analysis.made_maintained import make_policies
from tests.analysis.made_programs import make_programs
from tests.analysis.made_records import SWEEP_START
from tests.analysis.made_served import Served

_OF_SERVING = ("latency", "load", "stages", "compression", "skew", "life_cycle_time")


def make_everything(results: Path) -> None:
    """A sweep with misses, a failure, a cut-off run, incomparable runs, and its models served."""
    folders = make_sweep(
        results,
        batch_sizes=(32, 128),
        lrs=(0.1, 1.0),
        models=("Mlp", "Cnn"),
        seeds=range(2),
        missed=(2, 3),
        failed=(5,),
        interrupted=(7,),
        unhealthy=(0,),
    )
    passes = [
        Served(scenario=scenario, backend=backend, compression=compression, num_requests=700)
        for scenario, backend in (
            ("single_stream", "http"),
            ("server", "http"),
            ("offline", "http"),
        )
        for compression in ("none", "int8_static")
    ]
    passes.append(Served(backend="http", skew="celsius", num_requests=700))
    make_policies(results, seeds=range(2))
    make_programs(results, {"sort a.txt": 2.0, "sort b.txt": 3.0})
    for n, each in enumerate(passes):
        start = SWEEP_START + timedelta(days=1, seconds=20 * n)
        make_served(results, folders[0], replace(each, start=start))


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> Frames:
    results = tmp_path_factory.mktemp("everything")
    make_everything(results)
    checks = written(tmp_path_factory.mktemp("history"), series("time_to_target_s", STEP, [3]))
    return Frames(load_runs([results]).runs, history=load_history(checks))


def texts_of(figure: Figure) -> str:
    figure.set_layout_engine("none")  # half of the work; the figures of everything are laid out
    figure.draw_without_rendering()
    return texts_on(figure)


def texts_on(figure: Figure) -> str:
    """As `texts_of`, of a figure that was drawn already."""
    found = [text.get_text() for text in figure.findobj(mpl.text.Text)]
    return "\n".join(str(text) for text in [*found, caption_of(figure)] if text)


@dataclass(frozen=True)
class Drawn:
    """A figure of `everything`, one column wide: its data, what tests ask of it, and its file.

    Not the figure: dozens of them make each collection of garbage slow.
    """

    data: DataFrame
    width_in: float
    cut: list[str]
    sizes_pt: set[float]
    words: str
    svg: bytes


@pytest.fixture(scope="module")
def drawn(everything: Frames, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Drawn]:
    folder = tmp_path_factory.mktemp("drawn")

    @cache
    def draw(name: str) -> Drawn:
        data = figure_data(name, everything)
        figure = draw_figure(name, data, "one")
        (path,) = save_figure(figure, folder / name, ["svg"])
        texts = [text for text in figure.findobj(mpl.text.Text) if text.get_text()]
        return Drawn(
            data=data,
            width_in=figure.get_figwidth(),
            cut=cut_labels(figure),
            sizes_pt={float(text.get_fontsize()) for text in texts},
            words=texts_on(figure),
            svg=path.read_bytes(),
        )

    return draw


@pytest.mark.parametrize("name", FIGURES)
def test_every_figure_is_drawn_with_n_and_named_axes(
    drawn: Callable[[str], Drawn], name: str
) -> None:
    one = drawn(name)
    two = draw_figure(name, one.data, "two")
    assert one.width_in == WIDTH_IN["one"]
    assert two.get_figwidth() == WIDTH_IN["two"]
    assert not one.cut
    # Journals ask for 7 to 9 points, and figures are not scaled.
    assert one.sizes_pt <= {7.0, 8.0}
    words = one.words.replace("\n", " ")
    assert re.search(r"n = \d|k/n|\d runs|pairs of rung|\d checks", words), words
    for axes in two.axes:
        below = not axes.xaxis.get_tick_params().get("labelbottom", True)  # the one below has it
        assert axes.get_xlabel() or axes.get_ylabel() or below or axes.get_title()


@pytest.mark.parametrize("width", [name for name in WIDTH_IN if name not in ("one", "two")])
def test_a_figure_has_the_width_of_a_template(drawn: Callable[[str], Drawn], width: str) -> None:
    # Long labels of rows, of an axis, and three panels.
    for name in ("skew", "maintenance_costs", "life_cycle_time"):
        figure = draw_figure(name, drawn(name).data, width)
        assert figure.get_figwidth() == WIDTH_IN[width]
        figure.draw_without_rendering()
        assert not cut_labels(figure)
    assert len({panel.bbox.x0 for panel in figure.subfigs}) == 1 + width.endswith("_double")


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_drawn_from_its_stored_data_is_the_same(
    drawn: Callable[[str], Drawn], name: str, tmp_path: Path
) -> None:
    first = drawn(name)
    stored = pd.read_csv(StringIO(first.data.to_csv(index=False)))
    (path,) = save_figure(draw_figure(name, stored, "one"), tmp_path / name, ["svg"])
    assert path.read_bytes() == first.svg


@pytest.mark.parametrize("shape", ["one configuration", "all missed", "no energy", "one run"])
def test_other_shapes_are_drawn_or_refused_with_a_reason(shape: str, tmp_path: Path) -> None:
    base = Made(label=None) if shape == "no energy" else Made()
    base = Made(outcome="missed", max_samples=8000) if shape == "all missed" else base
    seeds = range(1 if shape == "one run" else 2)
    make_sweep(tmp_path, batch_sizes=(32,), seeds=seeds, base=base)
    frames = Frames(load_runs([tmp_path]).runs)
    refused = {}
    drawn = set()
    for name, entry in FIGURES.items():
        try:
            data = figure_data(name, frames)
        except NothingToDraw as reason:
            refused[name] = str(reason)
            continue
        # Figures of time and of energy have the same functions: one of them is drawn.
        if (entry.data, entry.draw) in drawn:
            continue
        drawn.add((entry.data, entry.draw))
        figure = draw_figure(name, data, "one")
        figure.set_layout_engine("none")  # as in texts_of
        figure.draw_without_rendering()
    assert set(_OF_SERVING) < set(refused)
    assert all(refused.values())
    assert ("tta_eta" in refused) == (shape == "no energy")
    assert "restarts" not in refused


def test_a_bare_frame_of_nothing_is_refused_by_every_figure() -> None:
    runs = frame(reached("a", 1.0)).iloc[:0]
    for name, entry in FIGURES.items():
        if not entry.needs:
            with pytest.raises(NothingToDraw):
                figure_data(name, Frames(runs))


def test_missed_and_incomparable_runs_are_marked(drawn: Callable[[str], Drawn]) -> None:
    words = drawn("batch_size_time").words
    assert re.search(r"missed \(\d+\)", words)
    assert "failed (1)" in words
    assert "incomparable (1)" in words


def test_modelled_energy_is_named_on_the_axis(drawn: Callable[[str], Drawn]) -> None:
    assert "energy to target (J, modelled)" in drawn("tta_eta").words


def test_files_have_truetype_fonts_text_as_text_and_no_date(
    drawn: Callable[[str], Drawn], tmp_path: Path
) -> None:
    data = drawn("tta_eta").data
    figures = {width: draw_figure("tta_eta", data, width) for width in ("one", "two")}
    caption = "From 3 runs of a_b: 50% of 7 µJ."
    paths = save_all(figures, data, caption, tmp_path / "figures" / "tta_eta")
    assert (tmp_path / "figures" / "tta_eta.txt").read_text() == f"{caption}\n"
    tex = (tmp_path / "figures" / "tta_eta.tex").read_text().splitlines()
    assert tex[1:] == [
        r"\caption{From 3 runs of a\_b: 50\% of 7 $\mu$J.}",
        r"\label{fig:tta_eta}",
    ]
    assert sorted(path.name for path in paths) == [
        *(f"tta_eta.{kind}" for kind in ("csv", "tex", "txt")),
        *(f"tta_eta_{width}.{kind}" for width in ("one", "two") for kind in ("pdf", "png", "svg")),
    ]
    pdf = (tmp_path / "figures" / "tta_eta_one.pdf").read_bytes()
    assert b"/FontFile2" in pdf  # TrueType
    assert b"/Type3" not in pdf
    assert b"CreationDate" not in pdf
    svg = (tmp_path / "figures" / "tta_eta_one.svg").read_text()
    assert ">time to target (s)</text>" in svg
    assert "<dc:date>" not in svg
    png = (tmp_path / "figures" / "tta_eta_one.png").read_bytes()
    width_px = int.from_bytes(png[16:20], "big")  # IHDR
    assert width_px >= 200 * WIDTH_IN["one"]


def test_the_same_figure_gives_the_same_bytes(
    drawn: Callable[[str], Drawn], tmp_path: Path
) -> None:
    data = drawn("batch_size_time").data
    for n in (0, 1):
        save_figure(draw_figure("batch_size_time", data, "one"), tmp_path / str(n))
    for kind in ("pdf", "svg", "png"):
        first, second = ((tmp_path / f"{n}.{kind}").read_bytes() for n in (0, 1))
        assert first == second, kind


def test_drawing_leaves_no_setting_behind(drawn: Callable[[str], Drawn], tmp_path: Path) -> None:
    data = drawn("hits").data
    before = dict(mpl.rcParams)
    save_figure(draw_figure("hits", data, "one"), tmp_path / "a", ["png"])
    assert dict(mpl.rcParams) == before


def test_an_unknown_format_or_width_is_refused(
    drawn: Callable[[str], Drawn], tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match="formats=gif: must be of pdf, svg, png"):
        save_figure(Figure(), tmp_path / "a", ["gif"])
    with pytest.raises(ValueError, match="width=three"):
        draw_figure("hits", drawn("hits").data, "three")


def test_an_unknown_figure_is_refused_with_similar_names() -> None:
    with pytest.raises(ValueError, match="figures=tta: no such figure; did you mean tta_eta"):
        require_figures(["tta"])
    with pytest.raises(ValueError, match="one of quality_time, "):
        require_figures(["zzzz"])


def test_any_two_columns_can_be_drawn(everything: Frames) -> None:
    options = {"x": "target.time_to_target_s", "y": "model.size_bytes"}
    data = figure_data("tradeoff", everything, options=options)
    words = texts_of(draw_figure("tradeoff", data, "one"))
    assert "model size (kB)" in words
    assert "time to target (s)" in words


@pytest.mark.parametrize(
    ("column", "label"),
    [
        ("target.time_to_target_s", "time to target (s)"),
        ("serving.latency_p90_ms", "latency p90 (ms)"),
        ("serving.cost_per_million_usd", "cost per million (USD)"),
        ("utilization.gpu_busy_frac", "GPU busy (fraction)"),
        ("config.trainer.devices", "trainer devices"),
        ("serving.max_rate_per_s", "max rate (1/s)"),
    ],
)
def test_a_column_is_named_in_words_with_its_unit(column: str, label: str) -> None:
    assert label_of(column) == label


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (0.00321, "0.00321"),
        (12.345, "12.3"),
        (6144.0, "6144"),
        (3.14e6, "3.14e6"),
        (2e-7, "2e-7"),
    ],
)
def test_numbers_are_short(value: float, text: str) -> None:
    assert short_number(value) == text


@pytest.mark.parametrize(
    "limits", [(2e-5, 3e-4), (7e-4, 2e-3), (5e3, 2e5), (2e4, 5e6), (0.01, 3.0)]
)
def test_all_ticks_of_an_axis_have_one_format(limits: tuple[float, float]) -> None:
    """Not 0.001 beside 9e-4, nor 1e-5 beside 0.0001."""
    axes = Figure().subplots()
    axes.set_xlim(*limits)
    log_axis(axes, "x")
    texts = axes.xaxis.get_major_formatter().format_ticks(list(axes.get_xticks()))
    powers = {"e" in text for text in texts if text}
    assert len(powers) == 1, texts


def test_a_legend_leaves_out_what_all_share_before_a_name_is_cut_off() -> None:
    """In a folder of many sweeps, names have keys that differ elsewhere."""
    shared = " ".join(f"group{n}.key_of_another_sweep={n}" for n in range(12))
    short, common = short_names([f"lr=0.1 {shared} http", f"lr=0.2 {shared} http"])
    assert list(short.values()) == ["lr=0.1", "lr=0.2"]
    assert "group11.key_of_another_sweep=11" in common


def test_a_long_word_is_broken_where_it_has_parts() -> None:
    name = "price=own scenario.min_duration_s=5 scenario.latency_bound_ms=100 http"
    assert wrapped(name, 26).split("\n") == [
        "price=own",
        "scenario.min_duration_s=5",
        "scenario.",
        "latency_bound_ms=100 http",
    ]
    assert wrapped("a" * 30, 26).split("\n") == ["a" * 26, "aaaa"]


def test_a_legend_of_runs_without_settings_has_no_nan() -> None:
    """As of a user's own loop, which records neither batch size nor learning rate."""
    nothing = {"config__batch_size": None, "config__lr": None, "model__name": None}
    runs = frame(
        reached("a", 1.0, **nothing),
        reached(
            "b", 2.0, model__name="TinyGPT", **{"config__batch_size": None, "config__lr": None}
        ),
    )
    words = texts_of(draw_figure("factors_time", figure_data("factors_time", Frames(runs)), "one"))
    assert "nan" not in words.lower()
    assert "TinyGPT" in words
    assert "model not recorded" in words


def test_data_of_thousands_of_configurations_stay_small() -> None:
    runs = frame(*(reached(f"c{n}", 1.0 + n / 1000, 2.0, config__lr=0.1 + n) for n in range(3000)))
    frames = Frames(runs)
    sizes: dict[str, DataFrame] = {
        name: figure_data(name, frames) for name in ("restarts", "heatmap_time", "hits")
    }
    assert {name: len(data) < 2000 for name, data in sizes.items()} == dict.fromkeys(sizes, True)
    (only,) = (draw_figure("restarts", sizes["restarts"], "one"),)
    assert "16 of 3000 configurations" in texts_of(only).replace("\n", " ")
