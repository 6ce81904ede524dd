"""What is refused before the clock starts: one line names the part and what it must provide."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from bench.config.train import TrainConfig
from bench.config.trainer import TrainerConfig
from bench.tasks.find_task import make_task
from bench.tasks.task_module import TaskModule
from bench.training.contract import (
    Examples,
    check_contract,
    example_input,
    refuse_hooks,
    require_network,
)
from tests.training.own_data import (
    BATCH_SIZE,
    NUM_CLASSES,
    SHAPE,
    InPlace,
    Masked,
    Named,
    Network,
    OwnData,
    Pair,
    Untrained,
)


def _no_schedule(optimizer: object) -> None:
    """A constant learning rate."""


def check(network: nn.Module, data: Any, num_ranks: int = 1) -> Examples:
    module = TaskModule(
        network,
        make_task("classification", data),
        partial(torch.optim.SGD, lr=0.1),
        _no_schedule,
        channels_last=False,
    )
    config = TrainConfig(batch_size=BATCH_SIZE, trainer=TrainerConfig(devices=num_ranks))
    device = torch.device("cpu")
    return check_contract(module, config, device=device, precision=nullcontext)


def data_with(**methods: Callable[[OwnData], Any]) -> OwnData:
    """Data of which some loaders give something else."""
    data = OwnData()
    for name, method in methods.items():
        setattr(data, name, partial(method, data))
    return data


def labelled(split: str, labels: list[Any]) -> OwnData:
    data = OwnData()
    images, _ = data.splits[split]
    data.splits[split] = images, torch.tensor(labels)
    return data


def incomplete(split: str, index: int) -> OwnData:
    data = OwnData()
    data.splits[split][0][index, 0, 0, 0] = torch.nan
    return data


def test_what_keeps_the_contract_tells_the_sizes_of_its_batches() -> None:
    examples = check(Network(), OwnData())
    assert examples.batch[0].shape == (BATCH_SIZE, 1, 2, 2)
    assert examples.eval_sizes == [2, 3]  # five validation images, three at a time
    assert not examples.changes_input


def test_a_model_may_have_classes_that_it_rules_out() -> None:
    assert check(Masked(), OwnData()).eval_sizes == [2, 3]


@pytest.mark.parametrize(
    ("network", "words"),
    [
        (Pair(), r"model: must give logits of shape \(4, 3\), gave a tuple of 2"),
        (Named(), r"model: must give logits of shape \(4, 3\), gave a dict of 1"),
        (Network(2), r"model: must give logits of shape \(4, 3\), gave shape \(4, 2\)"),
        (nn.Linear(2, 2), r"gave shape \(4, 1, 2, 2\)"),
        (Untrained(), "model: the loss depends on no parameter that is trained"),
    ],
)
def test_a_model_that_gives_something_else_is_named(network: nn.Module, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        check(network, OwnData())


def test_what_is_no_module_is_named() -> None:
    with pytest.raises(ValueError, match=r"model: mine.net gave a function, must give a torch"):
        require_network(lambda x: x, "mine.net")


def test_a_lazy_layer_is_refused_until_it_has_weights() -> None:
    network = nn.Sequential(nn.Flatten(), nn.LazyLinear(NUM_CLASSES))
    with pytest.raises(ValueError, match=r"model: 1\.weight of mine\.net has no shape yet"):
        require_network(network, "mine.net")
    network(torch.zeros(1, *SHAPE))
    assert check(require_network(network, "mine.net"), OwnData()).eval_sizes == [2, 3]


def as_dicts(data: OwnData) -> Any:
    return [{"image": images, "label": labels} for images, labels in data.loader("val", 3)]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (
            data_with(train_dataloader=lambda data: iter(as_dicts(data))),
            r"a batch of train_dataloader must be \(images, labels\), is a dict of 2",
        ),
        (
            data_with(val_dataloader=lambda data: ((*batch, 0) for batch in data.loader("val", 3))),
            r"a batch of val_dataloader must be \(images, labels\), is a tuple of 3",
        ),
        (
            data_with(val_dataloader=lambda data: [data.loader("val", 3)] * 2),
            "val_dataloader must give one loader, gave a list of 2",
        ),
        (data_with(val_dataloader=lambda data: None), "must give one loader, gave a NoneType"),
        (
            data_with(test_dataloader=lambda data: iter(())),
            "test_dataloader gave no batch; it needs at least one sample",
        ),
        (
            data_with(train_dataloader=lambda data: data.loader("train", 3)),
            "train_dataloader gave 3 samples in its first batch, must give batch_size=4",
        ),
        (
            data_with(val_dataloader=lambda data: iter([(torch.zeros(2, 3), torch.zeros(2))])),
            r"images of val_dataloader must be of shape \(n, 1, 2, 2\) by input_shape",
        ),
        (
            data_with(val_dataloader=lambda data: iter([("a.png", torch.zeros(1))])),
            "images of val_dataloader must be a torch.Tensor, are a str",
        ),
        # The last of the validation labels: all of them are looked at.
        (labelled("val", [0, 1, 2, 0, 3]), "val_dataloader: a label is 3, must be 0 to 2"),
        (labelled("val", [-100, 1, 2, 0, 1]), "val_dataloader: a label is -100, must be 0 to 2"),
        (labelled("test", [0, 1, 2, 0, 1, 3]), "test_dataloader: a label is 3, must be 0 to 2"),
        # The last of the validation images, and one of the first training batch.
        (incomplete("val", 4), "images of val_dataloader have NaN in them; fill the missing value"),
        (incomplete("train", 2), "images of train_dataloader have NaN in them"),
        (labelled("test", [0.0] * 6), r"labels of test_dataloader must be int64 .*are float32"),
    ],
)
def test_data_that_gives_something_else_is_named(data: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        check(Network(), data)


class Converting(Network):
    """Takes numbers of any type."""

    def forward(self, images: torch.Tensor) -> Any:
        return super().forward(images.float())


@pytest.mark.parametrize("split", ["train", "val"])
def test_inputs_of_another_type_than_the_weights_are_named(split: str) -> None:
    """Whoever makes tensors of NumPy's numbers has float64."""
    data = OwnData()
    images, labels = data.splits[split]
    data.splits[split] = images.double(), labels
    words = f"images of {split}_dataloader are float64, and the model takes float32 .*convert them"
    with pytest.raises(ValueError, match=words):
        check(Network(), data)
    assert check(Converting(), data).eval_sizes == [2, 3]


