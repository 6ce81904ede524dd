"""Pays for lazy set-up and compilation before the clock, and leaves no trace in the model.

It makes a training step in each batch size that the training loader gives, and evaluations in the
batch sizes of an evaluation.
"""

from __future__ import annotations

from typing import Any

import torch
import torch._dynamo.utils
from lightning_fabric.utilities.data import sized_len
from torch import Tensor
from torch.utils.data import DataLoader

from bench.config.train import TrainConfig
from bench.tasks.loaders import Batch
from bench.tasks.neutral import evaluating, unchanged
from bench.tasks.task_module import TaskModule
from bench.training.contract import Examples, Precision, check_contract


def prepare(
    module: TaskModule,
    config: TrainConfig,
    *,
    device: torch.device,
    precision: Precision,
) -> Examples:
    """Check the contract of data and model, then warm up; weights and random states stay.

    Args:
        module: The module, which is moved to the device; the data of its task is set up.
        config: Has the batch size, the number of warm-up steps, and whether to compile.
        device: The device of the training.
        precision: Enters the precision of the training.

    Raises:
        ValueError: Data or model break the contract, or torch.compile compiled nothing.
    """
    module.to(device)
    options = config.trainer
    data = module.task.data
    with unchanged(module.networks(), data):
        examples = check_contract(module, config, device=device, precision=precision)
        inputs, targets = examples.batch
        # The full batch of this rank first, then a smaller last one if there is one.
        sizes = (config.batch_size // options.num_ranks, _last_size(data.train_dataloader()))
        batches = [(_repeat(inputs, size), _repeat(targets, size)) for size in sizes if size]
        for _ in range(options.num_warmup_steps):
            for batch in batches:
                _train(module, batch, precision)
            _evaluate(module, examples, precision)
    if options.compile and not num_compiled_graphs():
        raise ValueError("trainer.compile=true: torch.compile compiled nothing of this model")
    return examples


def num_compiled_graphs() -> int:
    """Graphs that torch.compile has compiled in this process so far."""
    return int(torch._dynamo.utils.counters["stats"]["unique_graphs"])


def _train(module: TaskModule, batch: Batch, precision: Precision) -> None:
    inputs, targets = batch
    with precision():
        # On a copy, because a model may write into its input.
        loss = module.training_step((inputs.clone(), targets), 0)
        loss.backward()  # type: ignore[no-untyped-call]
    module.zero_grad(set_to_none=True)


def _evaluate(module: TaskModule, examples: Examples, precision: Precision) -> None:
    """Run the forward pass as Lightning's validation does, on training samples."""
    inputs, _ = examples.batch
    with evaluating(module), torch.no_grad(), precision():
        for size in examples.eval_sizes:
            module(_repeat(inputs, size))


def _last_size(loader: Any) -> int:
    """Samples of a smaller last batch; 0 if there is none or it cannot be known."""
    if not isinstance(loader, DataLoader) or loader.batch_size is None or loader.drop_last:
        return 0
    num_samples = sized_len(loader.sampler)  # None for a stream
    return 0 if num_samples is None else num_samples % loader.batch_size


def _repeat(samples: Tensor, num: int) -> Tensor:
    """Copy the first `num` samples, starting over if there are fewer; shape (num, ...)."""
    return samples[torch.arange(num, device=samples.device) % len(samples)]
