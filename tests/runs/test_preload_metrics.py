"""How the fork server imports torchmetrics."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.cli.command import environment

# One process for all, because each imports torch.
_SCRIPT = """
import sys
import bench.runs.preload_metrics
import pytorch_lightning
from bench.tasks.quality import multiclass_calibration_error as ours
OPTIONAL = {"transformers", "scipy.signal"}
assert not OPTIONAL & set(sys.modules), OPTIONAL & set(sys.modules)

import pickle
import torch
pickle.dumps(torch.channels_last)  # as in a model that is served
assert not OPTIONAL & set(sys.modules), OPTIONAL & set(sys.modules)

import torchmetrics
from torchmetrics import Metric, MetricCollection
assert torchmetrics.__version__.startswith("1.")
from torchmetrics.classification import MulticlassAccuracy
assert issubclass(MulticlassAccuracy, Metric)
assert not OPTIONAL & set(sys.modules)

from torchmetrics import Accuracy
assert isinstance(Accuracy(task="binary"), Metric)
assert torchmetrics.functional.calibration_error is not None
assert torchmetrics.functional.classification.multiclass_calibration_error is ours
assert "scipy.signal" in sys.modules
print("all done")
"""


def test_jobs_have_what_they_need_and_get_the_rest_when_they_ask_for_it(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", _SCRIPT],
        env=environment(tmp_path),
        capture_output=True,
        text=True,
    )
    assert ended.stdout == "all done\n", ended.stderr
