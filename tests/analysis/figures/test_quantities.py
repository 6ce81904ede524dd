from __future__ import annotations

import pytest
from pandas import DataFrame

from analysis.figures.quantities import direction, require_axes
from tests.analysis.figures.literal import frame, reached

TIME = "target.time_to_target_s"
RUNS = frame(
    reached(
        "a",
        1.0,
        config__model__width=64,
        config__precision="32",
        config__trainer__compile=True,
        host__num_cpus=2,
        quality_test__accuracy=0.9,
    )
)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("lr", r"x=lr: no such column; did you mean config\.lr"),
        ("width", r"did you mean config\.model\.width\?"),
        ("accuracy", r"did you mean quality\.accuracy or quality_test\.accuracy"),
        ("config.batchsize", r"did you mean config\.batch_size"),
        ("time", r"did you mean target\.time_to_target_s"),
        ("serving.latency_p90", r"did you mean serving\.latency_p90_ms"),
        ("zzzz", r"such as target\.time_to_target_s, settings config\.NAME"),
    ],
)
def test_a_wrong_name_is_refused_with_what_may_be_meant(name: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        require_axes(RUNS, name, TIME)


@pytest.mark.parametrize(
    "name",
    [
        "utilization.gpu_busy_frac",
        "utilization.cpu_process_frac",
        "serving.num_threads",
        "serving.rate_per_s",
        "host.num_cpus",
        "seed",
    ],
)
def test_a_quantity_without_a_direction_is_no_axis(name: str) -> None:
    with pytest.raises(ValueError, match=f"y={name}: neither more nor less of it is better"):
        require_axes(RUNS, TIME, name)


@pytest.mark.parametrize("name", ["config.precision", "config.trainer.compile", "run_id"])
def test_texts_and_truths_are_no_axis(name: str) -> None:
    with pytest.raises(ValueError, match=f"x={name}: holds no numbers"):
        require_axes(RUNS, name, TIME)


def test_results_and_settings_are_axes_and_any_number_is_an_area() -> None:
    require_axes(RUNS, TIME, "quality_test.accuracy", "host.num_cpus")
    require_axes(RUNS, "config.lr", "compression.accuracy_change", "seed")
    with pytest.raises(ValueError, match="area=size: no such column"):
        require_axes(RUNS, TIME, "quality_test.accuracy", "size")


def test_a_setting_has_no_direction_and_a_result_its_own() -> None:
    none = DataFrame()
    assert direction(none, "config.lr") is None
    assert direction(none, "compression.accuracy_change") == "max"
    assert direction(none, TIME) == "min"
