"""The training without end that runs beside a server."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.cli.overrides import plain_values
from bench.config.train import TrainConfig
from bench.training.background import main, train_without_end
from tests.cli.planning import composed

# The first evaluation, after eight steps, reaches this target.
QUICK = (
    *("data=digits", "model=mlp", "batch_size=32", "target.value=0.05"),
    *("target.eval_every_samples=256", "budget.max_epochs=0.3", "trainer.num_warmup_steps=1"),
    *("trainer=cpu", "logger=none"),
)


class Enough(Exception):  # noqa: N818 -- ends a training that would not end
    """The test has seen enough."""


class Steps:
    """The integer that both processes share, which ends the training at some step."""

    def __init__(self, last: int) -> None:
        self.seen: list[int] = []
        self._last = last

    def __setitem__(self, place: int, num: int) -> None:
        assert place == 0
        self.seen.append(num)
        if num == self._last:
            raise Enough


def values(tmp_path: Path, *overrides: str) -> dict[str, Any]:
    return plain_values(composed(tmp_path, *QUICK, *overrides))


def test_it_goes_on_after_target_and_budget_and_counts_each_step(tmp_path: Path) -> None:
    # The budget of the run is 0.3 passes over 1,077 images, which are 11 steps.
    steps = Steps(last=20)
    with pytest.raises(Enough):
        train_without_end(TrainConfig.from_dict(values(tmp_path)), steps)  # type: ignore[arg-type]
    assert steps.seen == list(range(1, 21))
    assert not list(tmp_path.rglob("run.json"))


def test_a_configuration_that_cannot_be_trained_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spec, count = tmp_path / "spec.json", tmp_path / "count"
    config = values(tmp_path, "batch_size=5000")
    spec.write_text(json.dumps({"config": config, "nice": 0}))
    count.write_bytes(bytes(8))
    assert main(["", str(spec), str(count)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: batch_size=5000: larger than num_train_samples=1077")
    assert np.fromfile(count, dtype=np.int64).tolist() == [0]
