"""The tables that end bench.serve."""

from __future__ import annotations

import re
from dataclasses import replace
from hashlib import sha256
from typing import Any

import pytest

from bench.core.outcome import outcome_record
from bench.core.records.beside import Beside
from bench.core.records.compression import Compression
from bench.core.records.model import ModelFacts, Quality
from bench.core.records.run import RunError, RunRecord, Status
from bench.core.records.serving import Serving, Stage, TrainedRun
from bench.core.records.skew import Skew
from bench.core.store import new_identity
from bench.runs.table.groups import group_runs
from bench.serving.columns import serve_columns
from bench.serving.table import serve_line, serve_tables
from tests.cli.shown import assert_fits, rows_under_rule, said_in_ascii, shown

WIDTHS = (80, 100, 120, 200)
QUALITY = Quality(
    at="served",
    values={"loss": 0.1, "accuracy": 0.95, "macro_f1": 0.94, "worst_class_recall": 0.9},
    num_samples=360,
)
SERVING = Serving(
    num_requests=1000,
    headline="latency_p99_ms",
    valid=True,
    latency_p99_ms=12.5,
    throughput_per_s=50.0,
    cost_per_million_usd=0.25,
    energy_per_prediction_j=0.0015,
    energy_per_prediction_label="modelled",
    energy_per_prediction_error_frac=2.0,
)
OWN = {"usd_per_hour": None, "usd_per_kwh": 0.15}
FAST = replace(SERVING, headline="latency_p90_ms", latency_p90_ms=0.031)
INVALID = replace(SERVING, valid=False, invalid_reasons=["p99 over the [/bound]"])


def record(
    serving: Serving | None = SERVING,
    quality: Quality = QUALITY,
    *,
    name: str = "",
    seed: int = 0,
    status: Status = "ok",
    message: str = "",
    model: str = "cnn",
    price: dict[str, Any] | None = None,
) -> RunRecord:
    """A serving of one of the models of a configuration of bench.train."""
    digest = sha256(name.encode()).hexdigest()[:12]
    trained = sha256(model.encode()).hexdigest()[:12]
    run_id = f"20260101T000000Z-{trained}-{seed:08x}"
    config = {"price": price or OWN, "seed": 0, "repeat": 0, "run": f"/a/path/{run_id}"}
    made = outcome_record(new_identity("serve", digest, 0, 0), config, [], status=status)
    if message:
        made = replace(made, error=RunError(kind="some_kind", message=message))
    if status != "ok":
        return replace(made, trained=trained_run(run_id, trained, seed, model))
    return replace(
        made,
        serving=serving,
        quality_test=quality,
        model=ModelFacts(name=model, size_bytes=38_500),
        trained=trained_run(run_id, trained, seed, model),
    )


def trained_run(run_id: str, digest: str, seed: int, model: str) -> TrainedRun:
    named = model.partition("-")[0]  # two configurations may name their model alike
    return TrainedRun(
        run_id=run_id, config_hash=digest, seed=seed, reached=True, model=named, data="digits"
    )


def printed(*runs: RunRecord, width: int = 1000) -> str:
    return shown(serve_tables, [(["backend=eager", "run=/a/path"], run) for run in runs], width)


def cells(*runs: RunRecord) -> list[str]:
    """Of the one row, whose runs are of one configuration."""
    return re.split(r" {2,}", rows_under_rule(printed(*runs))[0].strip())


def grid() -> list[tuple[list[str], RunRecord]]:
    """Backends x compressions x models of two seeds; fp16 is refused by all but one backend."""
    runs = []
    for backend in ("eager", "onnxruntime", "openvino"):
        for compression in ("none", "fp16", "int8_static"):
            for seed in range(2):
                name = f"{backend} {compression}"
                run = record(name=name, seed=seed)
                if compression == "fp16" and backend != "eager":
                    run = record(name=name, seed=seed, status="refused", message="no fp16")
                overrides = [f"backend={backend}", f"compression={compression}", "run=/a/b"]
                runs.append((overrides, run))
    return runs


@pytest.mark.parametrize("width", WIDTHS)
def test_a_grid_is_one_line_per_configuration_that_fits(width: int) -> None:
    text = shown(serve_tables, grid(), width)
    words = ["p99", "12.5", "ms", "0.9500", "(modelled)", "±200%", "int8_static", "onnxruntime"]
    assert_fits(text, width, words)
    assert len([line for line in text.splitlines() if "2/2 valid" in line]) == 7
    assert len([line for line in text.splitlines() if "2 refused" in line]) == 2
    assert "failed" not in text.replace("a pass that failed", "")
    assert "/a/b" not in text
    assert "18 runs of 9 configurations; model cnn on digits" in text


