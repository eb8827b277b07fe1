"""Affine maps of each entry whose location and scale come from the entries before it: IAF, and its inverse, MAF.

Sources: D. P. Kingma, T. Salimans, R. Jozefowicz, X. Chen, I. Sutskever, M. Welling (2016), Improved variational
inference with inverse autoregressive flow; G. Papamakarios, T. Pavlakou, I. Murray (2017), Masked autoregressive flow
for density estimation; M. Germain, K. Gregor, I. Murray, H. Larochelle (2015), MADE.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from pyroxene.distributions.conditional import ConditionalTransformModule, ConditionedNetwork
from pyroxene.distributions.torch_transform import TransformModule
from pyroxene.distributions.transforms.flow import Flow
from pyroxene.distributions.transforms.utils import clamp_preserve_gradients
from pyroxene.ops.networks import AutoRegressiveNN, ConditionalAutoRegressiveNN

__all__ = [
    "AffineAutoregressive",
    "ConditionalAffineAutoregressive",
    "affine_autoregressive",
    "conditional_affine_autoregressive",
]


class AffineAutoregressive(Flow, TransformModule):
    """Bijection of vectors: y[i] = μ[i] + σ[i] x[i], with μ[i] and σ[i] functions of the entries of x before i.

    The forward direction is one evaluation of the network, the inverse as many as there are entries. Used as it is, it
    makes an inverse autoregressive flow (fast draws: for guides); its `inv` makes a masked autoregressive flow (fast
    densities of data).

    Args:
        autoregressive_nn: takes x, shape (..., n), to a pair of mean and log scale, each (..., n), and has a
            `permutation`; an AutoRegressiveNN with param_dims (1, 1).
        log_scale_min_clip: least value of the log scale; gradients pass through the clip.
        log_scale_max_clip: largest value of the log scale.
        sigmoid_bias: added to the network's second output where `stable`.
        stable: use σ = sigmoid(second output + sigmoid_bias) and the location (1 - σ) μ, as in equation 14 of Kingma
            et al., instead of σ = exp(second output).

    Example:
        >>> from pyroxene.distributions import Normal, TransformedDistribution
        >>> from pyroxene.nn import AutoRegressiveNN
        >>> torch.manual_seed(0) and None
        >>> transform = AffineAutoregressive(AutoRegressiveNN(10, [40]))
        >>> flow = TransformedDistribution(Normal(torch.zeros(10), torch.ones(10)), [transform])
        >>> flow.rsample().shape
        torch.Size([10])
    """

    sign = +1
    autoregressive = True

    def __init__(
        self,
        autoregressive_nn: Any,
        log_scale_min_clip: float = -5.0,
        log_scale_max_clip: float = 3.0,
        sigmoid_bias: float = 2.0,
        stable: bool = False,
    ) -> None:
        TransformModule.__init__(self, cache_size=1)
        self.arn = autoregressive_nn
        self.log_scale_min_clip = log_scale_min_clip
        self.log_scale_max_clip = log_scale_max_clip
        self.sigmoid_bias = sigmoid_bias
        self.stable = stable

    def _affine(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return location and log scale, each the shape of x."""
        mean, log_scale = self.arn(x)
        if self.stable:
            logit = log_scale + self.sigmoid_bias
            return torch.sigmoid(-logit) * mean, logsigmoid(logit)
        return mean, clamp_preserve_gradients(log_scale, self.log_scale_min_clip, self.log_scale_max_clip)

    def _push(self, x: Tensor) -> tuple[Tensor, Tensor]:
        loc, log_scale = self._affine(x)
        return loc + log_scale.exp() * x, log_scale.sum(-1)

    def _pull(self, y: Tensor) -> tuple[Tensor, Tensor | None]:
        columns = list(torch.zeros_like(y).unbind(-1))
        log_jacobian = torch.zeros((), dtype=y.dtype, device=y.device)
        for place in self.arn.permutation.tolist():
            loc, log_scale = self._affine(torch.stack(columns, -1))
            columns[place] = (y[..., place] - loc[..., place]) * (-log_scale[..., place]).exp()
            log_jacobian = log_jacobian + log_scale[..., place]
        return torch.stack(torch.broadcast_tensors(*columns), -1), log_jacobian


class ConditionalAffineAutoregressive(ConditionalTransformModule):
    """`AffineAutoregressive` whose network takes a context too.

    Args:
        autoregressive_nn: takes x, shape (..., n), and the context to a pair of mean and log scale, each (..., n); a
            ConditionalAutoRegressiveNN with param_dims (1, 1).
        **kwargs: the other arguments of `AffineAutoregressive`.

    Example:
        >>> torch.manual_seed(0) and None
        >>> transform = conditional_affine_autoregressive(4, context_dim=2)
        >>> transform.condition(torch.ones(2))(torch.zeros(3, 4)).shape
        torch.Size([3, 4])
    """

    domain = Flow.domain
    codomain = Flow.codomain
    bijective = True

    def __init__(self, autoregressive_nn: Any, **kwargs: Any) -> None:
        super().__init__()
        self.nn = autoregressive_nn
        self.kwargs = kwargs

    def condition(self, context: Tensor) -> AffineAutoregressive:
        return AffineAutoregressive(ConditionedNetwork(self.nn, context), **self.kwargs)


def affine_autoregressive(
    input_dim: int, hidden_dims: Sequence[int] | None = None, **kwargs: Any
) -> AffineAutoregressive:
    """Return an AffineAutoregressive with a network of its own.

    Args:
        input_dim: the number of entries.
        hidden_dims: the network's hidden layers; one of 3 input_dim + 1 units by default.
        **kwargs: the other arguments of `AffineAutoregressive`.
    """
    network = AutoRegressiveNN(input_dim, hidden_dims if hidden_dims is not None else [3 * input_dim + 1])
    return AffineAutoregressive(network, **kwargs)


def conditional_affine_autoregressive(
    input_dim: int, context_dim: int, hidden_dims: Sequence[int] | None = None, **kwargs: Any
) -> ConditionalAffineAutoregressive:
    """Return a ConditionalAffineAutoregressive with a network of its own.

    Args:
        input_dim: the number of entries.
        context_dim: the number of entries of the context.
        hidden_dims: the network's hidden layers; one of 10 input_dim units by default.
        **kwargs: the other arguments of `AffineAutoregressive`.
    """
    network = ConditionalAutoRegressiveNN(
        input_dim, context_dim, hidden_dims if hidden_dims is not None else [10 * input_dim]
    )
    return ConditionalAffineAutoregressive(network, **kwargs)
