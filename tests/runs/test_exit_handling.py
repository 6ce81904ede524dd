"""How a record describes the exception that ended its run."""

from __future__ import annotations

import pytest
import torch

from bench.core.errors import CompressionRefused, LibraryMissing
from bench.runs.exit_handling import explain
from bench.serving.backend import BackendRefuses, BackendUnavailable


@pytest.mark.parametrize("kind", [CompressionRefused, BackendRefuses])
def test_a_combination_that_does_not_exist_is_refused_with_its_reason(
    kind: type[Exception],
) -> None:
    status, error = explain(kind("compression=fp16: not here; use compression=none"))
    assert status == "refused"
    assert error.message == "compression=fp16: not here; use compression=none"
    assert error.kind == kind.__name__


@pytest.mark.parametrize("kind", [LibraryMissing, BackendUnavailable, ValueError])
def test_what_is_not_installed_or_wrong_has_failed(kind: type[Exception]) -> None:
    assert explain(kind("openvino is not installed"))[0] == "failed"


class OutOfMemoryError(RuntimeError):
    """Named like that of torch, of which torch.cuda's is one."""


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory"),
        OutOfMemoryError("of another library"),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"),
        RuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 8 bytes"),
    ],
)
def test_memory_that_was_used_up_is_recognised_in_any_library(error: Exception) -> None:
    assert explain(error)[0] == "out_of_memory"


def test_ctrl_c_interrupts_a_run_and_names_the_signal() -> None:
    status, error = explain(KeyboardInterrupt())
    assert (status, error.message) == ("interrupted", "stopped by Ctrl-C (SIGINT)")
