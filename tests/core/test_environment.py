from __future__ import annotations

import pytest

from bench.core.environment import (
    deciding_variables,
    refuse_disabled_compiler,
    refuse_trainer_variables,
    restore_variables,
    settle_environment,
)


def test_only_variables_that_decide_speed_or_results_are_kept() -> None:
    deciding = {
        "CUBLAS_WORKSPACE_CONFIG": ":4096:8",
        "CUDA_CACHE_DISABLE": "1",
        "CUDA_DISABLE_PTX_JIT": "1",
        "CUDA_FORCE_PTX_JIT": "1",
        "CUDA_INJECTION64_PATH": "/opt/profiler.so",
        "CUDA_LAUNCH_BLOCKING": "1",
        "CUDA_MPS_ACTIVE_THREAD_PERCENTAGE": "10",
        "FBGEMM_ENABLE_INSTRUCTIONS": "AVX2",
        "GLOO_SOCKET_IFNAME": "eth0",
        "GOMP_CPU_AFFINITY": "0",
        "HSA_OVERRIDE_GFX_VERSION": "11.0.0",
        "LD_LIBRARY_PATH": "/opt/slow",
        "LD_PRELOAD": "libjemalloc.so",
        "LRU_CACHE_CAPACITY": "0",
        "MALLOC_CONF": "background_thread:true",
        "MKL_NUM_THREADS": "2",
        "NCCL_P2P_DISABLE": "1",
        "NVIDIA_TF32_OVERRIDE": "0",
        "OMP_NUM_THREADS": "1",
        "PL_TRAINER_MAX_EPOCHS": "3",
        "PYTHONDEVMODE": "1",
        "PYTHONHASHSEED": "5",
        "PYTORCH_CUDA_ALLOC_CONF": "expandable_segments:True",
        "TORCHDYNAMO_DISABLE": "1",
        "TORCHINDUCTOR_MAX_AUTOTUNE": "1",
        "XLA_FLAGS": "--xla_gpu_autotune_level=0",
    }
    others = {
        "CUDA_DEVICE_ORDER": "PCI_BUS_ID",
        "CUDA_HOME": "/usr/local/cuda",
        "CUDA_VERSION": "12.4",  # of the image; what is loaded may be another one
        "CUDA_VISIBLE_DEVICES": "3",  # which card: the record has its name and UUID
        "HOME": "/root",
        "KMP_DUPLICATE_LIB_OK": "True",  # scikit-learn sets it when it is imported
        "NCCL_DEBUG_FILE": "/tmp/nccl.17.log",
        "PATH": "/bin",
        "PL_GLOBAL_SEED": "1",  # the seed is a fact of its own
        "SECRET_TOKEN": "x",
        "TORCHINDUCTOR_CACHE_DIR": "/tmp/x",
        "TORCHINDUCTOR_REDIS_URL": "redis://user:secret@host",
        "TORCH_API_KEY": "x",
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
def test_a_disabled_compiler_is_refused(name: str, value: str) -> None:
    with pytest.raises(ValueError, match=f"trainer.compile=true: {name}={value} lets torch"):
        refuse_disabled_compiler("trainer.compile=true", {name: value})


def test_a_working_compiler_is_accepted() -> None:
    refuse_disabled_compiler("x", {"TORCHDYNAMO_DISABLE": "0", "TORCH_COMPILE_DISABLE": ""})


def test_arguments_of_the_trainer_from_the_environment_are_refused() -> None:
    with pytest.raises(ValueError, match="PL_TRAINER_FAST_DEV_RUN=1: Lightning would train by it"):
        refuse_trainer_variables({"PL_TRAINER_FAST_DEV_RUN": "1"})
    refuse_trainer_variables({"PL_GLOBAL_SEED": "1"})


def test_jobs_ignore_the_rank_that_a_launcher_gave_the_command() -> None:
    places = {
        "GROUP_RANK": "1",
        "JSM_NAMESPACE_RANK": "1",
        "LOCAL_RANK": "1",
        "MASTER_ADDR": "elsewhere",
        "NODE_RANK": "1",
        "OMPI_COMM_WORLD_RANK": "1",
        "PMI_RANK": "1",
        "RANK": "1",
        "SLURM_NTASKS": "2",
        "SLURM_PROCID": "1",
        "TORCHELASTIC_RUN_ID": "none",
        "WORLD_SIZE": "4",
    }
    others = {"OMP_NUM_THREADS": "1", "SLURM_CPUS_PER_TASK": "2", "SLURM_JOB_ID": "17"}
    environment = {**places, **others}
    settle_environment(environment)
    assert environment == {**others, "PYTHONHASHSEED": "0"}


def test_the_users_hash_seed_is_kept() -> None:
    environment = {"PYTHONHASHSEED": "random"}
    settle_environment(environment)
    assert environment == {"PYTHONHASHSEED": "random"}


def test_what_a_launcher_has_set_is_undone() -> None:
    """joblib gives each of two workers on two cores one thread, unless the command says more."""
    environment = {"OMP_NUM_THREADS": "1", "MKL_DEBUG": "2", "JOB": "7"}
    restore_variables({"MKL_DEBUG": "1", "OMP_WAIT_POLICY": "passive"}, environment)
    assert environment == {"MKL_DEBUG": "1", "OMP_WAIT_POLICY": "passive", "JOB": "7"}
