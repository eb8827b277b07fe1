"""One network of block-triangular weights, increasing in each entry: block neural autoregressive flows.

Source: N. De Cao, W. Aziz, I. Titov (2019), Block neural autoregressive flow, section 3.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import elu, leaky_relu, linear, logsigmoid, softplus

from pyroxene.distributions.torch_transform import TransformModule
from pyroxene.distributions.transforms.flow import Flow
from pyroxene.distributions.transforms.utils import invert_increasing, sinh_search
from pyroxene.errors import UsageError

__all__ = ["BlockAutoregressive", "MaskedBlockLinear", "block_autoregressive"]

_ACTIVATIONS: dict[str, tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]] = {
    "tanh": (torch.tanh, lambda z: math.log(4) + logsigmoid(2 * z) + logsigmoid(-2 * z)),
    "sigmoid": (torch.sigmoid, lambda z: logsigmoid(z) + logsigmoid(-z)),
    "ELU": (elu, lambda z: z.clamp(max=0)),
    "LeakyReLU": (leaky_relu, lambda z: torch.where(z > 0, torch.zeros_like(z), math.log(0.01))),
}
"""Each activation and the log of its derivative."""

_RESIDUALS = (None, "normal", "gated")


class MaskedBlockLinear(nn.Module):
    """A linear layer of block-triangular weights, positive on the diagonal blocks; final.

    Each row of weights is scaled to the length exp(_diag_weight).

    Args:
        in_features: the number of inputs, a multiple of dim.
        out_features: the number of outputs, a multiple of dim.
        dim: the number of blocks.
    """

    mask_d: Tensor
    mask_o: Tensor

    def __init__(self, in_features: int, out_features: int, dim: int) -> None:
        super().__init__()
        self.in_features = in_features
        self.out_features = out_features
        self.dim = dim
        rows, columns = out_features // dim, in_features // dim
        weight = torch.zeros(out_features, in_features)
        for i in range(dim):
            block = torch.empty(rows, (i + 1) * columns)
            weight[i * rows : (i + 1) * rows, : (i + 1) * columns] = nn.init.xavier_uniform_(block)
        self._weight = nn.Parameter(weight)
        self._diag_weight = nn.Parameter(torch.rand(out_features, 1).clamp(min=1e-6).log())
        width = 1 / math.sqrt(out_features)
        self.bias = nn.Parameter(torch.empty(out_features).uniform_(-width, width))
        blocks = torch.ones(rows, columns)
        self.register_buffer("mask_d", torch.kron(torch.eye(dim), blocks))
        self.register_buffer("mask_o", torch.kron(torch.ones(dim, dim).tril(-1), blocks))

    def get_weights(self) -> tuple[Tensor, Tensor]:
        """Return the weights, (out_features, in_features), and the logs of the blocks, (dim, rows, columns)."""
        diagonal = self._weight.unflatten(-1, (self.dim, -1)).unflatten(0, (self.dim, -1))
        blocks = diagonal.diagonal(dim1=0, dim2=2).permute(2, 0, 1)  # (dim, rows, columns)
        positive = torch.where(self.mask_d > 0, self._weight, torch.zeros_like(self._weight)).exp()
        raw = self.mask_d * positive + self.mask_o * self._weight
        log_scale = self._diag_weight - 0.5 * raw.square().sum(-1, keepdim=True).log()
        return raw * log_scale.exp(), blocks + log_scale.unflatten(0, (self.dim, -1))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the outputs, shape (..., out_features), and the logs of the diagonal blocks."""
        weight, log_blocks = self.get_weights()
        return linear(x, weight, self.bias), log_blocks


