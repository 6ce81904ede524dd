"""Records verify as they were written, and whatever is changed in them afterwards is found."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import reduce
from pathlib import Path
from typing import Any

import pytest

from bench.config.gate import CompareConfig
from bench.core.store import read_record
from bench.gate.run.compare import compare_runs
from bench.measure.meters.base import Meter
from bench.measure.meters.rapl import RaplMeter
from bench.measure.window import Window
from bench.runs.target_window import TargetWindow
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


def test_joules_that_the_counter_did_not_show_are_found(run: Path, tmp_path: Path) -> None:
    """Readings that were made up to suit the record: the counter has risen by less."""
    import pyarrow as pa
    import pyarrow.parquet as pq

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
    answer = run_here(tmp_path, main, "results=good", "json=found.json")
    assert (answer.code, answer.err) == (0, "")
    assert "1 run: " in answer.out
    assert ", 0 differ" in answer.out
    (stored,) = json.loads((tmp_path / "found.json").read_text())["runs"].values()
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
    assert compare_runs(keys) != 4
    file = tmp_path / "baseline.json"
    file.write_text("{}")
    assert CompareConfig(baseline="a", candidate="b").verify is False
