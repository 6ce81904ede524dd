"""Jobs that tell what they have from their fork server."""

from __future__ import annotations

import gc
import importlib
import pickle
import sys
from collections.abc import Callable
from typing import Any

from bench.core.host import cpu_name
from bench.measure import carbon

OPTIONAL = {"transformers", "scipy.signal"}  # torchmetrics imports them


def tell(argument: Any, send: Callable[[Any], None], launched_s: float) -> None:
    send(
        {
            "looked_up": carbon._looked_up,
            "cpu_name": cpu_name(),
            "num_frozen": gc.get_freeze_count(),
        }
    )


def use_metrics(argument: Any, send: Callable[[Any], None], launched_s: float) -> None:
    """Imports the rest of torchmetrics only when it is asked for a name of it."""
    import torch

    from bench.tasks import quality

    pickle.dumps(torch.channels_last)  # as in a model that is served; it asks all modules
    torchmetrics = importlib.import_module("torchmetrics")
    metric = torchmetrics.Metric
    accuracy = importlib.import_module("torchmetrics.classification").MulticlassAccuracy
    send(
        {
            "version": torchmetrics.__version__,
            "is_metric": issubclass(accuracy, metric),
            "has_collections": hasattr(torchmetrics, "MetricCollection"),
            "optional_before": sorted(OPTIONAL & set(sys.modules)),
            "makes_a_metric": isinstance(torchmetrics.Accuracy(task="binary"), metric),
            "optional_after": sorted(OPTIONAL & set(sys.modules)),
            "has_functions": hasattr(torchmetrics.functional, "calibration_error"),
            "is_ours": torchmetrics.functional.classification.multiclass_calibration_error
            is vars(quality)["multiclass_calibration_error"],
        }
    )