class BlockAutoregressive(Flow, TransformModule):
    """Bijection of vectors: y = f(x), a network whose output i increases in x[i] and ignores later entries.

    The log-Jacobian is carried through the layers beside the values. The inverse solves one equation for each entry
    numerically, at the cost of some sixty evaluations of the network for each. With the bounded activations 'tanh' and
    'sigmoid' and no residual the codomain is a bounded part of space, and the inverse is NaN outside of it.

    Args:
        input_dim: the number of entries n.
        hidden_factors: the number of hidden units for each entry, of each hidden layer.
        activation: 'tanh', 'sigmoid', 'ELU' or 'LeakyReLU'.
        residual: None: y = f(x); 'normal': y = x + f(x); 'gated': y = σ(gate) x + (1 - σ(gate)) f(x), with a learnable
            gate.

    Raises:
        UsageError: a hidden factor below 1, an unknown activation or residual.

    Example:
        >>> from pyroxene.distributions import Normal, TransformedDistribution
        >>> torch.manual_seed(0) and None
        >>> flow = TransformedDistribution(Normal(torch.zeros(4), torch.ones(4)), [BlockAutoregressive(4)])
        >>> flow.rsample((5,)).shape
        torch.Size([5, 4])
    """

    sign = +1
    autoregressive = True

    def __init__(
        self,
        input_dim: int,
        hidden_factors: Sequence[int] = [8, 8],
        activation: str = "tanh",
        residual: str | None = None,
    ) -> None:
        TransformModule.__init__(self, cache_size=1)
        if any(factor < 1 for factor in hidden_factors):
            raise UsageError(
                f"Hidden factors, {list(hidden_factors)}, must all be >= 1", expected=">= 1", got=list(hidden_factors)
            )
        if activation not in _ACTIVATIONS:
            raise UsageError(
                f'Invalid activation function "{activation}"', expected=f"one of {sorted(_ACTIVATIONS)}", got=activation
            )
        if residual not in _RESIDUALS:
            raise UsageError(
                f'Invalid value {residual} for keyword argument "residual"', expected=_RESIDUALS, got=residual
            )
        self.input_dim = input_dim
        self.activation = activation
        self.residual = residual
        sizes = [input_dim * factor for factor in (1, *hidden_factors, 1)]
        self.layers = nn.ModuleList(MaskedBlockLinear(below, above, input_dim) for below, above in pairwise(sizes))
        if residual == "gated":
            self.gate = nn.Parameter(torch.randn(1))

    def _slopes(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return y and the logs of dy[i]/dx[i], each (..., n)."""
        value, derivative = _ACTIVATIONS[self.activation]
        h, blocks = self.layers[0](x)
        log_slopes = blocks.squeeze(-1)  # (n, units of an entry)
        for layer in self.layers[1:]:
            log_slopes = log_slopes + derivative(h).unflatten(-1, (self.input_dim, -1))
            h, blocks = layer(value(h))
            log_slopes = torch.logsumexp(blocks + log_slopes.unsqueeze(-2), -1)
        log_slope = log_slopes.squeeze(-1).expand(h.shape)
        if self.residual == "normal":
            return x + h, softplus(log_slope)
        if self.residual == "gated":
            share = torch.sigmoid(self.gate)
            y = share * x + (1 - share) * h
            return y, torch.logaddexp(log_slope + logsigmoid(-self.gate), logsigmoid(self.gate))
        return h, log_slope

    def _push(self, x: Tensor) -> tuple[Tensor, Tensor]:
        y, log_slope = self._slopes(x)
        return y, log_slope.sum(-1)

    def _pull(self, y: Tensor) -> tuple[Tensor, Tensor | None]:
        columns = list(torch.zeros_like(y).unbind(-1))
        for place in range(self.input_dim):
            target = y[..., place]

            def along(entry: Tensor, place: int = place) -> tuple[Tensor, Tensor]:
                trial = torch.stack([*columns[:place], entry, *columns[place + 1 :]], -1)
                value, log_slope = self._slopes(trial)
                return value[..., place], log_slope[..., place]

            columns[place] = invert_increasing(along, target, *sinh_search(target))
        return torch.stack(columns, -1), None


def block_autoregressive(input_dim: int, **kwargs: Any) -> BlockAutoregressive:
    """Return a BlockAutoregressive.

    Args:
        input_dim: the number of entries.
        **kwargs: the other arguments of `BlockAutoregressive`.
    """
    return BlockAutoregressive(input_dim, **kwargs)
