"""Learning-rate schedules over a known number of steps."""

from __future__ import annotations

from typing import Literal

from torch.optim import Optimizer
from torch.optim.lr_scheduler import CosineAnnealingLR, LRScheduler, OneCycleLR


def constant(optimizer: Optimizer, lr: float, total_steps: int) -> LRScheduler | None:
    """No schedule: the optimizer keeps its learning rate."""
    return None


def one_cycle(
    optimizer: Optimizer,
    lr: float,
    total_steps: int,
    warmup_frac: float = 0.3,
    div_factor: float = 25.0,
    final_div_factor: float = 1e4,
    anneal_strategy: Literal["cos", "linear"] = "cos",
) -> LRScheduler | None:
    """Raise the learning rate to lr and lower it again, along half cosines or straight lines.

    Momentum is constant.

    Args:
        optimizer: The optimizer to schedule.
        lr: The highest learning rate.
        total_steps: Length of the schedule in steps.
        warmup_frac: Fraction of the steps in which it rises, in (0, 1).
        div_factor: The first learning rate is lr / div_factor.
        final_div_factor: The last learning rate is lr / div_factor / final_div_factor.
        anneal_strategy: `cos` for half cosines; `linear` spends less time close to the highest
            and to the last rate.

    Raises:
        ValueError: A value is out of range, or no step is left for the rise.

    Source: Smith and Topin, arXiv 1708.07120.
    """
    _require_one_cycle(total_steps, warmup_frac, div_factor, final_div_factor)
    return OneCycleLR(
        optimizer,
        max_lr=lr,
        total_steps=total_steps,
        pct_start=warmup_frac,
        div_factor=div_factor,
        final_div_factor=final_div_factor,
        anneal_strategy=anneal_strategy,
        cycle_momentum=False,  # not every optimizer has momentum
    )


def _require_one_cycle(
    total_steps: int, warmup_frac: float, div_factor: float, final_div_factor: float
) -> None:
    """Refuse values of one_cycle() that are out of range or leave no step for the rise."""
    if not 0 < warmup_frac < 1:
        raise ValueError(f"schedule.warmup_frac={warmup_frac}: must be between 0 and 1")
    for key, value in (("div_factor", div_factor), ("final_div_factor", final_div_factor)):
        if value <= 0:
            raise ValueError(f"schedule.{key}={value}: must be positive")
    # With one step or less, torch divides by zero or trains at a learning rate of almost 0.
    if warmup_frac * total_steps <= 1:
        raise ValueError(
            f"schedule=one_cycle: warmup_frac={warmup_frac} of {total_steps} steps leaves none to "
            "warm up in; raise budget.max_epochs, lower batch_size or use schedule=constant"
        )


def cosine(
    optimizer: Optimizer, lr: float, total_steps: int, final_lr_frac: float = 0.0
) -> LRScheduler | None:
    """Lower the learning rate from lr to a fraction of it along a half cosine.

    Args:
        optimizer: The optimizer to schedule.
        lr: The first learning rate.
        total_steps: Length of the schedule in steps.
        final_lr_frac: The last learning rate as a fraction of the first, in [0, 1].

    Raises:
        ValueError: The fraction is out of range.

    Source: Loshchilov and Hutter, arXiv 1608.03983.
    """
    if not 0 <= final_lr_frac <= 1:
        raise ValueError(f"schedule.final_lr_frac={final_lr_frac}: must be between 0 and 1")
    return CosineAnnealingLR(optimizer, T_max=total_steps, eta_min=lr * final_lr_frac)
