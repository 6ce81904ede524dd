"""The real command: the main job, its failures, and what it leaves behind."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path
from typing import get_args

import pytest
import yaml

from bench.core.labels import EnergyLabel
from bench.core.ledger import Ledger
from bench.core.lock import measuring_lock
from bench.core.store import read_curve
from tests.cli.command import (
    LAUNCHER_VARIABLES,
    Answer,
    environment,
    records,
    train,
)

pytestmark = pytest.mark.xdist_group("jobs")  # one worker, so that one server forks them

# Quick runs: the probe is as short as it may be, too short to count joules.
QUICK = (
    *("experiment=smoke", "trainer.num_warmup_steps=1", "codecarbon=none"),
    *("probe.num_requests=10", "probe.batch_sizes=[1]"),
    *("probe.max_s=0.1", "probe.min_batch_s=0.01"),
)
BROKEN = "tests.cli.broken"


def broken(name: str) -> tuple[str, ...]:
    return (*QUICK, "model=custom", f"model._target_={BROKEN}.{name}", "target.value=0.999")


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Answer]:
    """The main job, word for word."""
    folder = tmp_path_factory.mktemp("sweep")
    return folder, train(folder, "-m", "batch_size=32,256")


class TestMainJob:
    def test_reaches_the_target_and_shows_a_table(self, sweep: tuple[Path, Answer]) -> None:
        _, answer = sweep
        assert answer.code == 0, answer.err
        for words in ("batch_size=32", "batch_size=256", "reached", "TTA"):
            assert words in answer.out
        assert any(f"({label}" in answer.out for label in get_args(EnergyLabel))
        assert answer.out.splitlines()[-1] == "results: results/train"
        # Where there is no terminal: that the sweep is being checked, and a line for each run.
        assert answer.err.startswith("checking 2 jobs\n")
        first, second = answer.lines()
        assert first.startswith("run 1 of 2, batch_size=32: reached accuracy 0.9")
        assert second.startswith("run 2 of 2, batch_size=256: reached accuracy 0.9")

    def test_records_have_the_fields_of_the_design(self, sweep: tuple[Path, Answer]) -> None:
        for record in records(sweep[0]):
            assert record.status == "ok"
            target = record.target
            assert target is not None
            assert target.reached
            assert target.time_to_target_s is not None
            assert target.train_time_to_target_s is not None
            assert target.energy_to_target_j is not None
            assert target.energy_to_target_j > 0
            assert target.samples_to_target is not None
            assert target.time_per_sample_s is not None
            assert target.train_time_to_target_s < target.time_to_target_s
            assert target.time_per_sample_s * target.samples_to_target == pytest.approx(
                target.time_to_target_s
            )
            assert target.cost_to_target_usd is not None
            assert target.emissions_to_target_gco2e is not None
            assert record.energy_label is not None
            assert target.energy_to_target_error_frac is not None
            # Each meter of meter=auto either measured something or says why not.
            tried = {row.source.partition("(")[0] for row in record.energy}
            tried |= {absent.meter for absent in record.unavailable_meters}
            assert tried >= {"nvml", "rapl", "cpu_model"}
            assert record.codecarbon_energy_j is not None
            assert record.quality is not None
            assert record.quality.at == "crossing"
            assert record.quality["accuracy"] is not None
            assert record.quality["accuracy"] >= 0.95
            assert record.quality_test is not None
            assert record.model is not None
            assert record.model.num_parameters is not None
            assert record.serving is not None
            assert record.serving.latency_p99_ms is not None
            assert record.utilization is not None
            assert record.utilization.memory_peak_bytes is not None
            assert record.health is not None

    def test_phases_add_up_to_the_clock(self, sweep: tuple[Path, Answer]) -> None:
        for record in records(sweep[0]):
            phases = record.phases
            assert phases.train_s is not None
            assert phases.eval_s is not None
            assert phases.checkpoint_s is not None
            parts = phases.train_s + phases.eval_s + phases.checkpoint_s
            assert parts == pytest.approx(phases.wall_time_s, abs=1e-6)
            assert phases.init_s is not None
            assert phases.init_s > 0

    def test_energy_by_phase_adds_up_to_the_total(self, sweep: tuple[Path, Answer]) -> None:
        for record in records(sweep[0]):
            energy = record.phase_energy
            assert energy is not None
            parts = (energy.train_j, energy.eval_j, energy.checkpoint_j)
            assert sum(one or 0.0 for one in parts) == pytest.approx(
                record.energy_total_j, rel=1e-9
            )
            assert energy.train_j
            assert energy.init_j is not None
            assert energy.init_j > 0
            assert energy.init_metered_s is not None
            assert record.phases.init_s is not None
            assert 0 < energy.init_metered_s < record.phases.init_s
            last = read_curve(sweep[0] / "results" / "train" / record.run_id)[-1]
            assert last.eval_energy_j == pytest.approx(energy.eval_j)

    def test_a_run_folder_has_its_files_and_no_others(self, sweep: tuple[Path, Answer]) -> None:
        folder, _ = sweep
        names = {"run.json", "config.yaml", "curve.jsonl", "telemetry.parquet", "checkpoint.pt"}
        names |= {"readings.parquet"}
        for run in (folder / "results" / "train").iterdir():
            assert {path.name for path in run.iterdir()} == names | {"log.txt"}
            assert yaml.safe_load((run / "config.yaml").read_text())["lr"] > 0
        assert {path.name for path in folder.iterdir()} == {"results"}

    def test_the_ledger_has_a_line_for_each_start_and_end(self, sweep: tuple[Path, Answer]) -> None:
        lines = Ledger(sweep[0] / "results").events
        assert [line["event"] for line in lines] == ["launched", "ended"] * 2
        assert lines[0]["overrides"] == ["batch_size=32"]
        assert len({line["sweep_id"] for line in lines if "sweep_id" in line}) == 1
        assert len({line["config_hash"] for line in lines}) == 2

    def test_resume_skips_finished_runs(self, sweep: tuple[Path, Answer]) -> None:
        folder, _ = sweep
        before = {record.run_id for record in records(folder)}
        answer = train(folder, "-m", "batch_size=32,256", "resume=true")
        assert answer.code == 0, answer.err
        assert {record.run_id for record in records(folder)} == before
        assert "batch_size=256" in answer.out


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A quick sweep over seeds and repeats, with what can be asked for besides."""
    folder = tmp_path_factory.mktemp("quick")
    asked = ("seed=0,1", "repeat=0,1", "logger=csv", "meter=cpu_model", "meter.idle_s=0.2")
    answer = train(folder, "-m", *QUICK, "batch_size=64", *asked)
    assert answer.code == 0, answer.err
    return folder


