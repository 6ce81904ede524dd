"""Builds the instruments of a run from its configuration: energy meters and the window.

Here and not in bench/measure, because Hydra makes the meters; bench/measure works without it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from hydra.errors import InstantiationException
from hydra.utils import instantiate

from bench.config.run import MeterConfig, WindowConfig
from bench.core.checks import value_at
from bench.core.records.phases import TRAINING_PHASES, Phase
from bench.measure.meter_set import MeterSet
from bench.measure.meters.base import Meter, MeterUnavailable
from bench.measure.settle import GpuScope
from bench.measure.window import Window
from bench.runs.operator_trace import TRACED, operator_trace


def build_meters(config: MeterConfig) -> dict[str, Meter]:
    """Build the energy meters of a configuration: by name, in order of preference.

    Raises:
        ValueError: The values of a meter contradict each other.
    """
    try:
        return {name: instantiate(node) for name, node in config.sources.items()}
    except InstantiationException as error:
        if isinstance(error.__cause__, ValueError):
            raise error.__cause__ from error  # without Hydra's wrapper, which hides the reason
        raise


def build_window(
    config: WindowConfig,
    synchronize: Callable[[], None],
    *,
    gpus: Sequence[str] | None = None,
    phases: Sequence[Phase] = TRAINING_PHASES,
    of_children: bool = False,
) -> Window:
    """Build the window of a run, without opening it.

    Args:
        config: The configuration of the run.
        synchronize: Waits until the device is idle.
        gpus: UUIDs of the GPUs that the run uses, as in Window.
        phases: The phases of its clock.
        of_children: Whether the run is a program that this process starts.

    Raises:
        ValueError: The values of a meter contradict each other.
    """
    around = operator_trace()
    window = Window(
        build_meters(config.meter),
        # With meter=NAME the user relies on that meter; with meter=auto any that works will do.
        required=config.meter.required,
        codecarbon=instantiate(config.codecarbon) if config.codecarbon else None,
        period_s=config.sampler.period_s,
        idle_s=config.meter.idle_s,
        shared=True if config.shared else None,
        synchronize=synchronize,
        gpus=gpus,
        phases=phases,
        around=around,
        of_children=of_children,
    )
    if around is not None:
        window.flag(TRACED)
    return window


class MeterCheck:
    """Checks the meters of each run of a command before the run is launched.

    Opening a meter may take a second, so each configuration of meters is checked once.
    """

    def __init__(self) -> None:
        """Nothing has been checked yet."""
        self._checked: list[object] = []

    def __call__(self, config: Mapping[str, Any]) -> None:
        """Check the meters of a run.

        Args:
            config: The resolved configuration of a training or a serving.

        Raises:
            ValueError: As refuse_wrong_meters.
        """
        devices = [value_at(config, key) for key in ("trainer.accelerator", "backend.device")]
        # With `auto`, only the run itself will know its GPUs, and it refuses them before its clock.
        gpus: list[str] | None = [] if "cpu" in devices else None
        num_gpus = 0
        if not {"gpu", "cuda"}.isdisjoint(devices):
            num_gpus = int(value_at(config, "trainer.devices") or 1)
        wanted = (config["meter"], gpus, num_gpus)
        if wanted not in self._checked:
            meters = MeterConfig.from_dict(config["meter"], "meter.")
            refuse_wrong_meters(meters, gpus=gpus, num_gpus=num_gpus)
            self._checked.append(wanted)


def refuse_wrong_meters(
    config: MeterConfig, *, gpus: Sequence[str] | None = None, num_gpus: int = 0
) -> None:
    """Check the meters before any run is launched; open required ones to see that they work.

    Args:
        config: The meters to try.
        gpus: UUIDs of the GPUs that the run uses, as in Window.
        num_gpus: How many GPUs it uses at least.

    Raises:
        ValueError: A meter is configured wrongly, or a required one is not available; the message
            has the reason and the remedy.
    """
    meters = MeterSet(build_meters(config), required=True)
    if not config.required:
        return
    try:
        meters.open(GpuScope(uuids=gpus, num_gpus=max(num_gpus, len(gpus or ()))))
    except MeterUnavailable as error:
        raise ValueError(
            f"meter={error}; meter=auto uses the meters that work, and the record lists this reason"
        ) from error
    finally:
        meters.close()
