"""Affine maps of one part of the event whose location and scale come from the other part: RealNVP.

Source: L. Dinh, J. Sohl-Dickstein, S. Bengio (2017), Density estimation using Real NVP, equations 4 to 8.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.distributions.constraints import Constraint

from pyroxene.distributions import constraints
from pyroxene.distributions.conditional import ConditionalTransformModule, ConditionedNetwork
from pyroxene.distributions.torch_transform import TransformModule
from pyroxene.distributions.transforms.flow import Flow
from pyroxene.distributions.transforms.utils import clamp_preserve_gradients
from pyroxene.errors import ShapeError, UsageError
from pyroxene.ops.networks import ConditionalDenseNN, DenseNN

__all__ = ["AffineCoupling", "ConditionalAffineCoupling", "affine_coupling", "conditional_affine_coupling"]


class AffineCoupling(Flow, TransformModule):
    """Bijection that leaves the first part of the event as it is and maps the rest by y₂ = μ(x₁) + exp(s(x₁)) x₂.

    Both directions are one evaluation of the network. Alternate it with permutations, so that every entry moves.

    Args:
        split_dim: the size of the first part, along `dim`.
        hypernet: takes the first part, flattened to (..., n₁), to a pair of mean and log scale of the second part, each
            (..., n₂); a DenseNN with param_dims (n₂, n₂).
        dim: the dimension that is split, negative; the event has -dim dimensions.
        log_scale_min_clip: least value of the log scale; gradients pass through the clip.
        log_scale_max_clip: largest value of the log scale.

    Raises:
        UsageError: `dim` is not negative.

    Example:
        >>> from pyroxene.distributions import Normal, TransformedDistribution
        >>> from pyroxene.nn import DenseNN
        >>> torch.manual_seed(0) and None
        >>> transform = AffineCoupling(6, DenseNN(6, [40], param_dims=[4, 4]))
        >>> flow = TransformedDistribution(Normal(torch.zeros(10), torch.ones(10)), [transform])
        >>> flow.log_prob(torch.zeros(5, 10)).shape
        torch.Size([5])
    """

    sign = +1

    def __init__(
        self,
        split_dim: int,
        hypernet: Any,
        *,
        dim: int = -1,
        log_scale_min_clip: float = -5.0,
        log_scale_max_clip: float = 3.0,
    ) -> None:
        TransformModule.__init__(self, cache_size=1)
        _check_dim(dim)
        self.split_dim = split_dim
        self.nn = hypernet
        self.dim = dim
        self.log_scale_min_clip = log_scale_min_clip
        self.log_scale_max_clip = log_scale_max_clip

    @constraints.dependent_property(is_discrete=False)
    def domain(self) -> Constraint:
        return constraints.independent(constraints.real, -self.dim)

    @constraints.dependent_property(is_discrete=False)
    def codomain(self) -> Constraint:
        return constraints.independent(constraints.real, -self.dim)

    def _split(self, value: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return both parts, and the second one's location and log scale, which the first part gives."""
        first, second = value.split([self.split_dim, value.size(self.dim) - self.split_dim], self.dim)
        mean, log_scale = self.nn(first.reshape(first.shape[: self.dim] + (-1,)))
        log_scale = clamp_preserve_gradients(log_scale, self.log_scale_min_clip, self.log_scale_max_clip)
        shape = second.shape[self.dim :]
        return first, second, mean.reshape(mean.shape[:-1] + shape), log_scale.reshape(log_scale.shape[:-1] + shape)

    def _push(self, x: Tensor) -> tuple[Tensor, Tensor]:
        first, second, mean, log_scale = self._split(x)
        return torch.cat([first, mean + log_scale.exp() * second], self.dim), log_scale.flatten(self.dim).sum(-1)

    def _pull(self, y: Tensor) -> tuple[Tensor, Tensor | None]:
        first, second, mean, log_scale = self._split(y)
        x = torch.cat([first, (second - mean) * (-log_scale).exp()], self.dim)
        return x, log_scale.flatten(self.dim).sum(-1)


