from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention
from torch.utils.flop_counter import flop_registry

from bench.tasks.flops import count_flops


def test_linear_counts_a_multiply_and_an_add_per_weight() -> None:
    assert count_flops(nn.Linear(3, 5), torch.zeros(1, 3)) == (2 * 3 * 5, [])


def test_convolution_counts_its_kernel_at_each_output() -> None:
    # 6x6 outputs x 4 channels out x (2 channels in x 3x3) x 2
    convolution = nn.Conv2d(2, 4, kernel_size=3)
    assert count_flops(convolution, torch.zeros(1, 2, 8, 8)) == (6 * 6 * 4 * 2 * 9 * 2, [])


def test_operators_that_compute_without_a_formula_are_named_and_views_are_not() -> None:
    network = nn.Sequential(
        *(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Dropout(), nn.Linear(18, 10)),
    )
    flops, uncounted = count_flops(network, torch.zeros(1, 1, 8, 8))
    assert flops == 6 * 6 * 2 * 9 * 2 + 2 * 18 * 10
    assert uncounted == [
        "aten._native_batch_norm_legit_no_training",
        "aten.max_pool2d_with_indices",
        "aten.relu",
    ]


class Attention(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return scaled_dot_product_attention(x, x, x)


def test_attention_is_counted_or_named() -> None:
    flops, uncounted = count_flops(Attention(), torch.zeros(1, 2, 4, 8))
    # Which operator it becomes, and whether that has a formula, depends on torch's version.
    if torch.ops.aten._scaled_dot_product_flash_attention_for_cpu in flop_registry:
        # Two products per head: (4, 8) x (8, 4) and (4, 4) x (4, 8)
        assert (flops, uncounted) == (2 * 2 * (2 * 4 * 8 * 4), [])
    else:
        assert uncounted


def test_a_fused_layer_that_counts_as_zero_is_named() -> None:
    layer = nn.TransformerEncoderLayer(8, nhead=2, dim_feedforward=16, batch_first=True)
    flops, uncounted = count_flops(layer, torch.zeros(1, 4, 8))
    assert (flops, uncounted) == (0, ["aten._transformer_encoder_layer_fwd"])


@torch.library.custom_op("bench_tests::doubled", mutates_args=())
def doubled(x: Tensor) -> Tensor:
    return x * 2


class Doubling(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = doubled(x)
        return result


def test_an_operator_of_ones_own_is_named() -> None:
    assert count_flops(Doubling(), torch.zeros(1, 3)) == (0, ["bench_tests.doubled"])


def test_counting_leaves_modes_statistics_and_gradients_alone() -> None:
    frozen = nn.BatchNorm2d(1).eval()
    network = nn.Sequential(nn.Conv2d(1, 1, 3), nn.BatchNorm2d(1), frozen).train()
    frozen.eval()
    before = {name: value.clone() for name, value in network.state_dict().items()}

    count_flops(network, torch.ones(1, 1, 4, 4))

    assert [part.training for part in network] == [True, True, False]
    assert network.training
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
    assert all(parameter.grad is None for parameter in network.parameters())
