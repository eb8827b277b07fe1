"""Planar flows: a plane along which space is stretched or squeezed.

Source: D. J. Rezende, S. Mohamed (2015), Variational inference with normalizing flows, equations 10 to 12 and appendix
A.1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from pyroxene.distributions.conditional import ConditionalTransformModule
from pyroxene.distributions.torch_transform import TransformModule
from pyroxene.distributions.transforms.flow import Flow
from pyroxene.distributions.transforms.utils import invert_increasing
from pyroxene.ops.networks import DenseNN

__all__ = ["ConditionalPlanar", "ConditionedPlanar", "Planar", "conditional_planar", "planar"]


class ConditionedPlanar(Flow):
    """Bijection of vectors: y = x + û tanh(w·x + b), with û = u + (softplus(w·u) - 1 - w·u) w / |w|².

    The inverse solves one equation in w·x numerically.

    Args:
        bias: b, shape (..., 1).
        u: shape (..., n).
        w: shape (..., n).
    """

    bias: Tensor
    u: Tensor
    w: Tensor

    def __init__(self, bias: Tensor, u: Tensor, w: Tensor) -> None:
        super().__init__(cache_size=1)
        self.bias = bias
        self.u = u
        self.w = w

    def _direction(self) -> tuple[Tensor, Tensor]:
        """Return û, shape (..., n), and w·û > -1, shape (..., 1)."""
        along = (self.w * self.u).sum(-1, keepdim=True)
        stretched = softplus(along) - 1
        return self.u + (stretched - along) * self.w / self.w.square().sum(-1, keepdim=True), stretched

    def _along(self, position: Tensor, stretched: Tensor) -> tuple[Tensor, Tensor]:
        """Return w·y for w·x, and the log of the derivative, which is the log-Jacobian."""
        bend = torch.tanh(position + self.bias)
        # 1 + s (1 - t²) as (1 - t²)(1 + s) + t²: both terms are positive
        return position + stretched * bend, ((1 - bend.square()) * (1 + stretched) + bend.square()).log()

    def _push(self, x: Tensor) -> tuple[Tensor, Tensor]:
        direction, stretched = self._direction()
        position = (self.w * x).sum(-1, keepdim=True)
        y = x + direction * torch.tanh(position + self.bias)
        return y, self._along(position, stretched)[1].squeeze(-1)

    def _pull(self, y: Tensor) -> tuple[Tensor, Tensor | None]:
        direction, stretched = self._direction()
        target = (self.w * y).sum(-1, keepdim=True)
        reach = stretched.detach().abs() * (1 + 1e-6) + torch.zeros_like(target)
        bounds = target.detach() - reach, target.detach() + reach
        position = invert_increasing(lambda z: self._along(z, stretched), target, *bounds)
        x = y - direction * torch.tanh(position + self.bias)
        return x, self._along(position, stretched)[1].squeeze(-1)


class Planar(ConditionedPlanar, TransformModule):
    """Bijection of vectors: y = x + û tanh(w·x + b), with û = u + (softplus(w·u) - 1 - w·u) w / |w|².

    û is u, moved along w so that w·û > -1, which makes the map one to one. The log-Jacobian is
    log(1 + w·û (1 - tanh²(w·x + b))). The inverse solves one equation in w·x numerically.

    Args:
        input_dim: the number of entries n. The learnable parameters are `bias` (b), shape (1,), `u` and `w`, shape
            (n,).

    Example:
        >>> from pyroxene.distributions import Normal, TransformedDistribution
        >>> torch.manual_seed(0) and None
        >>> flow = TransformedDistribution(Normal(torch.zeros(3), torch.ones(3)), [Planar(3)])
        >>> flow.log_prob(torch.zeros(5, 3)).shape
        torch.Size([5])
    """

    def __init__(self, input_dim: int) -> None:
        TransformModule.__init__(self, cache_size=1)
        self.input_dim = input_dim
        width = 1 / math.sqrt(input_dim)
        self.bias = nn.Parameter(torch.zeros(1))
        self.u = nn.Parameter(torch.empty(input_dim).uniform_(-width, width))
        self.w = nn.Parameter(torch.empty(input_dim).uniform_(-width, width))


class ConditionalPlanar(ConditionalTransformModule):
    """`Planar` whose parameters come from a context.

    Args:
        nn: takes the context to (b, u, w), shapes (..., 1), (..., n), (..., n); a DenseNN with param_dims (1, n, n).

    Example:
        >>> torch.manual_seed(0) and None
        >>> conditional_planar(4, context_dim=2).condition(torch.ones(2))(torch.zeros(3, 4)).shape
        torch.Size([3, 4])
    """

    domain = Flow.domain
    codomain = Flow.codomain
    bijective = True

    def __init__(self, nn: Any) -> None:
        super().__init__()
        self.nn = nn

    def condition(self, context: Tensor) -> ConditionedPlanar:
        return ConditionedPlanar(*self.nn(context))


def planar(input_dim: int) -> Planar:
    """Return a Planar.

    Args:
        input_dim: the number of entries.
    """
    return Planar(input_dim)


def conditional_planar(input_dim: int, context_dim: int, hidden_dims: Sequence[int] | None = None) -> ConditionalPlanar:
    """Return a ConditionalPlanar with a network of its own.

    Args:
        input_dim: the number of entries.
        context_dim: the number of entries of the context.
        hidden_dims: the network's hidden layers; two of 10 input_dim units by default.
    """
    hidden = [10 * input_dim] * 2 if hidden_dims is None else hidden_dims
    return ConditionalPlanar(DenseNN(context_dim, hidden, param_dims=[1, input_dim, input_dim]))
