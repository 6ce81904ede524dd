"""What only a machine with an NVIDIA GPU can show: `make gpu-check`.

It needs no network and is meant for less than eight minutes on one GPU. It prints one table, and
writes it as Markdown (`--out FILE`). Each row says what was checked, what was seen, and whether
that is as it should be: `ok`, `FAIL`, or a dash for what is only reported. Exit code: 0 no row
fails, 1 one does, 3 there is no GPU here.

`--device cpu` runs the part that trains, compares and serves on the processor, shortened: it shows
that this script works, and nothing about a GPU.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from bench.core.host import host_facts
from bench.core.scales import ENERGY, TIME, quantity
from bench.core.store import read_record
from bench.measure.gpu import Gpu, NvmlError, close_library, open_library
from bench.measure.meters.base import MeterUnavailable
from bench.measure.meters.nvml import NvmlMeter
from bench.measure.window import Window

ROOT = Path(__file__).parents[2]
_NO_GPU = 3
_IDLE_S, _LOAD_S = 5.0, 10.0
_SAMPLE_S = 0.02  # shorter than the refresh of the power of any card since Volta
# The counter and the sensor of power are one instrument, so they should agree. Source: Yang et al.,
# SC24, who find 5% between them where the sensor looks all the time.
_AGREE_FRAC = 0.10
_CALLS = 200
_PAIRS = 10
_QUICK_PAIRS = 5  # the gate judges from five runs on


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the table; `ok` is None for what is only reported."""

    check: str
    seen: str
    ok: bool | None = None


