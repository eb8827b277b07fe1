"""VonMises3D: directions in space around a mean direction."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch

from pyroxene.distributions import constraints
from pyroxene.distributions.torch_distribution import EMPTY, Size, TorchDistribution
from pyroxene.errors import ParameterError

__all__ = ["VonMises3D"]


class VonMises3D(TorchDistribution):
    """Von Mises-Fisher distribution over the unit sphere in three dimensions.

    With k the length of the concentration vector c, the density by area is k / (4 pi sinh k) exp(c . x), uniform where
    c is 0. The support is the sphere. The mean is (coth k - 1/k) c / k, inside of the sphere; the mode is c / k.

    Args:
        concentration: mean direction times concentration k, shape (*batch_shape, 3).
        validate_args: whether to check the argument and values; None for the setting `validate_distributions_torch`.

    Raises:
        ParameterError: the last dimension is not 3.

    Source: Fisher (1953), Dispersion on a sphere; samples: Ulrich (1984), Computer generation of distributions on the
    m-sphere.

    Example:
        >>> d = VonMises3D(torch.tensor([0.0, 0.0, 2.0]))
        >>> d.log_prob(torch.tensor([0.0, 0.0, 1.0]))
        tensor(-1.1262)
    """

    arg_constraints = {"concentration": constraints.real_vector}
    support = constraints.sphere
    has_rsample = True

    def __init__(self, concentration: torch.Tensor, validate_args: bool | None = None) -> None:
        if concentration.dim() < 1 or concentration.shape[-1] != 3:
            raise ParameterError(
                "concentration of VonMises3D must be vectors in space", expected="(..., 3)", got=concentration
            )
        self.concentration = concentration
        super().__init__(concentration.shape[:-1], concentration.shape[-1:], validate_args=validate_args)

    @classmethod
    def infer_shapes(cls, concentration: Sequence[int]) -> tuple[torch.Size, torch.Size]:
        """Work out batch and event shape; see `TorchDistributionMixin.infer_shapes`."""
        return torch.Size(concentration[:-1]), torch.Size(concentration[-1:])

    def expand(self, batch_shape: Size, _instance: Any = None) -> VonMises3D:
        """Return the distribution with a larger batch shape."""
        new = self.__new__(type(self)) if _instance is None else _instance
        VonMises3D.__init__(new, self.concentration.expand(torch.Size(batch_shape) + (3,)), validate_args=False)
        new._validate_args = self._validate_args
        return new

    def _length(self) -> tuple[torch.Tensor, torch.Tensor]:
        """The concentration k, with a safe number where it is nearly 0, and whether it is not."""
        squared = (self.concentration**2).sum(-1)
        far = squared > 1e-8
        return torch.where(far, squared, torch.ones_like(squared)).sqrt(), far

    def log_prob(self, value: torch.Tensor) -> torch.Tensor:
        """Return the log density by area of directions, (*sample_shape, *batch_shape)."""
        if self._validate_args:
            self._validate_sample(value)
        k, far = self._length()
        # log(k / sinh k); its series where k^4 / 180 is below the precision
        near = -(self.concentration**2).sum(-1) / 6
        log_ratio = torch.where(far, k.log() + math.log(2) - k - torch.log(-torch.expm1(-2 * k)), near)
        return (self.concentration * value).sum(-1) + log_ratio - math.log(4 * math.pi)

    def rsample(self, sample_shape: Size = EMPTY) -> torch.Tensor:
        """Draw directions with gradients: the cosine by its inverse cdf, then a uniform angle around the mean."""
        shape = torch.Size(sample_shape) + self._batch_shape
        like = self.concentration
        k, far = self._length()
        tiny = torch.finfo(like.dtype).tiny
        u = torch.rand(shape, dtype=like.dtype, device=like.device).clamp(min=tiny)
        # 1 - cosine = -log(u + (1 - u) exp(-2 k)) / k
        fall = -torch.where(far, (u + (1 - u) * torch.exp(-2 * k)).log() / k, 2 * u - 2)
        fall = fall.clamp(0, 2)
        across = torch.randn(shape + (2,), dtype=like.dtype, device=like.device)
        across = torch.nn.functional.normalize(across, dim=-1)
        # sqrt(1 - cosine^2) without cancellation
        sine = (fall * (2 - fall)).clamp(min=tiny).sqrt()
        first = torch.cat([(1 - fall).unsqueeze(-1), sine.unsqueeze(-1) * across], -1)
        axis = torch.tensor([1.0, 0.0, 0.0], dtype=like.dtype, device=like.device)
        mean = torch.where(far.unsqueeze(-1), self.concentration / k.unsqueeze(-1), axis)
        # Householder's reflection takes the first axis to the mean; the sign keeps the mirror's normal long
        sign = torch.where(mean[..., :1] > 0, -1.0, 1.0).to(like.dtype)
        normal = mean - sign * axis
        reflected = first - 2 * normal * (first * normal).sum(-1, keepdim=True) / (normal**2).sum(-1, keepdim=True)
        return sign * reflected

    def _mean_length(self) -> torch.Tensor:
        """The length of the mean over that of the concentration, (coth k - 1/k) / k."""
        squared = (self.concentration**2).sum(-1)
        far = squared > 1e-2
        k = torch.where(far, squared, torch.ones_like(squared)).sqrt()
        near = 1 / 3 - squared / 45 + 2 * squared**2 / 945 - squared**3 / 4725 + 2 * squared**4 / 93555
        return torch.where(far, (1 / torch.tanh(k) - 1 / k) / k, near)

    @property
    def mean(self) -> torch.Tensor:
        """The mean vector, inside of the sphere, (*batch_shape, 3)."""
        return self.concentration * self._mean_length().unsqueeze(-1)

    @property
    def variance(self) -> torch.Tensor:
        """The variance of each coordinate, (*batch_shape, 3).

        Along the mean direction m it is 1 - 2 A / k - A^2 and across A / k, A being the length of the mean.
        """
        ratio = self._mean_length().unsqueeze(-1)
        squared = (self.concentration**2).sum(-1, keepdim=True)
        k, far = self._length()
        unit_squared = torch.where(far.unsqueeze(-1), (self.concentration / k.unsqueeze(-1)) ** 2, 0.0)
        along = 1 - 2 * ratio - ratio**2 * squared
        return ratio + (along - ratio) * unit_squared

    @property
    def mode(self) -> torch.Tensor:
        """The mean direction, (*batch_shape, 3); the first axis where the concentration is 0."""
        k, far = self._length()
        axis = torch.zeros_like(self.concentration)
        axis[..., 0] = 1
        return torch.where(far.unsqueeze(-1), self.concentration / k.unsqueeze(-1), axis)
