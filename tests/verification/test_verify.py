"""Records verify as they were written, and whatever is changed in them afterwards is found."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import reduce
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bench.config.gate import CompareConfig
from bench.core.files import StoreError
from bench.core.identity import config_hash
from bench.core.records.serving import Serving
from bench.core.store import read_record
from bench.gate.run.compare import compare_runs
from bench.measure.meters.base import Meter
from bench.measure.meters.rapl import RaplMeter
from bench.measure.raw_files import METADATA
from bench.measure.window import Window
from bench.runs.target_window import TargetWindow
from bench.verification.model import Findings
from bench.verification.serving import verify_serving
from bench.verification.verify import verify_run
from bench.verify import main
from tests.cli.command import run_here
from tests.fake_powercap import FakePowercap
from tests.fakes import FakeClock, FunctionMeter
from tests.power import EnergyCounter, constant

RANGE_J = 1000.0


def trained(results: Path, *, value: float = 0.9) -> Path:
    """A training of 100 s with 50 W on a counter that wraps every 20 s, and with a model of 5 W."""
    clock = FakeClock(now_s=1000.0)
    tree = FakePowercap(results.parent / "powercap", clock)
    counter = EnergyCounter(constant(50.0), range_j=RANGE_J)
    tree.add("intel-rapl:0", "package-0", counter, limit_w=40.0)
    meters: dict[str, Meter] = {
        "rapl": RaplMeter(tree.root, clock=clock, sleep=tree.advance),
        "model": FunctionMeter(lambda: 5.0 * clock(), component="dram", label="modelled"),
    }
    window = Window(meters, clock=clock, period_s=None, idle_s=3.0, sleep=tree.advance)
    run = TargetWindow(metric="accuracy", value=value, ladder=[0.5], results=results, window=window)
    with run:
        for epoch, accuracy in enumerate([0.4, 0.7, 0.95], 1):
            tree.advance(10.0)
            with run.evaluation():
                tree.advance(2.0)
            if run.evaluated(samples=100 * epoch, steps=10 * epoch, accuracy=accuracy, loss=1.0):
                break
        tree.advance(1.0)
    assert run.folder is not None
    return run.folder


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained(tmp_path_factory.mktemp("verified") / "results")


def changed(run: Path, to: Path, key: str, change: Callable[[Any], Any]) -> Path:
    """A copy of a run in which one value of the record is another one."""
    copy = to / run.name
    copy.mkdir()
    for file in run.iterdir():
        if file.is_file():
            (copy / file.name).write_bytes(file.read_bytes())
    record = json.loads((copy / "run.json").read_text())
    *above, last = (int(part) if part.isdigit() else part for part in key.split("."))
    place = reduce(lambda node, name: node[name], above, record)
    place[last] = change(place[last])
    (copy / "run.json").write_text(json.dumps(record))
    return copy


def test_a_run_verifies_as_it_was_written(run: Path) -> None:
    """37 s at 50 W are 1850 J, so the counter of 1000 J has wrapped at least once."""
    record = read_record(run)
    assert record.energy[0].energy_j == pytest.approx(50.0 * 37.0, rel=1e-3)
    found = verify_run(run)
    assert found.differences == []
    assert found.num_agree > 60
    assert "energy" not in found.unknown


def test_a_miss_verifies(tmp_path: Path) -> None:
    found = verify_run(trained(tmp_path / "results", value=0.99))
    assert found.differences == []
    assert "target.time_per_sample_s" in found.unknown


def more(value: float) -> float:
    return value * 1.001


@pytest.mark.parametrize(
    ("key", "change"),
    [
        ("target.time_to_target_s", more),
        ("target.last_miss_s", more),
        ("target.train_time_to_target_s", more),
        ("target.energy_to_target_j", more),
        ("target.energy_to_target_error_frac", more),
        ("target.samples_to_target", lambda value: value + 1),
        ("target.time_per_sample_s", more),
        ("target.energy_per_sample_j", more),
        ("target.cost_to_target_usd", more),
        ("target.emissions_to_target_gco2e", more),
        ("target.best_value", lambda _: 0.99),
        ("target.reached", lambda _: False),
        ("ladder.0.time_s", more),
        ("ladder.0.energy_j", more),
        ("phases.wall_time_s", more),
        ("phases.train_s", more),
        ("energy_total_j", more),
        ("energy_label", lambda _: "counter"),
        ("energy_error_frac", more),
        ("energy.0.energy_j", more),
        ("energy.0.label", lambda _: "integrated"),
        ("energy.0.energy_error_frac", more),
        ("energy.0.below_resolution", lambda _: True),
        ("energy.0.counter_reset", lambda _: True),
        ("phase_energy.train_j", more),
        ("phase_energy.eval_error_frac", more),
        ("phase_energy.below_resolution", lambda _: ["train"]),
        # A part that is gone would otherwise leave nothing to verify.
        ("phase_energy", lambda _: None),
        ("health", lambda _: None),
        ("utilization", lambda _: None),
        ("phases.wall_time_s", lambda _: None),
        ("nodes", lambda _: [{"node": 1, "host": {}}]),
        ("idle.before_w", more),
        ("idle.net_energy_j", lambda value: value + 1),  # 0: the load draws what idling does
        ("health.comparable", lambda value: not value),
        ("health.flags", lambda flags: [*flags, "cpu_quota"]),
        ("utilization.cpu_machine_frac", lambda _: 0.123),
        ("utilization.mfu_frac", lambda _: 0.5),  # on a CPU
        ("config_hash", lambda _: "0" * 12),
        ("run_id", lambda value: f"{value[:-1]}x"),
        ("seed", lambda _: 7),
    ],
)
def test_a_changed_value_is_found(
    run: Path, tmp_path: Path, key: str, change: Callable[[Any], Any]
) -> None:
    found = verify_run(changed(run, tmp_path, key, change))
    head = key.partition(".")[0]
    assert any(each.key.startswith(head) for each in found.differences), found.differences


@pytest.mark.parametrize(
    ("key", "change"),
    [
        ("time_s", more),
        ("train_time_s", more),
        ("eval_time_s", more),
        ("checkpoint_time_s", lambda value: value + 1),
        ("energy_total_j", lambda _: None),
        ("energy_label", lambda _: "counter"),
        ("energy_error_frac", more),
        ("eval_energy_j", more),
        ("checkpoint_energy_j", lambda value: value + 1),
    ],
)
def test_a_changed_evaluation_is_found(
    run: Path, tmp_path: Path, key: str, change: Callable[[Any], Any]
) -> None:
    """The first one, from which no number of the record follows."""
    copy = changed(run, tmp_path, "seed", lambda value: value)
    first, *rest = (copy / "curve.jsonl").read_text().splitlines()
    row = json.loads(first)
    row[key] = change(row[key])
    (copy / "curve.jsonl").write_text("\n".join([json.dumps(row), *rest, ""]))
    assert f"curve[0].{key}" in [each.key for each in verify_run(copy).differences]


def test_an_evaluation_that_is_left_out_or_doubled_is_found(run: Path, tmp_path: Path) -> None:
    copy = changed(run, tmp_path, "seed", lambda value: value)
    first, *rest = (copy / "curve.jsonl").read_text().splitlines()
    for lines in (rest, [first, first, *rest]):
        (copy / "curve.jsonl").write_text("\n".join([*lines, ""]))
        keys = [each.key for each in verify_run(copy).differences]
        assert "curve (number of evaluations)" in keys


def test_phases_are_those_at_the_last_reading(run: Path, tmp_path: Path) -> None:
    """One second more of training in every place where the record has it."""
    copy = changed(run, tmp_path, "phases.train_s", lambda value: value + 1)
    record = json.loads((copy / "run.json").read_text())
    record["phases"]["wall_time_s"] += 1
    (copy / "run.json").write_text(json.dumps(record))
    keys = [each.key for each in verify_run(copy).differences]
    assert "phases.train_s" in keys


def test_repeats_are_hashed_as_the_first(run: Path, tmp_path: Path) -> None:
    """`seed: ${seed}` in a group is stored as 7, and hashed as 0, as for every other repeat."""
    copy = changed(run, tmp_path, "seed", lambda _: 7)
    record = json.loads((copy / "run.json").read_text())
    record["config"] |= {"seed": 7, "data": {"seed": 7, "parts": [{"seed": 7, "size": 7}]}}
    first = {**record["config"], "data": {"seed": 0, "parts": [{"seed": 0, "size": 7}]}}
    record["config_hash"] = config_hash(first)
    (copy / "run.json").write_text(json.dumps(record))
    assert "config_hash" not in [each.key for each in verify_run(copy).differences]
    record["config"]["data"]["parts"][0]["size"] = 8
    (copy / "run.json").write_text(json.dumps(record))
    assert "config_hash" in [each.key for each in verify_run(copy).differences]


def test_nothing_that_a_record_names_is_called(run: Path, tmp_path: Path) -> None:
    """A price is built from the configuration; in somebody else's folder it may be any function."""
    made = tmp_path / "made"
    call = {"_target_": "pathlib.Path.touch", "_args_": [str(made)]}
    found = verify_run(changed(run, tmp_path, "config.price", lambda _: call))
    assert "is not called" in found.unknown["target.cost_to_target_usd"]
    below = tmp_path / "below"
    below.mkdir()
    verify_run(changed(run, below, "config.price.source", lambda _: call))
    assert not made.exists()


