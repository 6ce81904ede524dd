"""What serving a trained model needs of this machine, to be looked at before it waits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bench.config.serve import ServeConfig
from bench.core.records.run import RunRecord
from bench.launch.needs import Need
from bench.runs.needs import file_needs, require_module, target_needs

_RUNTIME_MODULES = {
    "onnxruntime": [("onnxruntime", "serving"), ("onnx", "serving"), ("onnxscript", "serving")],
    "openvino": [("openvino", "openvino"), ("onnx", "serving"), ("onnxscript", "serving")],
}
_HTTP_MODULES = ("aiohttp", "starlette", "uvicorn")


def serving_needs(
    values: Mapping[str, Any], checked: ServeConfig, trained: RunRecord
) -> list[Need]:
    """What serving a trained model needs.

    Args:
        values: The resolved values.
        checked: The same, typed.
        trained: The record of the training run.

    Raises:
        ValueError: A library is not installed.
    """
    backend = checked.backend
    require_module(f"scenario={checked.scenario.name}", "mlperf_loadgen", "serving")
    for module in _HTTP_MODULES if backend.http is not None else ():
        require_module("backend=http", module, "serving")
    if checked.placement.has_network:
        require_module(f"placement={checked.placement.name}", "envoy", "serving")
    needs = target_needs(values)
    parts = {name: trained.config[name] for name in ("data", "model")}
    needs += target_needs(parts, f"run={trained.run_id}: ")
    data = parts["data"]
    if checked.data_root is not None and "root" in data:
        data = {**data, "root": checked.data_root}
    needs += file_needs(data, "data_root")
    if backend.serves_elsewhere:
        return needs
    for module, extra in _RUNTIME_MODULES.get(backend.runtime, ()):
        require_module(f"backend={backend.runtime}", module, extra)
    if backend.device == "cuda":
        needs.append(
            Need("bench.serving.backends.choose:require_runtime", (backend.runtime, backend.device))
        )
    return needs
