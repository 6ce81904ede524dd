"""Measures a training of one's own to its target: plain PyTorch, scikit-learn, JAX, or anything.

    with TargetWindow(metric="accuracy", value=0.95, config={"lr": 0.1}) as run:
        for batch in batches:
            train(batch)
            if run.evaluated(samples=seen, accuracy=evaluate()):
                break

writes the same record as bench.train: time and energy to accuracy, phases, utilization, health,
cost. It imports no library for machine learning.
"""

from __future__ import annotations

import logging
import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.core.records.model import RESERVED
from bench.core.records.run import RunError, RunRecord
from bench.core.target import require_possible
from bench.launch.stopping import Stopped, StopSignals
from bench.measure.target_measurement import Seen, TargetMeasurement
from bench.measure.window import Window
from bench.runs.exit_handling import explain
from bench.runs.operator_trace import own_window
from bench.runs.own_run import OwnRun

_log = logging.getLogger(__name__)

COMMAND = "own"
NOT_EVALUATED = RunError(
    kind="not_evaluated",
    message="the training ended without an evaluation: call evaluated() after each of them",
)


class TargetWindow:
    """Measures the training in its `with` block, once, and writes its record to results/own/.

    The clock starts where the block begins and stops where it ends. So data, model and meters are
    prepared before it, and what is compiled on first use is best warmed up before it, too.

    Args:
        metric: The metric of the target, by the name under which evaluated() gets it.
        value: The threshold of the target.
        mode: "max" if more of the metric is better, "min" if less is; only needed for a metric
            that the suite does not know.
        rule: Decides when the target is reached: first, consecutive or final.
        consecutive: The number of evaluations in a row, for rule="consecutive".
        ladder: More thresholds to report.
        results: The results folder.
        config: The configuration to record besides the target: a mapping, a namespace or a
            dataclass of plain values. Runs with the same configuration are repeats of one another.
        seed: The seed of the training; by default that of config, else 0.
        repeat: Counts the runs of one configuration and seed; by default that of config, else the
            first number that no run in results has.
        synchronize: Waits for the device, such as torch.cuda.synchronize; needed where a call
            returns before the device has done the work.
        gpus: UUIDs of the GPUs that the training uses, such as those of
            torch.cuda.get_device_properties(0).uuid; None for all that the process sees, an empty
            list for none.
        window: A window to measure with, not open; by default one with the best meters there are.

    Attributes:
        window: The window; its time_s is the time so far.
        record: The record, once the block has ended.
        folder: The run folder, once the block has begun.
    """

    def __init__(
        self,
        *,
        metric: str,
        value: float,
        mode: str | None = None,
        rule: str = "first",
        consecutive: int = 2,
        ladder: Sequence[float] = (),
        results: str | Path = "results",
        config: Any = None,
        seed: int | None = None,
        repeat: int | None = None,
        synchronize: Callable[[], None] | None = None,
        gpus: Sequence[str] | None = None,
        window: Window | None = None,
    ) -> None:
        """Check the arguments; nothing is read or written yet.

        Raises:
            ValueError: As OwnRun.
        """
        self.record: RunRecord | None = None
        self.folder: Path | None = None
        target = {"metric": metric, "value": value, "mode": mode, "rule": rule}
        target |= {"consecutive": consecutive, "ladder": list(ladder)}
        self._run = OwnRun(
            COMMAND, target=target, results=results, config=config, seed=seed, repeat=repeat
        )
        self.window = window or own_window()
        if gpus is not None:
            self.window.use_gpus(gpus)
        if synchronize is not None:
            self.window.synchronize = synchronize
        self._measurement = TargetMeasurement(
            target=self._run.target.build(),
            window=self.window,
            on_row=lambda row: self._run.curve.append(row),
        )
        self._signals = StopSignals()

    def __enter__(self) -> TargetWindow:
        """Open the run folder and the meters, then start the clock.

        Raises:
            MeterUnavailable: A meter of the window cannot be opened, and they are required.
            RuntimeError: The window has already measured a training.
            StoreError: The results folder cannot be written to.
        """
        if self.folder is not None:
            raise RuntimeError("a TargetWindow measures one training: make a new one for each")
        self._run.open(self.window.clock.now_s())
        self.folder = self._run.folder
        self._signals.catch()
        try:
            self.window.open()
            self._measurement.start()
        except BaseException as error:
            self._end(error)
            raise
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        """Stop the clock and write the record, however the block ended."""
        if error is None and self._signals.caught is not None:
            error = Stopped(self._signals.caught)  # which the training itself has caught
        try:
            self._measurement.stop()
        except BaseException as lost:  # the device, or Ctrl-C while the idle machine is measured
            self._end(error or lost)
            if error is None or not isinstance(lost, Exception):
                raise
            _log.exception("stopping failed")
            return
        self._end(error)

    @contextmanager
    def evaluation(self) -> Iterator[None]:
        """Book the block on the phase `eval`; without it, evaluating counts as training.

        Raises:
            RuntimeError: The training is not being measured.
        """
        self._require_open()
        before = self.window.clock.phase
        self._measurement.begin_evaluation()
        try:
            yield
            self.window.synchronize()
        finally:
            self.window.phases.switch(before)

    def evaluated(
        self,
        *,
        samples: int,
        steps: int | None = None,
        epochs: float | None = None,
        train_loss: float | None = None,
        **quality: Any,
    ) -> bool:
        """Keep an evaluation, and say whether the target is reached by now.

        With rule="final" that is not known before the end, so the answer is always no.

        Args:
            samples: Training samples seen since the start, of all devices together.
            steps: Optimizer steps since the start.
            epochs: Passes over the training data since the start.
            train_loss: Mean loss of the training since the last evaluation.
            **quality: Metrics of the validation by name: numbers, or None if one is undefined.
                `loss` is the validation loss.

        Raises:
            DivergedError: A loss is not finite.
            RuntimeError: The training is not being measured.
            ValueError: The metric of the target is missing or cannot have its value, a value is not
                a number, or there are fewer samples than before.
        """
        self._require_open()
        phase = self.window.clock.phase
        values = self._numbers(quality)
        self._measurement.seen = self._seen(samples, steps, epochs)
        try:
            self._measurement.keep_row(_number("train_loss", train_loss), values)
        finally:
            self.window.phases.switch_quickly(phase)
        return self._measurement.reached

    def _end(self, error: BaseException | None) -> None:
        """Write the record, and let a signal that was caught end the process after that."""
        measurement = self._measurement
        measurement.finished = error is None
        try:
            if error is not None:
                self.record = self._run.end(measurement, self.window, *explain(error))
            elif measurement.rows:
                self.record = self._run.end(measurement, self.window, "ok", None)
            else:
                _log.error("%s: %s", self.folder, NOT_EVALUATED.message)
                self.record = self._run.end(measurement, self.window, "failed", NOT_EVALUATED)
        finally:
            self._signals.release()

    def _require_open(self) -> None:
        if not self._measurement.started or self._measurement.times is not None:
            raise RuntimeError("the training is not being measured: call this in the `with` block")

    def _seen(self, samples: int, steps: int | None, epochs: float | None) -> Seen:
        """Take the counts of an evaluation."""
        before = self._measurement.seen.samples or 0
        num = _whole("samples", samples)
        if num < before:
            raise ValueError(
                f"samples={num}: fewer than before ({before}); give all training samples seen "
                "since the start"
            )
        return Seen(
            num, None if steps is None else _whole("steps", steps), _number("epochs", epochs)
        )

    def _numbers(self, quality: Mapping[str, Any]) -> dict[str, float | None]:
        """Take the metrics of an evaluation."""
        if taken := [name for name in RESERVED if name in quality]:
            raise ValueError(f"{taken[0]}: the record uses this name; give the metric another one")
        metric = self._measurement.target.metric
        values = {name: _number(name, value) for name, value in quality.items()}
        value = values.get(metric)
        if value is None:
            given = ", ".join(values) or "nothing"
            raise ValueError(
                f"{metric}: missing, and the target needs it in each evaluation; given: {given}"
            )
        require_possible(metric, value)
        return values


def _number(name: str, value: Any) -> float | None:
    """Convert a number of any library; None stays None."""
    try:
        return None if value is None else float(value)
    except (RuntimeError, TypeError, ValueError) as error:  # an array of several, or a text
        raise ValueError(
            f"{name}: a value of type {type(value).__name__} is not one number"
        ) from error


def _whole(name: str, value: Any) -> int:
    try:
        return operator.index(value)
    except TypeError as error:
        raise ValueError(f"{name}={value!r}: must be a whole number") from error
