"""Environment variables that decide how fast a run is, or what it computes.

Libraries read them without the configuration knowing, so two runs of one configuration may differ
in nothing else. Variables that matter are stored in the record. Variables that would contradict the
configuration are refused. Variables of launchers are removed, because a command starts its own
processes.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, MutableMapping

# Families of variables, by what reads them.
_FAMILIES = (
    # Threads and where they run.
    *("GOMP_", "KMP_", "OMP_", "TBB_"),
    # Linear algebra and kernels on the processor.
    *("ARMPL_", "ATEN_", "BLIS_", "DNNL_", "FBGEMM_", "GOTO_", "MKL_", "MKLDNN_", "NPY_"),
    *("NUMEXPR_", "NVPL_", "ONEDNN_", "OPENBLAS_", "VECLIB_"),
    # PyTorch, its compilers, and the runtimes that serve.
    *("AOTINDUCTOR_", "AOT_INDUCTOR_", "ORT_", "OV_", "PL_TRAINER_", "PYTORCH_", "TORCHAO_"),
    *("TORCHDYNAMO_", "TORCHINDUCTOR_", "TORCH_", "TRITON_", "XLA_"),
    # GPUs.
    *("CUBLASLT_", "CUBLAS_", "CUDA_", "CUDNN_", "CUTLASS_"),
    *("HIPBLASLT_", "HIP_", "HSA_", "MIOPEN_", "ROCBLAS_"),
    # Communication between ranks.
    *("GLOO_", "NCCL_", "RCCL_", "UCX_"),
    # Allocators: MALLOC_ is glibc's and jemalloc's.
    *("JE_MALLOC_", "MALLOC_", "MIMALLOC_", "TCMALLOC_"),
)
_SINGLE = (
    "CUDA_INJECTION64_PATH",  # a profiler that CUDA loads
    "GLIBC_TUNABLES",
    "HSA_OVERRIDE_GFX_VERSION",
    "LD_AUDIT",
    "LD_BIND_NOW",
    "LD_LIBRARY_PATH",
    "LD_PRELOAD",
    "LRU_CACHE_CAPACITY",  # of oneDNN's kernels in PyTorch
    "NVIDIA_TF32_OVERRIDE",
    "PYTHONDEVMODE",
    "PYTHONHASHSEED",
    "PYTHONMALLOC",
    "PYTHONMALLOCSTATS",
    "PYTHONOPTIMIZE",
    "PYTHONPERFSUPPORT",
    "PYTHONTRACEMALLOC",
    "PYTHON_CPU_COUNT",
    "PYTHON_GIL",
    "PYTHON_JIT",
)
# Left out: paths, names and logs, which differ between users and change nothing; versions, which
# may be what is compared; and the choice of a card, whose name and UUID the record has.
_LEFT_OUT_ENDINGS = (
    *("_DIR", "_DIRECTORY", "_HOME", "_LOGPATH", "_PATH", "_ROOT"),
    *("_HOST", "_PORT", "_URL"),
    *("_DEBUG_FILE", "_DUMP_FILE", "_LOGGING_FILE", "_LOG_FILE", "_OUTPUT_FILE", "_TEMP_FILE"),
    *("_LOGS", "_LOGS_OUT", "_LOG_LEVEL"),
    *("_DEVICE_ORDER", "_VERSION", "_VISIBLE_DEVICES"),
)
# Libraries set these when they are imported, so they depend on the imports.
_LEFT_OUT = ("KMP_DUPLICATE_LIB_OK", "KMP_INIT_AT_FORK", "PYTORCH_NVML_BASED_CUDA_CHECK")
# A variable with one of these words in its name may hold a secret, which no record may.
_SECRET_WORDS = {"AUTH", "CREDENTIAL", "CREDENTIALS", "KEY", "PASSWORD", "SECRET", "TOKEN"}

# With these a launcher (torchrun, Slurm, LSF, MPI) tells each process its place among the others.
_PLACES = (
    *("RANK", "LOCAL_RANK", "GROUP_RANK", "NODE_RANK", "ROLE_RANK"),
    *("WORLD_SIZE", "LOCAL_WORLD_SIZE", "GROUP_WORLD_SIZE", "ROLE_WORLD_SIZE", "ROLE_NAME"),
    *("MASTER_ADDR", "MASTER_PORT", "STANDALONE_PORT"),
    *("SLURM_LOCALID", "SLURM_NODEID", "SLURM_PROCID"),
    *("SLURM_NNODES", "SLURM_NPROCS", "SLURM_NTASKS", "SLURM_NTASKS_PER_NODE"),
)
_PLACE_FAMILIES = (
    *("JSM_NAMESPACE_", "MV2_COMM_WORLD_", "OMPI_COMM_WORLD_", "PMIX_", "PMI_"),
    *("TORCHCOMM_", "TORCHELASTIC_"),
)

# Each of these makes torch.compile silently run a model uncompiled, except with the harmless values
# given here. For some of them, torch takes any text as a yes, even "0".
_COMPILER_OFF: Mapping[str, tuple[str, ...]] = {
    "TORCHDYNAMO_DISABLE": ("", "0"),
    "TORCH_COMPILE_DISABLE": ("", "0"),
    "TORCH_COMPILE_OVERRIDE_BACKENDS": ("",),
    "TORCHDYNAMO_DEBUG_FUNCTION": ("",),
    "TORCHDYNAMO_SUPPRESS_ERRORS": ("",),
}
_TRAINER = "PL_TRAINER_"


def deciding_variables(environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The variables that decide speed or results, with their values, in alphabetical order."""
    return {name: environment[name] for name in sorted(environment) if _decides(name)}


