"""Synthetic runs of bench.maintain, written through the store as a real run writes them.

    folder = make_maintained(results, Maintained(policy="every", seed=1))
    folders = make_policies(results, policies=("never", "every", "oracle"), seeds=range(3))

The world has a state s between 0 and 1, and a model knows the state that it was trained in: its
accuracy in another state is lower by `drop` times the distance. Everything follows from the
arguments, and policies with one seed meet the same noise.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Literal

import numpy as np

from bench.core.labels import EnergyLabel
from bench.core.ledger import append_ledger
from bench.core.maintenance_files import MaintenanceWriter
from bench.core.maintenance_summary import spent, summarise
from bench.core.records.energy import EnergyRow, PhaseEnergy
from bench.core.records.health import Health
from bench.core.records.maintenance import Maintenance, MaintenanceEvent, WindowRow
from bench.core.records.phases import Phases
from bench.core.records.run import RunIdentity, RunRecord
from bench.core.store import create_run_folder, write_record
from tests.analysis.made import identity
from tests.analysis.made_records import HOST, JOULES_PER_KWH, SWEEP_START, USD_PER_KWH

Policy = Literal["never", "every", "performance", "drift", "reweight", "oracle"]
Schedule = Literal["none", "sudden", "seasonal"]
PHASES = ("serve", "detect", "decide", "retrain", "promote", "observe")
SERVE_S, DETECT_S = 3e-5, 4e-6  # of a prediction
RETRAIN_INIT_S, RETRAIN_S = 0.3, 0.5
ERROR_FRAC = 2.0  # of modelled joules


@dataclass(frozen=True, kw_only=True)
class Maintained:
    """One run of bench.maintain to make.

    Attributes:
        delay: Windows until labels are known, which `performance` waits for.
        watcher: The detector of `drift`.
        shift: Distance of the states at which it raises an alarm.
        num_false: Windows at the start of every third seed in which it raises a false alarm.
        best: Accuracy of a model in the state that it was trained in.
    """

    policy: Policy = "every"
    schedule: Schedule = "sudden"
    num_windows: int = 24
    window: int = 500
    interval: int = 4
    delay: int = 1
    watcher: str = "two_sample"
    shift: float = 0.2
    num_false: int = 1
    target: float = 0.85
    best: float = 0.92
    drop: float = 0.3
    error_price_usd: float = 1e-6
    label_price_usd: float = 0.0
    manual_hours: float = 0.0
    usd_per_person_hour: float = 0.0
    seed: int = 0
    repeat: int = 0
    label: EnergyLabel | None = "modelled"
    flags: tuple[str, ...] = ()
    is_killed: bool = False
    start: datetime = SWEEP_START + timedelta(days=2)

    @property
    def detector(self) -> str | None:
        """The detector that the policy needs."""
        return self.watcher if self.policy == "drift" else None

    @property
    def config(self) -> dict[str, Any]:
        """The resolved configuration, in the form of bench.maintain's."""
        module = "bench.drift"
        return {
            "batch_size": 32,
            "lr": 0.05,
            "precision": "32",
            "seed": self.seed,
            "repeat": self.repeat,
            "error_price_usd": self.error_price_usd,
            "accuracy_to_hold": self.target,
            "alpha": 0.05,
            "stream": {
                "source": {"_target_": f"{module}.streams.synthetic.synthetic"},
                "num_windows": self.num_windows,
                "window": self.window,
                "initial_samples": 1000,
                "seed": self.seed,
                "rate_per_s": None,
            },
            "drift": {"kind": "concept", "schedule": self.schedule},
            "labels": {
                "kind": "delayed",
                "delay": self.delay * self.window,
                "price_usd": self.label_price_usd,
            },
            "policy": {
                "_target_": f"{module}.policies.{self.policy}.{self.policy.title()}",
                **({"windows": self.interval} if self.policy == "every" else {}),
            },
            "detector": self.detector and {"_target_": f"{module}.detectors.{self.detector}"},
            "retrain": {
                "start": "scratch",
                "manual_hours": self.manual_hours,
                "usd_per_person_hour": self.usd_per_person_hour,
                "usd": None,
            },
            "model": {"_target_": "bench.tasks.models.Mlp"},
            "target": {"metric": "accuracy", "value": 0.8},
            "price": {"usd_per_hour": None, "usd_per_kwh": USD_PER_KWH},
            "grid": {"country_iso_code": "USA"},
            "choices": {"policy": self.policy, "detector": self.detector or "none"},
            "results": "results",
        }

    def state(self, window: int) -> float:
        """The state of the world in a window."""
        if self.schedule == "none":
            return 0.0
        if self.schedule == "seasonal":
            return (1 - math.cos(4 * math.pi * window / self.num_windows)) / 2
        return float(window >= self.num_windows // 2)

    @property
    def changes(self) -> Sequence[int]:
        """The windows in which the state begins to change."""
        begin = {"none": [], "seasonal": [0], "sudden": [self.num_windows // 2]}
        return begin[self.schedule]


@dataclass(kw_only=True)
class _Deployment:
    """A stream while it is served."""

    made: Maintained
    known: float = 0.0  # state in which the deployed model was trained
    model: int = 0
    rows: list[WindowRow] = field(default_factory=list)
    events: list[MaintenanceEvent] = field(default_factory=list)

    def serve(self) -> None:
        initial = MaintenanceEvent(
            kind="initial",
            window=None,
            prediction=0,
            model=0,
            init_s=RETRAIN_INIT_S,
            total_s=1.0,
            energy_j=self._joules(1.0),
        )
        self.events += [
            MaintenanceEvent(kind="change", window=None, prediction=change * self.made.window)
            for change in self.made.changes
        ]
        self.events.append(initial)
        for window in range(self.made.num_windows):
            self._serve(window)

    def _serve(self, window: int) -> None:
        made, state = self.made, self.made.state(window)
        accuracy = made.best - made.drop * abs(state - self.known)
        errors = int(np.random.default_rng([made.seed, window]).binomial(made.window, 1 - accuracy))
        seconds = {"serve": made.window * SERVE_S, "decide": 1e-4, "observe": 5e-4}
        alarm = self._alarm(window, state) if made.detector else None
        if made.detector:
            seconds["detect"] = made.window * DETECT_S
        if self._retrains(window, state, alarm):
            seconds |= {"retrain": RETRAIN_INIT_S + RETRAIN_S, "promote": 1e-3}
            self._retrain(window, state)
        known = self.rows[window - made.delay].accuracy if window >= made.delay else None
        used: dict[str, Any] = {f"{phase}_s": seconds.get(phase, 0.0) for phase in PHASES}
        used |= {f"{phase}_j": self._joules(seconds.get(phase, 0.0)) for phase in PHASES}
        self.rows.append(
            WindowRow(
                window=window,
                first=window * made.window,
                num_predictions=made.window,
                num_judged=made.window,
                errors=errors,
                accuracy=1 - errors / made.window,
                num_known=made.window if window >= made.delay else 0,
                num_paid=made.window if window >= made.delay else 0,
                known_accuracy=known,
                statistic=abs(state - self.known) if made.detector else None,
                threshold=made.shift if made.detector else None,
                alarm=alarm,
                model=self.model,
                strength=state,
                **used,
            )
        )

    def _alarm(self, window: int, state: float) -> int | None:
        made = self.made
        is_shifted = abs(state - self.known) > made.shift
        is_false = window < made.num_false and made.seed % 3 == 0
        if not (is_shifted or is_false):
            return None
        prediction = (window + 1) * made.window - 1
        begun = [change * made.window for change in made.changes if change <= window]
        delay = prediction - begun[-1] if is_shifted and begun else None
        alarm: dict[str, Any] = {
            "window": window,
            "prediction": prediction,
            "is_false": not is_shifted,
        }
        self.events.append(MaintenanceEvent(kind="alarm", delay=delay, **alarm))
        return prediction

    def _retrains(self, window: int, state: float, alarm: int | None) -> bool:
        made = self.made
        if window == made.num_windows - 1:
            return False
        if made.policy == "every":
            return (window + 1) % made.interval == 0
        if made.policy == "performance":
            late = window - made.delay
            accuracy = self.rows[late].accuracy if late >= 0 else None
            return accuracy is not None and accuracy < made.target
        if made.policy == "oracle":
            return abs(state - self.known) > made.shift
        return made.policy == "drift" and alarm is not None

    def _retrain(self, window: int, state: float) -> None:
        made = self.made
        self.known, self.model = state, self.model + 1
        now = (window + 1) * made.window
        at: dict[str, Any] = {"window": window, "prediction": now, "model": self.model}
        self.events.append(
            MaintenanceEvent(
                kind="retraining",
                **at,
                reason="made",
                num_samples=2 * made.window,
                newest_label=max(0, window - made.delay) * made.window,
                reached=True,
                samples_to_target=3072,
                samples=3072,
                accuracy=made.best,
                init_s=RETRAIN_INIT_S,
                total_s=RETRAIN_INIT_S + RETRAIN_S,
                energy_j=self._joules(RETRAIN_INIT_S + RETRAIN_S),
                energy_label=made.label,
            )
        )
        self.events.append(MaintenanceEvent(kind="promotion", **at))

    def _joules(self, seconds: float) -> float | None:
        watts = 8.0 if self.made.label == "modelled" else 35.0
        return None if self.made.label is None else watts * seconds


def _maintenance(made: Maintained, one: _Deployment) -> Maintenance:
    found = summarise(made.config, one.rows, one.events)
    if found.upkeep_j is None:  # electricity has a price
        return found
    people_usd = found.manual_hours * made.usd_per_person_hour
    machine_usd = found.upkeep_j / JOULES_PER_KWH * USD_PER_KWH
    return replace(found, cost_usd=machine_usd + (found.labels_cost_usd or 0.0) + people_usd)


def _sums(cls: type, rows: Sequence[WindowRow], unit: str) -> dict[str, Any]:
    names = {each.name for each in fields(cls)}
    sums = {f"{phase}_{unit}": spent(rows, (phase,), unit) for phase in PHASES}
    return {name: value for name, value in sums.items() if name in names}


def maintained_record(made: Maintained, who: RunIdentity) -> tuple[RunRecord, _Deployment]:
    """The record of a run, and what it served."""
    one = _Deployment(made=made)
    one.serve()
    phases = _sums(Phases, one.rows, "s")
    wall_time_s = sum(value or 0.0 for value in phases.values())
    total_j = one._joules(wall_time_s)
    record = RunRecord(
        **{each.name: getattr(who, each.name) for each in fields(RunIdentity)},
        status="ok",
        config=made.config,
        host=HOST,
        phases=Phases(
            launch_s=1.0,
            init_s=2.0,
            wall_time_s=wall_time_s,
            **phases,
        ),
        energy=[]
        if total_j is None or made.label is None
        else [
            EnergyRow(
                component="cpu",
                energy_j=total_j,
                source="made",
                label=made.label,
                energy_error_frac=ERROR_FRAC,
            )
        ],
        energy_total_j=total_j,
        energy_label=made.label,
        energy_error_frac=None if made.label is None else ERROR_FRAC,
        phase_energy=None
        if made.label is None
        else PhaseEnergy(**_sums(PhaseEnergy, one.rows, "j")),
        maintenance=_maintenance(made, one),
        health=Health(comparable=not made.flags, flags=list(made.flags)),
    )
    return record, one


def make_maintained(results: Path, made: Maintained) -> Path:
    """One run of bench.maintain; the folder that it is in. A killed one stops half way."""
    who = identity("maintain", made.config, made.start)
    folder = create_run_folder(results, who, made.config)
    append_ledger(results, "launched", who, overrides=[], sweep_id="made")
    record, one = maintained_record(made, who)
    writer = MaintenanceWriter(folder)
    half = made.num_windows // 2 if made.is_killed else made.num_windows
    for row in one.rows[:half]:
        writer.add_window(row)
    for event in one.events:
        if event.window is None or event.window < half:
            writer.add_event(event)
    writer.close()
    (folder / "log.txt").write_text("")
    if not made.is_killed:
        write_record(folder, record)
        append_ledger(results, "ended", who, status="ok", reached=None)
    return folder


def make_policies(
    results: Path,
    *,
    policies: Iterable[Policy] = ("never", "every", "performance", "drift", "oracle"),
    seeds: Iterable[int] = range(3),
    base: Maintained | None = None,
) -> list[Path]:
    """A run for each policy and seed, one after the other; their folders in order."""
    base = base or Maintained()
    pairs = [(policy, seed) for policy in policies for seed in seeds]
    return [
        make_maintained(
            results,
            replace(base, policy=policy, seed=seed, start=base.start + timedelta(seconds=10 * n)),
        )
        for n, (policy, seed) in enumerate(pairs)
    ]
