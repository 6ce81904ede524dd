"""The identity, the folder and the record of a run that a user's own training makes."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

from bench.core.checks import require_at_least
from bench.core.host import host_facts
from bench.core.identity import config_hash
from bench.core.qualities import QUALITIES
from bench.core.records.model import Quality
from bench.core.records.run import RunError, RunIdentity, RunRecord, Status
from bench.core.records.task import TaskFacts
from bench.core.store import CurveWriter, create_run_folder, new_identity, write_record
from bench.core.target import TargetConfig, crossing_index
from bench.launch.stopping import delay_signals
from bench.measure.raw_files import write_raw
from bench.measure.target_measurement import TargetMeasurement, phases_of
from bench.measure.window import Window
from bench.runs.charges import with_costs, with_default_charges
from bench.runs.measured import measured_record
from bench.runs.plain_config import plain, plain_config
from bench.runs.repeats import claim_free_repeat, claim_given_repeat

OWN_TASK = "own"


class OwnRun:
    """One run in results/<command>/.

    Attributes:
        target: The target, as it is recorded.
        config: The configuration of the record. open() adds seed and repeat.
        identity: Names the run; set by open().
        folder: The run folder; set by open().
        curve: Takes the evaluations; set by open().
    """

    identity: RunIdentity
    folder: Path
    curve: CurveWriter

    def __init__(
        self,
        command: str,
        *,
        target: Mapping[str, Any],
        results: str | Path,
        config: Any,
        seed: int | None,
        repeat: int | None,
    ) -> None:
        """Check target and configuration; nothing is written before open().

        Args:
            command: The folder in results, such as "lightning".
            target: The keys of the target.
            results: The results folder.
            config: The run's configuration, which may hold `seed`, `repeat`, `price` and `grid`.
            seed: The seed of the training. By default that of config, else of seed_everything(),
                else 0.
            repeat: By default that of config, else the first that no run in results has.

        Raises:
            ValueError: A value of the target is wrong; config cannot be recorded, has another
                target, seed or repeat, or a price or a grid that cannot be charged; or seed or
                repeat is not a whole number from 0 on.
        """
        self.target = TargetConfig.from_dict({**target, "eval_every_samples": None}, "target.")
        recorded = plain_config({} if config is None else config, asdict(self.target))
        self.config = with_default_charges(recorded)
        self._command = command
        self._results = Path(results).absolute()
        self._seed = self._agreed_number("seed", seed)
        self._repeat = self._agreed_number("repeat", repeat)

    def open(self, opened_s: float) -> None:
        """Claim a repeat, and make the folder.

        Args:
            opened_s: The reading of the window's clock from which set-up counts.

        Raises:
            StoreError: The results folder cannot be written.
        """
        self._opened_s = opened_s
        seed, repeat = self._seed, self._repeat
        if seed is None:
            seed = int(os.environ.get("PL_GLOBAL_SEED", "0"))  # set by seed_everything()
        identity = new_identity(self._command, config_hash(self.config), seed, repeat or 0)
        if repeat is None:
            identity = claim_free_repeat(self._results, identity)
        else:
            claim_given_repeat(self._results, identity)
        self.identity = identity
        self.config |= {"seed": identity.seed, "repeat": identity.repeat}
        self.folder = create_run_folder(self._results, identity, self.config)
        self.curve = CurveWriter(self.folder)

    def end(
        self,
        measurement: TargetMeasurement,
        window: Window,
        status: Status,
        error: RunError | None,
        **fields: Any,
    ) -> RunRecord:
        """Close the window and write the record.

        Args:
            measurement: What was measured; its clock has stopped, if it had started.
            window: Its window.
            status: How the run ended.
            error: Why, unless it ended well.
            **fields: More fields of the record.
        """
        window.close()
        self.curve.close()
        init_s: float | None = None
        if measurement.started:
            write_raw(self.folder, window)
            init_s = window.clock.started_s - self._opened_s
        record = measured_record(
            self.identity,
            self.config,
            measurement.rows,
            window,
            host=host_facts(),
            fields={
                "task": _task_of(measurement),
                "quality": _quality_of(measurement) if status == "ok" else None,
                **fields,
            },
            status=status,
            error=error,
            phases=phases_of(measurement.times, init_s=init_s),
            **measurement.outcome(),
        )
        priced = with_costs(record)
        with delay_signals():
            write_record(self.folder, priced)
        return priced

    def _agreed_number(self, key: str, given: int | None) -> int | None:
        """Take a number from the argument or from the configuration; they must not differ."""
        kept = self.config.get(key)
        given = plain(given, key)  # a NumPy integer counts as one
        if given is not None and kept is not None and given != kept:
            raise ValueError(f"{key}={given}: contradicts config[{key!r}]={kept}; give one of them")
        number = kept if given is None else given
        if number is not None and (isinstance(number, bool) or not isinstance(number, int)):
            raise ValueError(f"{key}={number!r}: must be a whole number")
        require_at_least(key, number, 0)
        return number


def _task_of(measurement: TargetMeasurement) -> TaskFacts:
    """What is known of what was learned: the directions of its qualities."""
    names = dict.fromkeys(name for row in measurement.rows for name in row.quality)
    known = {name: QUALITIES[name].mode for name in names if name in QUALITIES}
    target = measurement.target
    directions = {**known, target.metric: target.mode}
    return TaskFacts(name=OWN_TASK, kind=OWN_TASK, sample="sample", directions=directions)


def _quality_of(measurement: TargetMeasurement) -> Quality | None:
    """The quality at the crossing or, if there is none, at the last evaluation."""
    rows = measurement.rows
    if not rows:
        return None
    crossing = crossing_index(rows, measurement.target, finished=measurement.finished)
    row = rows[-1 if crossing is None else crossing]
    values = {
        name: value if value is not None and math.isfinite(value) else None
        for name, value in row.quality.items()
    }
    at: Literal["crossing", "end"] = "end" if crossing is None else "crossing"
    return Quality(at=at, num_samples=None, values=values)
