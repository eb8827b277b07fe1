"""Dense networks whose outputs are split into named-by-position parameters, for coupling flows and guides."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import nn

from pyroxene.errors import UsageError

__all__ = ["ConditionalDenseNN", "DenseNN"]


class ConditionalDenseNN(nn.Module):
    """A dense feed-forward network of inputs and a context.

    Args:
        input_dim: the number of inputs.
        context_dim: the number of context inputs.
        hidden_dims: the number of units of each hidden layer, at least one layer.
        param_dims: how many numbers each output parameter has.
        nonlinearity: the activation between layers.

    Raises:
        UsageError: there is no hidden layer.

    Example:
        >>> torch.manual_seed(0) and None
        >>> net = ConditionalDenseNN(3, 2, [8], param_dims=[1, 4])
        >>> a, b = net(torch.randn(5, 3), torch.randn(5, 2))
        >>> a.shape, b.shape
        (torch.Size([5, 1]), torch.Size([5, 4]))
    """

    def __init__(
        self,
        input_dim: int,
        context_dim: int,
        hidden_dims: Sequence[int],
        param_dims: Sequence[int] = [1, 1],
        nonlinearity: nn.Module = nn.ReLU(),  # noqa: B008 (has no state; Pyro's signature)
    ) -> None:
        super().__init__()
        if not hidden_dims:
            raise UsageError(
                f"{type(self).__name__} needs a hidden layer", expected="hidden_dims, a list of sizes", got=hidden_dims
            )
        self.input_dim = input_dim
        self.context_dim = context_dim
        self.hidden_dims = hidden_dims
        self.param_dims = param_dims
        self.count_params = len(param_dims)
        self.output_multiplier = sum(param_dims)
        ends = torch.tensor(list(param_dims)).cumsum(0).tolist()
        self.param_slices = [slice(end - size, end) for end, size in zip(ends, param_dims)]
        sizes = [input_dim + context_dim, *hidden_dims, self.output_multiplier]
        self.layers = nn.ModuleList(nn.Linear(below, above) for below, above in pairwise(sizes))
        self.f = nonlinearity

    def forward(self, x: torch.Tensor, context: torch.Tensor) -> torch.Tensor | Sequence[torch.Tensor]:
        """Apply the network.

        Args:
            x: shape (..., input_dim).
            context: shape (context_dim,) or (..., context_dim).

        Returns:
            one tensor for each entry of param_dims, of shape (..., param_dim); not a tuple where there is one entry.
        """
        context = context.expand(x.shape[:-1] + context.shape[-1:])
        return self._apply_layers(torch.cat([context, x], dim=-1))

    def _apply_layers(self, h: torch.Tensor) -> torch.Tensor | Sequence[torch.Tensor]:
        *hidden, last = self.layers
        for layer in hidden:
            h = self.f(layer(h))
        h = last(h)
        if self.count_params == 1:
            return h
        return tuple(h[..., part] for part in self.param_slices)


class DenseNN(ConditionalDenseNN):
    """A dense feed-forward network.

    Args:
        input_dim: the number of inputs.
        hidden_dims: the number of units of each hidden layer, at least one layer.
        param_dims: how many numbers each output parameter has.
        nonlinearity: the activation between layers.

    Example:
        >>> torch.manual_seed(0) and None
        >>> net = DenseNN(3, [8], param_dims=[2])
        >>> net(torch.randn(5, 3)).shape
        torch.Size([5, 2])
    """

    def __init__(
        self,
        input_dim: int,
        hidden_dims: Sequence[int],
        param_dims: Sequence[int] = [1, 1],
        nonlinearity: nn.Module = nn.ReLU(),  # noqa: B008 (has no state; Pyro's signature)
    ) -> None:
        super().__init__(input_dim, 0, hidden_dims, param_dims, nonlinearity)

    def forward(self, x: torch.Tensor) -> torch.Tensor | Sequence[torch.Tensor]:  # type: ignore[override]
        """Apply the network; shape (..., input_dim), returns as `ConditionalDenseNN.forward`."""
        return self._apply_layers(x)