def column(name: str, value: Any, kind: pa.DataType) -> Callable[[pa.Table], pa.Table]:
    def change(table: pa.Table) -> pa.Table:
        values = pa.array([value] * len(table), kind)
        return table.set_column(table.schema.get_field_index(name), name, values)

    return change


def constants(change: Callable[[dict[str, Any]], Any]) -> Callable[[pa.Table], pa.Table]:
    def changed_metadata(table: pa.Table) -> pa.Table:
        kept = json.loads(table.schema.metadata[METADATA])
        change(kept)
        return table.replace_schema_metadata({METADATA: json.dumps(kept).encode()})

    return changed_metadata


@pytest.mark.parametrize(
    ("file", "change"),
    [
        ("readings", lambda table: table.drop_columns(["train_s"])),
        ("readings", lambda table: table.drop_columns(["energy_j"])),
        ("readings", lambda table: table.replace_schema_metadata({})),
        ("readings", lambda table: table.replace_schema_metadata({METADATA: b"[" * 10**5})),
        ("readings", constants(lambda kept: kept["components"][0].update(label="x"))),
        ("readings", constants(lambda kept: kept["components"][0].update(name=[]))),
        ("readings", constants(lambda kept: kept["cpu"][0].update(at_s=None))),
        ("readings", constants(lambda kept: kept.pop("failed"))),
        ("readings", column("t_s", None, pa.float64())),
        ("readings", column("energy_j", "x", pa.string())),
        ("readings", column("missed_j", float("nan"), pa.float64())),
        ("readings", column("resets", None, pa.int64())),
        ("readings", column("eval_s", "x", pa.string())),
        ("telemetry", lambda table: table.drop_columns(["device"])),
        ("telemetry", column("value", float("inf"), pa.float64())),
        ("telemetry", column("t_s", None, pa.float64())),
        ("telemetry", column("metric", None, pa.string())),
    ],
)
def test_a_hostile_file_is_unreadable_in_one_line(
    run: Path, tmp_path: Path, file: str, change: Callable[[pa.Table], pa.Table]
) -> None:
    copy = changed(run, tmp_path, "seed", lambda value: value)
    path = copy / f"{file}.parquet"
    pq.write_table(with_a_sample(pq.read_table(path)), path)
    pq.write_table(change(pq.read_table(path)), path)
    with pytest.raises(StoreError, match=f"^[^\n]*{file}.parquet: cannot be read [^\n]*$"):
        verify_run(copy)


