"""Backends by name, or by the dotted path of a class of the user's own."""

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

    Those that advice should name first come first: PyTorch's, and of these what compiles nothing.
    """
    classes = [_class_in(module.name) for module in pkgutil.iter_modules(backends.__path__)]
    classes.sort(key=lambda one: (one.kind != "torch", one.compiles, one.name))
    return {one.name: one for one in classes}


def _class_in(name: str) -> type[Backend]:
    module = import_module(f"{backends.__name__}.{name}")
    (found,) = (
        one
        for one in vars(module).values()
        if isinstance(one, type) and issubclass(one, Backend) and one.__module__ == module.__name__
    )
    return found


def find_backend(runtime: str, key: str = "backend") -> type[Backend]:
    """The class of a backend.

    Args:
        runtime: The name of one of ours, or the dotted path of a class that can be imported.
        key: Where it stands, for errors.

    Raises:
        ValueError: There is no such backend, or the path leads to something else.
    """
    if "." not in runtime:
        require_one_of(key, runtime, built_in_backends())
        return built_in_backends()[runtime]
    from hydra.utils import get_object  # only where it is needed, as torch below

    found = get_object(runtime)
    if not (isinstance(found, type) and issubclass(found, Backend)):
        raise ValueError(f"{key}={runtime}: must be a subclass of {Backend.__module__}.Backend")
    return found


def combination(runtime: str, method: str, device: str) -> Combination:
    """A backend, a precision and a device, with our other backends to name in advice.

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
        device: "cpu", "cuda", or "auto": CUDA where there is one that the backend can use.

    Raises:
        BackendUnavailable: There is no CUDA device but it was asked for, or the runtime is not
            installed.
        ValueError: There is no such backend.
    """
    backend = find_backend(runtime)
    if device == "cpu" or (device == "auto" and "cuda" not in backend.devices):
        return "cpu"
    import torch  # only now: without it, the process of a server is small and starts sooner

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
        num_threads: Threads of one operator; None for the runtime's own choice. For PyTorch's
            backends it is set for the whole process.

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
    """Refuse a class that is no backend, or a backend that is not installed or lacks a device.

    Raises:
        ValueError: It cannot be used here.
    """
    find_backend(runtime, key)
    make_backend(runtime, device=device, num_threads=None).close()
