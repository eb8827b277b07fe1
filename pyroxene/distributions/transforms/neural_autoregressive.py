"""Monotone networks of each entry whose weights come from the entries before it: deep sigmoidal flows.

Source: C.-W. Huang, D. Krueger, A. Lacoste, A. Courville (2018), Neural autoregressive flows, equations 8 and 9.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import leaky_relu, logsigmoid, softplus

from pyroxene.distributions.conditional import ConditionalTransformModule, ConditionedNetwork
from pyroxene.distributions.torch_transform import TransformModule
from pyroxene.distributions.transforms.flow import Flow
from pyroxene.distributions.transforms.utils import invert_increasing, sinh_search
from pyroxene.errors import UsageError
from pyroxene.ops.networks import AutoRegressiveNN, ConditionalAutoRegressiveNN

__all__ = [
    "ConditionalNeuralAutoregressive",
    "NeuralAutoregressive",
    "conditional_neural_autoregressive",
    "neural_autoregressive",
]

Mixed = tuple[Tensor, Tensor, Tensor]
"""f⁻¹(Σ w f(c)); log f'(c) for each c; log f' at the former."""


def _sigmoid(log_weight: Tensor, c: Tensor) -> Mixed:
    # logit(p) from log p and log(1 - p), each a sum of positive terms
    high, low = logsigmoid(c), logsigmoid(-c)
    log_p, log_q = torch.logsumexp(log_weight + high, -2), torch.logsumexp(log_weight + low, -2)
    return log_p - log_q, high + low, log_p + log_q


def _tanh(log_weight: Tensor, c: Tensor) -> Mixed:
    y, inner, outer = _sigmoid(log_weight, 2 * c)  # tanh(c) = 2 sigmoid(2c) - 1; f' = 4 p (1 - p)
    return 0.5 * y, inner + math.log(4), outer + math.log(4)


def _elu(log_weight: Tensor, c: Tensor) -> Mixed:
    log_above = torch.where(c > 0, c.clamp(min=0).log1p(), c)  # log(1 + f(c))
    total = torch.logsumexp(log_weight + log_above, -2)  # log(1 + Σ w f(c))
    y = torch.where(total > 0, total.clamp(min=0).expm1(), total)
    return y, c.clamp(max=0), y.clamp(max=0)


def _leaky_relu(log_weight: Tensor, c: Tensor) -> Mixed:
    slope = 0.01
    y = leaky_relu((log_weight.exp() * leaky_relu(c, slope)).sum(-2), 1 / slope)
    inner, outer = (torch.where(z > 0, torch.zeros_like(z), math.log(slope)) for z in (c, y))
    return y, inner, outer


_MIXERS: dict[str, Callable[[Tensor, Tensor], Mixed]] = {
    "sigmoid": _sigmoid,
    "tanh": _tanh,
    "ELU": _elu,
    "LeakyReLU": _leaky_relu,
}


class NeuralAutoregressive(Flow, TransformModule):
    """Bijection of vectors: y[i] = f⁻¹(Σ_k w[k, i] f(a[k, i] x[i] + b[k, i])), with a > 0, w > 0 and Σ_k w[k, i] = 1.

    a, b and w are functions of the entries of x before i. The inverse solves one equation for each entry numerically.

    Args:
        autoregressive_nn: takes x, shape (..., n), to a triple of softplus⁻¹(a), the logits of w and b, each
            (..., hidden_units, n), and has a `permutation`; an AutoRegressiveNN with param_dims [hidden_units] * 3.
        hidden_units: the number of terms k.
        activation: f, one of 'sigmoid', 'tanh', 'ELU' and 'LeakyReLU'.

    Raises:
        UsageError: an unknown activation.

    Example:
        >>> from pyroxene.distributions import Normal, TransformedDistribution
        >>> from pyroxene.nn import AutoRegressiveNN
        >>> torch.manual_seed(0) and None
        >>> transform = NeuralAutoregressive(AutoRegressiveNN(10, [40], param_dims=[16] * 3), hidden_units=16)
        >>> flow = TransformedDistribution(Normal(torch.zeros(10), torch.ones(10)), [transform])
        >>> flow.rsample().shape
        torch.Size([10])
    """

    sign = +1
    autoregressive = True

    def __init__(self, autoregressive_nn: Any, hidden_units: int = 16, activation: str = "sigmoid") -> None:
        TransformModule.__init__(self, cache_size=1)
        if activation not in _MIXERS:
            raise UsageError(
                f'Invalid activation function "{activation}"', expected=f"one of {sorted(_MIXERS)}", got=activation
            )
        self.arn = autoregressive_nn
        self.hidden_units = hidden_units
        self.activation = activation

    def _mix(self, x: Tensor, parameters: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Return y and log dy/dx, entry by entry; the parameters have one dimension more, of terms, before the last."""
        raw_slope, logits, shift = parameters
        slope = softplus(raw_slope)
        log_weight = logits.log_softmax(-2)
        y, inner, outer = _MIXERS[self.activation](log_weight, slope * x.unsqueeze(-2) + shift)
        return y, torch.logsumexp(log_weight + inner + slope.log(), -2) - outer

    def _push(self, x: Tensor) -> tuple[Tensor, Tensor]:
        y, log_slope = self._mix(x, self.arn(x))
        return y, log_slope.sum(-1)

    def _pull(self, y: Tensor) -> tuple[Tensor, Tensor | None]:
        columns = list(torch.zeros_like(y).unbind(-1))
        log_jacobian = torch.zeros((), dtype=y.dtype, device=y.device)
        for place in self.arn.permutation.tolist():
            own = [parameter[..., place, None] for parameter in self.arn(torch.stack(columns, -1))]
            target = y[..., place, None].expand(torch.broadcast_shapes(y.shape[:-1], own[0].shape[:-2]) + (1,))

            def along(x: Tensor, own: Sequence[Tensor] = own) -> tuple[Tensor, Tensor]:
                return self._mix(x, own)

            entry = invert_increasing(along, target, *sinh_search(target))
            log_jacobian = log_jacobian + along(entry)[1].squeeze(-1)
            columns[place] = entry.squeeze(-1)
            columns = list(torch.broadcast_tensors(*columns))
        return torch.stack(columns, -1), log_jacobian


