"""The first calls of a model: each batch size once, with a look at what comes back.

What a runtime does only at the first call of a batch size stays out of every measurement, and a
model that gives something else than logits is refused in one line.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from bench.core.errors import PassFailed, kind_and_line
from bench.serving.backends.base import (
    Backend,
    BackendUnavailable,
    Images,
    Logits,
)


def call_once(
    backend: Backend,
    images_of: Callable[[int], Images],
    sizes: Iterable[int],
    *,
    model: str = "the model",
    num_classes: int | None = None,
) -> Logits:
    """Call a model once with each batch size.

    Args:
        backend: Open.
        images_of: Makes a batch of a size, float32 (n, c, h, w), which the model may write into.
        sizes: Of the batches that will come, each at least 1.
        model: What the model is called, for errors.
        num_classes: Logits that it must give for each image; None if that is not known.

    Returns:
        The last logits.

    Raises:
        BackendUnavailable: The runtime refuses the model.
        PassFailed: The model raised; the cause is what it raised.
        ValueError: It gave something else than logits, or another number of them.
    """
    for size in sizes:
        images = images_of(size)
        try:
            logits = backend.predict(images)
        except BackendUnavailable:
            raise
        except Exception as error:  # a model is its user's code: it may raise anything
            wanted = _wanted(model, size, num_classes)
            raise PassFailed(f"{wanted}; {kind_and_line(error)}") from error
        require_logits(logits, size, model=model, num_classes=num_classes)
    return logits


def require_logits(
    logits: Logits, size: int, *, model: str = "the model", num_classes: int | None = None
) -> None:
    """Refuse what is not one row of logits for each image.

    Args:
        logits: What a backend gave.
        size: Images that it was given.
        model: What the model is called.
        num_classes: Logits of each row; None for any number.

    Raises:
        ValueError: Its shape is another one.
    """
    shape = getattr(logits, "shape", None)
    if shape is None or len(shape) != 2 or shape[0] != size or num_classes not in (None, shape[1]):
        given = f"a {type(logits).__name__}" if shape is None else f"shape {tuple(shape)}"
        raise ValueError(f"{_wanted(model, size, num_classes)}; gave {given}")


def _wanted(model: str, size: int, num_classes: int | None) -> str:
    columns = "num_classes" if num_classes is None else num_classes
    return f"{model}: must give logits of shape ({size}, {columns}) for a batch of {size}"
