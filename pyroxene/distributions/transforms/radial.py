"""Radial flows: a point around which space is stretched or squeezed.

Source: D. J. Rezende, S. Mohamed (2015), Variational inference with normalizing flows, equation 14 and appendix A.2.
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
from pyroxene.ops.networks import DenseNN

__all__ = ["ConditionalRadial", "ConditionedRadial", "Radial", "conditional_radial", "radial"]


def _length(offset: Tensor) -> Tensor:
    """Return the length of the last dimension, kept; its gradient is zero at zero."""
    square = offset.square().sum(-1, keepdim=True)
    apart = square > 0
    return torch.where(apart, torch.where(apart, square, torch.ones_like(square)).sqrt(), torch.zeros_like(square))


class ConditionedRadial(Flow):
    """Bijection of vectors: y = x + β (x - x₀) / (α + |x - x₀|), with α = softplus(α') and β = softplus(β') - α.

    Args:
        x0: the centre, shape (..., n).
        alpha_prime: α', shape (..., 1).
        beta_prime: β', shape (..., 1).
    """

    x0: Tensor
    alpha_prime: Tensor
    beta_prime: Tensor

    def __init__(self, x0: Tensor, alpha_prime: Tensor, beta_prime: Tensor) -> None:
        super().__init__(cache_size=1)
        self.x0 = x0
        self.alpha_prime = alpha_prime
        self.beta_prime = beta_prime

    def _factor(self, distance: Tensor, size: int) -> tuple[Tensor, Tensor]:
        """Return |y - x₀| / |x - x₀| for |x - x₀|, and the log-Jacobian."""
        alpha, total = softplus(self.alpha_prime), softplus(self.beta_prime)  # total is α + β
        outer = alpha + distance
        tangential = (total + distance) / outer  # 1 + β h
        radial_slope = (distance * (distance + 2 * alpha) + alpha * total) / outer.square()  # 1 + β h + β h' r
        return tangential, ((size - 1) * tangential.log() + radial_slope.log()).squeeze(-1)

    def _push(self, x: Tensor) -> tuple[Tensor, Tensor]:
        offset = x - self.x0
        factor, log_jacobian = self._factor(_length(offset), x.size(-1))
        return self.x0 + factor * offset, log_jacobian

    def _pull(self, y: Tensor) -> tuple[Tensor, Tensor | None]:
        offset = y - self.x0
        reach = _length(offset)  # r (α + β + r) = reach (α + r): the positive root, without cancellation
        alpha, total = softplus(self.alpha_prime), softplus(self.beta_prime)
        half = 0.5 * (total - reach)
        root = (half.square() + reach * alpha).sqrt()
        safe = torch.where(half > 0, root + half, torch.ones_like(root))
        distance = torch.where(half > 0, reach * alpha / safe, root - half)
        factor, log_jacobian = self._factor(distance, y.size(-1))
        return self.x0 + offset / factor, log_jacobian


class Radial(ConditionedRadial, TransformModule):
    """Bijection of vectors: y = x + β (x - x₀) / (α + |x - x₀|), with α = softplus(α') and β = softplus(β') - α.

    α > 0 and β > -α make the map one to one; the inverse is closed. With r = |x - x₀| and h = 1 / (α + r) the
    log-Jacobian is (n - 1) log(1 + βh) + log(1 + βh - βrh²).

    Args:
        input_dim: the number of entries n. The learnable parameters are `x0`, shape (n,), `alpha_prime` and
            `beta_prime`, shape (1,).

    Example:
        >>> from pyroxene.distributions import Normal, TransformedDistribution
        >>> torch.manual_seed(0) and None
        >>> flow = TransformedDistribution(Normal(torch.zeros(3), torch.ones(3)), [Radial(3)])
        >>> flow.log_prob(torch.zeros(5, 3)).shape
        torch.Size([5])
    """

    def __init__(self, input_dim: int) -> None:
        TransformModule.__init__(self, cache_size=1)
        self.input_dim = input_dim
        width = 1 / math.sqrt(input_dim)
        self.x0 = nn.Parameter(torch.empty(input_dim).uniform_(-width, width))
        self.alpha_prime = nn.Parameter(torch.empty(1).uniform_(-width, width))
        self.beta_prime = nn.Parameter(torch.empty(1).uniform_(-width, width))


class ConditionalRadial(ConditionalTransformModule):
    """`Radial` whose parameters come from a context.

    Args:
        nn: takes the context to (x₀, α', β'), shapes (..., n), (..., 1), (..., 1); a DenseNN with param_dims (n, 1, 1).

    Example:
        >>> torch.manual_seed(0) and None
        >>> conditional_radial(4, context_dim=2).condition(torch.ones(2))(torch.zeros(3, 4)).shape
        torch.Size([3, 4])
    """

    domain = Flow.domain
    codomain = Flow.codomain
    bijective = True

    def __init__(self, nn: Any) -> None:
        super().__init__()
        self.nn = nn

    def condition(self, context: Tensor) -> ConditionedRadial:
        return ConditionedRadial(*self.nn(context))


def radial(input_dim: int) -> Radial:
    """Return a Radial.

    Args:
        input_dim: the number of entries.
    """
    return Radial(input_dim)


def conditional_radial(input_dim: int, context_dim: int, hidden_dims: Sequence[int] | None = None) -> ConditionalRadial:
    """Return a ConditionalRadial with a network of its own.

    Args:
        input_dim: the number of entries.
        context_dim: the number of entries of the context.
        hidden_dims: the network's hidden layers; two of 10 input_dim units by default.
    """
    hidden = [10 * input_dim] * 2 if hidden_dims is None else hidden_dims
    return ConditionalRadial(DenseNN(context_dim, hidden, param_dims=[input_dim, 1, 1]))
