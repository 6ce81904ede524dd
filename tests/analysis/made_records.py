"""Records and curves of synthetic trainings; made.py writes them into run folders.

The numbers follow a small model of training, so that charts of them have the shapes that charts of
real runs have: accuracy rises exponentially with samples; beyond a critical batch size more samples
are needed; a sample is cheaper in a larger batch; a learning rate too low is slow, one too high
diverges. Everything follows from the arguments: the same ones make the same run.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Literal

import numpy as np

from bench.core.labels import EnergyLabel
from bench.core.outcome import outcome_record
from bench.core.records.curve import CurveRow
from bench.core.records.energy import EnergyRow, PhaseEnergy
from bench.core.records.health import Health, Utilization
from bench.core.records.model import ModelFacts, Quality
from bench.core.records.phases import Phases
from bench.core.records.run import RunError, RunIdentity, RunRecord
from bench.core.records.serving import Serving
from bench.core.target import Spent

Outcome = Literal["model", "hit", "missed", "failed", "interrupted"]
SWEEP_START = datetime(2026, 1, 5, 9, 0, 0, tzinfo=UTC)
NUM_TRAINING_SAMPLES = 1077
LADDER = (0.5, 0.8, 0.9, 0.93, 0.95, 0.97)
# Per model: its best accuracy, samples to approach it, seconds per sample, parameters.
MODELS: dict[str, tuple[float, float, float, int]] = {
    "Mlp": (0.975, 1500.0, 8e-5, 8_970),
    "Cnn": (0.99, 1100.0, 3e-4, 21_000),
}
CRITICAL_BATCH_SIZE = 128
USD_PER_KWH, GCO2E_PER_KWH, JOULES_PER_KWH = 0.1545, 369.0, 3.6e6
HOST: dict[str, Any] = {
    "name": "made",
    "os": "Linux",
    "cpu_name": "Made CPU",
    "num_cpus": 2,
    "memory_bytes": 8_000_000_000,
    "python": "3.11.7",
    "libraries": {"torch": "2.11.0", "numpy": "2.4.0"},
    "git_commit": "0" * 40,
    "gpus": [],
}


def rng_of(*key: object) -> np.random.Generator:
    """Random numbers that follow from a key."""
    return np.random.default_rng(list(hashlib.sha256(repr(key).encode()).digest()))


@dataclass(frozen=True, kw_only=True)
class Made:
    """One training run to make; `outcome` forces its end, by default it follows from the rest."""

    batch_size: int = 32
    lr: float = 0.1
    model: str = "Mlp"
    seed: int = 0
    repeat: int = 0
    target: float = 0.93
    max_samples: int = 40_000
    outcome: Outcome = "model"
    flags: tuple[str, ...] = ()
    label: EnergyLabel | None = "modelled"
    telemetry: bool = True
    start: datetime = SWEEP_START

    @property
    def rng(self) -> np.random.Generator:
        """Random numbers that only this configuration, seed and repeat have."""
        return rng_of(self.batch_size, self.lr, self.model, self.seed, self.repeat, self.label)

    @property
    def config(self) -> dict[str, Any]:
        """The resolved configuration, in the form of bench.train's."""
        return {
            "batch_size": self.batch_size,
            "lr": self.lr,
            "lr_scaling": "none",
            "seed": self.seed,
            "repeat": self.repeat,
            "precision": "32",
            "data": {
                "_target_": "bench.tasks.data.digits",
                "batch_size": self.batch_size,
                "seed": self.seed,
            },
            "model": {"_target_": f"bench.tasks.models.{self.model}", "dropout": 0.0},
            "optimizer": {"_target_": "torch.optim.SGD", "_partial_": True, "momentum": 0.9},
            "schedule": {"_target_": "bench.tasks.schedules.constant", "_partial_": True},
            "target": {
                "metric": "accuracy",
                "value": self.target,
                "mode": None,
                "rule": "first",
                "consecutive": 2,
                "eval_every_samples": 1024,
                "ladder": list(LADDER),
            },
            "budget": {"max_epochs": self.max_samples / NUM_TRAINING_SAMPLES},
            "trainer": {"accelerator": "cpu", "devices": 1},
            # Every run of one sweep has the same meters: which of them worked is in the record.
            "meter": {"sources": {}, "required": False, "idle_s": 0.0},
            "price": {"usd_per_hour": None, "usd_per_kwh": USD_PER_KWH},
            "grid": {"country_iso_code": "USA"},
            "results": "results",
        }


