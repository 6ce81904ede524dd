"""Makes a run of bench.train in this process, as its job does."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from bench.core.records.run import RunRecord
from bench.core.store import create_run_folder, new_identity, write_record
from bench.launch.job import Job
from bench.runs.exit_handling import carry_out
from bench.training.job import TrainingRun

Make = Callable[..., tuple[RunRecord, Path]]
QUICK = (
    *("meter=none", "codecarbon=none", "shared=true", "trainer=cpu", "trainer.num_warmup_steps=1"),
    *("batch_size=4", "target.eval_every_samples=8", "target.ladder=[]", "budget.max_epochs=2"),
    *("probe.num_requests=2", "probe.warmup_requests=0", "probe.batch_sizes=[2]"),
    "probe.min_batch_s=0.0001",
)


def make_run(
    results: Path, configuration: Mapping[str, Any], changes: Mapping[str, Any]
) -> tuple[RunRecord, Path]:
    """Make a run, and give its record and its folder.

    Args:
        results: The results folder.
        configuration: A configuration as the command plans it; composing one takes longer than a
            run.
        changes: Its values to change. A dict only changes the keys that it has, unless it names a
            class.
    """
    config = copy.deepcopy(dict(configuration))
    for key, value in changes.items():
        is_part = isinstance(value, dict) and "_target_" not in value
        config[key] = config[key] | value if is_part else value
    identity = new_identity("train", "0" * 12, 0, 0)
    folder = create_run_folder(results, identity, config)
    job = Job(identity=identity, folder=folder, title="", config=config, host={})
    record = carry_out(TrainingRun(job, lambda _: None, launch_s=0.0))
    write_record(folder, record)
    return record, folder
