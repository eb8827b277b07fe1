"""Splines of each entry whose parameters come from the entries before it: autoregressive neural spline flows.

Source: C. Durkan, A. Bekasov, I. Murray, G. Papamakarios (2019), Neural spline flows, section 3.2; the linear order: H.
M. Dolatabadi, S. Erfani, C. Leckie (2020), Invertible generative modeling using linear rational splines.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from pyroxene.distributions.conditional import ConditionalTransformModule, ConditionedNetwork
from pyroxene.distributions.torch_transform import TransformModule
from pyroxene.distributions.transforms.flow import Flow
from pyroxene.distributions.transforms.spline import ConditionedSpline, check_spline, parameter_sizes
from pyroxene.ops.networks import AutoRegressiveNN, ConditionalAutoRegressiveNN

__all__ = [
    "ConditionalSplineAutoregressive",
    "SplineAutoregressive",
    "conditional_spline_autoregressive",
    "spline_autoregressive",
]


class SplineAutoregressive(Flow, TransformModule):
    """Bijection of vectors: y[i] is a spline of x[i], with parameters that are functions of the entries of x before i.

    The forward direction is one evaluation of the network, the inverse as many as there are entries.

    Args:
        input_dim: the number of entries n.
        autoregressive_nn: takes x, shape (..., n), to the parameters of `Spline`, each of shape (..., K, n), K - 1 for
            the derivatives, and has a `permutation`; an AutoRegressiveNN with param_dims [K, K, K - 1, K], or [K, K,
            K - 1] for the quadratic order.
        count_bins: the number of bins K.
        bound: half the width of the box.
        order: 'linear' or 'quadratic'.

    Raises:
        UsageError: an unknown order, no bin, a bound that is not positive.

    Example:
        >>> from pyroxene.distributions import Normal, TransformedDistribution
        >>> torch.manual_seed(0) and None
        >>> flow = TransformedDistribution(Normal(torch.zeros(4), torch.ones(4)), [spline_autoregressive(4)])
        >>> flow.log_prob(torch.zeros(5, 4)).shape
        torch.Size([5])
    """

    sign = +1
    autoregressive = True

    def __init__(
        self,
        input_dim: int,
        autoregressive_nn: Any,
        count_bins: int = 8,
        bound: float = 3.0,
        order: str = "linear",
    ) -> None:
        TransformModule.__init__(self, cache_size=1)
        check_spline(count_bins, bound, order)
        self.input_dim = input_dim
        self.arn = autoregressive_nn
        self.count_bins = count_bins
        self.bound = bound
        self.order = order

    def _spline(self, x: Tensor) -> ConditionedSpline:
        """Return the splines whose parameters the entries of x give."""
        return ConditionedSpline([params.mT for params in self.arn(x)], self.bound, self.order)

    def _push(self, x: Tensor) -> tuple[Tensor, Tensor]:
        y, log_slope = self._spline(x)._push(x)
        return y, log_slope.sum(-1)

    def _pull(self, y: Tensor) -> tuple[Tensor, Tensor | None]:
        columns = list(torch.zeros_like(y).unbind(-1))
        log_jacobian = torch.zeros((), dtype=y.dtype, device=y.device)
        for place in self.arn.permutation.tolist():
            own = [params[..., place, :] for params in self._spline(torch.stack(columns, -1)).params]
            entry, log_slope = ConditionedSpline(own, self.bound, self.order)._pull(y[..., place])
            columns[place] = entry
            columns = list(torch.broadcast_tensors(*columns))
            log_jacobian = log_jacobian + log_slope
        return torch.stack(columns, -1), log_jacobian


class ConditionalSplineAutoregressive(ConditionalTransformModule):
    """`SplineAutoregressive` whose network takes a context too.

    Args:
        input_dim: the number of entries n.
        autoregressive_nn: takes x, shape (..., n), and the context to parameters as in `SplineAutoregressive`; a
            ConditionalAutoRegressiveNN.
        **kwargs: the other arguments of `SplineAutoregressive`.

    Example:
        >>> torch.manual_seed(0) and None
        >>> transform = conditional_spline_autoregressive(4, context_dim=2)
        >>> transform.condition(torch.ones(2))(torch.zeros(3, 4)).shape
        torch.Size([3, 4])
    """

    domain = Flow.domain
    codomain = Flow.codomain
    bijective = True

    def __init__(self, input_dim: int, autoregressive_nn: Any, **kwargs: Any) -> None:
        super().__init__()
        self.input_dim = input_dim
        self.nn = autoregressive_nn
        self.kwargs = kwargs

    def condition(self, context: Tensor) -> SplineAutoregressive:
        return SplineAutoregressive(self.input_dim, ConditionedNetwork(self.nn, context), **self.kwargs)


def spline_autoregressive(
    input_dim: int,
    hidden_dims: Sequence[int] | None = None,
    count_bins: int = 8,
    bound: float = 3.0,
    order: str = "linear",
) -> SplineAutoregressive:
    """Return a SplineAutoregressive with a network of its own.

    Args:
        input_dim: the number of entries.
        hidden_dims: the network's hidden layers; two of 10 input_dim units by default.
        count_bins: the number of bins.
        bound: half the width of the box.
        order: 'linear' or 'quadratic'.
    """
    hidden = [10 * input_dim] * 2 if hidden_dims is None else hidden_dims
    check_spline(count_bins, bound, order)
    network = AutoRegressiveNN(input_dim, hidden, param_dims=parameter_sizes(count_bins, order))
    return SplineAutoregressive(input_dim, network, count_bins=count_bins, bound=bound, order=order)


def conditional_spline_autoregressive(
    input_dim: int,
    context_dim: int,
    hidden_dims: Sequence[int] | None = None,
    count_bins: int = 8,
    bound: float = 3.0,
    order: str = "linear",
) -> ConditionalSplineAutoregressive:
    """Return a ConditionalSplineAutoregressive with a network of its own.

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
    network = ConditionalAutoRegressiveNN(input_dim, context_dim, hidden, param_dims=parameter_sizes(count_bins, order))
    return ConditionalSplineAutoregressive(input_dim, network, count_bins=count_bins, bound=bound, order=order)