def with_a_sample(table: pa.Table) -> pa.Table:
    """The window of these tests takes no samples, so its telemetry has no rows."""
    sample = {"t_s": 0.0, "device": "process_tree", "metric": "rss_bytes", "value": 1.0}
    return table if len(table) else pa.Table.from_pylist([sample], schema=table.schema)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("config", {}),
        ("config.target", 3),
        ("config.target.value", "x"),
        ("config.price", "x"),
        ("config.price.usd_per_kwh", [1]),
        ("config.grid.country_iso_code", {}),
    ],
)
def test_a_hostile_configuration_is_unreadable(
    run: Path, tmp_path: Path, key: str, value: Any
) -> None:
    copy = changed(run, tmp_path, key, lambda _: value)
    with pytest.raises(StoreError, match="config cannot be used"):
        verify_run(copy)


def test_the_rate_of_a_server_ends_with_the_query_that_came_last() -> None:
    """Three queries at 0, 1 and 2 s; the second is answered last, at 5 s, the third at 3 s.

    LoadGen counts two intervals in 3 s. With a failed one of three it is two thirds of that.
    """
    columns = {"query": [0, 1, 2], "scheduled_s": [0.0, 1.0, 2.0], "latency_ms": [1e3, 4e3, 1e3]}
    for num_failed, rate_per_s in ((0, 2 / 3), (1, 2 / 3 * 2 / 3)):
        serving = Serving(
            scenario="server",
            valid=True,
            num_failed=num_failed,
            num_predictions=3 - num_failed,
            num_requests=3,
            duration_s=5.0,
            latency_mean_ms=2e3,
            throughput_per_s=rate_per_s,
        )
        served = SimpleNamespace(
            record=SimpleNamespace(serving=serving, rate_search=[]),
            requests=pd.DataFrame(columns),
        )
        found = Findings()
        verify_serving(served, found)  # type: ignore[arg-type]  # has what it needs
        assert found.differences == []