class TestQuickSweep:
    def test_the_same_seed_takes_the_same_number_of_samples(self, quick: Path) -> None:
        curves: dict[int, list[list[float | None]]] = {}
        for record in records(quick):
            rows = read_curve(quick / "results" / "train" / record.run_id)
            curves.setdefault(record.seed, []).append([row.quality["accuracy"] for row in rows])
            assert record.config_hash == records(quick)[0].config_hash
        assert curves[0][0] == curves[0][1]
        assert curves[1][0] == curves[1][1]
        assert curves[0][0] != curves[1][0]

    def test_net_energy_is_recorded_with_the_gross_on_request(self, quick: Path) -> None:
        for record in records(quick):
            assert record.idle is not None
            assert record.idle.before_w is not None
            assert record.idle.net_energy_j is not None
            assert record.energy_total_j is not None
            assert record.idle.net_energy_j < record.energy_total_j

    def test_metrics_go_to_a_logger_under_the_names_of_the_record(self, quick: Path) -> None:
        paths = list(quick.glob("results/train/*/csv/metrics.csv"))
        assert len(paths) == 4
        header = paths[0].read_text().splitlines()[0].split(",")
        assert {"accuracy", "time_s", "energy_total_j", "worst_class_recall"} <= set(header)


def test_a_job_that_fails_leaves_a_record_and_the_sweep_goes_on(tmp_path: Path) -> None:
    failing = ["Raises", "KillsItself", "IsToldToEnd", "RunsOutOfMemory", "Diverges"]
    names = [*failing, "CannotBeBuilt", "Linear"]
    targets = ",".join(f"{BROKEN}.{name}" for name in names)
    answer = train(
        tmp_path, "-m", *QUICK, "model=custom", f"model._target_={targets}", "target.value=0.999"
    )
    assert answer.code == 5, answer.err
    found = {
        record.config["model"]["_target_"].split(".")[-1]: record for record in records(tmp_path)
    }
    kinds = {
        name: (record.status, record.error.kind if record.error else None)
        for name, record in found.items()
    }
    assert kinds == {
        "Raises": ("failed", "RuntimeError"),
        "KillsItself": ("killed", "SIGKILL"),
        "IsToldToEnd": ("interrupted", "interrupted"),
        "RunsOutOfMemory": ("out_of_memory", "out_of_memory"),
        "Diverges": ("failed", "diverged"),
        "CannotBeBuilt": ("failed", "ValueError"),
        "Linear": ("ok", None),
    }


def has_evaluations(folder: Path) -> bool:
    return any(path.stat().st_size for path in folder.glob("results/train/*/curve.jsonl"))


def press_ctrl_c(folder: Path) -> None:
    """Once a run has been evaluated."""
    deadline_s = time.monotonic() + 120
    while not has_evaluations(folder) and time.monotonic() < deadline_s:
        time.sleep(0.02)
    os.kill(os.getpid(), signal.SIGINT)


def test_ctrl_c_keeps_what_was_measured_and_stops_the_sweep(tmp_path: Path) -> None:
    thread = threading.Thread(target=press_ctrl_c, args=(tmp_path,))
    thread.start()
    answer = train(tmp_path, "-m", *broken("Slow"), "batch_size=32,64", "budget.max_epochs=1000")
    thread.join()

    assert answer.code == 130, answer.err
    (record,) = records(tmp_path)  # the second job was not started
    assert record.status == "interrupted"
    assert record.target is not None
    assert record.target.censored_at_s is not None
    assert record.target.censored_at_s > 0
    assert record.energy_total_j is not None
    assert "interrupted" in answer.out
    assert [line["event"] for line in Ledger(tmp_path / "results").events] == ["launched", "ended"]


