"""The configuration of task=module, in which the user's module decides what a task decides else.

The module makes its own optimizer and schedule. A configuration that named others would be untrue,
and would separate runs that are repeats of one another.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bench.cli.overrides import key_of
from bench.config.train import DECIDED_BY_MODULE, MODULE, TrainConfig
from bench.core.identity import CHOICES


def refuse_decided(values: Mapping[str, Any], overrides: Sequence[str]) -> None:
    """Refuse keys on the command line that have no effect with task=module.

    Args:
        values: The resolved values.
        overrides: The overrides of the command line.

    Raises:
        ValueError: Such a key is given; the message names it and the remedy.
    """
    if values["task"] != MODULE:
        return
    for text in overrides:
        group = key_of(text).partition(".")[0]
        if group in DECIDED_BY_MODULE:
            raise ValueError(
                f"{text}: has no effect with task=module, whose configure_optimizers decides; "
                "leave it out, and give the module's own arguments as +model.NAME=VALUE"
            )
    if values["lr"] is not None and "lr" in values["model"] and _sets_lr(values, overrides):
        raise ValueError(
            f"model.lr={values['model']['lr']}: lr={values['lr']} is given, too; give only one"
        )


def with_module(values: Mapping[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    """Make null what the module decides; the learning rate stays if the user set it.

    Args:
        values: The resolved values, perhaps with the options that were chosen.
        overrides: The overrides of the command line.
    """
    if values["task"] != MODULE:
        return dict(values)
    settled = {**values, **dict.fromkeys(DECIDED_BY_MODULE)}
    if not _sets_lr(values, overrides):
        settled["lr"] = None
    if CHOICES in values:
        chosen = values[CHOICES].items()
        settled[CHOICES] = {
            group: option for group, option in chosen if group not in DECIDED_BY_MODULE
        }
    return settled


def _sets_lr(values: Mapping[str, Any], overrides: Sequence[str]) -> bool:
    """Whether the user set the learning rate, on the command line or in a file of their own."""
    # Composed values do not show who set them: a file that sets the default counts as silent.
    return "lr" in map(key_of, overrides) or values["lr"] != TrainConfig.lr