def test_another_error_of_the_model_is_left_as_it_is() -> None:
    with pytest.raises(RuntimeError, match="mat1 and mat2 shapes cannot be multiplied"):
        check(nn.Sequential(nn.Flatten(), nn.Linear(3, NUM_CLASSES)), OwnData())


class Staged(OwnData):
    """Makes its test split in setup("test") only, as Lightning documents it."""

    def __init__(self) -> None:
        super().__init__()
        self.stages: list[str] = []
        self.later = self.splits.pop("test")

    def setup(self, stage: str) -> None:
        self.stages.append(stage)
        if stage == "test":
            self.splits["test"] = self.later


def test_a_test_split_may_come_from_its_own_stage() -> None:
    data = Staged()
    check(Network(), data)
    assert data.stages == ["test"]


def test_data_that_has_its_test_split_is_not_set_up_again() -> None:
    """One that ignores the stage would draw its splits anew."""
    data = Staged()
    data.splits["test"] = data.later
    check(Network(), data)
    assert data.stages == []


def test_a_missing_test_split_is_known_before_the_clock() -> None:
    data = OwnData()
    del data.splits["test"]
    with pytest.raises(ValueError, match=r"data: test_dataloader gave no test split \('test'\)"):
        check(Network(), data)


def views(data: OwnData) -> Any:
    """Batches that are the data's own memory."""
    images, labels = data.splits["val"]
    return iter([(images[:3], labels[:3]), (images[3:], labels[3:])])


def test_a_model_that_would_change_the_data_is_refused() -> None:
    with pytest.raises(ValueError, match="model: it changes its input in place, and val_dataload"):
        check(InPlace(), data_with(val_dataloader=views))


def test_a_model_that_changes_copies_is_known_for_it() -> None:
    data = OwnData()
    images = data.splits["val"][0].clone()
    assert check(InPlace(), data).changes_input  # a DataLoader gives copies
    assert torch.equal(data.splits["val"][0], images)
    assert not check(Network(), data_with(val_dataloader=views)).changes_input


@pytest.mark.parametrize("name", ["num_classes", "input_shape", "num_train_samples"])
def test_an_attribute_that_is_missing_is_named(name: str) -> None:
    data = type("Data", (), {"num_classes": 3, "input_shape": (1,), "num_train_samples": 4})
    delattr(data, name)
    with pytest.raises(ValueError, match=rf"data: {name} is missing after setup\(\)"):
        make_task("classification", data())


def test_a_number_of_samples_that_is_none_is_named() -> None:
    data = OwnData()
    data.num_train_samples = 0
    with pytest.raises(ValueError, match="data: num_train_samples is 0, must be a whole number"):
        make_task("classification", data)


@pytest.mark.parametrize("hook", ["on_after_batch_transfer", "transfer_batch_to_device"])
def test_data_that_changes_batches_where_only_lightning_calls_it_is_refused(hook: str) -> None:
    """Accuracy would be that of other images at the crossing and in serving than in the curve."""
    changing = type("Changing", (OwnData,), {hook: lambda self, batch, *_: batch})
    with pytest.raises(ValueError, match=f"data: {hook} would be called in training only"):
        refuse_hooks(changing())
    refuse_hooks(OwnData())


def test_the_example_is_a_training_image_and_takes_nothing_from_the_order() -> None:
    data = OwnData()
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    assert torch.equal(
        example_input(make_task("classification", data)), data.splits["train"][0][:1]
    )
    assert torch.equal(torch.rand(1), expected)


class Keeps(nn.Linear):
    """Its extra state is what it was given."""

    def __init__(self, kept: object) -> None:
        super().__init__(1, 1)
        self.kept = kept

    def get_extra_state(self) -> Any:
        return self.kept

    def set_extra_state(self, state: Any) -> None:
        self.kept = state


def test_a_state_that_cannot_be_saved_is_named_before_the_training() -> None:
    fine: list[object] = [{"scale": 2.0}, torch.zeros(2), None, np.zeros(3)]
    for kept in fine:
        require_network(nn.Sequential(Keeps(kept)), "mine.net")
    wrong: list[object] = [threading.Lock(), lambda: 1, [(one for one in "ab")]]
    for kept in wrong:
        words = r"model: 0\._extra_state of mine\.net cannot be saved \(.*\); have get_extra_state"
        with pytest.raises(ValueError, match=words) as no:
            require_network(nn.Sequential(Keeps(kept)), "mine.net")
        assert len(str(no.value).splitlines()) == 1
