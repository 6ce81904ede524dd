"""What is done once per process before the clock, and leaves no trace in the model.

Lazy set-up and compilation are paid here: a training step in each shape that the training loader
gives, and evaluations in the shapes of an evaluation.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
import torch._dynamo.utils
from lightning_fabric.utilities.data import sized_len
from torch import Tensor
from torch.utils.data import DataLoader

from bench.config.train import TrainConfig
from bench.tasks.classifier import Classifier
from bench.tasks.data import DataModule
from bench.tasks.loaders import Batch
from bench.tasks.neutral import evaluating, unchanged
from bench.training.contract import Examples, Precision, check_contract


def prepare(
    module: Classifier,
    data: DataModule,
    config: TrainConfig,
    *,
    device: torch.device,
    precision: Precision,
) -> Examples:
    """Check the contract of data and model, then warm up; weights and random states stay.

    Args:
        module: Moved to the device.
        data: After setup("fit").
        config: Batch size, number of warm-up steps, whether the model is compiled.
        device: Of the training.
        precision: As in training.

    Raises:
        ValueError: Data or model break the contract, or a model that is to be compiled is not.
    """
    module.to(device)
    options = config.trainer
    with unchanged(module.networks(), data):
        examples = check_contract(
            module,
            data,
            batch_size=config.batch_size,
            num_ranks=options.devices,
            device=device,
            precision=precision,
        )
        batches = list(_training_batches(examples.batch, data, config))
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


def _train(module: Classifier, batch: Batch, precision: Precision) -> None:
    images, labels = batch
    with precision():
        loss = module.training_step((images.clone(), labels), 0)  # it may write into its input
        loss.backward()  # type: ignore[no-untyped-call]
    module.zero_grad(set_to_none=True)


def _evaluate(module: Classifier, examples: Examples, precision: Precision) -> None:
    """As Lightning evaluates within a fit, on training samples."""
    images, _ = examples.batch
    with evaluating(module), torch.no_grad(), precision():
        for size in examples.eval_sizes:
            module(_repeated(images, size))


def _training_batches(batch: Batch, data: Any, config: TrainConfig) -> Iterator[Batch]:
    """A batch of each size that this rank trains on, the full one first."""
    share = config.batch_size // config.trainer.devices
    for size in (share, _last_size(data.train_dataloader())):
        if size:
            yield _repeated(batch[0], size), _repeated(batch[1], size)


def _last_size(loader: Any) -> int:
    """Samples of a smaller last batch; 0 where there is none or it cannot be known."""
    if not isinstance(loader, DataLoader) or loader.batch_size is None or loader.drop_last:
        return 0
    num_samples = sized_len(loader.sampler)  # None for a stream
    return 0 if num_samples is None else num_samples % loader.batch_size


def _repeated(samples: Tensor, num: int) -> Tensor:
    """The first samples, over again where there are too few; a copy, shape (num, ...)."""
    return samples[torch.arange(num, device=samples.device) % len(samples)]
