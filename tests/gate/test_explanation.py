"""Where the time went: operators and phases of both sides, with sums that follow by hand."""

from __future__ import annotations

from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from bench.core.operators import OperatorTime, OperatorTrace, read_traces, write_trace
from bench.gate.explanation import OUTSIDE, Explanation, compare_operators, compare_phases
from bench.gate.report.explain import explanation_markdown, print_explanation


def operator(
    name: str, cpu_s: float, *, num_calls: int = 10, device_s: float = 0.0
) -> OperatorTime:
    return OperatorTime(name=name, num_calls=num_calls, cpu_s=cpu_s, device_s=device_s)


BASE = OperatorTrace(wall_s=1.0, operators=[operator("aten::mm", 0.5), operator("aten::add", 0.1)])
SLOW = OperatorTrace(
    wall_s=2.0, operators=[operator("aten::mm", 1.2, num_calls=20), operator("aten::exp", 0.25)]
)


def test_operators_are_ordered_by_what_they_lost() -> None:
    parts = compare_operators(BASE, SLOW)
    # Of 1 s, 0.6 are in operators; of 2 s, 1.45.
    assert [(part.name, round(part.lost_s, 6)) for part in parts] == [
        ("aten::mm", 0.7),
        ("aten::exp", 0.25),
        (OUTSIDE, 0.15),
        ("aten::add", -0.1),
    ]
    assert (parts[0].base_calls, parts[0].candidate_calls) == (10, 20)
    assert (parts[1].base_calls, parts[1].candidate_calls) == (0, 10)
    assert all(part.base_j is None for part in parts)


def test_joules_are_shared_out_by_time() -> None:
    (mm, *_) = compare_operators(BASE, SLOW, (10.0, 30.0))
    # 10 J x 0.5 s / 1 s, and 30 J x 1.2 s / 2 s.
    assert (mm.base_j, mm.candidate_j) == pytest.approx((5.0, 18.0))
    (mm, *_) = compare_operators(BASE, SLOW, (None, 30.0))
    assert mm.base_j is None
    assert mm.candidate_j == pytest.approx(18.0)


def test_operators_that_overlap_leave_nothing_outside() -> None:
    overlapping = OperatorTrace(wall_s=0.3, operators=[operator("a", 0.2), operator("b", 0.2)])
    parts = {part.name: part for part in compare_operators(overlapping, overlapping)}
    assert parts[OUTSIDE].base_s == 0.0


def test_phases_are_compared_by_their_medians() -> None:
    base = {"train": [1.0, 3.0, 2.0], "eval": [0.5, 0.5, 0.5], "serve": []}
    slow = {"train": [2.5], "eval": [0.4], "serve": [1.0], "retrain": [1.0]}
    train, evaluation = compare_phases(base, slow, {"train": [4.0, 6.0]}, {})
    assert (train.name, train.lost_s, train.base_j, train.candidate_j) == ("train", 0.5, 5.0, None)
    assert evaluation.lost_s == pytest.approx(-0.1)


def test_all_windows_of_a_run_are_added_up(tmp_path: Path) -> None:
    assert read_traces(tmp_path) is None
    write_trace(tmp_path, 1.0, [operator("a", 0.5), operator("b", 0.1)])
    write_trace(tmp_path, 2.0, [operator("a", 0.25, num_calls=5, device_s=0.5)])
    trace = read_traces(tmp_path)
    assert trace is not None
    assert trace.wall_s == 3.0
    assert sorted(trace.operators, key=lambda each: each.name) == [
        operator("a", 0.75, num_calls=15, device_s=0.5),
        operator("b", 0.1),
    ]
    (tmp_path / "operators-9999-1.json").write_text('{"wall_s": 1}')
    with pytest.raises(ValueError, match=r"operators-9999-1\.json: not a trace of operators"):
        read_traces(tmp_path)


def test_the_terminal_and_markdown_show_the_largest_losses() -> None:
    many = OperatorTrace(
        wall_s=9.0, operators=[operator(f"aten::op{num}", 0.1 * num) for num in range(12)]
    )
    told = Explanation(
        phases=compare_phases({"train": [1.0]}, {"train": [2.0]}, {}, {}),
        operators=compare_operators(BASE, many, (1.0, 2.0)),
        reason="base was not traced: because",
    )
    file = StringIO()
    print_explanation(told, Console(file=file, width=80))
    text = file.getvalue()
    assert "aten::op11" in text
    assert "aten::op1 " not in text  # only the largest
    assert "+100%" in text
    assert "note: base was not traced: because" in text
    assert max(map(len, text.splitlines())) <= 80
    markdown = explanation_markdown(told)
    assert markdown.startswith("<details><summary>Where the time went</summary>")
    assert "| train | 1000 -&#62; 2000 | +100% |  |  |" in markdown
