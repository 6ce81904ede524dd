"""The parts of trainings that come one after another in one process, on data that is loaded."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import torch
from torch import Tensor

from bench.config.train import TrainConfig
from bench.core.records.phases import MAINTENANCE_PHASES
from bench.measure.nested import NestedWindow
from bench.measure.phase_window import PhaseWindow
from bench.measure.window import Window
from bench.tasks.neutral import unchanged
from bench.training.parts import task_parts_on
from bench.training.profiler import nothing
from bench.training.rank import build_profiler, prepare_process
from tests.cli.planning import plan
from tests.fakes import FunctionMeter
from tests.opened import open_for_test
from tests.training.in_process import QUICK
from tests.training.unusual_parts import Data

# One worker, so that one server forks the process that imports the parts of a user.
pytestmark = pytest.mark.xdist_group("jobs")
HERE = "tests.training.unusual_parts"


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> TrainConfig:
    own = (
        "model=custom",
        f"model._target_={HERE}.linear",
        "data=custom",
        f"data._target_={HERE}.Data",
    )
    planned = plan(tmp_path_factory.mktemp("planned"), *QUICK, *own)
    return TrainConfig.from_dict(planned.config)


@pytest.fixture(autouse=True)
def _random_states() -> Iterator[None]:
    with unchanged([]):
        yield


def set_up(config: TrainConfig) -> Data:
    data = Data(config.batch_size, config.seed)
    data.setup("fit")
    return data


def train(
    config: TrainConfig,
    data: Any,
    weights: Mapping[str, Tensor] | None = None,
    window: PhaseWindow | None = None,
) -> tuple[dict[str, Tensor], list[float | None]]:
    """Train as a run does; the weights and the losses of the curve."""
    prepare_process(config.trainer, config.seed)
    parts = task_parts_on(config, data, None, weights=weights)
    parts.compile_and_warm_up()
    rows: list[Any] = []
    window = window or Window.time_only(parts.synchronize)
    parts.train(build_profiler(parts, window, on_row=rows.append, on_end=nothing))
    return parts.weights(), [row.train_loss for row in rows]


def test_a_second_training_on_the_same_data_equals_the_first(config: TrainConfig) -> None:
    data = set_up(config)
    first, first_losses = train(config, data)
    second, second_losses = train(config, data)
    assert first_losses == second_losses
    assert len(first_losses) == 3  # 2 epochs of 12 samples, one evaluation for every 8
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_a_training_starts_from_the_weights_it_is_given(config: TrainConfig) -> None:
    data = set_up(config)
    deployed, cold = train(config, data)
    before = {name: weight.clone() for name, weight in deployed.items()}
    warm_parts = task_parts_on(config, data, None, weights=deployed)
    assert all(torch.equal(w, before[name]) for name, w in warm_parts.weights().items())
    trained, warm = train(config, data, deployed)
    assert warm != cold
    # The model that serves meanwhile keeps its own weights.
    assert all(torch.equal(deployed[name], before[name]) for name in before)
    assert not all(torch.equal(trained[name], before[name]) for name in before)


def test_weights_of_another_network_are_refused(config: TrainConfig) -> None:
    with pytest.raises(RuntimeError, match="size mismatch"):
        task_parts_on(
            config,
            set_up(config),
            None,
            weights={"head.weight": torch.zeros(2, 4), "head.bias": torch.zeros(2)},
        )


def test_the_data_gets_its_own_loader_back(config: TrainConfig) -> None:
    data = set_up(config)
    train(config, data)
    assert data.train_dataloader == Data.train_dataloader.__get__(data)


def test_trainings_nest_in_a_longer_measurement(config: TrainConfig) -> None:
    data = set_up(config)
    alone = train(config, data)
    meter = FunctionMeter(lambda: 10.0 * time.perf_counter())  # 10 W
    outer = Window({"cpu": meter}, period_s=None, shared=True, phases=MAINTENANCE_PHASES)
    open_for_test(outer)
    outer.start()
    nested: list[NestedWindow] = []
    for _ in range(2):
        outer.phases.switch("retrain")
        nested.append(NestedWindow(outer))
        weights, losses = train(config, data, window=nested[-1])
        outer.phases.switch("serve")
        assert losses == alone[1]
        assert all(torch.equal(weights[name], alone[0][name]) for name in weights)
    outer.stop()
    joules = [one.total_energy.total_j for one in nested]
    of_run = outer.phases.result
    assert of_run is not None
    assert of_run.retrain_j is not None
    assert 0 < sum(one or 0.0 for one in joules) <= of_run.retrain_j
    assert sum(one.total_s for one in nested) <= outer.clock.reading().of("retrain")
    for one in nested:
        energy = one.phases.result
        assert energy is not None
        parts = (energy.train_j, energy.eval_j, energy.checkpoint_j)
        assert None not in parts
        assert sum(part or 0.0 for part in parts) == pytest.approx(one.energy_j, rel=1e-9)
        assert one.init_s > 0
        assert one.clock.reading().of("eval") > 0