def main() -> int:
    """Run all checks that can run, and print and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, help="write the table to this file, as Markdown")
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    chosen = parser.parse_args()
    on_gpu = chosen.device == "cuda"
    if on_gpu and not torch.cuda.is_available():
        print("no GPU that torch can use; nothing was checked", file=sys.stderr)
        return _NO_GPU
    started_s = time.monotonic()
    rows: list[Row] = []
    checks: list[Callable[[], Iterator[Row]]] = [check_machine, check_counter, check_scope]
    checks += [check_cost_of_calls]
    with tempfile.TemporaryDirectory() as folder:
        commands = Commands(Path(folder), device=chosen.device)
        checks = (checks if on_gpu else []) + [
            commands.check_training,
            commands.check_power_limit,
            commands.check_gate,
            commands.check_serving,
        ]
        for check in checks:
            rows += _guarded(check)
    rows.append(Row("all checks", f"took {time.monotonic() - started_s:.0f} s"))
    _print(rows)
    if chosen.out is not None:
        chosen.out.write_text(_markdown(rows), encoding="utf-8")
    return int(any(row.ok is False for row in rows))


def _guarded(check: Callable[[], Iterator[Row]]) -> list[Row]:
    """The rows of a check; one that breaks off is a failed row, and the others go on."""
    rows: list[Row] = []
    try:
        rows.extend(check())
    except Exception as error:
        name = check.__name__.replace("_", " ")
        rows.append(Row(name, f"{type(error).__name__}: {error}", False))
    return rows


def check_machine() -> Iterator[Row]:
    """Say what this machine is."""
    host = host_facts()
    yield Row("processor", f"{host['cpu_name']}, {host['num_cpus_allowed']} CPUs")
    yield Row("torch", f"{torch.__version__}, CUDA {torch.version.cuda}")
    for number in range(torch.cuda.device_count()):
        facts = torch.cuda.get_device_properties(number)
        yield Row(f"CUDA device {number}", f"{facts.name}, UUID {facts.uuid}")
    settings = asdict(_card_of_torch().settings())
    close_library()
    known = [f"{name} {value}" for name, value in settings.items() if value is not None]
    yield Row("its settings", ", ".join(known))
    unknown = [name for name, value in settings.items() if value is None]
    yield Row("settings that it does not tell", ", ".join(unknown) or "none")


def check_counter() -> Iterator[Row]:
    """Compare the joules of the counter with the integral of the power, idle and under load."""
    gpu = _card_of_torch()
    for name, seconds, load in (("idle", _IDLE_S, False), ("under load", _LOAD_S, True)):
        meter = NvmlMeter()
        meter.choose_gpus([gpu.uuid])
        meter.open()
        try:
            counted_j, integral_j = _both_joules(meter, gpu, seconds, load=load)
            component = meter.components[0]
        finally:
            meter.close()
        ratio = counted_j / integral_j
        agrees = abs(ratio - 1) <= max(_AGREE_FRAC, 1 - gpu.power_seen_frac())
        seen = (
            f"{quantity(counted_j, ENERGY)} by the meter ({component.label}, refresh "
            f"{quantity(component.refresh_s, TIME)}), {quantity(integral_j, ENERGY)} by "
            f"{1 / _SAMPLE_S:.0f} Hz of power: ratio {ratio:.3f}"
        )
        yield Row(f"joules {name}, {seconds:.0f} s", seen, agrees)
    close_library()


def _card_of_torch() -> Gpu:
    """The card of CUDA device 0, by its UUID; close_library() when done."""
    uuid = str(torch.cuda.get_device_properties(0).uuid)
    cards = open_library()
    found = [card for card in cards if isinstance(card, Gpu) and uuid in card.uuid]
    if len(found) != 1:
        raise MeterUnavailable(f"{len(found)} of {len(cards)} cards have the UUID {uuid}")
    return found[0]


def _both_joules(meter: NvmlMeter, gpu: Gpu, seconds: float, *, load: bool) -> tuple[float, float]:
    """Joules over some seconds: by the meter, and by the trapezoid rule over power."""
    matrix = torch.randn(4096, 4096, device="cuda")
    torch.cuda.synchronize()
    first_j = _joules(meter)
    last_s, last_w = time.perf_counter(), gpu.power_w()
    end_s, integral_j = last_s + seconds, 0.0
    while last_s < end_s:
        if load:
            matrix = (matrix @ matrix).clamp(-1, 1)
            torch.cuda.synchronize()
        else:
            time.sleep(_SAMPLE_S)
        now_s, now_w = time.perf_counter(), gpu.power_w()
        integral_j += (now_s - last_s) * (now_w + last_w) / 2
        last_s, last_w = now_s, now_w
    return _joules(meter) - first_j, integral_j


def _joules(meter: NvmlMeter) -> float:
    (reading,) = meter.read().values()
    if reading.failure is not None:
        raise MeterUnavailable(reading.failure)
    return reading.energy_j


def check_scope() -> Iterator[Row]:
    """Verify that a window around work on one card measures that card alone."""
    uuid = str(torch.cuda.get_device_properties(0).uuid)
    with Window(gpus=[uuid], shared=True) as window:
        _ = torch.randn(1024, 1024, device="cuda") @ torch.randn(1024, 1024, device="cuda")
        torch.cuda.synchronize()
        time.sleep(1.0)
    gpus = [row.component for row in window.energy.rows if row.component.startswith("gpu")]
    seen = f"{', '.join(gpus) or 'no GPU'} of {torch.cuda.device_count()}"
    yield Row("cards of a run on one", seen, len(gpus) == 1)


def check_cost_of_calls() -> Iterator[Row]:
    """Time each call that the sampler makes."""
    gpu = _card_of_torch()
    calls: dict[str, Callable[[], object]] = {
        "energy": gpu.energy_j,
        "power": gpu.power_w,
        "utilization": gpu.busy_frac,
        "memory": gpu.memory_used_bytes,
        "temperature": gpu.temperature_c,
        "clock": gpu.sm_clock_mhz,
        "slowdowns": gpu.slowdowns,
        "processes": gpu.compute_pids,
    }
    for name, call in calls.items():
        try:
            yield Row(f"call: {name}", f"median {quantity(_median_s(call), TIME)}")
        except NvmlError as error:
            yield Row(f"call: {name}", f"not offered: {error}")
    close_library()


def _median_s(call: Callable[[], object]) -> float:
    times_s = []
    for _ in range(_CALLS):
        started_s = time.perf_counter()
        call()
        times_s.append(time.perf_counter() - started_s)
    return median(times_s)


class Commands:
    """Checks that start the commands of this project."""

    def __init__(self, folder: Path, *, device: str) -> None:
        """Start nothing yet.

        Args:
            folder: For results.
            device: cuda, or cpu to try this script where there is no GPU.
        """
        self._folder = folder
        self._is_gpu = device == "cuda"
        self._device = device
        accelerator = "gpu" if self._is_gpu else "cpu"
        self._common = ["codecarbon=none", f"trainer.accelerator={accelerator}", "progress=false"]
        self._model = ["model=cnn", "target.eval_every_samples=5000", "budget.max_epochs=5"]
        if not self._is_gpu:
            self._model = ["model=mlp", "+data.num=1000", "budget.max_epochs=1"]

    def check_training(self) -> Iterator[Row]:
        """Train to 90% on random images of two shapes, with and without torch.compile."""
        compiled = ["false", "true"] if self._is_gpu else ["false"]
        for shape in ("FashionShaped", "CifarShaped"):
            for each in compiled:
                results = self._train(f"{shape}-{each}", shape, f"trainer.compile={each}")
                yield from _of_records(f"{shape}, compile={each}", results, self._is_gpu)

    def check_power_limit(self) -> Iterator[Row]:
        """Train below the power limit of the card, or be refused; it must be put back."""
        if not self._is_gpu:
            return
        before_w = _power_limit_w()
        limit = f"trainer.gpu_power_limit_w={round(0.8 * before_w)}"
        try:
            results = self._train("limited", "FashionShaped", limit)
        except RuntimeError as refused:
            yield Row("power limit, set to 80%", f"refused: {str(refused)[-300:].strip()}")
        else:
            yield from _of_records("FashionShaped at 80% of the power limit", results, True)
        after_w = _power_limit_w()
        seen = f"{before_w:g} W before, {after_w:g} W after"
        yield Row("power limit is put back", seen, abs(after_w - before_w) < 1)

    def check_gate(self) -> Iterator[Row]:
        """Compare runs of one configuration with others of the same: no verdict may be a loss."""
        num = _PAIRS if self._is_gpu else _QUICK_PAIRS
        half = num // 2
        turns = (("a", 0, half), ("b", 0, half), ("b", half, num), ("a", half, num))
        for side, first, end in turns:
            repeats = ",".join(map(str, range(first, end)))
            self._train(f"aa-{side}", "FashionShaped", f"repeat={repeats}", sweeps=True)
        report = self._folder / "aa.json"
        force = [] if self._is_gpu else ["force=[health]"]
        sides = [f"{key}={self._folder / f'aa-{side}'}" for key, side in _SIDES.items()]
        code = self._run("bench.compare", *sides, f"json={report}", *force, codes=(0, 1, 3))
        rows = json.loads(report.read_text())["rows"]
        worse = [row["metric"] for row in rows if row["verdict"] == "regression"]
        seen = f"exit {code}, {len(rows)} rows, {len(worse)} regressions {' '.join(worse)}"
        yield Row(f"gate, {num} A/A pairs", seen.strip(), code == 0 if self._is_gpu else None)

    def check_serving(self) -> Iterator[Row]:
        """Serve a trained model in each runtime."""
        backends = ["eager", "compile", "onnxruntime"] if self._is_gpu else ["eager"]
        train = self._folder / "FashionShaped-false" / "train"
        run = next(train.iterdir())
        for backend in backends:
            results = self._folder / f"serve-{backend}"
            self._run(
                "bench.serve",
                f"run={run}",
                f"results={results}",
                f"backend={backend}",
                f"backend.device={self._device}",
                "allow_missed=true",
                "trust=[tests.gpu.random_data]",
                "scenario=single_stream",
                "scenario.min_duration_s=2",
                "codecarbon=none",
                codes=(0, 5),
            )
            yield from _of_servings(backend, results, self._device)

    def _train(self, name: str, shape: str, *overrides: str, sweeps: bool = False) -> Path:
        results = self._folder / name
        self._run(
            "bench.train",
            *(["-m"] if sweeps else []),
            "data=custom",
            f"data._target_=tests.gpu.random_data.{shape}",
            "batch_size=256",
            "lr=0.1",
            "target.value=0.9",
            f"results={results}",
            *self._common,
            *self._model,
            *overrides,
        )
        return results

    def _run(self, module: str, *arguments: str, codes: Sequence[int] = (0,)) -> int:
        """Run a command from the top of the checkout.

        Raises:
            RuntimeError: It ended with another exit code; the message has the end of its output.
        """
        command = [sys.executable, "-m", module, *arguments]
        answer = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        if answer.returncode not in codes:
            end = f"{answer.stdout}{answer.stderr}"[-500:]
            raise RuntimeError(f"{module} ended with {answer.returncode}: {end}")
        return answer.returncode


_ACTIVITY = (
    *("gpu_busy_frac", "gpu_sm_active_frac", "gpu_sm_occupancy_frac"),
    *("gpu_tensor_active_frac", "gpu_dram_active_frac", "mfu_frac"),
)
_SIDES = {"baseline": "a", "candidate": "b"}


def _of_records(name: str, results: Path, wants_joules: bool) -> Iterator[Row]:
    for folder in sorted((results / "train").iterdir()):
        record = read_record(folder)
        target = record.target
        assert target is not None
        joules = [row for row in record.energy if row.component.startswith("gpu")]
        gpu_j = math.fsum(row.energy_j for row in joules)
        labels = sorted({row.label for row in joules})
        reached = "reached" if target.reached else f"missed ({target.best_value})"
        tta = quantity(target.time_to_target_s or record.phases.wall_time_s, TIME)
        energy = f"{quantity(gpu_j, ENERGY)} ({', '.join(labels)})" if joules else "no joules"
        seen = f"{reached} in {tta}; GPU: {energy}"
        yield Row(name, seen, bool(joules) if wants_joules else None)
        use = {} if record.utilization is None else asdict(record.utilization)
        active = [f"{key} {use[key]:.2f}" for key in _ACTIVITY if use.get(key) is not None]
        if wants_joules:
            yield Row(f"{name}: activity", ", ".join(active) or "the card does not tell")


def _of_servings(backend: str, results: Path, device: str) -> Iterator[Row]:
    for folder in sorted((results / "serve").iterdir()):
        record = read_record(folder)
        if record.serving is None:
            reason = record.error.message if record.error else record.status
            yield Row(f"serving, {backend}", reason, False)
            continue
        served: Any = record.serving
        p90 = quantity((served.latency_p90_ms or math.nan) / 1e3, TIME)
        each = quantity(served.energy_per_prediction_j, ENERGY)
        seen = f"p90 {p90}, {each} per prediction, on {served.device}"
        yield Row(f"serving, {backend}", seen, str(served.device).startswith(device))


def _power_limit_w() -> float:
    """The power limit of the card that is in force."""
    limit_w = _card_of_torch().power_limit_w()
    close_library()
    if limit_w is None:
        raise MeterUnavailable("the card does not tell its power limit")
    return limit_w


def _mark(row: Row) -> str:
    return "-" if row.ok is None else "ok" if row.ok else "FAIL"


def _print(rows: Sequence[Row]) -> None:
    table = Table("check", "seen", "")
    for row in rows:
        table.add_row(row.check, row.seen, _mark(row))
    Console().print(table)


def _markdown(rows: Sequence[Row]) -> str:
    lines = ["| check | seen | |", "|---|---|---|"]
    lines += [f"| {row.check} | {row.seen.replace('|', '/')} | {_mark(row)} |" for row in rows]
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    sys.exit(main())
