"""Finds backends: ours by name, and the user's own by the dotted path of a class."""

from __future__ import annotations

import pkgutil
from functools import cache
from importlib import import_module

from bench.compression.precisions import Combination
from bench.core.checks import require_one_of
from bench.serving import backends
from bench.serving.backend import Backend, BackendRefuses, BackendUnavailable


@cache
def built_in_backends() -> dict[str, type[Backend]]:
    """The backends of this project by name: each module of bench.serving.backends has one.

    Advice names them in this order: PyTorch's first, and of these first the one that compiles
    nothing, because it always works.
    """
    modules = (
        import_module(f"{backends.__name__}.{module.name}")
        for module in pkgutil.iter_modules(backends.__path__)
    )
    classes = [
        value
        for module in modules
        for value in vars(module).values()
        if isinstance(value, type)
        and issubclass(value, Backend)
        and value.__module__ == module.__name__  # defined there, and not imported
    ]
    classes.sort(key=lambda backend: (backend.kind != "torch", backend.compiles, backend.name))
    return {backend.name: backend for backend in classes}


def find_backend(runtime: str, key: str = "backend") -> type[Backend]:
    """The class of a backend.

    Args:
        runtime: The name of one of ours, or the dotted path of a class that can be imported.
        key: The configuration key, for errors.

    Raises:
        ValueError: There is no such backend, or the path leads to something else.
    """
    if "." not in runtime:
        require_one_of(key, runtime, built_in_backends())
        return built_in_backends()[runtime]
    from hydra.utils import get_object  # imported late for the same reason as torch below

    backend = get_object(runtime)
    if not (isinstance(backend, type) and issubclass(backend, Backend)):
        raise ValueError(f"{key}={runtime}: must be a subclass of {Backend.__module__}.Backend")
    return backend


def combination(runtime: str, method: str, device: str) -> Combination:
    """A backend, a precision and a device, with all our backends for advice.

    Raises:
        ValueError: As find_backend and resolve_device.
    """
    return Combination(
        backend=find_backend(runtime),
        method=method,
        device=resolve_device(runtime, device),
        known=tuple(built_in_backends().values()),
    )


def resolve_device(runtime: str, device: str) -> str:
    """The device that a backend would run on: "cpu" or "cuda".

    Args:
        runtime: As of find_backend.
        device: "cpu", "cuda", or "auto" for CUDA if there is a GPU that the backend can use.

    Raises:
        BackendUnavailable: device="cuda" without a CUDA device, or the runtime is not installed.
        ValueError: There is no such backend.
    """
    backend = find_backend(runtime)
    if device == "cpu" or (device == "auto" and "cuda" not in backend.devices):
        return "cpu"
    import torch  # imported late: without it, a server's process is smaller and starts faster

    has_cuda = torch.cuda.is_available()
    if device == "cuda" and not has_cuda:
        raise BackendUnavailable(
            f"backend={backend.name} device=cuda: there is no CUDA device; use device=cpu"
        )
    return "cuda" if device == "cuda" or (has_cuda and backend.takes_cuda()) else "cpu"


def make_backend(runtime: str, *, device: str, num_threads: int | None) -> Backend:
    """A backend without a model yet.

    Args:
        runtime: As of find_backend.
        device: As of resolve_device.
        num_threads: Threads of one operator; None lets the runtime choose. PyTorch's backends set
            it for the whole process.

    Raises:
        BackendUnavailable: The runtime is not installed, or not with this device.
        ValueError: There is no such backend.
    """
    backend, device = find_backend(runtime), resolve_device(runtime, device)
    if device not in backend.devices:
        raise BackendRefuses(
            f"backend={backend.name} device={device}: it runs on {' and '.join(backend.devices)} "
            f"only; use backend.device={backend.devices[0]}"
        )
    return backend(device=device, num_threads=num_threads)


def require_backend(key: str, runtime: str, device: str) -> None:
    """Refuse a class that is not a backend, or a backend without its library or the device.

    Raises:
        ValueError: It cannot be used here.
    """
    find_backend(runtime, key)
    make_backend(runtime, device=device, num_threads=None).close()
