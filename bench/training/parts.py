"""Builds data, module and trainer of a run from its configuration, in the same way on each rank."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch
from hydra.utils import instantiate
from torch import Tensor, nn

from bench.compression.distill import Distilled, Teacher
from bench.config.recipe import DistillConfig, PruneConfig
from bench.config.train import TrainConfig
from bench.core.identity import part_name
from bench.core.suggest import did_you_mean
from bench.measure.meter_set import MeterSet
from bench.runs.recipes import source_folder
from bench.runs.trained import load_network, pruned_network
from bench.tasks.data import test_batches
from bench.tasks.data_memory import put_data
from bench.tasks.find_task import make_task
from bench.tasks.loaders import Batch
from bench.tasks.task import Split, Task
from bench.tasks.task_module import TaskModule
from bench.training import loop
from bench.training.contract import (
    Examples,
    refuse_hooks,
    require_network,
)
from bench.training.evaluate import Served, evaluate
from bench.training.model_facts import model_facts
from bench.training.profiler import TargetProfiler
from bench.training.serving_probe import probe_serving
from bench.training.warm_up import prepare


@dataclass(kw_only=True, eq=False)
class Parts(loop.OnDevice):
    """What the run of a built-in task consists of.

    Attributes:
        config: The configuration of the run.
        module: The module to train; it has the task, and that has the data.
        trainer: The trainer.
        max_steps: Length of the schedule in steps.
        teacher: For distillation, the network that the module also learns from.
    """

    config: TrainConfig
    module: TaskModule
    trainer: loop.AnyTrainer
    max_steps: int
    teacher: Teacher | None = None
    _examples: Examples | None = field(default=None, init=False)

    @property
    def num_train_samples(self) -> int:
        """Samples of one epoch."""
        return int(self.task.data.num_train_samples)

    @property
    def task(self) -> Task:
        """What is learned."""
        return self.module.task

    def prepare(self, facts: dict[str, Any], name: str) -> None:
        """Check and warm up, before the clock.

        Args:
            facts: Receives `model` and `task` of the record.
            name: Name of the model in the record.

        Raises:
            ValueError: Data or model break their contract.
        """
        facts |= {"model": model_facts(self.module, name), "task": self.task.facts()}
        self.compile_and_warm_up()

    def compile_and_warm_up(self) -> None:
        """Do the work that comes once per process, before the clock.

        Raises:
            ValueError: Data or model break their contract.
        """
        if self.teacher is not None:
            self.teacher.to(self.device)
        # Compile in place: the module keeps its class, and the names of its weights.
        if self.config.trainer.compile:
            mode = self.config.trainer.compile_mode
            for network in self.module.networks():
                network.compile(mode=mode)
            # The other modes capture CUDA graphs, whose outputs are in the same memory each time.
            self.module.reuses_outputs = mode != "default" and self.device.type == "cuda"
        self._examples = prepare(
            self.module,
            self.config,
            device=self.device,
            precision=self.trainer.precision_plugin.forward_context,
        )

    def train(self, profiler: TargetProfiler) -> None:
        """Train to the target; as bench.training.loop.train_to_target()."""
        loop.train_to_target(self.module, profiler, self.trainer, self.config.batch_size)

    def weights(self) -> dict[str, Any]:
        """The weights to save: config.yaml says how to build the network that takes them."""
        return self.module.network.state_dict()

    def assess(self, at: Literal["crossing", "end"], meters: MeterSet) -> dict[str, Any]:
        """Measure quality and serving cost of the model in its state at the end of the run.

        Args:
            at: The state of training that the model is in.
            meters: Open energy meters.
        """
        task, served, fields = self.task, self._served(), {}
        splits: list[tuple[str, Split, Iterable[Batch]]] = [
            ("quality", "val", task.data.val_dataloader()),
            ("quality_test", "test", test_batches(task.data)),
        ]
        for name, split, batches in splits:
            evaluation = task.evaluation(split)
            fields[name] = evaluate(served, evaluation, batches, device=self.device, at=at)
        serving = probe_serving(
            served,
            self._example_inputs(max(self.config.probe.batch_sizes)),
            samples_per_input=task.samples_per_example,
            config=self.config.probe,
            synchronize=self.synchronize,
            meters=meters,
        )
        return {**fields, "serving": serving}

    def _served(self) -> Served:
        """The model on its device, in the precision that it was trained in."""
        assert self._examples is not None, "the model has been warmed up"
        self.module.to(self.device)
        precision = self.trainer.precision_plugin.forward_context
        return Served(self.module, precision, copies_input=self._examples.changes_input).eval()

    def _example_inputs(self, num: int) -> Tensor:
        """Load the first `num` inputs or more of the test split, on the device."""
        inputs: list[Tensor] = []
        for batch, _ in test_batches(self.task.data):
            inputs.append(batch)
            if sum(map(len, inputs)) >= num:
                break
        return torch.cat(inputs).to(self.device)


def build_task_parts(config: TrainConfig, folder: Path | None) -> Parts:
    """Build all parts of the run of a built-in task, before compilation and warm-up.

    Args:
        config: The configuration of the run; its groups with a `_target_` are instantiated here.
        folder: The run folder; None on ranks that write nothing.

    Raises:
        ValueError: A part does not exist, or cannot be built from its configuration.
    """
    data = instantiate(config.data, batch_size=config.batch_size, seed=config.seed)
    # Lightning would call these in fit(), but the model needs the shapes before that.
    data.prepare_data()
    data.setup("fit")
    return task_parts_on(config, data, folder)


def task_parts_on(
    config: TrainConfig,
    data: Any,
    folder: Path | None,
    *,
    weights: Mapping[str, Tensor] | None = None,
) -> Parts:
    """Build all parts of a training on data that is loaded already; as build_task_parts().

    A process may train again and again: each training needs parts of its own.

    Args:
        config: The configuration of the training; its group `data` is not read.
        data: What config.data would make, set up for "fit", in batches of config.batch_size.
        folder: The folder for a logger and for a pruned network; None to write nothing.
        weights: What the network starts from, as Parts.weights() gives it; None for random weights.

    Raises:
        RuntimeError: The weights are not those of this network.
        ValueError: A part does not exist, or cannot be built from its configuration.
    """
    refuse_hooks(data)
    metrics = instantiate(config.metrics)
    task = make_task(config.task, data, metrics, label_smoothing=config.label_smoothing)
    _require_reported(config.target.metric, task)
    step_samples = config.batch_size * task.samples_per_example
    every = loop.eval_every_steps(config.target.eval_every_samples, step_samples)
    max_steps = loop.schedule_steps(
        config.budget.max_epochs, data.num_train_samples, step_samples, every
    )
    if config.trainer.channels_last and len(data.input_shape) != 3:
        raise ValueError("trainer.channels_last=true: the inputs are no images; leave it out")
    network = _network(config, task, folder)
    if weights is not None:
        network.load_state_dict(weights)
    teacher = _teacher(config, task)
    lr = config.effective_lr()
    module = _module_class(config, teacher)(
        network,
        task,
        partial(instantiate(config.optimizer), lr=lr),
        partial(instantiate(config.schedule), lr=lr, total_steps=max_steps),
        channels_last=config.trainer.channels_last,
        dtype=torch.bfloat16 if config.precision == "bf16-true" else None,
    )
    trainer = loop.build_trainer(
        config, max_steps=max_steps, every=every, logger=loop.build_logger(config.logger, folder)
    )
    put_data(data, config.trainer.data_memory, trainer.strategy.root_device)
    return Parts(
        config=config, module=module, trainer=trainer, max_steps=max_steps, teacher=teacher
    )


def _require_reported(metric: str, task: Task) -> None:
    """Refuse a target that nothing measures on this data."""
    names = task.directions()
    if metric not in names:
        raise ValueError(
            f"target.metric={metric}: task={task.name} reports no {metric} on this data; use one "
            f"of {', '.join(names)}{did_you_mean(metric, list(names))}"
        )


def _network(config: TrainConfig, task: Task, folder: Path | None) -> nn.Module:
    """Make a network with random weights, or prune a trained one."""
    recipe = config.recipe
    if isinstance(recipe, PruneConfig):
        return pruned_network(source_folder(config.results, recipe), config, task, folder)
    arguments = task.model_arguments()
    for name, value in arguments.items():
        given = config.model.get(name)
        if given is not None and given != (list(value) if isinstance(value, tuple) else value):
            raise ValueError(f"model.{name}={given}: contradicts the data's {name}={value}")
    network = instantiate(config.model, **arguments)
    return task.whole_model(require_network(network, str(config.model["_target_"])))


def _teacher(config: TrainConfig, task: Task) -> Teacher | None:
    recipe = config.recipe
    if not isinstance(recipe, DistillConfig):
        return None
    # The teacher's class draws random weights before the trained ones are loaded. With a separate
    # random state, the student starts exactly as it would without a teacher.
    with torch.random.fork_rng(devices=[]):
        network = load_network(
            source_folder(config.results, recipe), task.model_arguments(), config.trust
        )
    return Teacher(network, channels_last=config.trainer.channels_last)


def _module_class(config: TrainConfig, teacher: Teacher | None) -> Callable[..., TaskModule]:
    """Choose the class of the module once, so that a plain training step need not check."""
    recipe = config.recipe
    if teacher is None or not isinstance(recipe, DistillConfig):
        return TaskModule
    return partial(Distilled, teacher=teacher, temperature=recipe.temperature, alpha=recipe.alpha)


def model_name(config: dict[str, Any]) -> str:
    """Name the model as the user did: by torchvision's name, an option, or a class of their own.

    Args:
        config: The configuration of the record, with the options that were chosen.
    """
    return str(config["model"].get("name") or part_name(config, "model"))
