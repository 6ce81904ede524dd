"""Imports what every job needs of torchmetrics, without the rest.

torchmetrics imports all of its metrics and, where they are installed, transformers and SciPy's
signal processing, which takes a second. Lightning needs two classes of it, and we need one
function. A job that uses another of its names gets it, and waits for its import.

Source: https://github.com/Lightning-AI/torchmetrics/issues/3457
"""

from __future__ import annotations

import importlib
import logging

from bench.launch.deferred_package import defer, forget

_PACKAGE = "torchmetrics"
_HOMES = {
    "__version__": "torchmetrics.__about__",
    "Metric": "torchmetrics.metric",
    "MetricCollection": "torchmetrics.collections",
}
# In this order, because some of them import one another.
_USED = ("utilities", "metric", "collections", "functional.classification")


def import_partly() -> None:
    """Import it partly, or nothing of it if another version of it is built in another way."""
    try:
        # Its modules take the logger from the package.
        vars(defer(_PACKAGE, _HOMES))["_logger"] = logging.getLogger(_PACKAGE)
        defer(f"{_PACKAGE}.functional", {})
        for name in _USED:
            importlib.import_module(f"{_PACKAGE}.{name}")
    except ImportError:
        forget(_PACKAGE)


import_partly()
