"""The layers left in a pruned network, counted by hand, and that it can be built again."""

from __future__ import annotations

import copy
import json
import sys
from functools import partial

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from bench.compression.prune import (
    PruningError,
    checked_structure,
    find_structure,
    prune_network,
    restore,
)
from bench.tasks.flops import count_flops
from bench.tasks.models import Cnn, Mlp, torchvision_model

DIGIT = (1, 8, 8)
mlp = partial(Mlp, DIGIT, 10, width=64, depth=2)
cnn = partial(Cnn, DIGIT, 10, width=16, depth=3)


def example(shape: tuple[int, ...] = DIGIT) -> Tensor:
    return torch.randn((1, *shape), generator=torch.Generator().manual_seed(0))


def num_parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def test_half_of_the_units_leaves_a_quarter_of_the_weights_between_them() -> None:
    network = mlp().eval()
    prune_network(network, example(), ratio=0.5)
    # 64 inputs and 10 classes stay: 64 * 32 + 32, 32 * 32 + 32, 32 * 10 + 10.
    assert num_parameters(network) == 2080 + 1056 + 330
    assert count_flops(network, example())[0] == 2 * (64 * 32 + 32 * 32 + 32 * 10)


def test_half_of_the_channels_of_a_convolutional_network() -> None:
    network = cnn().eval()
    prune_network(network, example(), ratio=0.5)
    # Filters of 3x3 from 1 to 8 to 16 to 32 channels, two numbers of batch norm for each, a layer
    # of 32 * 10 + 10.
    filters = 9 * (1 * 8 + 8 * 16 + 16 * 32)
    assert num_parameters(network) == filters + 2 * (8 + 16 + 32) + 330
    # Each filter at 8x8, 4x4 and 2x2 places; a multiply-add counts two.
    places = 9 * (8 * 8 * 1 * 8 + 4 * 4 * 8 * 16 + 2 * 2 * 16 * 32)
    assert count_flops(network, example())[0] == 2 * (places + 32 * 10)


def test_what_counts_least_goes_and_the_rest_stays_as_it_was() -> None:
    torch.manual_seed(0)
    network = Mlp((1, 1, 3), 2, width=4, depth=1).eval()
    hidden, logits = network[1], network[3]
    assert isinstance(hidden, nn.Linear)
    assert isinstance(logits, nn.Linear)
    with torch.no_grad():  # the units 0 and 2 do nothing at all
        for unit in (0, 2):
            hidden.weight[unit] = 0
            hidden.bias[unit] = 0
            logits.weight[:, unit] = 0
    images = torch.randn(5, 1, 1, 3)
    expected, kept = network(images), hidden.weight[[1, 3]].clone()

    prune_network(network, example((1, 1, 3)), ratio=0.5)
    assert torch.equal(hidden.weight, kept)
    assert torch.allclose(network(images), expected, atol=1e-6)


def test_steps_reach_the_same_share_and_rounding_goes_beyond_it() -> None:
    in_steps = cnn().eval()
    prune_network(in_steps, example(), ratio=0.5, iterative_steps=2)
    assert num_parameters(in_steps) == 6274  # as in one step, see above

    rounded = cnn().eval()
    prune_network(rounded, example(), ratio=0.3, round_to=4)
    # 16, 32 and 64 channels less 30% are 11, 22 and 44, as multiples of four 8, 20 and 44.
    layers = [layer for layer in rounded if isinstance(layer, nn.Conv2d)]
    assert [layer.out_channels for layer in layers] == [8, 20, 44]


@pytest.mark.parametrize(
    ("make", "shape"),
    [
        (mlp, DIGIT),
        (partial(mlp, dropout=0.2), DIGIT),
        (cnn, DIGIT),
        (partial(torchvision_model, "resnet18", DIGIT, 10), DIGIT),
        (partial(torchvision_model, "mobilenet_v3_small", DIGIT, 10), DIGIT),
        (partial(torchvision_model, "squeezenet1_1", DIGIT, 10), DIGIT),
    ],
    ids=["mlp", "dropout", "cnn", "resnet18", "mobilenet_v3_small", "squeezenet1_1"],
)
def test_a_pruned_network_is_smaller_can_be_made_again_and_trains(
    make: partial[nn.Module], shape: tuple[int, ...]
) -> None:
    one = example(shape)
    network = make().eval()
    parameters, flops = num_parameters(network), count_flops(network, one)[0]
    prune_network(network, one, ratio=0.5)
    # Where a layer and the one before it lose half, a quarter is left.
    assert num_parameters(network) < 0.4 * parameters
    assert count_flops(network, one)[0] < 0.4 * flops

    kept = json.loads(json.dumps(checked_structure(network, make(), one)))
    again = make()
    restore(again, kept, network.state_dict())
    assert torch.allclose(again.eval()(one), network(one))

    again.train()
    images = torch.randn((4, *shape))
    cross_entropy(again(images), torch.arange(4)).backward()  # type: ignore[no-untyped-call]
    assert all(parameter.grad is not None for parameter in again.parameters())


