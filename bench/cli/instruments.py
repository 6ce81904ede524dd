"""What a run is measured with, from its configuration."""

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
    """The energy meters of a configuration, by name, in order of preference.

    Raises:
        ValueError: A meter is configured with values that contradict each other.
    """
    try:
        return {name: instantiate(node) for name, node in config.sources.items()}
    except InstantiationException as error:
        if isinstance(error.__cause__, ValueError):
            raise error.__cause__ from error  # Hydra's wrapper says where, its cause says what
        raise


def build_window(
    config: RunConfig,
    synchronize: Callable[[], None],
    *,
    gpus: Sequence[str] | None = None,
) -> Window:
    """The window of a run, not open yet.

    Args:
        config: Of the run.
        synchronize: Waits for the device.
        gpus: UUIDs of the GPUs that the run uses, as in Window.

    Raises:
        ValueError: As build_meters.
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
    """Check the meters before anything is launched; open and close those asked for by name.

    Args:
        config: Which meters are tried.
        gpus: UUIDs of the GPUs that the run uses, as in Window.

    Raises:
        ValueError: One is configured wrongly or not available; the message has the reason and the
            ways out.
    """
    meters = MeterSet(build_meters(config), required=True)
    if not config.required:
        return
    try:
        meters.open(GpuScope(uuids=gpus))
    except MeterUnavailable as error:
        raise ValueError(
            f"meter={error}; meter=auto takes what there is and lists this reason in the record"
        ) from error
    finally:
        meters.close()
