"""One bad run, figure or name does not stop a report, and the report says what was wrong."""

from __future__ import annotations

import csv
import errno
import io
import json
import os
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from pandas import DataFrame

import analysis.export
import analysis.plot
import analysis.report
from analysis.figures.registry import Frames, draw_figure, figure_data
from analysis.figures.save import save_all
from analysis.load.find import run_folders
from analysis.load.once import settle
from analysis.load.runs import Loaded, load_runs
from analysis.page import build, produce
from analysis.stats.search_cost import search_cost
from analysis.stats.summary import summarise
from analysis.tables.tables import summary_tables, write_tables
from analysis.tables.text_table import (
    Cell,
    TextTable,
    escape,
    frame_csv,
    to_csv,
    to_markdown,
)
from bench.config.report import PlotConfig, ReportConfig
from bench.core.ledger import LEDGER
from tests.analysis.hostile import set_leaf
from tests.analysis.made import Made, Served, make_run, make_served, make_sweep
from tests.cli.command import run_here


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("boundary") / "results"
    make_sweep(folder, batch_sizes=(32,), seeds=range(2))
    return folder


@pytest.fixture(scope="module")
def loaded(results: Path) -> Loaded:
    return load_runs([results])


def config(out: Path, **more: Any) -> ReportConfig:
    files = {"formats": ["svg"], "widths": ["one"], "figures": ["tta_eta", "hits"]}
    return ReportConfig(**{**files, "out": str(out), **more})