def test_a_pass_that_counts_shows_what_it_is_judged_by() -> None:
    text = printed(record())
    assert ("p99" in text, "latency" in text) == (True, True)
    assert cells(record())[:2] == ["valid", "12.5"]
    searched = replace(SERVING, headline="max_rate_per_s", max_rate_per_s=956.0)
    assert cells(record(searched))[:2] == ["valid", "956"]


def test_scenarios_with_headlines_of_their_own_name_them_in_each_row() -> None:
    searched = replace(SERVING, headline="max_rate_per_s", max_rate_per_s=12_000.0)
    runs = [
        (["scenario=server"], record(searched, name="a")),
        (["scenario=single_stream"], record(name="b")),
    ]
    text = shown(serve_tables, runs)
    assert "max rate 12 k/s" in text
    assert "p99 latency 12.5 ms" in text


def test_a_pass_that_does_not_count_has_no_headline() -> None:
    assert cells(record(INVALID))[:2] == ["INVALID", "-/-/12.5"]  # the percentiles come next
    assert "p99\nlatency" not in printed(record(INVALID))


def test_models_of_several_seeds_are_one_row_with_the_worst_for_what_failed() -> None:
    slower = replace(SERVING, latency_p99_ms=20.0)
    three = [
        record(seed=0),
        record(slower, seed=1),
        record(replace(SERVING, latency_p99_ms=30.0), seed=2),
    ]
    assert cells(*three)[:3] == ["3/3 valid", "20", "12.5 to 30"]
    # 12.5, 20 and a pass that does not count: the median is the slower of the two.
    mixed = [record(seed=0), record(slower, seed=1), record(INVALID, seed=2)]
    assert cells(*mixed)[:3] == ["2/3 valid, 1 INVALID", "20", "12.5 to inf"]


def test_where_larger_is_better_the_worst_is_nothing() -> None:
    searched = replace(SERVING, headline="max_rate_per_s", max_rate_per_s=900.0)
    failed = record(seed=1, status="failed", message="broke down")
    # Half of them failed: there is no median, and none is made up.
    assert cells(record(searched), failed)[:3] == ["1/2 valid, 1 failed", "0", "0 to 900"]


def test_several_trained_configurations_are_named() -> None:
    runs = [
        (["run=/a/x"], record(name="1", model="cnn-a")),
        (["run=/a/y"], record(name="2", model="cnn-b")),
        (["run=/a/z"], record(name="3", model="mlp")),
    ]
    text = shown(serve_tables, runs)
    for name in ("a", "b"):
        assert f"model=cnn({sha256(f'cnn-{name}'.encode()).hexdigest()[:6]})" in text
    assert "model=mlp " in text


@pytest.mark.parametrize(
    ("price", "basis"),
    [
        (OWN, "electricity"),
        ({"usd_per_hour": 1.0, "usd_per_kwh": None}, "rental"),
        ({"usd_per_hour": 1.0, "usd_per_kwh": 0.2}, "rental and electricity"),
    ],
)
def test_costs_say_what_they_pay_for(price: dict[str, Any], basis: str) -> None:
    assert f"({basis})" in printed(record(price=price))
    assert "0.250" in cells(record(price=price))


def test_costs_of_several_kinds_say_so_in_each_row() -> None:
    rented = {"usd_per_hour": 1.0, "usd_per_kwh": None}
    runs = [(["a=1"], record(name="a")), (["a=2"], record(name="b", price=rented))]
    text = shown(serve_tables, runs)
    assert "0.250 (electricity)" in text
    assert "0.250 (rental)" in text


def test_costs_that_are_not_known_have_no_column() -> None:
    assert "USD" not in printed(record(replace(SERVING, cost_per_million_usd=None)))


def test_a_quality_that_is_not_a_number_is_absent() -> None:
    absent = replace(QUALITY, values={"accuracy": None, "worst_class_recall": None})
    assert "recall" not in printed(record(quality=absent))
    assert "0.9500" in cells(record())


def test_a_compressed_model_is_in_a_row_next_to_the_uncompressed_one() -> None:
    compression = Compression(
        method="fp16",
        size_bytes=1,
        baseline_size_bytes=2,
        accuracy_change=-0.0012,
        latency_ratio=0.8,
        latency_ratio_low=0.78,
        latency_ratio_high=0.83,
    )
    one = replace(record(), compression=compression)
    assert {"-0.0012", "0.800 [0.780, 0.830]"} <= set(cells(one))


STAGES = ("client", "network", "queue", "features", "processing", "inference", "unexplained")


@pytest.mark.parametrize("width", WIDTHS)
def test_stages_have_a_table_of_their_own_that_fits(width: int) -> None:
    stages = [Stage(stage=name, mean_ms=0.01 * n) for n, name in enumerate(STAGES, 1)]
    stages.append(Stage(stage="end_to_end", mean_ms=0.28))
    runs = [
        (["backend=http", f"placement={name}"], replace(record(name=name), stages=stages))
        for name in ("edge", "cloud")
    ]
    text = shown(serve_tables, runs, width)
    assert_fits(text, width, ["end to end", "unexplained", "µs", "280", "70"])
    assert ("client" in text) == (width > 80)


