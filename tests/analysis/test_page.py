"""The page: its content, that no text of a record becomes code, and that a browser can use it."""

from __future__ import annotations

import json
import re
from dataclasses import astuple
from datetime import timedelta
from pathlib import Path
from typing import Any

import altair as alt
import pytest
from pandas import DataFrame

from analysis.load.runs import Loaded, load_runs
from analysis.page.build import page_html, write_page
from analysis.page.charts import MOST_GROUPS, chart_groups, charts
from analysis.page.details import MOST_DETAILED, detailed_runs, details, record_pairs
from analysis.page.findings import finding_words
from analysis.page.parallel import axes
from analysis.page.rows import page_rows, plain
from analysis.page.summary_parts import read_words
from analysis.page.ticks import axis_of
from analysis.page.titles import table_columns
from analysis.stats.summary import summarise
from tests.analysis.made import Made, make_sweep
from tests.analysis.made_page import EVIL, hostile_sweep, listed
from tests.analysis.made_records import SWEEP_START


def words_of(loaded: Loaded) -> str:
    first = read_words(loaded.runs, loaded.unread)
    parts = [first, *finding_words(loaded.runs, summarise(loaded.runs))]
    rows = [" | ".join(astuple(row)) for part in parts for row in part.findings]
    return "\n".join([" ".join([part.heading, *part.sentences]) for part in parts] + rows)


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Loaded:
    return hostile_sweep(tmp_path_factory.mktemp("sweep"))


@pytest.fixture(scope="module")
def page(sweep: Loaded, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_page(sweep.runs, listed(sweep), tmp_path_factory.mktemp("page") / "report.html")


# What it says.


@pytest.fixture(scope="module")
def words(sweep: Loaded) -> str:
    return words_of(sweep)


def test_the_summary_counts_what_was_read_and_what_was_not(words: str) -> None:
    assert "8 trainings of" in words
    assert "4 folders could not be read" in words
    assert "7 reached their target, 1 missed it, 0 failed" in words
    assert "1 run not comparable (other_load)" in words


def test_modelled_joules_are_called_no_ground_for_ranking(words: str) -> None:
    assert "Joules by label: modelled (8)." in words
    assert "cannot rank configurations" in words


def test_labels_that_differ_are_not_compared(tmp_path: Path) -> None:
    make_sweep(tmp_path, batch_sizes=(64,), seeds=range(3), base=Made(label="counter"))
    make_sweep(tmp_path, batch_sizes=(1024,), seeds=range(3), base=Made(label="modelled"))
    words = words_of(load_runs([tmp_path]))
    assert "Joules of different labels are not compared with one another." in words
    assert "energy, counter |" in words
    assert "energy, modelled |" in words
    assert "times the energy of" not in words


def test_when_nothing_hit_there_is_no_winner(tmp_path: Path) -> None:
    make_sweep(
        tmp_path, batch_sizes=(64,), seeds=range(2), base=Made(outcome="missed", max_samples=5000)
    )
    words = words_of(load_runs([tmp_path]))
    assert "None of 2 runs reached it, so none is the cheapest." in words
    assert "|" not in words


# What is in it.


def test_rows_are_plain_and_a_miss_holds_what_it_spent(sweep: Loaded) -> None:
    rows = page_rows(sweep.runs)
    json.dumps(rows, allow_nan=False)
    outcomes = [row["outcome"] for row in rows]
    assert outcomes.count("missed") == 1
    miss = rows[outcomes.index("missed")]
    assert miss["samples"] is None
    assert miss["time_s"] > 0


def test_models_are_named_as_the_user_wrote_them(sweep: Loaded) -> None:
    runs = sweep.runs.assign(**{"config.choices.model": "mlp"})
    assert {row["architecture"] for row in page_rows(runs)} == {"mlp"}


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (float("nan"), None),
        (float("inf"), None),
        (0.123456789, 0.12346),
        (3.0, 3),
        (True, True),
        ("a", "a"),
    ],
)
def test_values_are_rounded_to_what_can_be_seen(value: Any, shown: Any) -> None:
    assert plain(value) == shown


def test_a_record_is_all_there_but_for_the_start_of_a_long_text() -> None:
    pairs = record_pairs(
        {"a.b": 1, "missing": None, "empty": "", "error.traceback": "x" * 5000 + "end"}
    )
    assert [name for name, _ in pairs] == ["a.b", "error.traceback"]
    assert len(pairs[1][1]) < 2010
    assert pairs[1][1].endswith("end")


def test_details_thin_curve_and_telemetry(sweep: Loaded) -> None:
    found = details(sweep.runs.head(1))
    (detail,) = found.values()
    assert 2 < len(detail["curve"]["time_s"]) <= 100
    assert {"quality.accuracy", "energy_total_j", "quality.loss"} < set(detail["curve"])
    assert all(len(series["t_s"]) <= 100 for series in detail["telemetry"])
    assert {series["name"] for series in detail["telemetry"]} >= {"machine cpu_busy_frac"}