def test_what_fails_is_listed_and_all_else_is_written(
    loaded: Loaded,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole = figure_data

    def fails_in_one(name: str, *args: Any, **kwargs: Any) -> DataFrame:
        if name == "tta_eta":
            raise ZeroDivisionError("of\nours")
        return whole(name, *args, **kwargs)

    words: list[str] = []
    monkeypatch.setattr("analysis.figures.write.figure_data", fails_in_one)
    asked = config(tmp_path)
    code = produce.report(loaded, asked, progress=words.append, wants_traceback=True)
    assert code == produce.FAILED
    told = capfd.readouterr()
    reason = "failed (ZeroDivisionError: of ours); HYDRA_FULL_ERROR=1 shows where"
    assert f"not drawn: tta_eta: {reason}\n" in told.out
    assert "in fails_in_one" in told.err
    names = {path.name for path in (tmp_path / "figures").iterdir()}
    assert names == {"hits.csv", "hits.tex", "hits.txt", "hits_one.svg"}
    assert reason in (tmp_path / "report.html").read_text()
    assert (tmp_path / "tables" / "time.md").exists()
    drawing = ["drawing figures: 0 of 2 done", "drawing figures: 1 of 2 done"]
    drawing.append("drawing figures: 2 of 2 done")
    assert words == ["tables", "report.html", *drawing, "report.html", ""]


def test_parts_of_the_page_and_tables_that_fail_leave_the_others(
    loaded: Loaded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(part: str) -> Callable[..., None]:
        def fails(*_: Any) -> None:
            raise KeyError(part)

        return fails

    parts = ["read_words", "finding_words", "page_rows", "chart_groups", "details"]
    for part in parts:
        monkeypatch.setattr(build, part, failing(part))
    for part in ("summarise", "search_cost"):
        monkeypatch.setattr(f"analysis.page.produce.{part}", failing(part))
    assert produce.report(loaded, config(tmp_path, figures=["hits"])) == produce.FAILED
    page = (tmp_path / "report.html").read_text()
    for part in (*parts, "summarise", "search_cost"):
        assert f"failed (KeyError: &#39;{part}&#39;)" in page
    assert "Provenance and health" in page
    assert (tmp_path / "tables" / "summary.csv").exists()


COMMANDS = {
    "report": (analysis.report.main, "figures=hits"),
    "plot": (analysis.plot.main, "figure=hits"),
    "export": (analysis.export.main, "format=mllog"),
}


@pytest.mark.parametrize(
    ("command", "place"),
    [
        *((command, "a_file") for command in COMMANDS),
        ("plot", "/proc/x"),
        ("plot", "a_file/below"),
    ],
)
def test_a_place_that_cannot_be_written_is_one_line(
    command: str, place: str, results: Path, tmp_path: Path
) -> None:
    (tmp_path / "a_file").write_text("")
    main, argument = COMMANDS[command]
    answer = run_here(tmp_path, main, argument, f"results={results}", f"out={place}")
    assert answer.code == 2
    assert answer.err.startswith(f"error: out={place}")
    assert "cannot write there (" in answer.err
    assert answer.err.count("\n") == 1


def test_a_disk_that_is_full_is_one_line_and_no_defect(
    results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **__: Any) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_bytes", full)
    answer = run_here(tmp_path, analysis.plot.main, "figure=hits", f"results={results}", "out=here")
    assert answer.code == 2
    assert "out=here: cannot write there (No space left on device)" in answer.err


def test_a_home_and_a_variable_are_what_a_shell_makes_of_them(
    results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLACE", str(tmp_path))
    (tmp_path / "home").symlink_to(results.parent)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert run_folders(["~/results"]) == run_folders([results])
    asked = PlotConfig(figure="hits", out="$PLACE/out", formats=["svg"], widths=["one"])
    assert produce.plot(load_runs(["~/results"]), asked) == 0
    assert (tmp_path / "out" / "hits.csv").exists()


def test_a_folder_that_cannot_be_read_is_named(
    results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scan = os.scandir

    def refused_there(path: str) -> Any:
        if str(path) == refused:
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return scan(path)

    monkeypatch.setattr(os, "scandir", refused_there)
    refused = str(results)
    with pytest.raises(ValueError, match=r"results: cannot be read \(Permission denied\)"):
        load_runs([results])
    (results / "lost+found").mkdir()
    refused = str(results / "lost+found")
    try:
        found = load_runs([results])
    finally:
        (results / "lost+found").rmdir()
    assert len(found.runs) == 2
    assert found.unread["folder"].tolist() == [refused]


def test_a_folder_of_something_else_is_passed_over(tmp_path: Path) -> None:
    run = make_run(tmp_path, Made(telemetry=False))
    for other in (".hydra", "site"):
        (run.parent / other).mkdir()
        (run.parent / other / "config.yaml").write_text("theme: dark\n")
    found = load_runs([tmp_path])
    assert found.runs["run_id"].tolist() == [run.name]
    assert found.unread.empty
    answer = run_here(tmp_path, analysis.export.main, f"results={tmp_path}")
    assert answer.code == 0
    assert answer.err == ""


def test_lines_of_a_ledger_that_were_skipped_are_reported(tmp_path: Path) -> None:
    make_run(tmp_path, Made(telemetry=False))
    with (tmp_path / LEDGER).open("ab") as file:
        file.write(b'{"event": "ended", "utc": "2026{"event": \n[1]\n\xff\xfe\n')
    unread = load_runs([tmp_path]).unread.to_dict("records")
    place, words = str(tmp_path / LEDGER), "skipped 3 lines without an event of a run"
    assert unread == [{"folder": place, "reason": words}]


def test_files_of_runs_that_cannot_be_read_are_reported_once_and_listed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, *_ = make_sweep(tmp_path, batch_sizes=(32,), seeds=range(2))
    (folder / "curve.jsonl").write_text('{"time_s": "soon"}\n')
    asked = config(tmp_path / "out", figures=["quality_time"])
    assert produce.report(load_runs([tmp_path]), asked) == 0
    told = capsys.readouterr().err
    assert told.count("not read: ") == 1
    assert f"not read: {folder}: {folder}/curve.jsonl: line 1: time_s" in told
    assert "curve.jsonl: line 1" in (tmp_path / "out" / "report.html").read_text()


@pytest.fixture(scope="module")
def with_refused(tmp_path_factory: pytest.TempPathFactory) -> Loaded:
    """Two servings, one of them refused, and one training of three refused."""
    folder = tmp_path_factory.mktemp("refused")
    trained = make_sweep(folder, batch_sizes=(32,), seeds=range(3))
    make_served(folder, trained[0], Served())
    served = make_served(folder, trained[1], Served(compression="int8_static"))
    for run, gone in ((served, ("serving", "compression", "quality_test")), (trained[2], ())):
        record = json.loads((run / "run.json").read_text())
        error = {"kind": "CompressionRefused", "message": "no such precision here"}
        nothing = dict.fromkeys(gone)
        (run / "run.json").write_text(
            json.dumps({**record, **nothing, "status": "refused", "error": error})
        )
    return load_runs([folder])


def test_a_refused_run_is_no_failure_and_counts_nowhere(with_refused: Loaded) -> None:
    runs = with_refused.runs
    summary, costs = summarise(runs), search_cost(runs)
    found = summary_tables(summary, costs, runs)
    assert [row[1].text for row in found["time"].rows] == ["2"]
    assert {row[-2].text for row in found["search"].rows} == {"2"}
    for table in found.values():
        assert any(
            note.startswith("2 refused: 2 runs are in no table, because") for note in table.notes
        )
    assert set(costs["num_runs"]) == {2}
    assert summary["num"].max() == 2


def test_refused_runs_are_named_with_their_number_and_reasons(
    with_refused: Loaded, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    produce.report(with_refused, config(tmp_path, figures=["hits"]))
    assert capsys.readouterr().out.endswith("runs: 5, 2 of them refused\n")
    page = (tmp_path / "report.html").read_text()
    assert "Of the trainings, 2 reached their target, 0 missed it, 0 failed." in page
    assert "Of the other runs, 1 succeeded, 0 failed." in page
    assert "2 refused: that combination of settings does not exist" in page
    assert page.count(": no such precision here</li>") == 2


HOSTILE = (
    "=cmd|' /C calc'!A0",
    "<img src=x>",
    "$x_$ $y",
    "a|b`c`*d*",
    "\x00\x1b[31m",
    "@octocat",
)


@pytest.fixture(scope="module")
def named(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DataFrame]:
    """Two runs of each hostile name of a model."""
    folder = tmp_path_factory.mktemp("named")
    runs = make_sweep(folder, batch_sizes=(32,), seeds=range(2 * len(HOSTILE)))
    for place, run in enumerate(runs):
        name = HOSTILE[place // 2]
        set_leaf(("config", "model"), name).apply(run)
        set_leaf(("config_hash",), f"{place // 2:012d}").apply(run)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield settle(load_runs([folder]).runs)


def test_names_are_text_in_every_table(named: DataFrame, tmp_path: Path) -> None:
    summary, costs = summarise(named), search_cost(named)
    write_tables(summary_tables(summary, costs, named), summary, costs, tmp_path)
    shown = (tmp_path / "time.md").read_text()
    assert "&#60;img src=x&#62;" in shown
    assert "<img" not in shown
    assert "@octocat" not in shown
    for path in tmp_path.iterdir():
        data = path.read_text()
        assert "\x00" not in data
        assert "\x1b" not in data
        if path.suffix == ".csv":
            for row in csv.reader(io.StringIO(data)):
                assert not [cell for cell in row if cell.startswith(("=", "@"))], path
    assert r"\textbackslash{}x00" in (tmp_path / "time.tex").read_text()


def test_names_are_text_in_a_figure_which_is_drawn_again_from_its_data(
    named: DataFrame, tmp_path: Path
) -> None:
    data = figure_data("tta_eta", Frames(named))
    save_all({"one": draw_figure("tta_eta", data, "one")}, data, "", tmp_path / "whole", ["svg"])
    shown = (tmp_path / "whole_one.svg").read_text()
    assert "$x_$ $y" in shown
    again = pd.read_csv(tmp_path / "whole.csv")
    assert list(again["x"]) == pytest.approx(list(data["x"]))
    draw_figure("tta_eta", again, "one")


def test_a_formula_is_text_in_heads_and_best_cells() -> None:
    table = TextTable(title="t", columns=("=a", "b"), rows=((Cell(text="+1 x", best=True),),))
    assert to_csv(table).splitlines() == ["'=a,b", "'+1 x *"]
    assert to_markdown(table).splitlines()[4] == "| **+1 x** |"
    assert escape("\x00_\n") == r"\textbackslash{}x00\_ "
    assert frame_csv(DataFrame({"=a": ["@b"], "c": [-1.0]})) == "'=a,c\n'@b,-1.0\n"