def test_a_command_waits_for_another_measurement_unless_shared(
    tmp_path: Path,
) -> None:
    lock = Path(environment(tmp_path)["BENCH_LOCK"])
    said: list[str] = []
    with ExitStack() as other:
        other.enter_context(measuring_lock(lock, "the first run", on_wait=pytest.fail))
        shared = train(tmp_path, *QUICK, "shared=true")

        def hear(text: str) -> None:
            said.append(text)
            if "waiting" in text:
                other.close()  # the other run ends

        waiting = train(tmp_path, *QUICK, on_err=hear)

    assert "waiting: another run is being measured" in "".join(said)
    assert "the first run" in "".join(said)
    assert waiting.code == 0, waiting.err
    assert shared.code == 0, shared.err
    assert "waiting" not in shared.err
    flags = {
        record.config["shared"]: record.health.flags
        for record in records(tmp_path)
        if record.health
    }
    assert len(records(tmp_path)) == 2  # a folder each
    assert "shared" in flags[True]
    assert "shared" not in flags[False]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("batchsize=1",), "batchsize: no such key; did you mean batch_size?"),
        (("-m", "batch_size=32,0"), "batch_size=0: must be at least 1"),
        (("model=transformer",), "transformer"),
        pytest.param(
            ("logger=wandb",),
            "logger=wandb: wandb is not installed",
            marks=pytest.mark.skipif(find_spec("wandb") is not None, reason="wandb is installed"),
        ),
        (("results=/proc/nowhere",), "results=/proc/nowhere: cannot write there"),
        (
            ("meter=rapl", "meter.sources.rapl.root=/nowhere"),
            "meter=rapl: no processor package in /nowhere",
        ),
        (("meter.sources.cpu_model.idle_w=-1",), "meter.sources.cpu_model.idle_w=-1"),
        (("-m", "+probe.requests=1,2"), "probe.requests: no such key"),
        (("-m", "grid.country_iso_code=DEU,XXX"), "grid.country_iso_code=XXX"),
        (("-m", "price.usd_per_kwh=0.1,-1"), "price.usd_per_kwh=-1.0"),
        (("codecarbon.measure_period_s=-1",), "codecarbon.measure_period_s=-1"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(
    tmp_path: Path, arguments: tuple[str, ...], words: str
) -> None:
    answer = train(tmp_path, *arguments)
    assert answer.code == 2, (answer.out, answer.err)
    (line,) = answer.lines()
    assert line.startswith("error: ")
    assert words in line
    assert not (tmp_path / "results" / "train").exists()


def test_a_full_disk_loses_nothing_that_was_measured(tmp_path: Path) -> None:
    """A file system of 300 kB, where this test may mount one."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", str(disk)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip("needs the right to mount a file system")
    rescue = tmp_path / "rescue"
    rescue.mkdir()
    try:
        (disk / "filler").write_bytes(b"x" * 200_000)
        answer = train(tmp_path, *QUICK, f"results={disk}", "model.width=256")
    finally:
        # The job takes its temporary folder from the fork server, which all tests share: whatever
        # this run left there is moved, also when it did not end as it should.
        for run in disk.glob("train/*"):
            for left in Path(tempfile.gettempdir()).glob(f"{run.name}*"):
                shutil.move(left, rescue)
        subprocess.run(["umount", "-l", str(disk)], check=True)
    assert answer.code == 5, (answer.out, answer.err)
    assert "cannot be written to (disk full?)" in answer.err
    named = Path(answer.err.split("the record is ")[1].splitlines()[0])
    record = json.loads((rescue / named.name).read_text())
    assert record["status"] == "failed"
    assert "No space left" in record["error"]["message"]
    assert record["target"]["time_to_target_s"] > 0


def test_two_devices_are_measured_as_one_run_despite_a_launcher(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in LAUNCHER_VARIABLES.items():
        monkeypatch.setenv(name, value)
    inherited: set[str] = set()  # by the job, from the command that starts it

    def look(_: str) -> None:
        inherited.update(LAUNCHER_VARIABLES.keys() & os.environ.keys())

    two = ("trainer=cpu", "trainer.devices=2", "trainer.num_threads=1")
    answer = train(tmp_path, *QUICK, *two, "logger=csv", on_err=look)
    assert answer.code == 0, answer.out + answer.err
    assert answer.err
    assert not inherited
    assert list(tmp_path.glob("results/train/*/csv/metrics.csv"))  # only rank 0 writes one
    (record,) = records(tmp_path)
    assert record.target is not None
    assert record.target.reached
    (folder,) = (tmp_path / "results" / "train").iterdir()
    rows = read_curve(folder)
    assert all(row.samples == row.steps * record.config["batch_size"] for row in rows)
    assert len({row.steps for row in rows}) == len(rows)  # one curve, not one of each device
