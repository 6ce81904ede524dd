"""Reads a user's trainer for the callback: what its fit logs, and how it ended."""

from __future__ import annotations

import io
import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.strategies import DDPStrategy, SingleDeviceStrategy
from pytorch_lightning.trainer.states import TrainerFn
from torch import Tensor
from typing_extensions import override

from bench.core.errors import NoMetricsError, kind_and_line
from bench.core.records.model import RESERVED, ModelFacts
from bench.core.suggest import did_you_mean
from bench.core.target import Target, meets, require_possible
from bench.training.profiler import TargetProfiler

_log = logging.getLogger(__name__)

# Types in which a threshold is rounded so much that a value looks equal to it but misses it.
_COARSE = (torch.bfloat16, torch.float16)


def is_fitting(trainer: pl.Trainer) -> bool:
    """Whether an evaluation belongs to the fit, and not to a sanity check or trainer.validate()."""
    return trainer.state.fn == TrainerFn.FITTING and not trainer.sanity_checking


def devices(trainer: pl.Trainer) -> list[torch.device]:
    """The devices that the ranks of this host train on."""
    root = trainer.strategy.root_device
    if root.type != "cuda":  # ranks on a CPU all train on the same one
        return [root]
    return [torch.device("cuda", index) for index in trainer.device_ids]


def require_from_scratch(global_step: int) -> None:
    """Refuse to measure a training that was begun before, because its cost so far is unknown.

    Args:
        global_step: Steps that the trainer, or a checkpoint that it loads, has already taken.

    Raises:
        ValueError: There were such steps.
    """
    if global_step > 0:
        raise ValueError(
            f"global_step={global_step}: a training that was begun before is not measured, since "
            "its cost until then is not known; use a new Trainer, and no ckpt_path"
        )


def require_validation(trainer: pl.Trainer) -> None:
    """Refuse a fit without evaluations, which can neither reach nor miss its target.

    Raises:
        ValueError: There is no validation loader or step, or limit_val_batches is 0.
    """
    if not trainer.enable_validation:
        raise ValueError(
            "no validation: the target is judged by what it logs; give a validation loader and a "
            "validation_step, and limit_val_batches above 0"
        )


def call_before_training_data(trainer: pl.Trainer, act: Callable[[], None]) -> None:
    """Have a function called once, just before Lightning asks for the training loader.

    The workers of its iterator load at once, and every hook of a callback comes after that.

    Args:
        trainer: The trainer, in on_fit_start.
        act: The function. It is not called if a checkpoint of a training was loaded; some
            strategies load one only now.
    """
    fit_loop = trainer.fit_loop
    set_up_data = fit_loop.setup_data

    def act_and_set_up() -> None:
        call_off(trainer)
        require_from_scratch(trainer.global_step)
        act()
        set_up_data()

    # An attribute of the instance: call_off() only has to remove it.
    fit_loop.setup_data = act_and_set_up  # type: ignore[method-assign]


def call_off(trainer: pl.Trainer) -> None:
    """Undo call_before_training_data()."""
    vars(trainer.fit_loop).pop("setup_data", None)


def schedule_done(trainer: pl.Trainer) -> bool:
    """Whether the schedule (max_epochs or max_steps) ran to its end, and nothing stopped it.

    Lightning counts an epoch that was cut short as a whole one, so the last batch must be there.
    """
    if trainer.max_steps != -1 and trainer.global_step >= trainer.max_steps:
        return True
    max_epochs = trainer.max_epochs
    if max_epochs is None or max_epochs == -1:
        return False
    return trainer.current_epoch >= max_epochs and trainer.is_last_batch


def why_unknown(profiler: TargetProfiler, rule: str) -> str | None:
    """Say why it is unknown whether a fit without an error reached its target; None if known.

    Args:
        profiler: The profiler after the fit.
        rule: The rule of the target.
    """
    if not profiler.rows:
        return "the fit ended without an evaluation"
    last, steps = profiler.rows[-1].steps, profiler.steps
    if rule == "final" and profiler.finished and last != steps:
        return (
            f"target.rule=final: the fit ended after {steps} steps and was last evaluated after "
            f"{last}; let the schedule end with an evaluation"
        )
    return None


class _Counted(io.RawIOBase):
    """A file that keeps only the number of bytes written to it."""

    def __init__(self) -> None:
        super().__init__()
        self.size_bytes = 0

    @override
    def write(self, data: Any) -> int:
        size_bytes = memoryview(data).nbytes
        self.size_bytes += size_bytes
        return size_bytes