def test_every_flag_of_the_samples_is_recomputed(run: Path, tmp_path: Path) -> None:
    flags = ["cpu_quota", "gpu_thermal", "gpu_power_brake", "foreign_gpu_process"]
    found = verify_run(changed(run, tmp_path, "health.flags", lambda _: flags))
    keys = {each.key for each in found.differences}
    assert {f"health.flags: {flag}" for flag in flags} <= keys


def test_joules_that_the_counter_did_not_show_are_found(run: Path, tmp_path: Path) -> None:
    """Readings that were made up to suit the record: the counter has risen by less."""
    copy = changed(run, tmp_path, "seed", lambda value: value)
    table = pq.read_table(copy / "readings.parquet")
    shown = [value and value * 0.9 for value in table.column("shown_j").to_pylist()]
    place = table.schema.get_field_index("shown_j")
    forged = table.set_column(place, "shown_j", pa.array(shown, pa.float64()))
    pq.write_table(forged.replace_schema_metadata(table.schema.metadata), copy / "readings.parquet")
    keys = [each.key for each in verify_run(copy).differences]
    assert keys == ["readings[cpu0].energy_j"]


def test_without_readings_joules_are_unknown_and_not_trusted(run: Path, tmp_path: Path) -> None:
    copy = changed(run, tmp_path, "seed", lambda value: value)
    (copy / "readings.parquet").unlink()
    found = verify_run(copy)
    assert found.differences == []
    assert "no readings.parquet" in found.unknown["energy"]


def test_the_command_and_its_exit_codes(run: Path, tmp_path: Path) -> None:
    good, bad, broken = (tmp_path / name for name in ("good", "bad", "broken"))
    for folder in (good, bad, broken):
        folder.mkdir()
    changed(run, good, "seed", lambda value: value)
    changed(run, bad, "target.time_to_target_s", more)
    (changed(run, broken, "seed", lambda value: value) / "run.json").write_text("{")
    answer = run_here(tmp_path, main, "results=good", "json=new/found.json")
    assert (answer.code, answer.err) == (0, "")
    assert "1 run: " in answer.out
    assert ", 0 differ" in answer.out
    (stored,) = json.loads((tmp_path / "new/found.json").read_text())["runs"].values()
    assert stored["differences"] == []
    answer = run_here(tmp_path, main, "results=[good,bad]")
    assert answer.code == 1
    assert "target.time_to_target_s: stored " in answer.out
    answer = run_here(tmp_path, main, "results=[bad,broken]")
    assert answer.code == 5
    assert "cannot be verified" in answer.out
    answer = run_here(tmp_path, main, "results=nowhere")
    assert (answer.code, answer.err) == (2, "error: results=nowhere: no such folder\n")


def test_the_gate_refuses_a_side_that_does_not_verify(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good, bad = tmp_path / "good", tmp_path / "bad"
    good.mkdir()
    bad.mkdir()
    changed(run, good, "seed", lambda value: value)
    changed(run, bad, "target.time_to_target_s", more)
    keys = {"baseline": str(good), "candidate": str(bad), "min_runs": 1}
    assert compare_runs(keys | {"verify": True}) == 4
    assert "does not verify: target.time_to_target_s is" in capsys.readouterr().out
    assert compare_runs(keys | {"candidate": str(good), "verify": True}) != 4
    torn = tmp_path / "torn"
    torn.mkdir()
    (changed(run, torn, "seed", lambda value: value) / "readings.parquet").write_bytes(b"PAR1")
    assert compare_runs(keys | {"candidate": str(torn), "verify": True}) == 4
    assert "readings.parquet: cannot be read" in capsys.readouterr().out
    assert compare_runs(keys) != 4
    file = tmp_path / "baseline.json"
    file.write_text("{}")
    assert CompareConfig(baseline="a", candidate="b").verify is False