def test_a_pruned_network_can_be_pruned_again() -> None:
    network = mlp().eval()
    prune_network(network, example(), ratio=0.5)
    prune_network(network, example(), ratio=0.5)
    checked_structure(network, mlp(), example())
    assert num_parameters(network) == (64 * 16 + 16) + (16 * 16 + 16) + (16 * 10 + 10)


@pytest.mark.parametrize(
    ("make", "shape", "ratio", "words"),
    [
        # Logistic regression has only the layer that makes the logits.
        (partial(Mlp, DIGIT, 10, width=1, depth=0), DIGIT, 0.5, "found nothing to cut out"),
        (nn.Flatten, DIGIT, 0.5, "no layer of channels"),
        # Of 4 units a tenth is 0.4: none would be left.
        (partial(Mlp, DIGIT, 10, width=4, depth=1), DIGIT, 0.9, "nothing of a layer of 4 channels"),
        (
            partial(torchvision_model, "shufflenet_v2_x0_5", (1, 28, 28), 10),
            (1, 28, 28),
            0.5,
            "torch-pruning cannot prune this model",
        ),
    ],
)
def test_a_network_that_cannot_be_pruned_is_refused_in_one_line(
    make: partial[nn.Module], shape: tuple[int, ...], ratio: float, words: str
) -> None:
    with pytest.raises(PruningError, match=words) as caught:
        prune_network(make().eval(), example(shape), ratio=ratio)
    assert len(str(caught.value).splitlines()) == 1


def test_rounding_to_nothing_is_refused() -> None:
    # A quarter of 16 channels is 4, which as a multiple of 8 is none.
    with pytest.raises(PruningError, match=r"16 channels, in multiples of 8; use a smaller"):
        prune_network(cnn().eval(), example(), ratio=0.75, round_to=8)


class Auxiliary(nn.Module):
    """The layer that is called last does not make the logits."""

    def __init__(self) -> None:
        super().__init__()
        self.logits, self.other = nn.Linear(64, 10), nn.Linear(64, 4)

    def forward(self, images: Tensor) -> Tensor:
        flat = images.flatten(1)
        logits: Tensor = self.logits(flat)
        self.other(flat)
        return logits


def test_fewer_classes_than_before_are_refused() -> None:
    with pytest.raises(PruningError, match=r"would become \(1, 5\) instead of \(1, 10\)"):
        prune_network(Auxiliary().eval(), example(), ratio=0.5)


def test_a_missing_library_is_refused_with_the_extra_that_brings_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "torch_pruning", None)  # its import fails
    with pytest.raises(PruningError, match="not installed; install it with the extra 'serving'"):
        prune_network(mlp().eval(), example(), ratio=0.5)


def test_weights_of_another_size_fit_only_with_their_structure() -> None:
    network = mlp().eval()
    prune_network(network, example(), ratio=0.5)
    weights = network.state_dict()
    with pytest.raises(RuntimeError, match="size mismatch"):
        restore(mlp(), {}, weights)
    structure = find_structure(network, mlp())
    with pytest.raises(PruningError, match="no layer"):
        restore(nn.Flatten(), structure, weights)


class Scaled(nn.Module):
    """Holds a number per unit in a tensor that is no parameter and in no state."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden, self.logits = nn.Linear(64, 8), nn.Linear(8, 10)
        self.draw = torch.rand(1)

    def forward(self, images: Tensor) -> Tensor:
        hidden: Tensor = self.hidden(images.flatten(1))
        logits: Tensor = self.logits(hidden.relu() * self.draw)
        return logits


def test_a_network_that_cannot_be_made_again_is_refused_before_it_is_trained() -> None:
    torch.manual_seed(0)  # two draws that are not close by chance
    network = Scaled().eval()
    prune_network(network, example(), ratio=0.5)
    with pytest.raises(PruningError, match="gives other outputs when it is rebuilt"):
        checked_structure(network, Scaled(), example())
    with pytest.raises(PruningError, match="other layers"):
        checked_structure(network, mlp(), example())


def test_pruners_of_one_process_share_nothing() -> None:
    """torch-pruning keeps its groups in default arguments that outlive a pruner."""
    torch.manual_seed(0)
    network = torchvision_model("mobilenet_v3_small", DIGIT, 10).eval()
    sizes = set()
    for _ in range(2):
        pruned = copy.deepcopy(network)
        prune_network(pruned, example(), ratio=0.25)
        sizes.add(num_parameters(pruned))
    assert len(sizes) == 1
