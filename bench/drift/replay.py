"""Rebuilds the samples of a retraining, so that bench.train can repeat it by itself.

    python -m bench.train data=custom data._target_=bench.drift.replay.retraining_data \
        +data.run=RUN_FOLDER +data.number=1 seed=SEED

The model, the optimizer, batch_size, lr and the target must be those of the deployment. A wrong
seed is refused, and the message has the right one.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from bench.config.maintain import MaintainConfig
from bench.core.maintenance_files import read_events
from bench.core.store import read_record
from bench.drift.data import LabelledData
from bench.drift.division import TrainingSet, divided
from bench.drift.parts import DeploymentParts, build_parts
from bench.drift.retraining import training_seed
from bench.drift.service import labelled_samples


def retraining_data(*, run: str, number: int, batch_size: int, seed: int) -> LabelledData:
    """Rebuild what a retraining of a deployment was trained on.

    Args:
        run: The folder of the deployment.
        number: Of the retraining, from 1.
        batch_size: Rows of one optimizer step, as in the deployment.
        seed: The seed of this retraining.

    Raises:
        ValueError: There is no such retraining, it had other values, or its samples or its first
            weights cannot be known from the stream alone.
    """
    config = MaintainConfig.from_dict(read_record(Path(run)).config)
    for is_lost, reason in (
        (config.labels.kind == "selective", "labels=selective: which labels were seen depends"),
        (config.retrain.start == "warm", "retrain.start=warm: the first weights depend"),
    ):
        if is_lost:
            raise ValueError(f"data.run={run}: {reason} on models that were not kept")
    events = [each for each in read_events(Path(run)) if each.kind == "retraining"]
    found = next((each for each in events if each.model == number), None)
    if found is None or found.window is None:
        raise ValueError(f"data.number={number}: {run} has the retrainings 1 to {len(events)}")
    own = {"seed": training_seed(config.seed, found.window), "batch_size": config.batch_size}
    for key, given in (("seed", seed), ("batch_size", batch_size)):
        if given != own[key]:
            raise ValueError(f"{key}={given}: retraining {number} of {run} had {key}={own[key]}")
    parts = build_parts(config)
    samples = _samples_after(parts, found.window + 1)
    num_classes = parts.stream.pool.num_classes
    return divided(samples, config, num_classes=num_classes, seed=seed).data


def _samples_after(parts: DeploymentParts, num_windows: int) -> TrainingSet:
    """What could be trained on after this many windows, whichever models served them."""
    log, vault, size = parts.log(), parts.vault(), parts.config.stream.window
    for window in range(num_windows):
        answers = np.zeros(size, dtype=np.int64)  # the labels do not depend on them
        vault.add(window * size, log.serve(window), answers)
    return labelled_samples(parts.config, log, vault, num_windows * size)