def test_details_have_phases_joules_by_component_and_the_end_of_the_log(tmp_path: Path) -> None:
    (folder,) = make_sweep(tmp_path, batch_sizes=(32,), seeds=(0,))
    (folder / "log.txt").write_text("".join(f"line {n}\n" for n in range(1000)) + "end\x1b[2J\n")
    (detail,) = details(load_runs([tmp_path]).runs).values()
    record = dict(detail["record"])
    phases = [name for name, _, _ in detail["phases"]]
    assert phases == ["launch", "init", "train", "eval", "checkpoint"]
    assert detail["phases"][2][1:] == [record["phases.train_s"], record["phase_energy.train_j"]]
    assert [(name, label) for name, _, label in detail["components"]] == [("cpu", "modelled")]
    assert len(detail["log"]) == 25
    assert detail["log"][-2:] == ["line 999", "end\\x1b[2J"]
    (folder / "log.txt").unlink()
    (detail,) = details(load_runs([tmp_path]).runs).values()
    assert detail["log"] == []


def test_of_many_runs_every_configuration_keeps_its_first_ones() -> None:
    runs = DataFrame(
        {
            "command": "train",
            "configuration": [f"c{n % 100}" for n in range(1000)],
            "run_id": range(1000),
        }
    )
    shown = detailed_runs(runs)
    assert len(shown) == MOST_DETAILED
    assert shown["configuration"].nunique() == 100


def test_charts_name_their_data_and_do_not_hold_it(sweep: Loaded) -> None:
    rows = page_rows(sweep.runs)
    found = charts(rows)
    for specification in found.values():
        alt.Chart.from_dict(specification, validate=True)  # raises if it is no Vega-Lite
    assert "Energy against time to target" in found
    assert all("datasets" not in chart for chart in found.values())
    text = json.dumps(found)
    assert '"name": "runs"' in text
    assert "energy to target (modelled)" in text


def row(run_id: str, **more: Any) -> dict[str, Any]:
    names = (
        *("batch_size", "lr", "samples", "time_s", "energy_j", "cost_usd", "basis", "label"),
        *("cpu_frac", "quality", "latency_p90_ms", "throughput_per_s", "size_bytes"),
        *("time_per_sample_s", "energy_per_prediction_j", "metric", "sample", "policy"),
        *("on_target_frac", "off_target_frac", "num_retrains", "upkeep_per_1000_j", "regret_usd"),
        *("seed", "scenario", "flags"),
    )
    missing = dict.fromkeys(names)
    facts = {"configuration": "c", "outcome": "reached", "comparable": True, "group": "g"}
    return {"run_id": run_id, "architecture": "Mlp", **missing, **facts, **more}


def ticks_of(name: str, *values: float) -> Any:
    rows = [row(str(n), **{name: value}) for n, value in enumerate(values)]
    return axis_of(alt.X, name, rows).to_dict()["axis"].get("values")


def test_sizes_have_ticks_where_they_double_and_long_times_at_round_ones() -> None:
    assert ticks_of("batch_size", 32, 256, 32) == [32, 256]
    # More sizes than ticks fit: powers of two, from 1 to 4096 every second one.
    assert ticks_of("batch_size", *range(1, 20), 4096) == [4.0**power for power in range(7)]
    assert ticks_of("time_s", 3, 500) is None
    # On a logarithmic axis from 20 min to 5 h, and on a linear one from 1 h 10 min to 1 h 50 min.
    assert ticks_of("time_s", 1200, 18_000) == [
        *(600, 1200, 1800, 3600, 7200, 10_800, 18_000, 36_000)
    ]
    assert ticks_of("time_s", 4200, 6600) == [4200, 4800, 5400, 6000, 6600]


def test_columns_of_the_table_have_a_unit_that_suits_their_numbers() -> None:
    rows = [row(str(n), time_s=n * 1e-3, latency_p90_ms=n * 10.0**-n) for n in range(1, 9)]
    found = {each["name"]: each for each in table_columns(rows)}
    assert (found["time_s"]["title"], found["time_s"]["size"]) == ("time to target (ms)", 1e-3)
    # From 1 ms to 80 ns: each number has a unit of its own.
    own = found["latency_p90_ms"]
    assert (own["title"], own["unit"], own["size"]) == ("latency p90", "ms", None)


