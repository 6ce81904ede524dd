"""The sentences that report each verdict and a comparison as a whole."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from bench.gate.model import Comparison, Exit, GateRow, Problem
from bench.gate.report.cells import cells
from bench.gate.report.sentences import (
    HEADLINES,
    legend,
    ordered,
    provenance_lines,
    verdict_line,
)
from bench.gate.report.writers import as_json, junit_xml, markdown
from tests.gate.made_rows import (
    DEMOTED,
    EXACT,
    EXACT_WORSE,
    FAILED,
    IMPROVED,
    LACKING,
    MODELLED,
    OTHER_HOST,
    REGRESSED,
    UNCHANGED,
    UNDERPOWERED,
    comparison,
    ratio,
    row,
)


def cells_of(made: GateRow) -> tuple[str, ...]:
    """Those of a row, without the configuration."""
    configuration, *others = cells(made).values()
    assert configuration == "train batch_size=32"
    return tuple(others)


@pytest.mark.parametrize(
    ("made", "shown"),
    [
        (
            REGRESSED,
            (
                "time_to_target_s",
                "455 -> 510 ms",
                "+12% [+8%, +16%]",
                "8/8",
                "0.0012",
                "regression: counts from +5%",
            ),
        ),
        (
            UNCHANGED,
            (
                "latency_p50_ms",
                "0.0273 -> 0.0276 ms",
                "~ +1.1% [-1.9%, +4.2%]",
                "8/8",
                "0.61",
                "no change: would have seen +10%",
            ),
        ),
        (
            IMPROVED,
            (
                "throughput_per_s",
                "3.70 -> 4.10 M/s",
                "+11% [+9%, +13%]",
                "8/8",
                "1",
                "improvement",
            ),
        ),
        (
            UNDERPOWERED,
            (
                "latency_p99_ms",
                "0.0600 -> 0.0900 ms",
                "~ +50%",
                "3/3",
                "0.4",
                "underpowered: 2 more runs per side",
            ),
        ),
        (
            MODELLED,
            (
                "energy_to_target_j",
                "3.57 -> 6.00 J",
                "+1% worse",
                "8/8",
                "-",
                "modelled, not judged",
            ),
        ),
        (
            EXACT,
            ("samples_to_target", "16384 -> 16384", "0%", "8/8", "-", "no change (exact)"),
        ),
        (
            # One step more of 16384 is 0.0061%, and still tells the two apart.
            EXACT_WORSE,
            (
                "steps_to_target",
                "16384 -> 16385",
                "+0.0061%",
                "8/8",
                "-",
                "regression (exact)",
            ),
        ),
        (
            DEMOTED,
            (
                "steps_to_target",
                "512 -> 520",
                "~ +1.6%",
                "8/8",
                "0.3",
                "no change (demoted): would have seen +5%; "
                "differs between runs of one revision: judged as measured",
            ),
        ),
    ],
)
def test_each_verdict_has_its_words(made: GateRow, shown: tuple[str, ...]) -> None:
    assert cells_of(made) == shown


def test_a_loss_of_a_metric_to_maximise_has_a_minus() -> None:
    lost = replace(
        IMPROVED,
        candidate=3.0e6,
        ratio=ratio(0.811, 0.79, 0.83),
        loss_frac=0.189,
        verdict="regression",
    )
    assert cells(lost)["change"] == "-19% [-21%, -17%]"
    assert cells(lost)["verdict"] == "regression: counts from -10%"
    same = replace(lost, verdict="no change", smallest_seen_frac=0.12)
    assert cells(same)["verdict"] == "no change: would have seen -12%"


def test_a_row_of_which_most_runs_missed_has_no_change_in_percent() -> None:
    missed = replace(REGRESSED, candidate=None, loss_frac=None, ratio=ratio(None, 1.2, None))
    assert (cells(missed)["medians"], cells(missed)["change"]) == ("455 ms -> missed", "-")
    assert verdict_line(comparison([missed])) == (
        "REGRESSION: 1 of 1 row, worst time_to_target_s 455 ms -> missed (train batch_size=32)"
    )


def test_a_row_of_which_both_sides_mostly_missed_has_no_unit() -> None:
    more = replace(
        REGRESSED, base=None, candidate=None, loss_frac=None, ratio=ratio(None, None, None)
    )
    assert cells(more)["medians"] == "missed -> missed"


def test_an_infinite_bound_is_reported() -> None:
    assert cells(replace(REGRESSED, ratio=ratio(1.121, 1.08, None)))["change"] == (
        "+12% [+8%, inf)"
    )


def test_a_base_of_zero_leaves_no_change_in_percent() -> None:
    grown = row("flops_per_sample", base=0.0, candidate=3.0, loss_frac=None, verdict="regression")
    assert (cells(grown)["medians"], cells(grown)["change"]) == ("0 -> 3", "-")


@pytest.mark.parametrize(
    ("name", "base", "candidate", "shown"),
    [
        # Measured: three digits, in a unit that fits; exact: every digit.
        ("memory_peak_bytes", 634_123_456.0, 650_000_000.0, "634 -> 650 MB"),
        ("time_per_sample_s", 2.771e-5, 3e-5, "27.7 -> 30.0 us"),
        ("time_per_sample_s", 2e-9, 3e-9, "0.00200 -> 0.00300 us"),
        ("time_to_target_s", 0.0, 0.0, "0 -> 0 s"),
        ("size_bytes", 38_504.0, 38_505.0, "38504 -> 38505 B"),
        ("accuracy", 0.972222, 0.972223, "0.972222 -> 0.972223"),
    ],
)
def test_values_have_the_digits_that_tell(
    name: str, base: float, candidate: float, shown: str
) -> None:
    assert cells(row(name, base=base, candidate=candidate))["medians"] == shown


@pytest.mark.parametrize(
    ("frac", "shown"),
    [
        (0.0004, "+0.04%"),
        (0.0996, "+10%"),
        (0.994, "+99%"),
        (0.996, "+100%"),
        (2.5, "+250%"),
    ],
)
def test_changes_have_two_digits(frac: float, shown: str) -> None:
    assert cells(row(loss_frac=frac))["change"] == f"~ {shown}"


def test_an_exact_change_is_reported_however_small_it_is() -> None:
    grown = row("num_parameters", base=1e8, candidate=1e8 + 1, loss_frac=1e-8, verdict="regression")
    assert (cells(grown)["medians"], cells(grown)["change"]) == (
        "100000000 -> 100000001",
        "+1e-06%",
    )


def test_an_exact_loss_below_what_counts_says_which_way_it_went() -> None:
    lower = row("accuracy", base=0.97, candidate=0.965, loss_frac=0.00515)
    assert cells(lower)["change"] == "-0.52% worse"
    assert cells(lower)["verdict"] == "no change (exact)"


def test_very_small_p_values_are_bounded_and_others_have_two_digits() -> None:
    shown = [cells(replace(REGRESSED, p_holm=p))["p"] for p in (4e-7, 0.0123, 0.996)]
    assert shown == ["<0.001", "0.012", "1"]


def test_the_report_states_which_losses_it_could_not_have_seen() -> None:
    blind = replace(UNCHANGED, smallest_seen_frac=None)
    assert cells(blind)["verdict"] == "no change: could not have seen a loss"


def test_a_row_that_was_not_judged_for_another_reason_says_it() -> None:
    all_missed = row(verdict="not judged", note="all runs of both sides missed")
    assert cells(all_missed)["verdict"] == "not judged; all runs of both sides missed"


@pytest.mark.parametrize(
    ("made", "line"),
    [
        (
            comparison([UNCHANGED, REGRESSED, EXACT_WORSE, MODELLED]),
            "REGRESSION: 2 of 3 rows, worst time_to_target_s +12% (train batch_size=32)",
        ),
        (comparison([UNCHANGED, EXACT]), "PASS: no regression in 2 rows"),
        (
            comparison([UNCHANGED, IMPROVED, MODELLED]),
            "PASS: no regression in 2 rows, 1 improved, 1 not judged",
        ),
        (
            comparison([UNCHANGED, UNDERPOWERED]),
            "TOO LITTLE TO COMPARE: 1 of 2 rows underpowered, 2 more runs per side needed",
        ),
        (
            comparison([replace(UNDERPOWERED, more_runs=None)]),
            "TOO LITTLE TO COMPARE: 1 of 1 row underpowered",
        ),
        (comparison([MODELLED]), "TOO LITTLE TO COMPARE: no row was judged"),
        (comparison([]), "TOO LITTLE TO COMPARE: no row was judged"),
        (
            comparison([UNCHANGED], [LACKING]),
            "TOO LITTLE TO COMPARE: candidate lacks seed 3; allow_missing=true",
        ),
        (comparison([UNCHANGED], [FAILED]), f"A RUN FAILED: {FAILED.message}"),
        (
            # The gravest is told, in whatever order they were found.
            comparison([REGRESSED], [LACKING, FAILED, OTHER_HOST]),
            f"INCOMPARABLE: {OTHER_HOST.message} (and 2 more problems); besides, a regression: "
            "1 of 1 row, worst time_to_target_s +12% (train batch_size=32)",
        ),
    ],
)
def test_the_verdict_comes_first_and_in_one_line(made: Comparison, line: str) -> None:
    assert verdict_line(made) == line


def test_failing_rows_come_first_the_worst_at_the_top() -> None:
    missed = replace(REGRESSED, loss_frac=None)
    rows = [EXACT, IMPROVED, UNDERPOWERED, EXACT_WORSE, MODELLED, REGRESSED, UNCHANGED, missed]
    assert ordered(rows) == [
        missed,
        REGRESSED,
        EXACT_WORSE,
        UNDERPOWERED,
        IMPROVED,
        EXACT,
        UNCHANGED,
        MODELLED,
    ]


def test_both_sides_name_their_origin() -> None:
    assert provenance_lines(comparison()) == [
        "base: perf/baseline.json, commit aaaaaaaaaa, host made, CPU Made CPU, 8 runs, "
        "measured 2026-01-05T09:00:00Z to 2026-01-05T09:07:00Z",
        "candidate: results, commit bbbbbbbbbb, host made, CPU Made CPU, 8 runs, "
        "measured 2026-01-06T09:00:00Z",
    ]
    unknown = comparison(
        provenance={
            "base": {
                "commits": ["c" * 40 + "-dirty"],
                "num_runs": 0,
                "accepted_utc": "today",
                "other": "x",
            }
        }
    )
    assert provenance_lines(unknown) == [
        "base: perf/baseline.json, commit cccccccccc-dirty, 0 runs, accepted today, other x",
        "candidate: results",
    ]


def test_the_level_of_this_look_and_the_confidence_are_in_the_legend() -> None:
    text = legend(comparison([UNCHANGED], alpha=0.0125))
    assert "at most 1.2%" in text
    assert "as the value changes, with [its 95% interval]; ~ not" in text


def of_few_runs(made: GateRow) -> GateRow:
    assert made.ratio is not None
    return replace(made, ratio=replace(made.ratio, kind="range", num=5))


def test_the_range_of_few_runs_looks_different_and_is_explained() -> None:
    few = of_few_runs(UNCHANGED)
    assert cells(few)["change"] == "~ +1.1% (-1.9% to +4.2%)"
    unbounded = of_few_runs(replace(UNCHANGED, ratio=ratio(1.0, 0.9, None)))
    assert cells(unbounded)["change"] == ("~ +1.1% (-10% to inf)")
    range_words = "(below 6 runs, the range of single runs' ratios)"
    assert f"as the value changes, with {range_words}; ~" in legend(comparison([few]))
    both = legend(comparison([few, REGRESSED]))
    assert f"with [its 95% interval] or {range_words}; ~" in both
    assert "as the value changes; ~" in legend(comparison([EXACT]))


@pytest.mark.parametrize(
    ("code", "headline"),
    [
        (Exit.REGRESSION, "REGRESSION: "),
        (Exit.TOO_LITTLE, "TOO LITTLE TO COMPARE: "),
        (Exit.INCOMPARABLE, "INCOMPARABLE: "),
        (Exit.FAILED, "A RUN FAILED: "),
        (Exit.NOT_INSTALLED, "NOT INSTALLED: "),
        (Exit.WRONG, "NOT STARTED: "),
        (Exit.INTERRUPTED, "INTERRUPTED: "),
    ],
)
def test_every_exit_code_has_a_headline_and_every_kind_of_file(code: int, headline: str) -> None:
    problem = Problem(kind="failed", message="it ended with exit code 1", exit_code=code)
    made = comparison([REGRESSED] if code == Exit.REGRESSION else [], [problem])
    assert made.exit_code == code
    assert verdict_line(made).startswith(headline)
    assert headline in markdown(made)
    assert json.loads(as_json(made))["exit_code"] == code
    assert headline.encode() in junit_xml(made)
    assert set(HEADLINES) == {0, 1, 2, 3, 4, 5, 6, 130}


def test_a_command_that_broke_is_not_called_a_run_that_failed() -> None:
    broke = Problem(kind="broken", message="No space left on device", exit_code=Exit.FAILED)
    assert verdict_line(comparison([], [broke])) == "THE COMMAND BROKE: No space left on device"
    assert verdict_line(comparison([], [FAILED, broke])).startswith("A RUN FAILED: ")


def test_a_verdict_is_one_line_of_what_can_be_shown() -> None:
    message = "head, v2: run 1 failed\x1b[2J\n  the end of log-0.txt:\n    PASS"
    failed = Problem(kind="failed", message=message, exit_code=Exit.FAILED)
    told = r"A RUN FAILED: head, v2: run 1 failed\x1b[2J"
    assert verdict_line(comparison([], [failed])) == told


def test_a_total_that_its_parts_are_judged_for_says_so() -> None:
    total = row(
        "energy_to_target_j",
        kind="sum",
        base=1000.0,
        candidate=1010.0,
        verdict="not judged",
        note="judged by its parts: gpu_energy_j, cpu_energy_j",
    )
    assert cells_of(total)[-1] == "not judged; judged by its parts: gpu_energy_j, cpu_energy_j"
    assert cells_of(total)[1:3] == ("1000 -> 1010 J", "+1% worse")
