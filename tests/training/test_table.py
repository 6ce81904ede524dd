"""The table that ends bench.train: one row per configuration, on wide and narrow terminals."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from hashlib import sha256
from typing import Any

import pytest

from bench.core.outcome import outcome_record
from bench.core.records.energy import EnergyRow
from bench.core.records.health import Health, Utilization
from bench.core.records.model import ModelFacts, Quality
from bench.core.records.run import RunError, RunRecord, Status
from bench.core.records.serving import Serving
from bench.core.records.target import TargetResult
from bench.core.records.task import TaskFacts
from bench.core.store import new_identity
from bench.runs.table.groups import _join_fitting
from bench.training.table import run_line, sweep_tables
from tests.cli.shown import assert_fits, rows_under_rule, said_in_ascii, shown
from tests.rows import curve

TARGET = {"metric": "accuracy", "value": 0.9, "eval_every_samples": 100, "ladder": [0.5]}
NAN = float("nan")
WIDTHS = (80, 100, 120, 200)
QUALITY = Quality(at="end", values={"loss": None, "accuracy": 0.5}, num_samples=9)
Runs = Sequence[tuple[Sequence[str], RunRecord]]


def record(
    name: str = "",
    seed: int = 0,
    *,
    accuracies: Sequence[float] = (0.5, 0.95),
    status: Status = "ok",
    message: str = "",
    target: dict[str, Any] = TARGET,
    scale: float = 1.0,
) -> RunRecord:
    """By default a run that crosses at its second evaluation, after 4 s, 20 J and 200 samples."""
    identity = new_identity("train", sha256(name.encode()).hexdigest()[:12], seed, 0)
    config = {"seed": seed, "repeat": 0, "target": target}
    rows = [
        replace(row, time_s=row.time_s * scale, energy_total_j=10.0 * n * scale)
        for n, row in enumerate(curve(list(accuracies)), 1)
    ]
    error = RunError(kind="some_kind", message=message) if message else None
    return outcome_record(identity, config, rows, status=status, error=error, finished=True)


def targeted(run: RunRecord, **changes: Any) -> RunRecord:
    assert run.target is not None
    return replace(run, target=replace(run.target, **changes))


def printed(runs: Runs, width: int = 1000, encoding: str = "utf-8") -> str:
    return shown(sweep_tables, runs, width, encoding)


def row(runs: Runs, begins: str, width: int = 1000) -> list[str]:
    """The cells of the row that begins so; those that are empty are not there."""
    (line,) = [line for line in rows_under_rule(printed(runs, width)) if line.startswith(begins)]
    return re.split(r" {2,}", line.strip())


def of_seeds(*runs: RunRecord) -> Runs:
    """Runs of one configuration beside one of another, so that they have a name."""
    named = [(["lr=1e-3", f"seed={run.seed}", "results=/long/path"], run) for run in runs]
    return [*named, (["lr=9", "seed=0", "results=/long/path"], record("other"))]


def sweep_of_24() -> Runs:
    """lr x width x optimizer; a third of them missed, and one in five is incomparable."""
    runs = []
    for lr in ("0.001", "0.01", "0.1"):
        for width in (32, 64, 128, 256):
            for optimizer in ("sgd", "adamw"):
                missed = lr == "0.001"
                run = record(f"{lr}{width}{optimizer}", accuracies=(0.5, 0.887 if missed else 0.95))
                flags = ["other_load"] if width == 64 else []
                run = replace(
                    run,
                    health=Health(comparable=not flags, flags=flags),
                    energy_error_frac=2.0,
                    model=ModelFacts(name="cnn", size_bytes=38_500),
                    utilization=Utilization(cpu_process_frac=0.98, memory_peak_bytes=634_000_000),
                    serving=Serving(
                        num_requests=1000,
                        latency_p50_ms=0.0273,
                        latency_p90_ms=0.0318,
                        throughput_per_s=3.7e6,
                        throughput_batch_size=256,
                    ),
                )
                overrides = [f"lr={lr}", f"model.width={width}", f"optimizer={optimizer}"]
                runs.append(([*overrides, "seed=0", "results=/a/long/path"], run))
    return runs


@pytest.mark.parametrize("width", WIDTHS)
def test_24_runs_are_24_lines_that_fit(width: int) -> None:
    text = printed(sweep_of_24(), width)
    words = ["missed", "reached", "0.887", "> 4", "(modelled)", "±200%", "optimizer", "other_load"]
    assert_fits(text, width, words)
    assert len([line for line in rows_under_rule(text) if "adamw" in line or "sgd" in line]) == 24
    assert len(text.splitlines()) <= 24 + 12
    assert "/a/long" not in text
    assert "seed" not in text


def test_wider_terminals_show_more_columns_and_a_pipe_all_of_them() -> None:
    texts = [printed(sweep_of_24(), width) for width in (*WIDTHS, 1000)]
    hidden = [re.search(r"(\d+) more\s+columns? in", " ".join(text.split())) for text in texts]
    numbers = [0 if each is None else int(each[1]) for each in hidden]
    assert numbers == sorted(numbers, reverse=True)
    assert numbers[0] > numbers[-1] == 0
    for words in ("27.3/31.8/-", "634", " 98 ", "38.5", "3.70", "M/s"):
        assert words in texts[-1]


def test_eight_configurations_of_three_seeds_are_eight_lines() -> None:
    runs = [
        ([f"batch_size={size}", f"seed={seed}"], record(str(size), seed, scale=seed + 1))
        for size in (16, 32, 64, 128, 256, 512, 1024, 2048)
        for seed in range(3)
    ]
    for width in WIDTHS:
        text = printed(runs, width)
        assert_fits(text, width, ["24 runs of 8 configurations", "accuracy >= 0.9"])
        assert len([line for line in text.splitlines() if "3/3 reached" in line]) == 8
    # 4, 8 and 12 s; 20, 40 and 60 J.
    cells = row(runs, "batch_size=64")
    assert cells[:6] == ["batch_size=64", "3/3 reached", "8", "4 to 12", "40", "20 to 60"]


def test_six_runs_have_an_interval() -> None:
    runs = of_seeds(*(record(seed=seed, scale=seed + 1) for seed in range(6)))
    # 4, 8, ... 24 s: the median is 14, and with six runs the interval is from end to end.
    assert row(runs, "lr=1e-3")[1:4] == ["6/6 reached", "14", "[4, 24]"]
    assert "95% interval" in printed(runs)


def test_a_run_that_missed_is_the_worst_of_three() -> None:
    runs = of_seeds(
        record(seed=0), record(seed=1, scale=2), record(seed=2, scale=9, accuracies=(0.5, 0.6))
    )
    # 4 s, 8 s and a miss: the median is 8, not the mean of the two that hit.
    assert row(runs, "lr=1e-3")[1:5] == ["2/3 reached", "0.6", "8", "4 to inf"]


def test_the_median_lies_beyond_where_half_missed() -> None:
    runs = of_seeds(
        record(seed=0),
        record(seed=1, scale=5, accuracies=(0.5, 0.106)),
        record(seed=2, scale=9, accuracies=(0.5, 0.88)),
    )
    # Spent were 4, 20 and 36 s: each needs at least that, so the median lies above 20.
    cells = row(runs, "lr=1e-3")
    assert cells[1:5] == ["1/3 reached", "0.5 to 0.88", "> 20", "4 to inf"]
    assert "> 100" in cells


def test_a_failure_would_never_have_hit() -> None:
    failed = record(seed=1, status="failed", accuracies=(0.5, 0.6), message="diverged")
    killed = record(seed=2, status="killed", accuracies=(0.5, 0.6), message="out")
    runs = of_seeds(record(seed=0), failed, killed)
    cells = row(runs, "lr=1e-3")
    assert cells[1:4] == ["1/3 reached, 1 failed, 1 killed", "0.6", "inf"]
    only = of_seeds(failed, killed)
    assert row(only, "lr=1e-3")[1:4] == ["0/2 reached, 1 failed, 1 killed", "0.6", "-"]


def test_what_was_interrupted_or_refused_does_not_count() -> None:
    refused = record(seed=1, accuracies=(), status="refused", message="no such combination")
    interrupted = record(seed=2, accuracies=(0.5,), status="interrupted", message="Ctrl-C")
    runs = of_seeds(record(seed=0), refused, interrupted)
    assert row(runs, "lr=1e-3")[1:3] == ["1/1 reached, 1 refused, 1 interrupted", "4"]
    alone = of_seeds(interrupted)
    assert row(alone, "lr=1e-3")[1:4] == ["interrupted", "0.5", "> 2"]
    assert printed(alone).count("interrupted") == 1


def test_of_a_seed_that_was_measured_twice_one_run_counts() -> None:
    earlier = replace(record(seed=0, scale=3), started_utc="2020-01-01T00:00:00Z")
    runs = of_seeds(earlier, record(seed=0))
    assert row(runs, "lr=1e-3")[1:3] == ["1/1 reached", "4"]


def test_prices_that_were_swept_have_a_row_each() -> None:
    """They are of one configuration, and of one seed and repeat."""
    runs = []
    for rate in (1.0, 2.0):
        run = record()
        charged = replace(run, config={**run.config, "price": {"usd_per_hour": rate}})
        runs.append(([f"price.usd_per_hour={rate}"], charged))
    assert runs[0][1].config_hash == runs[1][1].config_hash
    names = [line.split()[0] for line in rows_under_rule(printed(runs))[:2]]
    assert names == ["price.usd_per_hour=1.0", "price.usd_per_hour=2.0"]


def test_incomparable_runs_are_marked_and_flags_named_once() -> None:
    incomparable = Health(comparable=False, flags=["other_load", "sampler_gap"])
    doubtful = Health(comparable=True, flags=["meter_failed"])
    runs = of_seeds(
        replace(record(seed=0), health=incomparable),
        replace(record(seed=1), health=Health(comparable=False, flags=["other_load"])),
        replace(record(seed=2), health=doubtful),
    )
    assert row(runs, "lr=1e-3")[1:3] == ["3/3 reached", "2"]
    text = printed(runs, 80)
    assert "Not comparable: other_load (2 runs), sampler_gap (1 run)." in text
    assert "Flagged, and comparable: meter_failed (1 run)." in text


def test_a_single_run_shows_what_lies_between_and_no_list_of_overrides() -> None:
    overrides = ["lr=0.1", "results=/long/path", "seed=3", *(f"model.k{n}=1" for n in range(30))]
    text = printed([(overrides, record())], 80)
    assert_fits(text, 80, ["train: 1 run; target accuracy >= 0.9; lr=0.1", "(2, 4]"])
    assert len(text.splitlines()) <= 10
    assert "/long" not in text


def test_the_end_of_a_schedule_lies_between_nothing() -> None:
    ended = record(target={**TARGET, "rule": "final"})
    assert ended.target is not None
    assert ended.target.time_to_target_s == 4.0
    assert "(start, 4" not in printed([(["seed=0"], ended)])
    first = record(accuracies=(0.95,))
    assert "(start, 2]" in printed([(["seed=0"], first)])


def test_configurations_that_only_their_hash_tells_apart_show_it() -> None:
    runs = [(["seed=0"], record("aaaaaa")), (["seed=0"], record("bbbbbb"))]
    text = printed(runs)
    for _, run in runs:
        assert f"defaults ({run.config_hash[:6]})" in text


def test_runs_and_paths_are_shown_by_their_last_part() -> None:
    teacher = "recipe.teacher=20260101T000000Z-0123456789ab-deadbeef"
    path = "data.file=/very/long/path/to/cifar"
    runs = [([teacher], record("a")), ([path], record("b"))]
    text = printed(runs)
    assert "recipe.teacher=deadbeef" in text
    assert "data.file=cifar" in text


@pytest.mark.parametrize("width", WIDTHS)
def test_long_names_break_at_spaces_or_lose_their_middle(width: int) -> None:
    word = "very.long.key=" + "abcdefghij" * 12
    runs = [([f"lr={n}", f"{word}{n}"], record(str(n))) for n in range(2)]
    text = printed(runs, width)
    assert_fits(text, width, ["..."])
    assert "lr=0" in text or "lr  " in text


def test_foreign_text_is_no_markup_and_gives_no_orders() -> None:
    run = replace(record("a"), health=Health(comparable=False, flags=["[/x]", "a\x1b[31m\nb"]))
    target = TargetResult(
        metric="[bold]m", value=0.5, mode="max", rule="first", consecutive=1, reached=False
    )
    other = replace(record("b"), target=target)
    text = printed([(["model=[/x]"], run), (["model=[bold]b [/]\x1b"], other)])
    for words in (
        "model=[/x]",
        "model=[bold]b [/]\\x1b",
        "a\\x1b[31m b",
        "[/x] (1 run)",
        "[bold]m",
    ):
        assert words in text
    assert "\x1b" not in text


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_an_ascii_console_shows_all_of_it(encoding: str) -> None:
    text = printed(sweep_of_24(), 1000, encoding)
    assert "+-200%" in text
    assert " us" in text
    assert_fits(printed(sweep_of_24(), 80, encoding), 80, ["+-200%"])


@pytest.mark.parametrize(
    ("error_frac", "bound"), [(0.0513, "±5.1%"), (2.004, "±200%"), (None, None)]
)
def test_energy_stands_with_its_label_and_the_bound_of_its_error(
    error_frac: float | None, bound: str | None
) -> None:
    run = replace(record(), energy_label="counter", energy_error_frac=None)
    run = targeted(run, energy_to_target_error_frac=error_frac)
    text = printed([(["seed=0"], run)], 80)
    assert "(counter)" in text
    assert (bound in text) if bound else ("±" not in text.replace("± the bound", ""))


def test_energy_of_several_kinds_has_its_label_in_each_row_and_no_median_within_one() -> None:
    counter = replace(record(seed=1), energy_label="counter")
    assert row(of_seeds(counter), "lr=1e-3")[4] == "20 (counter)"
    assert "- (mixed)" in row(of_seeds(record(seed=0), counter), "lr=1e-3")
    parts = [
        [EnergyRow(component=name, energy_j=1.0, source="x", label="counter")]
        for name in ("cpu", "gpu0")
    ]
    runs = [replace(counter, seed=n, energy=rows) for n, rows in enumerate(parts)]
    assert "- (mixed)" in row(of_seeds(*runs), "lr=1e-3")


@pytest.mark.parametrize(
    ("run", "line"),
    [
        (record(), "reached accuracy 0.95 >= 0.9 in 4 s, 20 J"),
        (record(scale=1e-4), "reached accuracy 0.95 >= 0.9 in 400 µs, 2 mJ"),
        (record(accuracies=(0.8, 0.5)), "missed: best accuracy 0.8 of 0.9, spent 4 s, 20 J"),
        (record(accuracies=(0.899999,)), "missed: best accuracy 0.899999 of 0.9, spent 2 s, 10 J"),
        (
            record(accuracies=(float("nan"),)),
            "missed: best accuracy no value of 0.9, spent 2 s, 10 J",
        ),
        (record(status="failed", message="boom [/x]\x1b"), "failed: boom [/x]\\x1b"),
        (record(status="out_of_memory", message="too big"), "out of memory: too big"),
        (record(status="refused", message="no fp16"), "refused: no fp16"),
        (record(status="killed"), "killed"),
        (replace(record(), target=None), "ended"),
    ],
)
def test_a_run_ends_with_one_line(run: RunRecord, line: str) -> None:
    assert run_line(run) == line


def test_the_line_of_a_run_is_ascii_where_it_must_be() -> None:
    assert "400 us" in said_in_ascii(run_line(record(scale=1e-4)))


def test_records_from_before_the_best_value_show_the_last_one() -> None:
    run = targeted(record(accuracies=(0.6, 0.5)), best_value=None)
    assert "no value" in run_line(run)
    assert "best accuracy 0.5 of 0.9" in run_line(replace(run, quality=QUALITY))


def test_the_value_of_a_run_that_reached_is_the_one_at_the_crossing() -> None:
    run = replace(record(), quality=replace(QUALITY, at="crossing", values={"accuracy": 0.93}))
    assert run_line(run).startswith("reached accuracy 0.93 >= 0.9 in")


@pytest.mark.parametrize(
    ("width", "text"),
    [
        (40, "lr=0.1 budget.max_epochs=3 seed=0"),
        (32, "lr=0.1 and 2 more"),
        (17, "lr=0.1 and 2 more"),
        (16, ""),
    ],
)
def test_what_all_runs_share_is_named_whole_or_counted(width: int, text: str) -> None:
    assert _join_fitting(["lr=0.1", "budget.max_epochs=3", "seed=0"], width) == text


OWN = "val/a rather long <b>name</b>_ms"
TASKS = {
    "rmse": TaskFacts(name="regression", kind="regression", sample="row"),
    "perplexity": TaskFacts(name="language_modelling", kind="next_token", sample="token"),
    OWN: TaskFacts(name="module", kind="module", sample="image"),
}
VALUES = {"rmse": 53.51234, "perplexity": 10.71, OWN: -1234.5}


def learned(metric: str, name: str = "") -> RunRecord:
    """A run that reached its target by a metric of another task."""
    run = targeted(record(name), metric=metric, mode="min", value=60.0, best_value=53.5)
    test = Quality(at="crossing", values={metric: VALUES[metric]}, num_samples=9)
    return replace(run, task=TASKS[metric], quality_test=test)


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("metric", TASKS)
def test_runs_of_any_task_fit(metric: str, width: int) -> None:
    runs = [([f"lr={n}"], learned(metric, str(n))) for n in range(3)]
    assert_fits(printed(runs, width), width, ["reached", f"target {metric[:9]}", "60"])


@pytest.mark.parametrize(
    ("metric", "heading", "value", "sample"),
    [
        ("rmse", "rmse", "53.51", "A sample is a row."),
        ("perplexity", "perplexity", "10.71", "A sample is a token."),
        # As it is recorded: a name that ends in a unit has no unit.
        (OWN, "<b>name</b>_ms", "-1234", ""),
    ],
)
def test_the_quality_is_that_of_the_target(
    metric: str, heading: str, value: str, sample: str
) -> None:
    text = printed([(["lr=1"], learned(metric, "a")), (["lr=2"], learned(metric, "b"))])
    assert heading in text
    assert value in text
    assert ("A sample is" in text) == bool(sample)
    assert sample in text
    assert "TTA: time to the target, evaluation included." in " ".join(text.split())
    assert "accuracy" not in text


def test_targets_of_two_metrics_have_a_column_each() -> None:
    runs = [(["data=a"], learned("rmse", "a")), (["data=b"], learned("perplexity", "b"))]
    text = printed(runs)
    assert "A sample is a row or a token." in " ".join(text.split())
    for begins, known in (("data=a", "53.51"), ("data=b", "10.71")):
        cells = row(runs, begins)
        assert known in cells
        assert "-" in cells


def test_a_line_names_a_metric_with_spaces() -> None:
    line = run_line(learned(OWN))
    assert line.startswith(f"reached {OWN} 53.5 <= 60 in 4 s")


def test_a_column_of_failures_is_in_base_units() -> None:
    """The median of a miss and a failure is infinite, which has no size to choose a unit by."""
    missed = record("a", 0, accuracies=(0.6, 0.5))
    killed = record("a", 1, accuracies=(0.6, 0.5), status="killed", message="x")
    lines = printed([(["seed=0"], missed), (["seed=1"], killed)]).splitlines()
    (units,) = [line.split() for line in lines if line.startswith("outcome")]
    assert "s" in units
    assert "J" in units
    assert not {"ns", "nJ"} & set(units)
