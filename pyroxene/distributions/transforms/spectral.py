"""Orthonormal changes of basis along time: cosine and Haar transforms, which whiten smooth series."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.distributions.constraints import Constraint

from pyroxene.distributions import constraints
from pyroxene.distributions.transforms.base import PureTransform
from pyroxene.errors import UsageError
from pyroxene.ops.tensor_utils import dct, haar_transform, idct, inverse_haar_transform

__all__ = ["DiscreteCosineTransform", "HaarTransform"]


class _AlongTime(PureTransform):
    """Abstract: a bijection of determinant one along one dimension, counted from the right."""

    bijective = True

    def __init__(self, dim: int, cache_size: int) -> None:
        if not isinstance(dim, int) or dim >= 0:
            raise UsageError("'dim' must be a negative integer", expected="dim < 0", got=dim)
        super().__init__(cache_size=cache_size)
        self.dim = dim

    @constraints.dependent_property(is_discrete=False)
    def domain(self) -> Constraint:
        return constraints.independent(constraints.real, -self.dim)

    @constraints.dependent_property(is_discrete=False)
    def codomain(self) -> Constraint:
        return constraints.independent(constraints.real, -self.dim)

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        return x.new_zeros(x.shape[: self.dim])


class DiscreteCosineTransform(_AlongTime):
    """Orthonormal discrete cosine transform of type II, with weights that whiten coloured noise.

    Coefficient k is weighted by (k + 1/2)^smooth, scaled so that the weights' product is one.

    Args:
        dim: the dimension of time, negative.
        smooth: 0 takes white noise to white noise, 1 Brownian noise, -1 violet noise; any real number.
        cache_size: 1 keeps the last pair of values, 0 none.

    Example:
        >>> DiscreteCosineTransform()(torch.ones(4))
        tensor([2., 0., 0., 0.])
    """

    def __init__(self, dim: int = -1, smooth: float = 0.0, cache_size: int = 0) -> None:
        super().__init__(dim, cache_size)
        self.smooth = float(smooth)

    def _key(self) -> tuple[Any, ...]:
        return self.dim, self.smooth

    def _weight(self, x: Tensor) -> Tensor:
        """Return the weights, shaped to broadcast along `dim`."""
        log_frequency = (torch.arange(x.size(self.dim), dtype=x.dtype, device=x.device) + 0.5).log()
        weight = ((log_frequency - log_frequency.mean()) * self.smooth).exp()
        return weight.reshape(weight.shape + (1,) * (-self.dim - 1))

    def _call(self, x: Tensor) -> Tensor:
        y = dct(x, self.dim)
        return y * self._weight(x) if self.smooth else y

    def _inverse(self, y: Tensor) -> Tensor:
        return idct(y / self._weight(y) if self.smooth else y, self.dim)


class HaarTransform(_AlongTime):
    """Orthonormal Haar transform; a length that is no power of two falls into blocks, the longest first.

    Args:
        dim: the dimension of time, negative.
        flip: reverse time before the transform.
        cache_size: 1 keeps the last pair of values, 0 none.

    Example:
        >>> HaarTransform()(torch.tensor([1.0, 1.0, 3.0, 3.0]))
        tensor([ 4.0000, -2.0000,  0.0000,  0.0000])
    """

    def __init__(self, dim: int = -1, flip: bool = False, cache_size: int = 0) -> None:
        super().__init__(dim, cache_size)
        self.flip = bool(flip)

    def _key(self) -> tuple[Any, ...]:
        return self.dim, self.flip

    def _call(self, x: Tensor) -> Tensor:
        series = x.flip(self.dim) if self.flip else x
        return haar_transform(series.movedim(self.dim, -1)).movedim(-1, self.dim)

    def _inverse(self, y: Tensor) -> Tensor:
        series = inverse_haar_transform(y.movedim(self.dim, -1)).movedim(-1, self.dim)
        return series.flip(self.dim) if self.flip else series