def _decides(name: str) -> bool:
    if name in _SINGLE:
        return True
    if name in _LEFT_OUT or name.endswith(_LEFT_OUT_ENDINGS):
        return False
    return name.startswith(_FAMILIES) and _SECRET_WORDS.isdisjoint(name.split("_"))


def settle_environment(environment: MutableMapping[str, str] = os.environ) -> None:
    """Prepare the environment that the jobs of a command inherit.

    The variables of a launcher are removed, because Lightning, and the loggers that it imports,
    would take a job for one of many ranks. Hashes of text are made the same in each run unless the
    user decides otherwise, since the order of a set may change what a model or a data set does.

    Args:
        environment: The environment; changed in place.
    """
    for name in list(environment):
        if name in _PLACES or name.startswith(_PLACE_FAMILIES):
            del environment[name]
    environment.setdefault("PYTHONHASHSEED", "0")


def restore_variables(
    variables: Mapping[str, str], environment: MutableMapping[str, str] = os.environ
) -> None:
    """Make the variables that decide speed or results what they were, and remove all others.

    Args:
        variables: What deciding_variables() returned earlier.
        environment: The environment; changed in place.
    """
    for name in deciding_variables(environment).keys() - variables.keys():
        del environment[name]
    environment.update(variables)


def refuse_disabled_compiler(key: str, environment: Mapping[str, str] = os.environ) -> None:
    """Refuse to compile if the environment disables torch.compile.

    Args:
        key: The setting that asks to compile, such as `trainer.compile=true`.
        environment: The environment of the command.

    Raises:
        ValueError: A variable disables the compiler, or makes it fall back silently.
    """
    for name, harmless in _COMPILER_OFF.items():
        value = environment.get(name, "")
        if value not in harmless:
            raise ValueError(
                f"{key}: {name}={value} lets torch.compile run the model uncompiled; unset it"
            )


def refuse_trainer_variables(environment: Mapping[str, str] = os.environ) -> None:
    """Refuse variables from which Lightning's Trainer would take arguments.

    Raises:
        ValueError: There is such a variable.
    """
    for name in sorted(environment):
        if name.startswith(_TRAINER):
            raise ValueError(
                f"{name}={environment[name]}: Lightning would train by it, whatever the "
                "configuration says; unset it and use the keys of bench.train"
            )
