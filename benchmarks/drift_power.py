"""False alarms, power, delay and cost of the detectors of bench.maintain, on simulated streams.

`python -m benchmarks.drift_power [--streams N] [--seed S] [--reference N] [--detectors A,B]`

    Inputs are 10 independent standard normal numbers; the first one decides the class of a sample
    through a logistic function, and the model knows that function, so it is wrong in 5% of cases.
    A stream has 25 windows of 200 predictions. From prediction 2,500 on:

    - *none*: nothing changes; an alarm anywhere in the stream is false.
    - *concept*: labels change at random, and the error rises to 15%. Inputs do not change.
    - *boundary*: the first input comes closer to the boundary between the classes (a third of its
      standard deviation). The error rises to 14%, and the model knows that it is unsure.
    - *celsius*: the first input arrives in another unit. Half of the predictions are wrong, and the
      model is sure of them.
    - *harmless*: the mean of the first input rises by one standard deviation. The error falls to
      3%, so an alarm asks for a retraining that nobody needs.

    A change is found if the first alarm of a stream comes after it; the delay is the median over
    these streams. Detectors that watch single predictions look at stretches of 10, the others at
    windows, so their delays are multiples of 10 and of 200. Labels are known at once. Microseconds
    are CPU time of a prediction in streams without a change. `always` raises an alarm at each look:
    a detector is worth something only if it is better than that.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from rich.console import Console
from rich.table import Table
from scipy.special import expit
from scipy.stats import binom

from bench.cli.app import register
from bench.config.nodes import NODES
from bench.core.files import config_dir
from bench.drift.detectors.base import Detection, Detector, Outcomes, Reference, Served
from bench.drift.detectors.batch import BatchDetector

ALPHA = 0.05
WINDOW, WINDOWS, CHANGE = 200, 25, 2_500
CHANGES = ("none", "concept", "boundary", "celsius", "harmless")
_PREDICTIONS = WINDOW * WINDOWS
_STRETCH = 10
_INPUTS = 10
# The error of the best classifier is about 2 x 0.3989 x ln 2 / slope: 5%.
_SLOPE = 11.0
# Of all labels, this share is changed: 5% + 90% of it is 15%.
_CHANGED_FRAC = 1 / 9


class Always(Detector):
    """Raises an alarm whenever it looks."""

    name: ClassVar[str] = "always"
    is_controlled: ClassVar[bool] = False

    def start(
        self, reference: Reference, *, alpha: float, num_windows: int, window: int, seed: int
    ) -> None:
        """Nothing to prepare."""

    def update(self, served: Served) -> Detection:
        """Raise an alarm."""
        return Detection(alarm=served.last)


@dataclass(slots=True, kw_only=True)
class Row:
    """A detector in the table.

    Attributes:
        alarms: By change: the first alarm of each stream; None without.
        spent_s: CPU time in streams without a change.
        looked_at: Predictions that it looked at in that time.
    """

    detector: Detector
    alarms: dict[str, list[int | None]] = field(
        default_factory=lambda: {change: [] for change in CHANGES}
    )
    spent_s: float = 0.0
    looked_at: int = 0

    def delays(self, change: str) -> list[int]:
        """Of the streams in which the change was found."""
        return [alarm - CHANGE for alarm in self.alarms[change] if alarm and alarm >= CHANGE]


def samples(rng: np.random.Generator, num: int, change: str) -> Served:
    """Samples whose later part, from CHANGE on, has changed."""
    has_changed = np.arange(num) >= CHANGE
    world = rng.normal(size=(num, _INPUTS))
    if change == "boundary":
        world[has_changed, 0] /= 3
    if change == "harmless":
        world[has_changed, 0] += 1
    labels = rng.random(num) < expit(_SLOPE * world[:, 0])
    if change == "concept":
        labels ^= has_changed & (rng.random(num) < _CHANGED_FRAC)
    if change == "celsius":  # of degrees with mean 55 F and standard deviation 18 F
        fahrenheit = 55 + 18 * world[has_changed, 0]
        world[has_changed, 0] = ((fahrenheit - 32) / 1.8 - 55) / 18
    positive = expit(_SLOPE * world[:, 0])
    return Served(
        first=0,
        inputs=world.astype(np.float32),
        probabilities=np.column_stack([1 - positive, positive]).astype(np.float32),
        outcomes=Outcomes(
            predictions=np.arange(num),
            errors=(positive > 0.5) != labels,
            propensities=np.ones(num),
        ),
    )


def reference(rng: np.random.Generator, num: int) -> Reference:
    """Samples before any change, with their labels."""
    made = samples(rng, min(num, CHANGE), "none")
    labels = made.probabilities.argmax(1) ^ made.outcomes.errors
    return Reference(
        inputs=made.inputs, probabilities=made.probabilities, labels=labels.astype(np.int64)
    )


def part(stream: Served, first: int, num: int) -> Served:
    """A stretch of a stream."""
    chosen = slice(first, first + num)
    return Served(
        first=first,
        inputs=stream.inputs[chosen],
        probabilities=stream.probabilities[chosen],
        outcomes=Outcomes(
            predictions=stream.outcomes.predictions[chosen],
            errors=stream.outcomes.errors[chosen],
            propensities=stream.outcomes.propensities[chosen],
        ),
    )


def first_alarm(detector: Detector, stream: Served) -> int | None:
    """Of a detector that was started."""
    num = WINDOW if isinstance(detector, BatchDetector) else _STRETCH
    for first in range(0, len(stream), num):
        alarm = detector.update(part(stream, first, num)).alarm
        if alarm is not None:
            return alarm
    return None


def watch(rows: Sequence[Row], change: str, num_reference: int, seed: int) -> None:
    """Show one stream to all detectors."""
    rng = np.random.default_rng([seed, CHANGES.index(change)])
    usual, stream = reference(rng, num_reference), samples(rng, _PREDICTIONS, change)
    for row in rows:
        row.detector.start(usual, alpha=ALPHA, num_windows=WINDOWS, window=WINDOW, seed=seed)
        begun_s = time.process_time()
        alarm = first_alarm(row.detector, stream)
        row.alarms[change].append(alarm)
        if change == "none":
            row.spent_s += time.process_time() - begun_s
            row.looked_at += len(stream) if alarm is None else alarm + 1


def made(name: str) -> Detector:
    """A detector with the settings of its option in conf/."""
    register()
    with initialize_config_dir(str(config_dir()), version_base="1.3"):
        detector: Detector = instantiate(compose(overrides=[f"+detector={name}"]).detector)
    return detector


def table(rows: Sequence[Row], chosen: argparse.Namespace) -> Table:
    """A row for each detector."""
    found = (f"{change}:\nfound, delay" for change in CHANGES[1:])
    heads = (
        "detector",
        "holds\nalpha",
        "needs\nlabels",
        "false\nalarms",
        *found,
        "us per\nprediction",
    )
    result = Table(
        *heads,
        title=f"{chosen.streams} streams of each kind, alpha={ALPHA}, reference "
        f"{chosen.reference}, seed {chosen.seed}; with alpha, more than "
        f"{int(binom.isf(0.0005, chosen.streams, ALPHA))} false alarms have p < 0.0005",
    )
    for row in rows:
        alarms = sum(alarm is not None for alarm in row.alarms["none"])
        result.add_row(
            row.detector.name,
            "yes" if row.detector.is_controlled else "no",
            "yes" if row.detector.needs_labels else "no",
            f"{alarms} ({alarms / chosen.streams:.3f})",
            *(_found(row, change) for change in CHANGES[1:]),
            f"{1e6 * row.spent_s / row.looked_at:.1f}",
        )
    return result


def _found(row: Row, change: str) -> str:
    delays = row.delays(change)
    share = len(delays) / len(row.alarms[change])
    return f"{share:.2f}, {np.median(delays):.0f}" if delays else f"{share:.2f}"


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--streams", type=int, default=200, help="streams of each kind")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--reference", type=int, default=1_000, help="held-out samples, to 2,500")
    parser.add_argument("--detectors", default=",".join(NODES["detector"]), help="names, commas")
    chosen = parser.parse_args()
    if chosen.streams < 1:
        parser.error(f"--streams {chosen.streams}: must be at least 1")
    if not 2 <= chosen.reference <= CHANGE:
        parser.error(f"--reference {chosen.reference}: must be between 2 and {CHANGE}")
    return chosen


def main() -> None:
    """Simulate, and print the table."""
    chosen = arguments()
    rows = [Row(detector=made(name)) for name in chosen.detectors.split(",")]
    rows.append(Row(detector=Always()))
    for number in range(chosen.streams):
        for change in CHANGES:
            watch(rows, change, chosen.reference, chosen.seed + number)
    Console(width=140).print(table(rows, chosen))


if __name__ == "__main__":
    main()
