"""Environment variables that decide how fast a run is, or what it computes.

Libraries read them behind the configuration's back: two runs of one configuration may differ by
nothing else. Those that matter are facts of the record, and those that would make the configuration
untrue are refused.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

# Families of variables: threads and their placement, the libraries of linear algebra, PyTorch and
# its compiler, CUDA's and cuDNN's algorithms, communication, Lightning's Trainer, the allocator.
_FAMILIES = (
    "ATEN_",
    "BLIS_",
    "CUBLAS_",
    "CUDNN_",
    "DNNL_",
    "GOMP_",
    "GOTO_",
    "KMP_",
    "MALLOC_",
    "MKL_",
    "NCCL_",
    "NUMEXPR_",
    "OMP_",
    "ONEDNN_",
    "OPENBLAS_",
    "ORT_",
    "OV_",
    "PL_TRAINER_",
    "PYTORCH_",
    "TORCH_",
    "TORCHDYNAMO_",
    "TORCHINDUCTOR_",
    "TRITON_",
    "VECLIB_",
)
_SINGLE = (
    "CUDA_DEVICE_MAX_CONNECTIONS",
    "CUDA_LAUNCH_BLOCKING",
    "CUDA_MODULE_LOADING",
    "GLIBC_TUNABLES",
    "LD_PRELOAD",
    "NVIDIA_TF32_OVERRIDE",
    "PYTHONMALLOC",
    "PYTHONOPTIMIZE",
)
# Places and names, which differ between users and change nothing; and what libraries set by
# themselves when they are imported, so that it depends on the imports.
_LEFT_OUT_ENDINGS = ("_CACHE_DIR", "_HOME", "_DIR", "_PATH", "_LOGS", "_LOGS_OUT")
_LEFT_OUT = ("KMP_DUPLICATE_LIB_OK", "KMP_INIT_AT_FORK", "PYTORCH_NVML_BASED_CUDA_CHECK")

# Each of these lets torch.compile run a model uncompiled without a word, except with the values
# beside it: for some of them torch takes any text for a yes, "0" included.
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
    if name in _LEFT_OUT or name.endswith(_LEFT_OUT_ENDINGS):
        return False
    return name in _SINGLE or name.startswith(_FAMILIES)


def refuse_disabled_compiler(key: str, environment: Mapping[str, str] = os.environ) -> None:
    """Refuse to compile where the environment keeps torch.compile from it.

    Args:
        key: What asked for it, such as `trainer.compile=true`.
        environment: Of the command.

    Raises:
        ValueError: A variable switches the compiler off, or lets it give up in silence.
    """
    for name, harmless in _COMPILER_OFF.items():
        value = environment.get(name, "")
        if value not in harmless:
            raise ValueError(
                f"{key}: {name}={value} lets torch.compile run the model uncompiled; unset it"
            )


def refuse_trainer_variables(environment: Mapping[str, str] = os.environ) -> None:
    """Refuse variables from which Lightning's Trainer would take arguments of its own.

    Raises:
        ValueError: There is one.
    """
    for name in sorted(environment):
        if name.startswith(_TRAINER):
            raise ValueError(
                f"{name}={environment[name]}: Lightning would train by it, whatever the "
                "configuration says; unset it and use the keys of bench.train"
            )
