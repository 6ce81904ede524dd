"""What can be compared: every metric of the gate, in the order in which they are printed.

Why the least effects are what they are:

- Counts that follow from the work alone (steps, samples, parameters, bytes, FLOPs) are exact: any
  loss counts. Accuracy is exact too where the work is the same, but it is measured on few images:
  one percent of it is the least that matters.
- Times, joules and memory of a training sum over many steps, which evens noise out: 5%. Starting
  up reads files and compiles, which depends on what the machine has cached: 10%.
- Latency percentiles are noisier the further out they lie, since fewer requests decide them: 10%
  for p50, p90 and the mean, 20% for p99, 30% for p99.9. Rates follow the latencies: 10%.
- Loading and compiling happen once in a run and mostly wait for the disk: 20%.

Joules are compared as a total and by part of the machine (GPUs, processors, memory). The parts are
those of the whole clock, which ends at the target unless the trainer was told to go on.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from bench.core.suggest import did_you_mean
from bench.core.target import FLOAT32_ROUNDING
from bench.gate.joules import PARTS
from bench.gate.model import Better, Metric


def _exact(
    path: str,
    unit: str = "",
    *,
    name: str | None = None,
    better: Better = "min",
    min_effect_frac: float = 0.0,
    rounding_frac: float = 0.0,
    censored: bool = False,
) -> Metric:
    return Metric(
        name=name or path.rpartition(".")[2],
        path=path,
        unit=unit,
        better=better,
        kind="exact",
        min_effect_frac=min_effect_frac,
        rounding_frac=rounding_frac,
        censored=censored,
    )


def _measured(
    path: str,
    unit: str,
    min_effect_frac: float,
    *,
    better: Better = "min",
    censored: bool = False,
) -> Metric:
    return Metric(
        name=path.rpartition(".")[2],
        path=path,
        unit=unit,
        better=better,
        kind="measured",
        min_effect_frac=min_effect_frac,
        censored=censored,
    )


def _joules(
    path: str, min_effect_frac: float, *, label: str, components: str, censored: bool = False
) -> Metric:
    """A total of joules; `label` and `components` are facts (bench/gate/facts.py)."""
    metric = _measured(path, "J", min_effect_frac, censored=censored)
    return replace(metric, label=label, components=components)


def _parts(total: Metric, rows_path: str, name: str) -> list[Metric]:
    """The joules of each part of a total.

    Args:
        total: What they add up to.
        rows_path: Place of the rows of all components in the record.
        name: Of the metric, after the part's.
    """
    return [
        replace(
            total,
            name=f"{part}_{name}",
            path=rows_path,
            label=f"{total.label}.{part}",
            components=f"{total.components}.{part}",
            part=part,
            part_of=total.name,
        )
        for part in PARTS
    ]


_TO_TARGET = _joules(
    "target.energy_to_target_j",
    0.05,
    label="energy_label",
    components="energy_components",
    censored=True,
)
_PER_PREDICTION = _joules(
    "serving.energy_per_prediction_j",
    0.10,
    label="serving.energy_per_prediction_label",
    components="serving.energy_components",
)

METRICS: tuple[Metric, ...] = (
    _measured("target.time_to_target_s", "s", 0.05, censored=True),
    _measured("target.train_time_to_target_s", "s", 0.05, censored=True),
    _measured("target.time_per_sample_s", "s", 0.05),
    _TO_TARGET,
    *_parts(_TO_TARGET, "energy", "energy_j"),
    _joules(
        "target.energy_per_sample_j", 0.05, label="energy_label", components="energy_components"
    ),
    _exact("target.samples_to_target", censored=True),
    _exact("target.steps_to_target", censored=True),
    _measured("phases.init_s", "s", 0.10),
    _measured("utilization.memory_peak_bytes", "B", 0.05),
    _measured("utilization.gpu_memory_peak_bytes", "B", 0.05),
    # Records of older versions hold it in float32.
    _exact(
        "quality_test.accuracy", better="max", min_effect_frac=0.01, rounding_frac=FLOAT32_ROUNDING
    ),
    _exact("model.num_parameters"),
    _exact("model.size_bytes", "B"),
    _exact("model.flops_per_sample"),
    _measured("serving.latency_p50_ms", "ms", 0.10),
    _measured("serving.latency_p90_ms", "ms", 0.10),
    _measured("serving.latency_p99_ms", "ms", 0.20),
    _measured("serving.latency_p999_ms", "ms", 0.30),
    _measured("serving.latency_mean_ms", "ms", 0.10),
    _measured("serving.throughput_per_s", "1/s", 0.10, better="max"),
    _measured("serving.max_rate_per_s", "1/s", 0.10, better="max"),
    _measured("serving.goodput_per_s", "1/s", 0.10, better="max"),
    _PER_PREDICTION,
    *_parts(_PER_PREDICTION, "serving.energy_per_prediction_components", "energy_per_prediction_j"),
    _measured("serving.load_s", "s", 0.20),
    _measured("serving.compile_s", "s", 0.20),
    _exact("compression.size_bytes", "B", name="compressed_size_bytes"),
)
_BY_NAME = {metric.name: metric for metric in METRICS}


def metric_named(name: str, *, key: str = "metrics") -> Metric:
    """The metric of that name.

    Args:
        name: Such as `time_to_target_s`.
        key: Of the configuration that named it, for the error.

    Raises:
        ValueError: There is none; the message names the key and the nearest names.
    """
    if name not in _BY_NAME:
        raise ValueError(f"{key}={name}: no such metric; {nearest(name, _BY_NAME)}")
    return _BY_NAME[name]


def nearest(name: str, known: Collection[str]) -> str:
    """Which of the known names may have been meant, as the end of an error message."""
    return did_you_mean(name, known).removeprefix("; ") or f"choose from {', '.join(known)}"
