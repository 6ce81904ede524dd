from __future__ import annotations

import pytest

from bench.core.environment import (
    deciding_variables,
    refuse_disabled_compiler,
    refuse_trainer_variables,
)


def test_what_decides_speed_or_results_is_kept_and_nothing_else() -> None:
    deciding = {
        "CUBLAS_WORKSPACE_CONFIG": ":4096:8",
        "CUDA_LAUNCH_BLOCKING": "1",
        "LD_PRELOAD": "libjemalloc.so",
        "MKL_NUM_THREADS": "2",
        "NVIDIA_TF32_OVERRIDE": "0",
        "OMP_NUM_THREADS": "1",
        "PL_TRAINER_MAX_EPOCHS": "3",
        "PYTORCH_CUDA_ALLOC_CONF": "expandable_segments:True",
        "TORCHDYNAMO_DISABLE": "1",
        "TORCHINDUCTOR_MAX_AUTOTUNE": "1",
    }
    others = {
        "CUDA_VISIBLE_DEVICES": "3",  # which card: the record has its name and UUID
        "HOME": "/root",
        "KMP_DUPLICATE_LIB_OK": "True",  # scikit-learn sets it when it is imported
        "PATH": "/bin",
        "PL_GLOBAL_SEED": "1",  # the seed is a fact of its own
        "PYTHONHASHSEED": "0",
        "SECRET_TOKEN": "x",
        "TORCHINDUCTOR_CACHE_DIR": "/tmp/x",
        "TORCH_HOME": "/models",
        "TORCH_LOGS": "dynamo",
    }
    assert deciding_variables({**others, **deciding}) == deciding


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("TORCHDYNAMO_DISABLE", "1"),
        ("TORCH_COMPILE_DISABLE", "1"),
        ("TORCHDYNAMO_SUPPRESS_ERRORS", "0"),  # any text is a yes to torch
        ("TORCHDYNAMO_DEBUG_FUNCTION", "forward"),
        ("TORCH_COMPILE_OVERRIDE_BACKENDS", "eager"),
    ],
)
def test_a_compiler_that_is_switched_off_is_refused(name: str, value: str) -> None:
    with pytest.raises(ValueError, match=f"trainer.compile=true: {name}={value} lets torch"):
        refuse_disabled_compiler("trainer.compile=true", {name: value})


def test_a_compiler_that_works_is_fine() -> None:
    refuse_disabled_compiler("x", {"TORCHDYNAMO_DISABLE": "0", "TORCH_COMPILE_DISABLE": ""})


def test_arguments_of_the_trainer_from_the_environment_are_refused() -> None:
    with pytest.raises(ValueError, match="PL_TRAINER_FAST_DEV_RUN=1: Lightning would train by it"):
        refuse_trainer_variables({"PL_TRAINER_FAST_DEV_RUN": "1"})
    refuse_trainer_variables({"PL_GLOBAL_SEED": "1"})
