"""A first layer for images that whitens their patches.

Neighbouring pixels are nearly equal, so most of what a first convolution learns is to take their
differences, each at its own scale. These filters follow from the images alone: they turn patches
into uncorrelated values of variance 1. They are computed from the first batch, so on the clock, and
are not trained afterwards, which saves a third of the layer's arithmetic.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import unfold
from typing_extensions import override

from bench.tasks.loaders import distributed_world

# Added to all variances, as a fraction of their mean: without it, filters of directions in which
# patches hardly differ would amplify noise.
_REGULARISATION = 5e-3
# Images without any difference would have infinite filters. Inputs are standardised, so that the
# variance of others is about 1.
_LEAST_VARIANCE = 1e-6


def num_patch_filters(num_channels: int, size: int) -> int:
    """The outputs per patch: each of the whitened values and, for a ReLU after it, its negative."""
    return 2 * num_channels * size**2


class WhitenedPatches(nn.Conv2d):
    """Takes an image apart into square patches, and whitens each.

    The filters are set by the first batch in training mode, unless weights were loaded.

    Source: Keller Jordan, arXiv 2404.00498, section 3.2; here the mean is subtracted, too.
    """

    def __init__(self, num_channels: int, size: int, stride: int) -> None:
        """Make the layer, with random filters until the first batch.

        Args:
            num_channels: Channels of the images.
            size: Side of a patch in pixels.
            stride: Pixels from one patch to the next.
        """
        super().__init__(num_channels, num_patch_filters(num_channels, size), size, stride)
        self.requires_grad_(False)
        self._is_set = False

    @override
    def forward(self, images: Tensor) -> Tensor:
        """The whitened patches of images (n, c, h, w)."""
        if self.training and not self._is_set:
            self.set_filters(images)
        return super().forward(images)

    @torch.compiler.disable  # type: ignore[untyped-decorator]  # happens once, and has no kernels
    @torch.no_grad()
    def set_filters(self, images: Tensor) -> None:
        """Compute the filters from images (n, c, h, w); several ranks use the images of all."""
        # In double precision, because it subtracts numbers of the same size.
        patches = unfold(images.double(), self.kernel_size, stride=self.stride)
        patches = patches.transpose(1, 2).flatten(0, 1)
        mean, moments = patches.mean(dim=0), patches.T @ patches / len(patches)
        num_ranks = distributed_world()[1]
        for statistic in (mean, moments) if num_ranks > 1 else ():
            torch.distributed.all_reduce(statistic)
            statistic /= num_ranks
        variances, directions = torch.linalg.eigh(moments - mean.outer(mean))
        variances = variances.clamp(min=0)
        least = _REGULARISATION * variances.mean().clamp(min=_LEAST_VARIANCE)
        filters = (directions / (variances + least).sqrt()).T
        assert self.bias is not None, "it is made with one"
        self.weight.copy_(torch.cat([filters, -filters]).reshape(self.weight.shape))
        self.bias.copy_(torch.cat([-filters @ mean, filters @ mean]))
        self._is_set = True

    @override
    def _load_from_state_dict(self, *args: Any, **options: Any) -> None:
        super()._load_from_state_dict(*args, **options)
        self._is_set = True
