"""The commands analysis.report and analysis.plot, as a user calls them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from pandas import DataFrame

import analysis.plot
import analysis.report
from analysis.figures.entries import FIGURES
from analysis.page import produce
from bench.config.report import PlotConfig, ReportConfig
from tests.analysis.made import make_sweep, make_unreadable
from tests.cli.command import run_here

ROOT = Path(__file__).parents[2]


def run_module(
    name: str,
    arguments: Sequence[str],
    heavy: Sequence[str] = ("torch", "pytorch_lightning", "codecarbon"),
    *,
    cwd: Path,
) -> subprocess.CompletedProcess[str]:
    """Run a command in a process of its own, and print which heavy libraries it imported."""
    code = (
        f"import sys, runpy; sys.argv = [{name!r}, *{list(arguments)!r}]\n"
        f"try: runpy.run_module({name!r}, run_name='__main__', alter_sys=True)\n"
        "except SystemExit as end: print('exit code', end.code)\n"
        f"found = [name for name in {list(heavy)!r} if name in sys.modules]\n"
        f"print('of {', '.join(heavy)}:', found)\n"
    )
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "error::RuntimeWarning"},
        capture_output=True,
        text=True,
        check=True,
    )


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("results")
    make_sweep(folder, batch_sizes=(32, 256), seeds=range(2), missed=(3,))
    make_unreadable(folder)
    return folder


def test_a_report_has_figures_tables_and_a_page_and_says_what_it_lacks(
    results: Path, tmp_path: Path
) -> None:
    arguments = [f"results={results}", "out=here", "figures=[tta_eta,latency]", "formats=[svg]"]
    done = run_module("analysis.report", arguments, cwd=tmp_path)
    assert done.stdout.endswith("exit code 0\nof torch, pytorch_lightning, codecarbon: []\n")
    figures = sorted(path.name for path in (tmp_path / "here" / "figures").iterdir())
    assert figures == [f"tta_eta{end}" for end in (".csv", ".tex", ".txt", "_one.svg", "_two.svg")]
    assert (tmp_path / "here" / "tables" / "time.csv").exists()
    page = (tmp_path / "here" / "report.html").read_text()
    assert "no run of bench.serve" in page  # why latency is not drawn
    assert "not drawn: latency: no run of bench.serve" in done.stdout
    assert "written: here/report.html" in done.stdout
    assert "runs: 4" in done.stdout
    assert done.stderr.count("not read: ") == 4
    assert "schema 999 is newer" in done.stderr
    assert "schema 999 is newer" in page


def test_a_wrong_key_does_not_wait_for_the_plotting_libraries(tmp_path: Path) -> None:
    heavy = ("matplotlib", "seaborn", "pandas", "altair")
    done = run_module("analysis.report", ["figures=[tta]"], heavy, cwd=tmp_path)
    assert done.stdout == f"exit code 2\nof {', '.join(heavy)}: []\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("results=nowhere",), "error: results=nowhere: no such folder"),
        (("figures=[tta]",), "error: figures=tta: no such figure; did you mean tta_eta"),
        (("formats=[gif]",), "error: formats=gif: must be one of pdf, svg, png"),
        (
            ("widths=[three]",),
            "error: widths=three: must be one of one, two, neurips, icml, ",
        ),
        (("figurs=all",), "error: figurs: no such key"),
    ],
)
def test_wrong_input_of_a_report_is_one_line(
    arguments: tuple[str, ...], message: str, tmp_path: Path
) -> None:
    answer = run_here(tmp_path, analysis.report.main, *arguments)
    assert answer.code == 2
    assert answer.err.startswith(message)
    assert answer.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "error: figure: must be given"),
        (("figure=tta",), "error: figure=tta: no such figure; did you mean tta_eta"),
        (("figure=tradeoff",), "error: figure=tradeoff: needs x=COLUMN y=COLUMN"),
        (("figure=tta_eta", "x=seed"), "error: x=seed: only with figure=tradeoff"),
        (("figure=tta_eta", "run=a"), "error: run=a: only with figure=timeline"),
    ],
)
def test_wrong_input_of_a_plot_is_one_line(
    arguments: tuple[str, ...], message: str, tmp_path: Path
) -> None:
    answer = run_here(tmp_path, analysis.plot.main, *arguments)
    assert answer.code == 2
    assert answer.err.startswith(message)
    assert answer.err.count("\n") == 1


def test_a_plot_of_what_the_runs_do_not_hold_ends_with_3(results: Path, tmp_path: Path) -> None:
    answer = run_here(tmp_path, analysis.plot.main, "figure=latency", f"results={results}")
    assert answer.code == 3
    assert "latency: not drawn: no run of bench.serve" in answer.err


@pytest.mark.parametrize(
    ("x", "message"),
    [
        ("utilization.cpu_process_frac", "neither more nor less of it is better"),
        ("serving.num_threads", "neither more nor less of it is better"),
        ("lr", "no such column; did you mean config.lr"),
        ("config.precision", "holds no numbers"),
    ],
)
def test_what_cannot_be_an_axis_is_one_line_with_its_key(
    x: str, message: str, results: Path, tmp_path: Path
) -> None:
    axes = (f"x={x}", "y=quality_test.accuracy")
    files = (f"results={results}", "out=out")
    answer = run_here(tmp_path, analysis.plot.main, "figure=tradeoff", *axes, *files)
    assert answer.code == 2
    assert answer.err.startswith(f"error: x={x}: {message}")
    assert answer.err.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_a_result_against_a_setting_is_drawn(results: Path, tmp_path: Path) -> None:
    axes = ("x=config.batch_size", "y=quality_test.accuracy")
    files = ("formats=[svg]", "widths=[one]", "out=.", f"results={results}")
    answer = run_here(tmp_path, analysis.plot.main, "figure=tradeoff", *axes, *files)
    assert answer.code == 0, answer.err
    assert "No front: batch size" in (tmp_path / "tradeoff.txt").read_text()


def test_a_folder_of_which_no_run_can_be_read_ends_with_3(tmp_path: Path) -> None:
    make_unreadable(tmp_path / "broken")
    answer = run_here(tmp_path, analysis.report.main, "results=broken")
    assert answer.code == 3
    assert "no run could be read" in answer.err
    assert not (tmp_path / "report").exists()


def test_one_figure_of_any_two_columns(results: Path, tmp_path: Path) -> None:
    answer = run_here(
        tmp_path,
        analysis.plot.main,
        "figure=tradeoff",
        "x=target.time_to_target_s",
        "y=quality_test.accuracy",
        "area=model.size_bytes",
        f"results=[{results}/train]",
        "out=here",
        "formats=[svg]",
        "widths=[one]",
    )
    assert answer.code == 0, answer.err
    names = sorted(path.name for path in (tmp_path / "here").iterdir())
    assert names == [f"tradeoff{end}" for end in (".csv", ".tex", ".txt", "_one.svg")]


def test_several_roots_and_globs_are_taken() -> None:
    assert ReportConfig.from_dict({"results": ["a", "b/*"]}).results == ["a", "b/*"]
    assert ReportConfig.from_dict({"results": "a"}).results == ["a"]
    assert ReportConfig.from_dict({"figures": "all"}).figures == ["all"]
    assert ReportConfig.from_dict({"figures": ["hits"]}).figures == ["hits"]
    assert ReportConfig.from_dict({"figures": "hits"}).figures == ["hits"]


@pytest.mark.parametrize("wrong", [[], None, {"a": 1}])
def test_results_must_be_a_text_or_texts(wrong: object) -> None:
    with pytest.raises(ValueError, match="results="):
        ReportConfig.from_dict({"results": wrong})


def test_keys_that_do_not_go_together_are_refused() -> None:
    with pytest.raises(ValueError, match="area=seed: only with figure=tradeoff"):
        PlotConfig.from_dict({"figure": "hits", "area": "seed"})
    with pytest.raises(ValueError, match="formats=\\[\\]: must have at least one element"):
        PlotConfig.from_dict({"figure": "hits", "formats": []})
    with pytest.raises(ValueError, match="out=: must name a folder"):
        PlotConfig.from_dict({"figure": "hits", "out": ""})
    with pytest.raises(ValueError, match="nonsense: no such key"):
        PlotConfig.from_dict({"figure": "hits", "nonsense": 1})


def test_figures_that_are_left_out_are_named_with_the_key_that_draws_them() -> None:
    ((names, reason),) = produce._left_out(["quality_time"], DataFrame({"target.metric": ["x"]}))
    assert names.startswith("quality_energy, batch_size_time, ")
    assert "figures=all draws them, figures=[default,quality_energy,batch_size_time]" in reason
    assert produce._left_out(list(FIGURES), DataFrame()) == []


def test_figures_that_share_what_takes_long_are_one_task_and_come_first() -> None:
    tasks = produce._tasks(list(FIGURES))
    assert tasks[0] == ["heatmap_time", "heatmap_energy", "hits", "ecdf_targets"]
    assert tasks[1] == ["quality_time", "quality_energy"]
    assert sorted(name for names in tasks for name in names) == sorted(FIGURES)
