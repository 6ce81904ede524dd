"""The table that ends bench.maintain, and the line of a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from bench.core.flat import value_of
from bench.core.records.run import RunError, RunRecord
from bench.drift.table import SWEEP_COLUMNS, maintain_line, maintain_tables
from tests.analysis.made import identity
from tests.analysis.made_maintained import Maintained, maintained_record
from tests.cli.shown import assert_fits, rows_under_rule, shown

POLICIES = ("never", "every", "performance", "drift", "oracle")
Runs = Sequence[tuple[Sequence[str], RunRecord]]


def record(made: Maintained, **changes: Any) -> RunRecord:
    """The record of a run; `changes` are those of what it achieved."""
    found, _ = maintained_record(made, identity("maintain", made.config, made.start))
    assert found.maintenance is not None
    return replace(found, maintenance=replace(found.maintenance, **changes))


def sweep(policies: Sequence[Any] = POLICIES, num_seeds: int = 3, **facts: Any) -> Runs:
    runs = []
    for place, policy in enumerate(policies):
        for seed in range(num_seeds):
            made = Maintained(policy=policy, seed=seed, **facts)
            made = replace(made, start=made.start + timedelta(seconds=10 * place + seed))
            overrides = [f"policy={policy}", f"seed={seed}", "results=/long/path"]
            runs.append((overrides, record(made)))
    return runs


def printed(runs: Runs, width: int = 1000, encoding: str = "utf-8") -> str:
    return " ".join(shown(maintain_tables, runs, width, encoding).split())


def row(runs: Runs, begins: str, width: int = 1000) -> list[str]:
    """The cells of the row that begins so."""
    rows = rows_under_rule(shown(maintain_tables, runs, width))
    (line,) = [line for line in rows if line.startswith(begins)]
    return [cell for cell in line.split("  ") if cell]


@pytest.mark.parametrize("width", [80, 100, 140, 200])
def test_a_row_for_each_policy_fits_and_says_how_joules_were_obtained(width: int) -> None:
    text = shown(maintain_tables, sweep(), width)
    assert_fits(text, width, ["(modelled)", "on target", "retrainings", "regret", "policy=oracle"])
    rows = rows_under_rule(text)
    assert [line.split()[0] for line in rows[:5]] == [f"policy={name}" for name in POLICIES]
    assert len(text.splitlines()) <= 5 + 18


def test_numbers_are_medians_of_the_seeds() -> None:
    # The sudden drift of 24 windows begins with the 13th. A model that is never retrained is on
    # target in half of them. Retrained every 4 windows, it is off target until the end of the 16th.
    cells = row(sweep(), "policy=never")
    assert cells[1].strip() == "50"
    assert row(sweep(), "policy=every")[1].strip() == "83.3"
    # 0.8 s for each of 5 retrainings at 8 W.
    assert [cell.strip() for cell in row(sweep(), "policy=every")[6:8]] == ["32", "4"]


def test_regret_is_that_of_the_seeds_and_the_oracle_has_none() -> None:
    cells = {policy: row(sweep(), f"policy={policy}")[5].strip() for policy in POLICIES}
    assert cells["oracle"].split()[0] == "0"
    assert cells["never"].endswith("mUSD")
    assert "Regret: cost of upkeep and errors" in printed(sweep())


def test_a_policy_that_is_never_on_target_is_marked_and_has_no_upkeep_per_prediction() -> None:
    runs = sweep(("never", "every"), target=0.99)
    text = printed(runs)
    assert "0 (never)" in text
    assert "(never): no window was" in text
    # There is no column of upkeep either.
    assert "per 1,000 predictions" not in text


@pytest.mark.parametrize(
    ("runs", "sentence"),
    [
        (
            sweep(("never", "every")),
            "Regret is unknown for 6 runs: no run of policy=oracle on the same stream.",
        ),
        (
            [
                (["policy=every"], record(Maintained(), regret_reason="warm starts")),
                (["policy=oracle"], record(Maintained(policy="oracle"))),
            ],
            "Regret is unknown for 1 run: warm starts.",
        ),
        (
            sweep(error_price_usd=0.0),
            "An error costs nothing (error_price_usd=0), so regret compares upkeep alone.",
        ),
    ],
)
def test_the_legend_says_why_there_is_no_regret(runs: Runs, sentence: str) -> None:
    assert sentence in printed(runs)


def test_without_an_oracle_there_is_no_column_of_regret() -> None:
    assert "Regret:" not in printed(sweep(("never", "every")))


def test_outcomes_are_shown_if_a_run_did_not_serve_its_stream() -> None:
    assert "outcome" not in printed(sweep())
    good = record(Maintained())
    failed = replace(
        record(Maintained(seed=1)),
        status="failed",
        error=RunError(kind="diverged", message="the initial training diverged"),
        maintenance=None,
    )
    runs = [(["policy=every", "seed=0"], good), (["policy=every", "seed=1"], failed)]
    assert "1/2 served, 1 failed" in printed(runs)


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_an_ascii_console_shows_all_of_it(encoding: str) -> None:
    assert "uUSD" in printed(sweep(), encoding=encoding)


@pytest.mark.parametrize(
    ("run", "line"),
    [
        (
            record(Maintained()),
            "on target (0.85) for 83.3% of 12,000 predictions, 5 retrainings, 32.1 J of upkeep",
        ),
        (
            record(Maintained(policy="never", target=0.99, label=None)),
            "never on target (0.99) in 12,000 predictions, mean accuracy 0.7652, 0 retrainings",
        ),
        (record(Maintained(), on_target_frac=None, upkeep_j=None), "of unknown accuracy"),
        (
            replace(
                record(Maintained()),
                status="failed",
                error=RunError(kind="x", message="the initial training diverged"),
            ),
            "failed: the initial training diverged",
        ),
    ],
)
def test_the_line_of_a_run_says_what_it_held_and_what_it_needed(run: RunRecord, line: str) -> None:
    assert line in maintain_line(run)


def test_the_columns_of_the_sweep_are_fields_of_the_record() -> None:
    found = record(Maintained())
    values = {name: value_of(found, name) for name in SWEEP_COLUMNS}
    assert values["maintenance.policy"] == "every"
    assert values["phase_energy.retrain_j"] == pytest.approx(32.0)
