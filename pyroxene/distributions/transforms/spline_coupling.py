"""Splines of one part of the event whose parameters come from the other part: neural spline flows.

Source: C. Durkan, A. Bekasov, I. Murray, G. Papamakarios (2019), Neural spline flows, section 3.2.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from pyroxene.distributions.torch_transform import TransformModule
from pyroxene.distributions.transforms.flow import Flow
from pyroxene.distributions.transforms.spline import ConditionalSpline, Spline, check_spline, parameter_sizes
from pyroxene.ops.networks import DenseNN

__all__ = ["SplineCoupling", "spline_coupling"]


class SplineCoupling(Flow, TransformModule):
    """Bijection of vectors: splines of the first part, and splines of the second whose parameters the first gives.

    Args:
        input_dim: the number of entries n.
        split_dim: the size of the first part, n₁.
        hypernet: takes the first part, shape (..., n₁), to the parameters of the splines of the second, as in
            `ConditionalSpline` with n - n₁ entries; a DenseNN.
        count_bins: the number of bins.
        bound: half the width of the splines' box.
        order: 'linear' or 'quadratic'.
        identity: leave the first part as it is.

    Raises:
        UsageError: an unknown order, no bin, a bound that is not positive.

    Example:
        >>> from pyroxene.distributions import Normal, TransformedDistribution
        >>> torch.manual_seed(0) and None
        >>> flow = TransformedDistribution(Normal(torch.zeros(4), torch.ones(4)), [spline_coupling(4)])
        >>> flow.log_prob(torch.zeros(5, 4)).shape
        torch.Size([5])
    """

    sign = +1

    def __init__(
        self,
        input_dim: int,
        split_dim: int,
        hypernet: Any,
        count_bins: int = 8,
        bound: float = 3.0,
        order: str = "linear",
        identity: bool = False,
    ) -> None:
        TransformModule.__init__(self, cache_size=1)
        self.input_dim = input_dim
        self.split_dim = split_dim
        self.identity = identity
        self.lower_spline = None if identity else Spline(split_dim, count_bins, bound, order)
        self.upper_spline = ConditionalSpline(hypernet, input_dim - split_dim, count_bins, bound, order)

    def _split(self, value: Tensor) -> tuple[Tensor, ...]:
        return value.split([self.split_dim, self.input_dim - self.split_dim], -1)

    def _push(self, x: Tensor) -> tuple[Tensor, Tensor]:
        first, second = self._split(x)
        moved, log_first = first, torch.zeros_like(first)
        if self.lower_spline is not None:
            moved, log_first = self.lower_spline._push(first)
        y, log_second = self.upper_spline.condition(first)._push(second)
        return torch.cat([moved, y], -1), log_first.sum(-1) + log_second.sum(-1)

    def _pull(self, y: Tensor) -> tuple[Tensor, Tensor | None]:
        moved, second = self._split(y)
        first, log_first = moved, torch.zeros_like(moved)
        if self.lower_spline is not None:
            first, log_first = self.lower_spline._pull(moved)
        x, log_second = self.upper_spline.condition(first)._pull(second)
        return torch.cat([first, x], -1), log_first.sum(-1) + log_second.sum(-1)


def spline_coupling(
    input_dim: int,
    split_dim: int | None = None,
    hidden_dims: Sequence[int] | None = None,
    count_bins: int = 8,
    bound: float = 3.0,
    order: str = "linear",
    identity: bool = False,
) -> SplineCoupling:
    """Return a SplineCoupling with a network of its own.

    Args:
        input_dim: the number of entries.
        split_dim: the size of the first part; half by default.
        hidden_dims: the network's hidden layers; two of 10 input_dim units by default.
        count_bins: the number of bins.
        bound: half the width of the box.
        order: 'linear' or 'quadratic'.
        identity: leave the first part as it is.
    """
    split = input_dim // 2 if split_dim is None else split_dim
    hidden = [10 * input_dim] * 2 if hidden_dims is None else hidden_dims
    check_spline(count_bins, bound, order)
    sizes = [(input_dim - split) * size for size in parameter_sizes(count_bins, order)]
    return SplineCoupling(input_dim, split, DenseNN(split, hidden, sizes), count_bins, bound, order, identity)
