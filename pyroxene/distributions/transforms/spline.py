"""Spline flows: an increasing rational spline of each entry.

Sources: C. Durkan, A. Bekasov, I. Murray, G. Papamakarios (2019), Neural spline flows; H. M. Dolatabadi, S. Erfani, C.
Leckie (2020), Invertible generative modeling using linear rational splines.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from pyroxene.distributions import constraints
from pyroxene.distributions.conditional import ConditionalTransformModule
from pyroxene.distributions.torch_transform import TransformModule
from pyroxene.distributions.transforms.flow import Flow
from pyroxene.distributions.transforms.rational_splines import Knots, knots
from pyroxene.distributions.transforms.rational_splines import spline as apply_spline
from pyroxene.errors import UsageError
from pyroxene.ops.networks import DenseNN

__all__ = [
    "ConditionalSpline",
    "ConditionedSpline",
    "Spline",
    "conditional_spline",
    "parameter_sizes",
    "spline",
]

_ORDERS = ["linear", "quadratic"]


def check_spline(count_bins: int, bound: float, order: str) -> None:
    """Raise UsageError where the arguments of a spline have no meaning."""
    if order not in _ORDERS:
        raise UsageError(
            f"Keyword argument 'order' must be one of {_ORDERS}, but '{order}' was found!", expected=_ORDERS, got=order
        )
    if not isinstance(count_bins, int) or not 1 <= count_bins < 1000:
        raise UsageError("count_bins is the number of bins", expected="from 1 to 999", got=count_bins)
    if bound <= 0:
        raise UsageError("bound is half the width of the spline's box", expected="bound > 0", got=bound)


def parameter_sizes(count_bins: int, order: str) -> list[int]:
    """Return how many numbers each entry has: of widths, heights, derivatives and, if the order is linear, lambdas."""
    sizes = [count_bins, count_bins, count_bins - 1]
    return [*sizes, count_bins] if order == "linear" else sizes


class ConditionedSpline(Flow):
    """Bijection of the real line, entry by entry: an increasing rational spline, of given parameters.

    Args:
        params: the logits of widths and heights, shapes (..., K), softplus⁻¹ of the derivatives, (..., K - 1), and, for
            the linear order, the logits of λ, (..., K).
        bound: the spline's box is [-bound, bound].
        order: 'linear' or 'quadratic'.
    """

    domain = constraints.real
    codomain = constraints.real
    sign = +1

    def __init__(self, params: Sequence[Tensor], bound: float = 3.0, order: str = "linear") -> None:
        super().__init__(cache_size=1)
        self.params = tuple(params)
        self.bound = bound
        self.order = order

    def _raw(self) -> Sequence[Tensor]:
        return self.params

    def _knots(self) -> Knots:
        widths, heights, slopes, *lambdas = self._raw()
        lam = lambdas[0].sigmoid() if self.order == "linear" else None
        return knots(widths.softmax(-1), heights.softmax(-1), softplus(slopes), lam, self.bound)

    def _push(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return apply_spline(x, self._knots())

    def _pull(self, y: Tensor) -> tuple[Tensor, Tensor]:
        return apply_spline(y, self._knots(), inverse=True)


class Spline(ConditionedSpline, TransformModule):
    """Bijection of the real line, entry by entry: an increasing rational spline in a box, the identity outside.

    The box [-bound, bound] is cut into K bins; in each, y is a quotient of quadratic polynomials of x, or two quotients
    of linear ones, that meet the bin's corners and the derivatives there. Both directions are closed. The parameters
    are the widths and heights of the bins, softmax of logits with a floor of 1e-3; the derivatives at the K - 1 inner
    knots, softplus with a floor of 1e-3; for the linear order λ, where in a bin the two quotients meet, sigmoid within
    [0.025, 0.975].

    Args:
        input_dim: the number of entries n of the last dimension. The learnable parameters are `unnormalized_widths`,
            `unnormalized_heights` and, for the linear order, `unnormalized_lambdas`, shape (n, K), and
            `unnormalized_derivatives`, shape (n, K - 1).
        count_bins: the number of bins K.
        bound: half the width of the box.
        order: 'linear' (rational linear) or 'quadratic' (rational quadratic).

    Raises:
        UsageError: an unknown order, no bin, a bound that is not positive.

    Example:
        >>> from pyroxene.distributions import Normal, TransformedDistribution
        >>> torch.manual_seed(0) and None
        >>> base = Normal(torch.zeros(3), torch.ones(3))
        >>> TransformedDistribution(base, [Spline(3)]).log_prob(torch.zeros(5, 3)).shape
        torch.Size([5, 3])
    """

    def __init__(self, input_dim: int, count_bins: int = 8, bound: float = 3.0, order: str = "linear") -> None:
        TransformModule.__init__(self, cache_size=1)
        check_spline(count_bins, bound, order)
        self.input_dim = input_dim
        self.count_bins = count_bins
        self.bound = bound
        self.order = order
        self.unnormalized_widths = nn.Parameter(torch.randn(input_dim, count_bins))
        self.unnormalized_heights = nn.Parameter(torch.randn(input_dim, count_bins))
        self.unnormalized_derivatives = nn.Parameter(torch.randn(input_dim, count_bins - 1))
        if order == "linear":
            self.unnormalized_lambdas = nn.Parameter(torch.rand(input_dim, count_bins))

    def _raw(self) -> Sequence[Tensor]:
        raw = [self.unnormalized_widths, self.unnormalized_heights, self.unnormalized_derivatives]
        return [*raw, self.unnormalized_lambdas] if self.order == "linear" else raw


class ConditionalSpline(ConditionalTransformModule):
    """`Spline` whose parameters come from a context.

    Args:
        nn: takes the context to the logits of the widths and the heights, softplus⁻¹ of the derivatives and, for the
            linear order, the logits of λ: shapes (..., n K), (..., n K), (..., n (K - 1)), (..., n K); a DenseNN.
        input_dim: the number of entries n.
        count_bins: the number of bins K.
        bound: half the width of the box.
        order: 'linear' or 'quadratic'.

    Raises:
        UsageError: an unknown order, no bin, a bound that is not positive.

    Example:
        >>> torch.manual_seed(0) and None
        >>> conditional_spline(4, context_dim=2).condition(torch.ones(2))(torch.zeros(3, 4)).shape
        torch.Size([3, 4])
    """

    domain = constraints.real
    codomain = constraints.real
    bijective = True

    def __init__(self, nn: Any, input_dim: int, count_bins: int, bound: float = 3.0, order: str = "linear") -> None:
        super().__init__()
        check_spline(count_bins, bound, order)
        self.nn = nn
        self.input_dim = input_dim
        self.count_bins = count_bins
        self.bound = bound
        self.order = order

    def condition(self, context: Tensor) -> ConditionedSpline:
        sizes = parameter_sizes(self.count_bins, self.order)
        params = [flat.reshape(flat.shape[:-1] + (self.input_dim, size)) for flat, size in zip(self.nn(context), sizes)]
        return ConditionedSpline(params, self.bound, self.order)


def spline(input_dim: int, **kwargs: Any) -> Spline:
    """Return a Spline.

    Args:
        input_dim: the number of entries.
        **kwargs: the other arguments of `Spline`.
    """
    return Spline(input_dim, **kwargs)


def conditional_spline(
    input_dim: int,
    context_dim: int,
    hidden_dims: Sequence[int] | None = None,
    count_bins: int = 8,
    bound: float = 3.0,
    order: str = "linear",
) -> ConditionalSpline:
    """Return a ConditionalSpline with a network of its own.

    Args:
        input_dim: the number of entries.
        context_dim: the number of entries of the context.
        hidden_dims: the network's hidden layers; two of 10 input_dim units by default.
        count_bins: the number of bins.
        bound: half the width of the box.
        order: 'linear' or 'quadratic'.
    """
    hidden = [10 * input_dim] * 2 if hidden_dims is None else hidden_dims
    check_spline(count_bins, bound, order)
    sizes = [input_dim * size for size in parameter_sizes(count_bins, order)]
    return ConditionalSpline(DenseNN(context_dim, hidden, sizes), input_dim, count_bins, bound, order)
