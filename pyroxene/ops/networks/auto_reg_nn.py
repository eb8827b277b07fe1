"""Autoregressive networks: output i depends on the inputs before i only, by masks on the weights.

Source: M. Germain, K. Gregor, I. Murray, H. Larochelle (2015), MADE: Masked autoencoder for distribution estimation.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional

from pyroxene.errors import UsageError

__all__ = [
    "AutoRegressiveNN",
    "ConditionalAutoRegressiveNN",
    "MaskedLinear",
    "create_mask",
    "sample_mask_indices",
]


def sample_mask_indices(input_dim: int, hidden_dim: int, simple: bool = True) -> torch.Tensor:
    """Return a degree for each hidden unit: how many inputs, in the order of the permutation, it may depend on.

    Args:
        input_dim: the largest degree.
        hidden_dim: the number of hidden units.
        simple: spread the degrees evenly and round them; else round up or down at random, unbiased.

    Returns:
        degrees from 1 to input_dim, shape (hidden_dim,).
    """
    spread = torch.linspace(1, input_dim, steps=hidden_dim, device="cpu").to(torch.Tensor().device)
    if simple:
        return torch.round(spread)
    whole = torch.floor(spread)
    return whole + torch.bernoulli(spread - whole)


def create_mask(
    input_dim: int, context_dim: int, hidden_dims: Sequence[int], permutation: torch.Tensor, output_dim_multiplier: int
) -> tuple[list[torch.Tensor], torch.Tensor]:
    """Return the masks of an autoregressive network's layers and of its skip connection.

    Args:
        input_dim: the number of inputs.
        context_dim: the number of context inputs, which come first and reach every unit.
        hidden_dims: the number of units of each hidden layer.
        permutation: the order of the inputs, shape (input_dim,): the first entry is the input that depends on none.
        output_dim_multiplier: the number of outputs for each input.

    Returns:
        a list of masks, each of shape (units out, units in); the mask from inputs to outputs.
    """
    order = permutation.to(device="cpu", dtype=torch.long)
    degree = torch.empty(input_dim)
    degree[order] = torch.arange(1, input_dim + 1, dtype=degree.dtype)  # of each input: its place in the order
    entering = torch.cat([torch.zeros(context_dim), degree])
    leaving = degree.repeat(output_dim_multiplier)
    if context_dim > 0:  # a unit of degree 0 sees the context alone
        hidden = [sample_mask_indices(input_dim, size).cpu() - 1 for size in hidden_dims]
    else:
        hidden = [sample_mask_indices(input_dim - 1, size).cpu() for size in hidden_dims]

    def sees(condition: torch.Tensor) -> torch.Tensor:
        return condition.to(device=torch.Tensor().device, dtype=torch.get_default_dtype())

    masks = [sees(above[:, None] >= below) for below, above in zip([entering, *hidden[:-1]], hidden)]
    masks.append(sees(leaving[:, None] > hidden[-1]))
    return masks, sees(leaving[:, None] > entering)


class MaskedLinear(nn.Linear):
    """A linear layer with a mask on its weights; final.

    Args:
        in_features: the number of inputs.
        out_features: the number of outputs.
        mask: zeros and ones, shape (out_features, in_features).
        bias: whether there is a bias.
    """

    mask: torch.Tensor

    def __init__(self, in_features: int, out_features: int, mask: torch.Tensor, bias: bool = True) -> None:
        super().__init__(in_features, out_features, bias)
        self.register_buffer("mask", mask.detach())

    def forward(self, _input: torch.Tensor) -> torch.Tensor:
        """Apply the layer; shape (..., in_features) -> (..., out_features)."""
        return functional.linear(_input, self.weight * self.mask, self.bias)


class ConditionalAutoRegressiveNN(nn.Module):
    """A masked network of inputs and a context; output i depends on the context and the inputs before i.

    Args:
        input_dim: the number of inputs.
        context_dim: the number of context inputs.
        hidden_dims: the number of units of each hidden layer, each at least input_dim.
        param_dims: how many numbers each output parameter has for each input: [1, 1] for a mean and a scale.
        permutation: the order of the inputs, shape (input_dim,); drawn at random where it is None.
        skip_connections: whether the inputs also reach the outputs directly.
        nonlinearity: the activation between layers.

    Raises:
        UsageError: there is no hidden layer, or one with fewer units than inputs.

    Example:
        >>> torch.manual_seed(0) and None
        >>> net = ConditionalAutoRegressiveNN(3, 2, [8], param_dims=[1, 1])
        >>> mean, log_scale = net(torch.randn(5, 3), torch.randn(5, 2))
        >>> mean.shape, log_scale.shape
        (torch.Size([5, 3]), torch.Size([5, 3]))
    """

    permutation: torch.Tensor

    def __init__(
        self,
        input_dim: int,
        context_dim: int,
        hidden_dims: Sequence[int],
        param_dims: Sequence[int] = [1, 1],
        permutation: torch.Tensor | None = None,
        skip_connections: bool = False,
        nonlinearity: nn.Module = nn.ReLU(),  # noqa: B008 (has no state; Pyro's signature)
    ) -> None:
        super().__init__()
        _check_sizes(type(self).__name__, input_dim, hidden_dims)
        self.input_dim = input_dim
        self.context_dim = context_dim
        self.hidden_dims = hidden_dims
        self.param_dims = param_dims
        self.count_params = len(param_dims)
        self.output_multiplier = sum(param_dims)
        self.all_ones = all(size == 1 for size in param_dims)
        ends = torch.tensor(list(param_dims)).cumsum(0).tolist()
        self.param_slices = [slice(end - size, end) for end, size in zip(ends, param_dims)]

        if permutation is None:
            permutation = torch.randperm(input_dim, device="cpu").to(torch.Tensor().device)
        self.register_buffer("permutation", permutation.to(dtype=torch.long))

        self.masks, self.mask_skip = create_mask(
            input_dim, context_dim, hidden_dims, self.permutation, self.output_multiplier
        )
        sizes = [input_dim + context_dim, *hidden_dims, input_dim * self.output_multiplier]
        self.layers = nn.ModuleList(
            MaskedLinear(below, above, mask) for below, above, mask in zip(sizes[:-1], sizes[1:], self.masks)
        )
        self.skip_layer: MaskedLinear | None = None
        if skip_connections:
            self.skip_layer = MaskedLinear(sizes[0], sizes[-1], self.mask_skip, bias=False)
        self.f = nonlinearity

    def get_permutation(self) -> torch.Tensor:
        """Return the order of the inputs, shape (input_dim,)."""
        return self.permutation

    def forward(self, x: torch.Tensor, context: torch.Tensor) -> torch.Tensor | Sequence[torch.Tensor]:
        """Apply the network.

        Args:
            x: shape (..., input_dim).
            context: shape (context_dim,) or (..., context_dim).

        Returns:
            one tensor for each entry of param_dims, of shape (..., param_dim, input_dim), without the dimension
            param_dim where all of param_dims are 1; not a tuple where there is one entry.
        """
        context = context.expand(x.shape[:-1] + context.shape[-1:])
        return self._apply_layers(torch.cat([context, x], dim=-1))

    def _apply_layers(self, inputs: torch.Tensor) -> torch.Tensor | Sequence[torch.Tensor]:
        h = inputs
        *hidden, last = self.layers
        for layer in hidden:
            h = self.f(layer(h))
        h = last(h)
        if self.skip_layer is not None:
            h = h + self.skip_layer(inputs)
        if self.output_multiplier == 1:
            return h
        h = h.reshape(*inputs.shape[:-1], self.output_multiplier, self.input_dim)
        if self.count_params == 1:
            return h
        if self.all_ones:
            return torch.unbind(h, dim=-2)
        return tuple(h[..., part, :] for part in self.param_slices)


class AutoRegressiveNN(ConditionalAutoRegressiveNN):
    """A masked network whose output i depends on the inputs before i, in the order of a permutation.

    Args:
        input_dim: the number of inputs.
        hidden_dims: the number of units of each hidden layer, each at least input_dim.
        param_dims: how many numbers each output parameter has for each input: [1, 1] for a mean and a scale.
        permutation: the order of the inputs, shape (input_dim,); drawn at random where it is None.
        skip_connections: whether the inputs also reach the outputs directly.
        nonlinearity: the activation between layers.

    Example:
        >>> torch.manual_seed(0) and None
        >>> net = AutoRegressiveNN(3, [8], param_dims=[1], permutation=torch.arange(3))
        >>> torch.autograd.functional.jacobian(net, torch.randn(3)).triu().abs().sum()
        tensor(0.)
    """

    def __init__(
        self,
        input_dim: int,
        hidden_dims: Sequence[int],
        param_dims: Sequence[int] = [1, 1],
        permutation: torch.Tensor | None = None,
        skip_connections: bool = False,
        nonlinearity: nn.Module = nn.ReLU(),  # noqa: B008 (has no state; Pyro's signature)
    ) -> None:
        super().__init__(input_dim, 0, hidden_dims, param_dims, permutation, skip_connections, nonlinearity)

    def forward(self, x: torch.Tensor) -> torch.Tensor | Sequence[torch.Tensor]:  # type: ignore[override]
        """Apply the network; shape (..., input_dim), returns as `ConditionalAutoRegressiveNN.forward`."""
        return self._apply_layers(x)


def _check_sizes(network: str, input_dim: int, hidden_dims: Sequence[int]) -> None:
    if input_dim == 1:
        warnings.warn(
            f"{network} input_dim = 1: one input has none before it, so the outputs are constants; "
            "consider an affine transformation instead",
            stacklevel=4,
        )
    if not hidden_dims or min(hidden_dims) < input_dim:
        raise UsageError(
            "Hidden dimension must not be less than input dimension, and there must be one",
            expected=f"a list of sizes >= {input_dim}",
            got=list(hidden_dims),
        )
