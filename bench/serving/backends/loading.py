"""What all runtimes need to open a model: checks of its file, and errors of one line."""

from __future__ import annotations

import warnings

import numpy as np
import torch

from bench.core.artifact import Artifact, ArtifactKind
from bench.core.errors import first_line
from bench.serving.backends.base import BackendUnavailable
from bench.tasks.inference import InferenceModel


def check_file(artifact: Artifact, kind: ArtifactKind, runtime: str) -> None:
    """Refuse a model in another form, or one that is not there.

    Raises:
        BackendUnavailable: The model is in the form of other runtimes.
        FileNotFoundError: Its file is missing.
    """
    if artifact.kind != kind:
        raise BackendUnavailable(
            f"{artifact.path}: a model of kind {artifact.kind}, but backend={runtime} opens kind "
            f"{kind}; prepare the model for this backend"
        )
    if not artifact.path.is_file():
        raise FileNotFoundError(f"{artifact.path}: no such file; prepare the model again")


def unusable(artifact: Artifact, runtime: str, error: BaseException) -> BackendUnavailable:
    """The error that says that a runtime does not take a model."""
    return BackendUnavailable(
        f"{artifact.path}: backend={runtime} cannot open this model ({first_line(error)}); prepare "
        "it again, or use another backend"
    )


def load_torch(artifact: Artifact, runtime: str, device: torch.device) -> InferenceModel:
    """A model.pt on a device, in evaluation mode. It is code as much as data: open only your own.

    Raises:
        BackendUnavailable: It is not a model that can be loaded here.
        FileNotFoundError: Its file is missing.
    """
    check_file(artifact, "torch", runtime)
    try:
        model = torch.load(artifact.path, map_location=device, weights_only=False)
    except MemoryError:
        raise
    except Exception as error:  # of a damaged file, or of a user's class that is unpickled
        raise unusable(artifact, runtime, error) from error
    if not isinstance(model, InferenceModel):
        raise unusable(artifact, runtime, TypeError(f"it holds a {type(model).__name__}"))
    return model.to(device).eval()


def gpu_facts(device: str) -> dict[str, str]:
    """The UUID of the GPU that a backend runs on, as NVML writes it; nothing on a CPU.

    All backends run on the first GPU that the process sees: device 0 of CUDA.

    Args:
        device: "cpu" or "cuda".
    """
    if device != "cuda":
        return {}
    uuid = str(torch.cuda.get_device_properties(0).uuid)
    return {"gpu_uuid": uuid if uuid.startswith(("GPU-", "MIG-")) else f"GPU-{uuid}"}


def use_threads(num_threads: int | None) -> None:
    """Set the threads of torch's operators, of this whole process; None leaves them as they are."""
    if num_threads is not None:
        torch.set_num_threads(num_threads)


def accept_read_only_arrays() -> None:
    """Use up torch's warning, given once, of arrays that cannot be written to: none is written."""
    array = np.zeros(1, np.float32)
    array.flags.writeable = False
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        torch.from_numpy(array)


def torch_precision(model: InferenceModel, compression: str, device: torch.device) -> str:
    """What a torch model computes in.

    Args:
        model: As it is served.
        compression: How it was prepared.
        device: Where it runs.
    """
    if compression == "int8_dynamic":
        return "int8 in linear layers, float32 elsewhere"
    if compression == "int8_static":
        return "int8 in convolutions and linear layers, float32 elsewhere"
    floating = (one.dtype for one in model.parameters() if one.is_floating_point())
    dtype = next(floating, torch.float32)
    name = str(dtype).removeprefix("torch.")
    if dtype is not torch.float32:
        return name
    # Both of these let products of float32 be computed from fewer bits.
    reduced = ["tf32 in convolutions"] if _tf32_in_convolutions(device) else []
    matmul = torch.get_float32_matmul_precision()
    reduced += [f"matmul precision {matmul}"] if matmul != "highest" else []
    return f"{name} ({', '.join(reduced)})" if reduced else name


def _tf32_in_convolutions(device: torch.device) -> bool:
    return device.type == "cuda" and bool(torch.backends.cudnn.allow_tf32)