def watts(made: Made) -> float:
    """Power of a run."""
    return 8.0 if made.label == "modelled" else 35.0


def curve_of(made: Made) -> list[CurveRow]:
    """The evaluations of a run, until it has reached its target or used its budget up."""
    best, samples_scale, fixed_s, _ = MODELS[made.model]
    rng = made.rng
    per_sample_s = (fixed_s / 4 + fixed_s * 8 / made.batch_size) * rng.lognormal(0.0, 0.03)
    # The best learning rate is 0.1; each factor of ten away from it takes four times the samples.
    slow = 4.0 ** abs(math.log10(made.lr / 0.1)) * (1 + made.batch_size / CRITICAL_BATCH_SIZE)
    scale = samples_scale * slow * rng.lognormal(0.0, 0.1)
    best = best - 0.012 * rng.random()
    every = max(1, math.ceil(1024 / made.batch_size)) * made.batch_size
    rows: list[CurveRow] = []
    known = made.label is not None
    for n in range(1, max(1, made.max_samples // every) + 1):
        samples = n * every
        accuracy = best - (best - 0.1) * math.exp(-samples / scale) + rng.normal(0.0, 0.003)
        accuracy = float(np.clip(accuracy, 0.0, 1.0))
        if made.outcome == "missed":
            accuracy = min(accuracy, made.target - 0.001)
        train_s, eval_s, checkpoint_s = samples * per_sample_s, n * 0.004, (n - 1) * 0.001
        time_s = train_s + eval_s + checkpoint_s
        rows.append(
            CurveRow(
                time_s=time_s,
                train_time_s=train_s,
                eval_time_s=eval_s,
                checkpoint_time_s=checkpoint_s,
                samples=samples,
                steps=samples // made.batch_size,
                epochs=samples / NUM_TRAINING_SAMPLES,
                energy_total_j=watts(made) * time_s if known else None,
                energy_label=made.label,
                energy_error_frac=_error_frac(made.label),
                eval_energy_j=watts(made) * eval_s if known else None,
                checkpoint_energy_j=watts(made) * checkpoint_s if known else None,
                train_loss=2.3 * math.exp(-samples / scale),
                quality={
                    "loss": 2.3 * math.exp(-samples / scale) + 0.05,
                    "accuracy": accuracy,
                    "macro_f1": accuracy - 0.002,
                    "worst_class_recall": max(0.0, accuracy - 0.08),
                    "expected_calibration_error": 0.02 + 0.1 * (1 - accuracy),
                },
            )
        )
        if made.outcome in ("failed", "interrupted") and n == 3:
            break
        if accuracy >= made.target and made.outcome in ("model", "hit"):
            break
    return rows


def _error_frac(label: EnergyLabel | None) -> float | None:
    return None if label is None else 2.0 if label == "modelled" else 0.06


def _quality(row: CurveRow, *, at: Literal["crossing", "end"], shift: float) -> Quality:
    assert row.quality["accuracy"] is not None
    accuracy = min(1.0, row.quality["accuracy"] + shift)
    values = row.quality | {
        "accuracy": accuracy,
        "macro_f1": accuracy - 0.002,
        "worst_class_recall": max(0.0, accuracy - 0.08),
    }
    return Quality(at=at, values=values, num_samples=360)


def _probe(made: Made) -> Serving:
    p50_ms = {"Mlp": 0.03, "Cnn": 0.11}[made.model] * made.rng.lognormal(0.0, 0.02)
    return Serving(
        num_requests=1000,
        latency_p50_ms=p50_ms,
        latency_p90_ms=1.2 * p50_ms,
        latency_p99_ms=1.9 * p50_ms,
        throughput_per_s=120_000 / p50_ms,
        throughput_batch_size=256,
        energy_per_prediction_j=None if made.label is None else 7e-5 * p50_ms,
        energy_per_prediction_label=made.label,
        energy_per_prediction_error_frac=_error_frac(made.label),
    )


def _energy_rows(made: Made, joules: float | None) -> list[EnergyRow]:
    if joules is None or made.label is None:
        return []
    if made.label == "modelled":
        parts, source = {"cpu": 1.0}, "cpu_model(default 4 W per thread)"
    else:
        parts, source = {"cpu0": 0.4, "dram0": 0.05, "gpu0": 0.55}, "nvml_counter"
    return [
        EnergyRow(
            component=component,
            energy_j=share * joules,
            source="rapl" if component in ("cpu0", "dram0") else source,
            label=made.label,
            refresh_s=0.01,
            energy_error_frac=_error_frac(made.label),
        )
        for component, share in parts.items()
    ]


def _phase_energy(made: Made, phases: Phases) -> PhaseEnergy | None:
    """The same power throughout, and 0.6 J of the half second of set-up that was metered."""
    if made.label is None:
        return None
    assert phases.train_s is not None
    assert phases.eval_s is not None
    assert phases.checkpoint_s is not None
    return PhaseEnergy(
        init_j=0.6,
        train_j=watts(made) * phases.train_s,
        eval_j=watts(made) * phases.eval_s,
        checkpoint_j=watts(made) * phases.checkpoint_s,
        init_metered_s=0.5,
        init_error_frac=_error_frac(made.label),
        train_error_frac=_error_frac(made.label),
        eval_error_frac=2 * (_error_frac(made.label) or 0.0),
        checkpoint_error_frac=2 * (_error_frac(made.label) or 0.0),
        below_resolution=["eval", "checkpoint"] if made.label == "modelled" else [],
    )


def _model(made: Made) -> ModelFacts:
    num = MODELS[made.model][3]
    size_bytes = 4 * num + 2_600
    return ModelFacts(
        name=made.model, num_parameters=num, size_bytes=size_bytes, flops_per_sample=2 * num
    )


def record_of(made: Made, rows: Sequence[CurveRow], who: RunIdentity) -> RunRecord:
    """The record of a training run, from its evaluations."""
    last = rows[-1]
    failed = made.outcome == "failed"
    wall_s = last.time_s + 0.002
    joules = None if last.energy_total_j is None else last.energy_total_j * wall_s / last.time_s
    phases = Phases(
        launch_s=2.0,
        init_s=0.6,
        train_s=last.train_time_s,
        eval_s=last.eval_time_s,
        checkpoint_s=wall_s - last.train_time_s - last.eval_time_s,
        wall_time_s=wall_s,
    )
    record = outcome_record(
        who,
        made.config,
        rows,
        status="failed" if failed else "ok",
        error=RunError(kind="diverged", message="loss is nan at step 96") if failed else None,
        host=HOST,
        phases=phases,
        phase_energy=_phase_energy(made, phases),
        spent=Spent(time_s=wall_s, energy_j=joules, samples=last.samples),
        finished=True,
    )
    assert record.target is not None
    target = record.target
    reached = target.reached
    if reached and target.energy_to_target_j is not None:
        kwh = target.energy_to_target_j / JOULES_PER_KWH
        target = replace(
            target,
            cost_to_target_usd=kwh * USD_PER_KWH,
            emissions_to_target_gco2e=kwh * GCO2E_PER_KWH,
        )
    at: Literal["crossing", "end"] = "crossing" if reached else "end"
    return replace(
        record,
        target=target,
        energy=_energy_rows(made, joules),
        energy_total_j=joules,
        energy_label=made.label,
        energy_error_frac=_error_frac(made.label),
        codecarbon_energy_j=joules and 1.3 * joules,
        utilization=Utilization(
            cpu_process_frac=min(0.98, 0.5 + 0.1 * math.log2(made.batch_size / 8)),
            cpu_machine_frac=min(0.99, 0.55 + 0.1 * math.log2(made.batch_size / 8)),
            memory_peak_bytes=600_000_000 + 10_000 * made.batch_size,
        ),
        quality=None if failed else _quality(last, at=at, shift=0.0),
        quality_test=None if failed else _quality(last, at=at, shift=-0.01),
        model=_model(made),
        serving=None if failed else _probe(made),
        health=Health(
            comparable=not made.flags, flags=list(made.flags), sampler_overhead_frac=0.002
        ),
    )