class ConditionalAffineCoupling(ConditionalTransformModule):
    """`AffineCoupling` whose network takes a context too.

    Args:
        split_dim: the size of the first part.
        hypernet: takes the first part, flattened, and the context to a pair of mean and log scale; a
            ConditionalDenseNN.
        **kwargs: the other arguments of `AffineCoupling`.

    Example:
        >>> torch.manual_seed(0) and None
        >>> transform = conditional_affine_coupling(4, context_dim=2)
        >>> transform.condition(torch.ones(2))(torch.zeros(3, 4)).shape
        torch.Size([3, 4])
    """

    bijective = True

    def __init__(self, split_dim: int, hypernet: Any, **kwargs: Any) -> None:
        super().__init__()
        self.domain = self.codomain = constraints.independent(constraints.real, -kwargs.get("dim", -1))
        self.split_dim = split_dim
        self.nn = hypernet
        self.kwargs = kwargs

    def condition(self, context: Tensor) -> AffineCoupling:
        return AffineCoupling(self.split_dim, ConditionedNetwork(self.nn, context), **self.kwargs)


def _check_dim(dim: int) -> None:
    if not isinstance(dim, int) or dim >= 0:
        raise UsageError("'dim' keyword argument must be negative", expected="dim < 0", got=dim)


def _sizes(
    input_dim: int | Sequence[int], split_dim: int | None, hidden_dims: Sequence[int] | None, dim: int
) -> tuple[int, int, list[int], list[int]]:
    """Return where to split, the network's inputs, its hidden layers and its outputs."""
    _check_dim(dim)
    shape = [input_dim] if isinstance(input_dim, int) else list(input_dim)
    if len(shape) != -dim:
        raise ShapeError(
            f"event shape {tuple(shape)} must have same length as event_dim {-dim}",
            expected=f"{-dim} sizes",
            got=tuple(shape),
            hint="set dim to minus the number of dimensions of the event",
        )
    split = shape[0] // 2 if split_dim is None else split_dim
    inner = math.prod(shape[1:])
    hidden = [10 * math.prod(shape)] if hidden_dims is None else list(hidden_dims)
    return split, split * inner, hidden, [(shape[0] - split) * inner] * 2


def affine_coupling(
    input_dim: int | Sequence[int],
    hidden_dims: Sequence[int] | None = None,
    split_dim: int | None = None,
    dim: int = -1,
    **kwargs: Any,
) -> AffineCoupling:
    """Return an AffineCoupling with a network of its own.

    Args:
        input_dim: the number of entries, or the event shape if `dim` is not -1.
        hidden_dims: the network's hidden layers; one of ten units for each entry by default.
        split_dim: the size of the first part along `dim`; half by default.
        dim: the dimension that is split, negative.
        **kwargs: the other arguments of `AffineCoupling`.
    """
    split, inputs, hidden, outputs = _sizes(input_dim, split_dim, hidden_dims, dim)
    return AffineCoupling(split, DenseNN(inputs, hidden, outputs), dim=dim, **kwargs)


def conditional_affine_coupling(
    input_dim: int | Sequence[int],
    context_dim: int,
    hidden_dims: Sequence[int] | None = None,
    split_dim: int | None = None,
    dim: int = -1,
    **kwargs: Any,
) -> ConditionalAffineCoupling:
    """Return a ConditionalAffineCoupling with a network of its own.

    Args:
        input_dim: the number of entries, or the event shape if `dim` is not -1.
        context_dim: the number of entries of the context.
        hidden_dims: the network's hidden layers; one of ten units for each entry by default.
        split_dim: the size of the first part along `dim`; half by default.
        dim: the dimension that is split, negative.
        **kwargs: the other arguments of `AffineCoupling`.
    """
    split, inputs, hidden, outputs = _sizes(input_dim, split_dim, hidden_dims, dim)
    return ConditionalAffineCoupling(split, ConditionalDenseNN(inputs, context_dim, hidden, outputs), dim=dim, **kwargs)
