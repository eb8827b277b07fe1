"""Increasing polynomials of each entry whose coefficients come from the entries before it: sum-of-squares flows.

Source: P. Jaini, K. A. Selby, Y. Yu (2019), Sum-of-squares polynomial flow, equation 11.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from pyroxene.distributions.torch_transform import TransformModule
from pyroxene.distributions.transforms.flow import Flow
from pyroxene.distributions.transforms.utils import invert_increasing, sinh_search
from pyroxene.ops.networks import AutoRegressiveNN

__all__ = ["Polynomial", "polynomial"]


class Polynomial(Flow, TransformModule):
    """Bijection of vectors: y[i] = c[i] + ∫ from 0 to x[i] of Σ_k (Σ_r a[k, r, i] u^r)² du.

    The coefficients a are functions of the entries of x before i. The inverse solves one equation for each entry
    numerically.

    Args:
        autoregressive_nn: takes x, shape (..., n), to the coefficients, (..., (count_degree + 1) count_sum, n), k
            slower than r, and has a `permutation`; an AutoRegressiveNN with param_dims
            [(count_degree + 1) * count_sum].
        input_dim: the number of entries n. The learnable parameter is `c`, shape (n,).
        count_degree: the degree of the polynomials that are squared.
        count_sum: the number of squares.

    Example:
        >>> from pyroxene.distributions import Normal, TransformedDistribution
        >>> from pyroxene.nn import AutoRegressiveNN
        >>> torch.manual_seed(0) and None
        >>> network = AutoRegressiveNN(10, [40], param_dims=[(4 + 1) * 3])
        >>> transform = Polynomial(network, input_dim=10, count_degree=4, count_sum=3)
        >>> flow = TransformedDistribution(Normal(torch.zeros(10), torch.ones(10)), [transform])
        >>> flow.rsample().shape
        torch.Size([10])
    """

    sign = +1
    autoregressive = True

    def __init__(self, autoregressive_nn: Any, input_dim: int, count_degree: int, count_sum: int) -> None:
        TransformModule.__init__(self, cache_size=1)
        self.arn = autoregressive_nn
        self.input_dim = input_dim
        self.count_degree = count_degree
        self.count_sum = count_sum
        width = 1 / math.sqrt(input_dim)
        self.c = nn.Parameter(torch.empty(input_dim).uniform_(-width, width))

    def _coefficients(self, x: Tensor) -> Tensor:
        """Return a, shape (..., count_sum, count_degree + 1, n)."""
        return self.arn(x).unflatten(-2, (self.count_sum, self.count_degree + 1))

    def _integrate(self, x: Tensor, a: Tensor) -> tuple[Tensor, Tensor]:
        """Return the integral and the log of its derivative, entry by entry."""
        powers = torch.arange(self.count_degree + 1, dtype=x.dtype, device=x.device)[:, None]
        bases = (a * (x[..., None, :] ** powers)[..., None, :, :]).sum(-2)  # what is squared, (..., count_sum, n)
        raised = powers[:, None] + powers + 1  # u^q u^r becomes x^(q + r + 1) / (q + r + 1)
        total = torch.einsum("...kqi,...kri,...qri->...i", a, a, x[..., None, None, :] ** raised / raised)
        return total, bases.square().sum(-2).log()

    def _push(self, x: Tensor) -> tuple[Tensor, Tensor]:
        total, log_slope = self._integrate(x, self._coefficients(x))
        return self.c + total, log_slope.sum(-1)

    def _pull(self, y: Tensor) -> tuple[Tensor, Tensor | None]:
        columns = list(torch.zeros_like(y).unbind(-1))
        log_jacobian = torch.zeros((), dtype=y.dtype, device=y.device)
        for place in self.arn.permutation.tolist():
            own = self._coefficients(torch.stack(columns, -1))[..., place, None]
            target = y[..., place, None] - self.c[place]

            def along(x: Tensor, own: Tensor = own) -> tuple[Tensor, Tensor]:
                return self._integrate(x, own)

            entry = invert_increasing(along, target, *sinh_search(target))
            log_jacobian = log_jacobian + along(entry)[1].squeeze(-1)
            columns[place] = entry.squeeze(-1)
        return torch.stack(columns, -1), log_jacobian


def polynomial(input_dim: int, hidden_dims: Sequence[int] | None = None) -> Polynomial:
    """Return a Polynomial of three squares of degree four, with a network of its own.

    Args:
        input_dim: the number of entries.
        hidden_dims: the network's hidden layers; one of 10 input_dim units by default.
    """
    count_degree, count_sum = 4, 3
    hidden = [10 * input_dim] if hidden_dims is None else hidden_dims
    network = AutoRegressiveNN(input_dim, hidden, param_dims=[(count_degree + 1) * count_sum])
    return Polynomial(network, input_dim, count_degree, count_sum)
