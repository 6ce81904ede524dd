"""The job of bench.train: one run, in a fresh process of its own.

It connects data, model, meters, training and the serving probe, and writes the record whatever
happens. The fork server imports this module once, so that jobs need not import the libraries.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch

from bench.config.train import TrainConfig
from bench.core.nodes import fields_of_nodes, phase_energy_of_nodes
from bench.core.records.curve import CurveRow
from bench.core.records.run import RunError, RunRecord, Status
from bench.core.store import CurveWriter, write_record
from bench.launch.job import Job, Progress
from bench.measure.raw_files import raw_names, write_raw
from bench.measure.target_measurement import phases_of
from bench.measure.window import Window
from bench.runs.charges import require_rates, with_costs
from bench.runs.exit_handling import carry_out, start_log
from bench.runs.instruments import build_window
from bench.runs.measured import measured_record, node_facts
from bench.runs.recipes import source_record, with_recipe
from bench.training.follower import run_follower
from bench.training.gpus import gpus_set
from bench.training.loop import gpu_uuids, require_devices
from bench.training.other_nodes import OtherNodes
from bench.training.parts import model_name
from bench.training.profiler import TargetProfiler
from bench.training.rank import build_profiler, follow, prepare_process, require_meter
from bench.training.ranks import follow_in_other_ranks
from bench.training.run_parts import RunParts, build_parts

_SHOW_EVERY_S = 0.25


def run(job: Job, send: Callable[[Progress], None], launched_s: float) -> None:
    """Make the run and write its record, however it ends.

    Args:
        job: The run and its folder.
        send: Reports progress to the parent.
        launched_s: When the parent launched this process, on the host's monotonic clock.
    """
    launch_s = time.monotonic() - launched_s
    start_log()
    if job.team is not None and job.team.node:
        run_follower(job, job.team, send)
        return
    training = TrainingRun(job, send, launch_s=launch_s)
    record = with_costs(carry_out(training))
    write_record(job.folder, with_recipe(record, training.source))


class TrainingRun:
    """One run. Its record can be asked for at any moment.

    Attributes:
        source: The record of the run that the recipe builds on.
    """

    def __init__(self, job: Job, send: Callable[[Progress], None], *, launch_s: float) -> None:
        self._job = job
        self._send = send
        self._config = TrainConfig.from_dict(job.config)
        self._launch_s = launch_s
        self._entered_s = time.perf_counter()
        self._shown_s = -_SHOW_EVERY_S
        # The record is made from these, as far as the run has come.
        self._window: Window | None = None
        self._profiler: TargetProfiler | None = None
        self._fields: dict[str, Any] = {}
        self._others = OtherNodes()
        self.source: RunRecord | None = None

    def make(self) -> None:
        """Set up, train to the target, then evaluate and time the trained model."""
        config = self._config
        # A wrong price or country fails here, before it costs a run.
        require_rates(config)
        self.source = source_record(self._job.config)
        prepare_process(config.trainer, config.seed)
        self._say("preparing data, model and meters")
        options = config.trainer
        gpus = gpu_uuids(require_devices(options.accelerator, options.devices, config.precision))
        self._others = others = OtherNodes.meet(self._job, self._say)
        with (
            others.informed(),  # first, so that they learn of a card that cannot be set
            gpus_set(options, gpus),
            follow_in_other_ranks(options.devices, partial(follow, config), others.group),
        ):
            # Open the window first, so that the set-up is metered as well. Nothing is on the device
            # yet, so there is nothing to wait for.
            self._window = window = build_window(config, lambda: None, gpus=gpus)
            window.open()
            require_meter(config, window)
            parts = build_parts(config, self._job.folder)
            window.synchronize = parts.synchronize
            parts.prepare(self._fields, model_name(self._job.config))
            others.wait_until_ready()
            self._train(parts, window)
        size_bytes = (self._job.folder / "checkpoint.pt").stat().st_size
        self._fields["model"] = replace(self._fields["model"], size_bytes=size_bytes)
        self._say("evaluating and timing the model")
        target = self.record("ok", None).target
        at: Literal["crossing", "end"] = "crossing" if target and target.reached else "end"
        self._fields |= parts.assess(at, window.meters)

    def _say(self, stage: str) -> None:
        self._send(Progress(stage=stage))

    def close(self) -> None:
        """Release what the run holds."""
        if self._window is not None:
            self._window.close()

    def _train(self, parts: RunParts, window: Window) -> None:
        curve = CurveWriter(self._job.folder)
        profiler = self._profiler = build_profiler(
            parts,
            window,
            on_row=partial(self._keep, curve, parts),
            on_end=lambda _: save_weights(self._job.folder / "checkpoint.pt", parts.weights()),
        )
        try:
            parts.train(profiler)
        finally:
            curve.close()
            if profiler.started:
                write_raw(self._job.folder, window)

    def _keep(self, curve: CurveWriter, parts: RunParts, row: CurveRow) -> None:
        curve.append(row)
        # Each message wakes the parent, which then competes with the training.
        if row.time_s >= self._shown_s + _SHOW_EVERY_S:
            self._shown_s = row.time_s
            target = self._config.target
            value = f"{row.quality[target.metric]:.3f} of {target.value:g}"
            self._say(f"{target.metric} {value}, {row.time_s:.1f} s")
        if parts.trainer.logger is not None:
            numbers = {name: getattr(row, name) for name in row.__slots__} | row.quality
            numeric = {k: v for k, v in numbers.items() if isinstance(v, int | float)}
            parts.trainer.logger.log_metrics(numeric, step=row.steps)

    def record(self, status: Status, error: RunError | None) -> RunRecord:
        """Make the record of what has been measured so far."""
        job, window, profiler = self._job, self._window, self._profiler
        # Set-up ends when the clock starts or, if it never did, now.
        started = window is not None and window.clock.started
        ready_s = window.clock.started_s if window and started else time.perf_counter()
        times = profiler.times if profiler else None
        of_nodes, spent = self._sums_of_nodes()
        outcome = profiler.outcome() if profiler else {}
        return measured_record(
            job.identity,
            job.config,
            profiler.rows if profiler else [],
            window,
            host=job.host,
            fields={**of_nodes, **self._fields},
            status=status,
            error=error,
            phases=phases_of(times, launch_s=self._launch_s, init_s=ready_s - self._entered_s),
            **{**outcome, **spent},
        )

    def _sums_of_nodes(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Put the nodes together: fields of the record, and what was spent; none of one node."""
        if not self._others.facts:
            return {}, {}
        profiler, window = self._profiler, self._window
        own = node_facts(
            0,
            self._job.host,
            window,
            telemetry=raw_names()[0] if profiler and profiler.started else None,
            phase_energy=profiler.phase_energy if profiler else None,
        )
        nodes = [own, *(facts for _, facts in sorted(self._others.facts.items()))]
        fields = fields_of_nodes(nodes)
        if profiler is None or profiler.spent is None:
            return fields, {}
        return fields, {
            "spent": replace(profiler.spent, energy_j=fields["energy_total_j"]),
            "phase_energy": phase_energy_of_nodes(nodes),
        }


def save_weights(path: Path, weights: dict[str, Any]) -> None:
    """Save the weights; config.yaml beside them says how to build the model."""
    # Open the file here: a full disk is then an OSError, where torch would raise something else.
    with path.open("wb") as file:
        torch.save(weights, file)
