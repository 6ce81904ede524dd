"""Detectors of the library river as they are, on the errors of the deployed model.

None of them bounds the probability of a false alarm in a whole stream; docs/drift.md has the rates
that were measured. They take errors in the order in which labels become known, and do not correct
for labels that are missing.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any, ClassVar

from bench.core.checks import require_at_least, require_one_of
from bench.core.errors import LibraryMissing, needs_extra
from bench.drift.detectors.base import Detection, Detector, Reference, Served


class RiverDetector(Detector):
    """A detector of river. It learns what is usual from the stream, and ignores the reference.

    Attributes:
        river_class: Dotted path of river's class.
        least: The least value of each number; below it, river would crash or alarm always.
    """

    needs_labels: ClassVar[bool] = True
    is_controlled: ClassVar[bool] = False
    library: ClassVar[str | None] = "river"
    river_class: ClassVar[str]
    least: ClassVar[Mapping[str, float]]

    def __init__(self, **settings: Any) -> None:
        """Keep the arguments of river's class, which have the names of the keys.

        Raises:
            ValueError: One is out of range.
        """
        for key, least in self.least.items():
            require_at_least(f"detector.{key}", settings.get(key), least)
        self._settings = settings

    def start(
        self, reference: Reference, *, alpha: float, num_windows: int, window: int, seed: int
    ) -> None:
        """Forget all errors.

        Raises:
            LibraryMissing: river is not installed.
        """
        module, _, name = self.river_class.rpartition(".")
        # The import takes more than a second, so only those who use it wait.
        with needs_extra("maintain", f"detector={self.name}: river", LibraryMissing):
            made = getattr(import_module(module), name)
        self._river = made(**self._settings)

    def update(self, served: Served) -> Detection:
        """Show river the errors that became known, one by one, until it raises an alarm."""
        for error in served.outcomes.errors:
            self._river.update(int(error))
            if self._river.drift_detected:
                return Detection(alarm=served.last)
        return Detection()


class Adwin(RiverDetector):
    """Compares earlier with later errors at all places; alarms if they become rarer, too.

    Its delta bounds the probability of a false cut at one step, not in a stream.

    Source: Bifet, Gavalda, SIAM Data Mining 2007.
    """

    name: ClassVar[str] = "adwin"
    river_class: ClassVar[str] = "river.drift.ADWIN"
    least: ClassVar[Mapping[str, float]] = {
        "delta": 0,
        "clock": 1,
        "max_buckets": 1,
        "min_window_length": 1,
        "grace_period": 0,
    }


class PageHinkley(RiverDetector):
    """Sums the deviations of the errors from their mean; by default alarms if they fall, too.

    Source: Page, Biometrika 41 (1954).
    """

    name: ClassVar[str] = "page_hinkley"
    river_class: ClassVar[str] = "river.drift.PageHinkley"
    least: ClassVar[Mapping[str, float]] = dict.fromkeys(
        ("min_instances", "delta", "threshold", "alpha"), 0
    )

    def __init__(self, **settings: Any) -> None:
        """Keep the arguments of river's class.

        Raises:
            ValueError: One is out of range.
        """
        require_one_of("detector.mode", settings.get("mode", "both"), ("up", "down", "both"))
        super().__init__(**settings)


class Ddm(RiverDetector):
    """Alarms if the share of errors so far is three standard deviations above its lowest value.

    The lowest of many noisy values is far below the truth, so most stable streams raise an alarm.

    Source: Gama, Medas, Castillo, Rodrigues, SBIA 2004.
    """

    name: ClassVar[str] = "ddm"
    river_class: ClassVar[str] = "river.drift.binary.DDM"
    least: ClassVar[Mapping[str, float]] = dict.fromkeys(
        ("warm_start", "warning_threshold", "drift_threshold"), 0
    )
