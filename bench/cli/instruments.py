"""Builds the instruments of a run from its configuration: energy meters and the window."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from hydra.errors import InstantiationException
from hydra.utils import instantiate

from bench.config.run import MeterConfig, RunConfig
from bench.measure.meter_set import MeterSet
from bench.measure.meters.base import Meter, MeterUnavailable
from bench.measure.settle import GpuScope
from bench.measure.window import Window


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
    config: RunConfig,
    synchronize: Callable[[], None],
    *,
    gpus: Sequence[str] | None = None,
) -> Window:
    """Build the window of a run, without opening it.

    Args:
        config: The configuration of the run.
        synchronize: Waits until the device is idle.
        gpus: UUIDs of the GPUs that the run uses, as in Window.

    Raises:
        ValueError: The values of a meter contradict each other.
    """
    return Window(
        build_meters(config.meter),
        required=config.meter.required,
        codecarbon=instantiate(config.codecarbon) if config.codecarbon else None,
        period_s=config.sampler.period_s,
        idle_s=config.meter.idle_s,
        shared=True if config.shared else None,
        synchronize=synchronize,
        gpus=gpus,
    )


def refuse_wrong_meters(config: MeterConfig, *, gpus: Sequence[str] | None = None) -> None:
    """Check the meters before any run is launched; open required ones to see that they work.

    Args:
        config: The meters to try.
        gpus: UUIDs of the GPUs that the run uses, as in Window.

    Raises:
        ValueError: A meter is configured wrongly, or a required one is not available; the message
            has the reason and the remedy.
    """
    meters = MeterSet(build_meters(config), required=True)
    if not config.required:
        return
    try:
        meters.open(GpuScope(uuids=gpus))
    except MeterUnavailable as error:
        raise ValueError(
            f"meter={error}; meter=auto uses the meters that work, and the record lists this reason"
        ) from error
    finally:
        meters.close()
