"""What is known of a network before it is trained: parameters and FLOPs."""

from __future__ import annotations

from bench.core.records.model import ModelFacts
from bench.tasks.flops import count_flops
from bench.tasks.task_module import TaskModule
from bench.training.contract import example_input, types_explained


def model_facts(module: TaskModule, name: str) -> ModelFacts:
    """Count parameters and FLOPs of the network; call it before the network is compiled.

    Args:
        module: The module, whose task has the data.
        name: The name of the model in the record.

    Raises:
        ValueError: The model or the data break their contract.
    """
    network = module.network  # without the teacher of a distillation
    example = module.as_input(example_input(module.task))
    with types_explained(network, example, f"{module.task.input_word} of train_dataloader"):
        flops, uncounted = count_flops(network, example)
    return ModelFacts(
        name=name,
        num_parameters=sum(parameter.numel() for parameter in network.parameters()),
        flops_per_sample=round(flops / module.task.samples_per_example),
        flops_uncounted_ops=uncounted,
    )