def test_charts_are_of_groups_the_largest_first_and_of_runs_that_count() -> None:
    rows = [
        row("a", group="small", time_s=1, energy_j=1.0),
        row("b", group="large", time_s=2, energy_j=1.0),
        row("c", group="large", time_s=3, energy_j=2.0),
        row("d", group="large", time_s=9, energy_j=9.0, outcome="superseded"),
    ]
    found = chart_groups(rows)
    assert [(group["title"], group["num"]) for group in found] == [("large", 2), ("small", 1)]
    # Of b and c alone.
    assert [(each["name"], each["low"], each["high"]) for each in found[0]["axes"]] == [
        *(("time_s", 2, 3), ("energy_j", 1.0, 2.0))
    ]
    many = [row(str(n), group=str(n)) for n in range(MOST_GROUPS + 5)]
    assert len(chart_groups(many)) == MOST_GROUPS


def test_colours_show_the_configurations_of_a_single_model_by_what_differs() -> None:
    names = ("lr=1 backend=a'b", "lr=1 backend=c")
    rows = [row(name, configuration=name, time_s=1.0, energy_j=n) for n, name in enumerate(names)]
    stroke = charts(rows)["Energy against time to target"]["encoding"]["stroke"]
    assert (stroke["field"], stroke["scale"]["domain"]) == ("configuration", list(names))
    labels = stroke["legend"]["labelExpr"].removesuffix(")[datum.label]").removeprefix("(")
    assert json.loads(labels) == {names[0]: ["backend=a'b"], names[1]: ["backend=c"]}
    rows[1]["architecture"] = "cnn"
    spec = charts(rows)["Energy against time to target"]
    assert spec["encoding"]["stroke"]["field"] == "architecture"


def test_money_says_what_it_pays_for_and_two_kinds_have_no_axis_together() -> None:
    own = [row(str(n), cost_usd=float(n + 1), basis="electricity") for n in range(3)]
    assert [each["title"] for each in axes(own)] == ["cost to target (electricity)"]
    assert axes([*own, row("r", cost_usd=9.0, basis="rental")]) == []


def test_rows_say_what_they_may_be_compared_with_and_which_do_not_count(tmp_path: Path) -> None:
    make_sweep(tmp_path, batch_sizes=(32,), seeds=range(3), interrupted=(0,))
    again = Made(start=SWEEP_START + timedelta(hours=1))
    make_sweep(tmp_path, batch_sizes=(32,), seeds=(0, 1), base=again)
    other = Made(target=0.8, start=SWEEP_START + timedelta(hours=2))
    make_sweep(tmp_path, batch_sizes=(32,), seeds=(0,), base=other)
    rows = page_rows(load_runs([tmp_path]).runs)
    assert [each["outcome"] for each in rows] == [
        *("interrupted", "superseded", "reached", "reached", "reached", "reached"),
    ]
    assert [each["group"] for each in rows] == ["accuracy ≥ 0.93"] * 5 + ["accuracy ≥ 0.8"]
    assert rows[-1]["basis"] == "electricity"


def test_a_parallel_axis_has_its_ends_and_is_linear_from_zero_on() -> None:
    rows = [row("a", size_bytes=1000, regret_usd=0.0), row("b", size_bytes=8000, regret_usd=2.0)]
    assert axes(rows) == [
        {"name": name, "title": title, "unit": unit, "low": low, "high": high, "log": log}
        for name, title, unit, low, high, log in (
            ("size_bytes", "model size", "bytes", 1000, 8000, True),
            ("regret_usd", "regret", "USD", 0.0, 2.0, False),
        )
    ]


def test_nothing_of_a_record_becomes_code(page: Path) -> None:
    html = page.read_text()
    assert "window.hacked" in html  # it is shown, as text
    assert "<script>window.hacked" not in html
    assert "<img src=x" not in html
    data = re.search(r'<script type="application/json" id="data">(.*?)</script>', html, re.S)
    assert data is not None
    assert any(
        EVIL in str(pair) for pair in json.loads(data[1])["details"].popitem()[1]["record"]
    ) or (EVIL in json.dumps(json.loads(data[1])))


def test_the_page_asks_nothing_of_a_network(page: Path) -> None:
    html = page.read_text()
    assert "default-src 'none'" in html
    outside = re.sub(r'<script type="application/json".*?</script>', "", html, flags=re.S)
    assert not re.search(r"<(script|link|img|iframe)[^>]+(src|href)=", outside)
    assert "@import" not in outside


def test_a_sweep_of_a_hundred_runs_is_under_five_megabytes(tmp_path: Path) -> None:
    make_sweep(
        tmp_path,
        batch_sizes=(16, 32, 64, 128, 256),
        lrs=(0.03, 0.3),
        models=("Mlp", "Cnn"),
        seeds=range(5),
        base=Made(max_samples=20_000),
    )
    loaded = load_runs([tmp_path])
    assert len(loaded.runs) == 100
    assert len(page_html(loaded.runs, listed(loaded)).encode()) < 5_000_000