class ConditionalNeuralAutoregressive(ConditionalTransformModule):
    """`NeuralAutoregressive` whose network takes a context too.

    Args:
        autoregressive_nn: takes x, shape (..., n), and the context to a triple as in `NeuralAutoregressive`; a
            ConditionalAutoRegressiveNN with param_dims [hidden_units] * 3.
        **kwargs: the other arguments of `NeuralAutoregressive`.

    Example:
        >>> torch.manual_seed(0) and None
        >>> transform = conditional_neural_autoregressive(4, context_dim=2)
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

    def condition(self, context: Tensor) -> NeuralAutoregressive:
        return NeuralAutoregressive(ConditionedNetwork(self.nn, context), **self.kwargs)


def neural_autoregressive(
    input_dim: int, hidden_dims: Sequence[int] | None = None, activation: str = "sigmoid", width: int = 16
) -> NeuralAutoregressive:
    """Return a NeuralAutoregressive with a network of its own.

    Args:
        input_dim: the number of entries.
        hidden_dims: the network's hidden layers; one of 3 input_dim + 1 units by default.
        activation: as in `NeuralAutoregressive`.
        width: the number of terms.
    """
    hidden = [3 * input_dim + 1] if hidden_dims is None else hidden_dims
    network = AutoRegressiveNN(input_dim, hidden, param_dims=[width] * 3)
    return NeuralAutoregressive(network, hidden_units=width, activation=activation)


def conditional_neural_autoregressive(
    input_dim: int,
    context_dim: int,
    hidden_dims: Sequence[int] | None = None,
    activation: str = "sigmoid",
    width: int = 16,
) -> ConditionalNeuralAutoregressive:
    """Return a ConditionalNeuralAutoregressive with a network of its own.

    Args:
        input_dim: the number of entries.
        context_dim: the number of entries of the context.
        hidden_dims: the network's hidden layers; one of 3 input_dim + 1 units by default.
        activation: as in `NeuralAutoregressive`.
        width: the number of terms.
    """
    hidden = [3 * input_dim + 1] if hidden_dims is None else hidden_dims
    network = ConditionalAutoRegressiveNN(input_dim, context_dim, hidden, param_dims=[width] * 3)
    return ConditionalNeuralAutoregressive(network, hidden_units=width, activation=activation)