def model_facts(trainer: pl.Trainer, module: pl.LightningModule) -> ModelFacts:
    """Measure the size of the model; unknown where each rank has only a part of it.

    Args:
        trainer: The trainer, after its fit.
        module: Its module.
    """
    name = type(module).__name__
    if not isinstance(trainer.strategy, SingleDeviceStrategy | DDPStrategy):
        return ModelFacts(name=name)
    facts = ModelFacts(name=name, num_parameters=sum(one.numel() for one in module.parameters()))
    file = _Counted()
    try:
        torch.save(module.state_dict(), file)  # type: ignore[arg-type]  # it is only written to
    except Exception as error:  # a user's extra state may fail in any way
        _log.warning("the size of the model is not known: %s", kind_and_line(error))
        return facts
    return replace(facts, size_bytes=file.size_bytes)


class Monitor:
    """Reads what the module logged in the validation that just ended, and in no other."""

    def __init__(self, name: str, target: Target, *, key: str = "monitor") -> None:
        """Remember the name.

        Args:
            name: The name under which the module logs the metric in validation.
            target: The metric of the target, and its threshold.
            key: The argument or key that gives the name, for messages.
        """
        self._name, self._target = name, target
        self._label = f"{key}={name}"
        self._before: Mapping[str, Tensor] = {}
        self._skipped: set[str] = set()

    def validation_started(self, trainer: pl.Trainer) -> None:
        """Remember what was logged before, because Lightning keeps it, also of training steps."""
        self._before = dict(trainer.callback_metrics)

    def is_logged(self, trainer: pl.Trainer) -> bool:
        """Whether the metric was logged in this validation."""
        return self._name in self._logged(trainer)

    def value(self, trainer: pl.Trainer) -> float:
        """Read the value of the metric of the target.

        Raises:
            NoMetricsError: None was logged in this validation.
            ValueError: It has several values, or the metric cannot have the value.
        """
        logged = self._logged(trainer)
        if self._name not in logged:
            names = ", ".join(sorted(logged)) or "nothing; call self.log in validation_step"
            hint = did_you_mean(self._name, list(logged))
            raise NoMetricsError(f"{self._label}: not logged in validation; logged: {names}{hint}")
        num = logged[self._name].numel()
        if num != 1:
            raise ValueError(f"{self._label}: has {num} values, must have one")
        value = float(logged[self._name])
        try:
            require_possible(self._target.metric, value)
        except ValueError as error:
            raise ValueError(f"{self._label}: {error}") from error
        self._warn_of_coarse(value)
        return value

    def quality(self, trainer: pl.Trainer) -> dict[str, float]:
        """Read everything that was logged, the metric of the target under its own name.

        Raises:
            ValueError: As value().
        """
        values = {self._target.metric: self.value(trainer)}
        for name, value in self._logged(trainer).items():
            if name == self._name:
                continue
            if name in values or name in RESERVED or value.numel() != 1:
                self._skip(name)
            else:
                values[name] = float(value)
        return values

    def _skip(self, name: str) -> None:
        if name not in self._skipped:
            self._skipped.add(name)
            _log.warning(
                "%s: logged in validation but not recorded, because it is not one number, or the "
                "record uses the name for something else",
                name,
            )

    def _logged(self, trainer: pl.Trainer) -> dict[str, Tensor]:
        # Lightning makes a new tensor for each logged value, so the same tensor is an old value.
        return {
            name: value
            for name, value in trainer.callback_metrics.items()
            if value is not self._before.get(name)
        }

    def _warn_of_coarse(self, value: float) -> None:
        """Warn of a miss that is only due to rounding; Lightning does not keep the type."""
        threshold = self._target.value
        if meets(value, threshold, self._target.mode):
            return
        for dtype in _COARSE:
            if value == float(torch.tensor(threshold, dtype=dtype)):
                _log.warning(
                    "%s: %g is %g rounded to %s, which misses it; if it was computed in "
                    "this type, log it in float32",
                    *(self._label, value, threshold, dtype),
                )


def step_loss(outputs: Any) -> Tensor | None:
    """The loss of a training step, a detached scalar; None if it gave none."""
    # A module that optimizes by hand may return nothing, or anything under that name.
    loss = outputs.get("loss") if isinstance(outputs, Mapping) else None
    if not isinstance(loss, Tensor) or loss.numel() != 1:
        return None
    return loss.detach().reshape(())
