from __future__ import annotations

import io

import pytest
from rich.console import Console

from bench.cli.terminal import ProgressLine, RunCounter
from bench.launch.job import Progress
from tests.fakes import FakeClock


def counter(clock: FakeClock) -> tuple[RunCounter, io.StringIO]:
    out = io.StringIO()
    return RunCounter(Console(file=out, width=80), clock=clock), out


def test_a_run_is_named_by_its_number_and_the_swept_keys() -> None:
    runs, _ = counter(FakeClock())
    assert runs.name_next(24, "lr=0.1 model=cnn") == "run 1 of 24, lr=0.1 model=cnn"
    assert runs.name_next(24, "lr=[0.1] \x1b[2J") == r"run 2 of 24, lr=[0.1] \x1b[2J"
    assert counter(FakeClock())[0].name_next(1, "mlp on digits") == "mlp on digits"


def test_an_unplanned_run_raises_the_total() -> None:
    runs, _ = counter(FakeClock())
    assert [runs.name_next(2, "x")[:10] for _ in range(3)] == [
        "run 1 of 2",
        "run 2 of 2",
        "run 3 of 3",
    ]


def test_finished_runs_print_at_most_one_line_every_two_seconds() -> None:
    clock = FakeClock()
    runs, out = counter(clock)
    for number in range(5):
        runs.report(f"run {number}", "reached", important=number == 4)
        clock.advance(0.5)
    assert out.getvalue().splitlines() == [
        "run 0: reached",
        "run 4: reached (and 3 more since the last line)",  # at 2.0 s
    ]
    clock.advance(0.1)
    runs.report("run 5", "failed: [/x]", important=True)
    assert out.getvalue().splitlines()[-1] == "run 5: failed: [/x]"


@pytest.mark.parametrize(
    ("took_s", "num_runs", "running_s", "left"),
    [
        ([], 24, 5.0, ""),  # nothing is known yet
        ([10.0, 20.0], 4, 5.0, "; about 25 s left"),  # 1 more at 15 s, and 10 s of this one
        ([10.0, 20.0], 4, 100.0, "; about 15 s left"),  # this one may end at any moment
        ([60.0, 60.0], 12, 0.0, "; about 10 min left"),
        ([3600.0, 3600.0], 12, 0.0, "; about 10.0 h left"),
        ([10.0, 10.0], 3, 0.0, ""),  # the last one: its own progress says more
    ],
)
def test_the_time_left_is_estimated_from_earlier_runs(
    took_s: list[float], num_runs: int, running_s: float, left: str
) -> None:
    clock = FakeClock()
    runs, _ = counter(clock)
    for each in took_s:
        runs.name_next(num_runs, "x")
        clock.advance(1000.0)  # waiting for others
        runs.start()
        clock.advance(each)
        runs.report("x", "reached", important=False)
    runs.name_next(num_runs, "x")
    runs.start()
    clock.advance(running_s)
    assert runs.time_left(num_runs) == left


def test_the_line_fits_its_terminal_and_takes_no_markup() -> None:
    out = io.StringIO()
    console = Console(file=out, width=60, force_terminal=True, color_system=None)
    title = "run 3 of 24, lr=0.1 [/x] model=cnn optimizer=adamw data=fashion_mnist"
    with ProgressLine(console, title, lambda: "; about 4 min left", wanted=True) as line:
        line.show(Progress(stage="accuracy 0.91 of 0.95, 12 s"))
    shown = [text for text in out.getvalue().replace("\r", "\n").splitlines() if "run 3" in text]
    assert any("accuracy 0.91 of 0.95, 12 s; about 4 min left" in text for text in shown)
    assert any("run 3 of 24" in text for text in shown)
    assert all(len(text.split("\x1b")[0]) <= 60 for text in shown)


def test_a_long_title_is_shortened_before_the_news() -> None:
    console = Console(file=io.StringIO(), width=80, force_terminal=True)
    title = "run 15 of 16, lr=0.1 model.width=32"
    line = ProgressLine(console, title, lambda: "; about 4 min left", wanted=True)
    news = ": accuracy 0.20 of 0.95; about 4 min left"
    assert line._fit_line("accuracy 0.20 of 0.95") == f"run 15 of 16, lr=0.1 model.width=32{news}"
    fitted = line._fit_line("accuracy 0.203 of 0.95, 12 s")
    assert (
        fitted
        == f"run 15 of 16, lr=0.1 width=32{news.replace('20', '203').replace(';', ', 12 s;')}"
    )
    assert line._fit_line("x" * 200).startswith("run 15 of 16…: xxx")


def test_without_a_terminal_there_is_no_line() -> None:
    out = io.StringIO()
    with ProgressLine(Console(file=out), "run 1", lambda: "", wanted=True) as line:
        line.show(Progress(stage="x"))
    assert out.getvalue() == ""