def test_stages_share_a_unit_since_they_add_up() -> None:
    stages = [
        Stage(stage="network", mean_ms=0.02),
        Stage(stage="queue", mean_ms=419.98),
        Stage(stage="end_to_end", mean_ms=420.0),
    ]
    text = printed(replace(record(), stages=stages))
    assert re.search(r"0.0200 +420 +420\n", text)


@pytest.mark.parametrize(
    ("run", "line"),
    [
        (
            record(replace(SERVING, headline="latency_p90_ms", latency_p90_ms=0.031)),
            "p90 latency 31 µs",
        ),
        (record(replace(SERVING, headline="throughput_per_s")), "throughput 50 /s"),
        (record(INVALID), "INVALID: p99 over the [/bound]"),
        (record(status="refused", message="no fp16"), "refused: no fp16"),
        (record(status="failed", message="[/x]\n"), "failed: [/x] "),
    ],
)
def test_a_run_ends_with_one_line(run: RunRecord, line: str) -> None:
    assert serve_line(run) == line


def test_the_line_of_a_run_is_ascii_where_it_must_be() -> None:
    assert said_in_ascii(serve_line(record(FAST))) == "p90 latency 31 us"


def of_task(target: str, **values: float | None) -> RunRecord:
    made = record(quality=Quality(at="served", values=values, num_samples=89))
    assert made.trained is not None
    return replace(made, trained=replace(made.trained, target_metric=target))


def test_the_qualities_are_those_of_the_task_and_the_target_comes_first() -> None:
    regression = of_task("rmse", mse=4.0, rmse=2.0, mae=1.5, r2=0.25)
    columns = serve_columns(group_runs([((), regression)]))
    headings = [column.heading.replace("\n", " ") for column in columns]
    assert [heading for heading in headings if heading.startswith("test ")] == [
        "test rmse",
        "test mae",
        "test r2",
    ]
    text = printed(regression)
    assert "accuracy" not in text
    (own,) = [
        column
        for column in serve_columns(group_runs([((), of_task("my_gain", my_gain=12345.678))]))
        if column.heading == "test\nmy_gain"
    ]
    assert own.cells == ["1.235e+04"]


def test_the_change_of_a_model_without_accuracy_is_that_of_its_target() -> None:
    change = Compression(
        method="int8_dynamic",
        size_bytes=1,
        baseline_size_bytes=4,
        quality_metric="rmse",
        quality_change=0.5,
    )
    run = replace(of_task("rmse", rmse=2.0), compression=change)
    (column,) = [
        each
        for each in serve_columns(group_runs([((), run)]))
        if each.heading.replace("\n", " ") == "quality change"
    ]
    assert column.cells == ["+0.5"]
    assert column.note.startswith("Quality change and latency ratio:")


def test_skew_is_a_column_where_it_was_found() -> None:
    found = Skew(num_samples=360, found=True, changed_predictions_frac=0.034, finding="skew ...")
    sound = Skew(num_samples=360, found=False, changed_predictions_frac=0.0)
    valued = Skew(num_samples=360, found=True, outputs_max_difference=3.0, finding="skew ...")
    skews = (found, sound, valued, None)
    runs = [replace(record(name=str(n)), skew=skew) for n, skew in enumerate(skews)]
    text = shown(serve_tables, [([f"seed={n}"], run) for n, run in enumerate(runs)], 200)
    for words in ("skew", "3.4%", "none", "found", "predictions that change between the training"):
        assert words in text
    assert "skew" not in printed(runs[1])
    assert serve_line(runs[0]).endswith(", skew found")
    assert "skew" not in serve_line(runs[1])


def test_a_training_beside_the_server_has_columns_and_a_line() -> None:
    beside = Beside(
        name="retraining",
        num_threads=1,
        nice=0,
        latency_p99_alone_ms=2.0,
        latency_p99_beside_ms=5.0,
        latency_p99_ratio=2.5,
        latency_p99_ratio_low=2.25,
        latency_p99_ratio_high=2.75,
        training_alone_steps_per_s=40.0,
        training_beside_steps_per_s=10.0,
        training_ratio=0.25,
        num_rounds=10,
        num_requests=662,
    )
    both = record(replace(FAST, beside=beside))
    text = printed(both)
    for words in ("2.50 [2.25, 2.75]", "0.250", "joules of both"):
        assert words in text
    assert serve_line(both) == (
        "p90 latency 31 µs beside a retraining (one-input p99 x2.50 [2.25, 2.75], training x0.250)"
    )
    assert "joules of both" not in printed(record(FAST))
