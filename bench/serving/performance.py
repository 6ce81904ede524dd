"""What measuring a scenario takes and gives."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bench.core.records.serving import RateStep
from bench.serving.loadgen import Window, run_pass
from bench.serving.pass_result import PassResult, PassSettings
from bench.serving.system import System


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """What the warm-up found: of one query alone, and of samples when there are always more."""

    latency_s: float
    rate_per_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Performance:
    """The pass that is reported, and in server the rate that was asked and the search for it.

    max_rate_per_s and failed_rate_per_s are the bracket of the search; the first is None unless
    the reported pass is valid.
    """

    result: PassResult
    rate_per_s: float | None = None
    max_rate_per_s: float | None = None
    failed_rate_per_s: float | None = None
    steps: tuple[RateStep, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """What the caller does around passes.

    Attributes:
        window: Makes a context manager around a pass that may be reported, a new one for each.
        complaints: What speaks against a pass besides LoadGen's verdict; asked after each.
        keep: Told of a pass with a window, once it is the one to report so far.
    """

    window: Window
    complaints: Callable[[PassResult], Sequence[str]]
    keep: Callable[[PassResult], None]

    def quick(self, system: System, settings: PassSettings) -> PassResult:
        """A pass that is not reported."""
        result = run_pass(system, settings)
        return result.with_reasons(self.complaints(result))

    def reportable(self, system: System, settings: PassSettings) -> PassResult:
        """A pass that may be reported, in a window of its own."""
        result = run_pass(system, settings, window=self.window)
        return result.with_reasons(self.complaints(result))
