"""A retraining that bench.train repeats by itself: the same data, the same course."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bench.core.store import read_curve
from bench.drift.replay import retraining_data
from bench.drift.retraining import training_seed
from tests.cli.command import records, train
from tests.drift.deployed import Deployed, deploy

pytestmark = pytest.mark.xdist_group("jobs")

SHARED = ("model.depth=1", "model.width=16", "budget.max_epochs=3", "target.eval_every_samples=160")
# As in conf/maintain.yaml.
USUAL = ("model=mlp", "optimizer=sgd", "batch_size=32", "lr=0.05", "target.value=0.88")
UNMEASURED = ("trainer=cpu", "meter=none", "codecarbon=none", "probe.max_s=0.1")


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Deployed:
    """Two retrainings on labels that come late, through a fault that is in the log, too."""
    return deploy(
        tmp_path_factory.mktemp("deployed"),
        *("policy=every", "policy.windows=2", "drift=concept", "labels=partial"),
        *("labels.fraction=0.8", "labels.delay=50"),
        *("fault=missing", "fault.feature=x1", "fault.at=150", "fault.where=both"),
    )


def test_bench_train_repeats_a_retraining(deployed: Deployed, tmp_path: Path) -> None:
    assert deployed.record.status == "ok", deployed.record.error
    event = deployed.of_kind("retraining")[1]
    assert event.window == 3
    seed = training_seed(deployed.record.seed, event.window)
    answer = train(
        tmp_path,
        *("data=custom", "data._target_=bench.drift.replay.retraining_data"),
        *(f"+data.run={deployed.folder}", f"+data.number={event.model}", f"seed={seed}"),
        *(*SHARED, *USUAL, *UNMEASURED),
    )
    assert answer.code == 0, answer.out + answer.err
    (record,) = records(tmp_path)
    assert record.target is not None
    assert record.target.reached == event.reached
    assert record.target.samples_to_target == event.samples_to_target
    replayed = read_curve(tmp_path / "results" / "train" / record.run_id)
    original = read_curve(deployed.folder / "retrains" / str(event.model))
    assert len(original) > 1
    assert [row.quality["accuracy"] for row in replayed] == [
        row.quality["accuracy"] for row in original
    ]
    assert [row.samples for row in replayed] == [row.samples for row in original]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"number": 3}, "data.number=3: .* has the retrainings 1 to 2"),
        ({"seed": 1}, "seed=1: retraining 1 of .* had seed="),
        ({"batch_size": 7}, "batch_size=7: retraining 1 of .* had batch_size=32"),
    ],
)
def test_another_training_is_refused(
    deployed: Deployed, changes: dict[str, int], message: str
) -> None:
    seed = training_seed(deployed.record.seed, 1)
    given = {"number": 1, "batch_size": 32, "seed": seed, **changes}
    with pytest.raises(ValueError, match=message):
        retraining_data(run=str(deployed.folder), **given)


def test_a_retraining_that_depends_on_models_cannot_be_rebuilt(tmp_path: Path) -> None:
    run = deploy(tmp_path, "retrain=warm", "stream.num_windows=2")
    message = re.escape("retrain.start=warm: the first weights depend on models that were not kept")
    with pytest.raises(ValueError, match=message):
        retraining_data(run=str(run.folder), number=1, batch_size=32, seed=0)
