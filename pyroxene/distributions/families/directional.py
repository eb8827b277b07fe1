"""Directions on the sphere of any dimension: VonMisesFisher and PowerSpherical."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch

from pyroxene.distributions import constraints
from pyroxene.distributions.families.multivariate_student import _log_gamma_ratio
from pyroxene.distributions.torch_distribution import EMPTY, Size, TorchDistribution
from pyroxene.distributions.util import broadcast_shape
from pyroxene.errors import ParameterError
from pyroxene.ops.bessel import LARGE, log_bessel_i_remainder, log_bessel_i_series

__all__ = ["PowerSpherical", "VonMisesFisher"]

Tensor = torch.Tensor


class _Directional(TorchDistribution):
    """Abstract: a density on the unit sphere that depends on the cosine of the angle to a mean direction only.

    Implementing one: define `arg_constraints`, `log_prob`, `_draw_fall`, `_cosine_moments` and `entropy`.
    """

    support = constraints.sphere
    mean_direction: Tensor
    concentration: Tensor

    def __init__(
        self, mean_direction: Tensor, concentration: Tensor | float, validate_args: bool | None = None
    ) -> None:
        if mean_direction.dim() < 1 or mean_direction.shape[-1] < 2:
            raise ParameterError(
                f"mean_direction of {type(self).__name__} must be vectors",
                expected="(..., dim) with dim of 2 or more",
                got=mean_direction,
            )
        if not isinstance(concentration, Tensor):
            concentration = torch.as_tensor(concentration, dtype=mean_direction.dtype, device=mean_direction.device)
        batch_shape = torch.Size(broadcast_shape(mean_direction.shape[:-1], concentration.shape))
        event_shape = mean_direction.shape[-1:]
        self.mean_direction = mean_direction.expand(batch_shape + event_shape)
        self.concentration = concentration.expand(batch_shape)
        super().__init__(batch_shape, event_shape, validate_args=validate_args)

    @classmethod
    def infer_shapes(cls, mean_direction: Sequence[int], concentration: Sequence[int]) -> tuple[torch.Size, torch.Size]:
        """Work out batch and event shape; see `TorchDistributionMixin.infer_shapes`."""
        batch_shape = broadcast_shape(tuple(mean_direction[:-1]), tuple(concentration))
        return torch.Size(batch_shape), torch.Size(mean_direction[-1:])

    def expand(self, batch_shape: Size, _instance: Any = None) -> Any:
        """Return the distribution with a larger batch shape."""
        new = self.__new__(type(self)) if _instance is None else _instance
        batch_shape = torch.Size(batch_shape)
        new.mean_direction = self.mean_direction.expand(batch_shape + self._event_shape)
        new.concentration = self.concentration.expand(batch_shape)
        TorchDistribution.__init__(new, batch_shape, self._event_shape, validate_args=False)
        new._validate_args = self._validate_args
        return new

    def _fall(self, value: Tensor) -> Tensor:
        """1 - cosine of the angle to the mean direction, exact where it is small."""
        return (value - self.mean_direction).square().sum(-1) / 2

    def _draw_fall(self, shape: torch.Size) -> Tensor:
        """Draw 1 - cosine."""
        raise NotImplementedError(f"{type(self).__name__} does not define its cosine")

    def _cosine_moments(self) -> tuple[Tensor, Tensor]:
        """The mean of the cosine, and the variance of each coordinate across the mean direction."""
        raise NotImplementedError(f"{type(self).__name__} does not define its moments")

    def _draw(self, sample_shape: Size) -> Tensor:
        """Draw the cosine, then a uniform direction across, and turn the first axis to the mean direction."""
        mean = self.mean_direction
        shape, dim = torch.Size(sample_shape) + self._batch_shape, mean.shape[-1]
        fall = self._draw_fall(shape).unsqueeze(-1)
        across = torch.randn(shape + (dim - 1,), dtype=mean.dtype, device=mean.device)
        across = torch.nn.functional.normalize(across, dim=-1)
        # sqrt(1 - cosine^2) without cancellation
        sine = (fall * (2 - fall)).clamp(min=torch.finfo(mean.dtype).tiny).sqrt()
        first = torch.cat([1 - fall, sine * across], -1)
        axis = torch.eye(dim, dtype=mean.dtype, device=mean.device)[0]
        # Householder's reflection takes the first axis to the mean; the sign keeps the mirror's normal long
        sign = torch.where(mean[..., :1] > 0, -1.0, 1.0).to(mean.dtype)
        normal = mean - sign * axis
        return sign * (first - 2 * normal * (first * normal).sum(-1, keepdim=True) / normal.square().sum(-1, True))

    def sample(self, sample_shape: Size = EMPTY) -> Tensor:
        """Draw directions, (*sample_shape, *batch_shape, dim)."""
        with torch.no_grad():
            return self._draw(sample_shape)

    @property
    def mean(self) -> Tensor:
        """The mean vector, inside of the sphere, (*batch_shape, dim)."""
        return self.mean_direction * self._cosine_moments()[0].unsqueeze(-1)

    @property
    def variance(self) -> Tensor:
        """The variance of each coordinate, (*batch_shape, dim)."""
        cosine, across = (m.unsqueeze(-1) for m in self._cosine_moments())
        dim = self.mean_direction.shape[-1]
        along = 1 - (dim - 1) * across - cosine.square()  # squares of all coordinates have a sum of 1
        return across + (along - across) * self.mean_direction.square()

    @property
    def mode(self) -> Tensor:
        """The mean direction, (*batch_shape, dim)."""
        return self.mean_direction


class VonMisesFisher(_Directional):
    """Von Mises-Fisher distribution over the unit sphere in any number of dimensions.

    With dimension d, concentration k and mean direction m, the density by area is C exp(k m . x) with
    C = k^(d/2 - 1) / ((2 pi)^(d/2) I_(d/2 - 1)(k)), where I is the modified Bessel function of the first kind; it is
    uniform where k is 0. The mean is A m with A = I_(d/2)(k) / I_(d/2 - 1)(k); the variance along m is
    1 - (d - 1) A / k - A^2, and A / k across. The entropy is -log C - k A.

    Args:
        mean_direction: unit vectors m, shape (*batch_shape, dim), dim of 2 or more.
        concentration: k, 0 or more; the larger, the closer to m, shape batch_shape.
        validate_args: whether to check arguments and values; None for the setting `validate_distributions_torch`.

    Support: the sphere. TFP has the name and the parameters; `VonMises3D` takes the product k m, for three dimensions.

    Raises:
        ParameterError: a parameter violates its constraint.

    Source: K. V. Mardia and P. E. Jupp (2000), Directional statistics, section 9.3.2; samples: A. T. A. Wood (1994),
    Simulation of the von Mises Fisher distribution.

    Example:
        >>> d = VonMisesFisher(torch.tensor([0.0, 0.0, 1.0]), 2.0)
        >>> d.log_prob(torch.tensor([0.0, 0.0, 1.0]))
        tensor(-1.1262)
    """

    arg_constraints = {"mean_direction": constraints.sphere, "concentration": constraints.nonnegative}

    def log_prob(self, value: Tensor) -> Tensor:
        """Return the log density by area, (*sample_shape, *batch_shape)."""
        if self._validate_args:
            self._validate_sample(value)
        return -self.concentration * self._fall(value) - self.log_normalizer()

    def log_normalizer(self) -> Tensor:
        """The log of the integral of exp(k (cosine - 1)) over the sphere, shape batch_shape."""
        half = self.mean_direction.shape[-1] / 2
        return half * math.log(2 * math.pi) + _log_scaled_bessel(half - 1, self.concentration)

    def _draw_fall(self, shape: torch.Size) -> Tensor:
        """1 - cosine by rejection from a transformed beta variable, of which at least two thirds are accepted."""
        size = self.mean_direction.shape[-1] - 1
        k = self.concentration.expand(shape)
        b = size / (2 * k + (4 * k.square() + size**2).sqrt())
        start = 2 * b / (1 + b)  # 1 - x_0 of Wood
        log_bound = (2 * start / (1 + b)).log()  # log(1 - x_0^2)
        half = torch.full_like(k, size / 2)
        fall, is_done = torch.zeros_like(k), torch.zeros_like(k, dtype=torch.bool)
        while not is_done.all():
            z = torch.distributions.Beta(half, half, validate_args=False).sample()
            proposal = 2 * b * z / (1 - z + b * z)
            log_ratio = k * (start - proposal) + size * ((start + (1 - start) * proposal).log() - log_bound)
            is_accepted = ~is_done & ~(torch.rand_like(k).log() > log_ratio)  # nan is returned, not tried forever
            fall = torch.where(is_accepted, proposal, fall)
            is_done = is_done | is_accepted
        return fall

    def _cosine_moments(self) -> tuple[Tensor, Tensor]:
        order = self.mean_direction.shape[-1] / 2 - 1
        k = self.concentration
        ratio = (_log_scaled_bessel(order + 1, k) - _log_scaled_bessel(order, k)).exp()
        return k * ratio, ratio

    @property
    def mean_length(self) -> Tensor:
        """The length A of the mean vector, shape batch_shape."""
        return self._cosine_moments()[0]

    def entropy(self) -> Tensor:
        """Return the entropy, in nats, shape batch_shape."""
        return self.log_normalizer() + self.concentration * (1 - self.mean_length)


class PowerSpherical(_Directional):
    """Power spherical distribution over the unit sphere: like von Mises-Fisher's, with samples that carry gradients.

    With dimension d, concentration k and mean direction m, the density by area is (1 + m . x)^k / N with
    N = 2^(a + b) pi^b Gamma(a) / Gamma(a + b), a = (d - 1) / 2 + k and b = (d - 1) / 2; half of 1 + m . x has a
    Beta(a, b) distribution. The mean is m k / (k + d - 1), the variance along m is 4 a b / ((a + b)^2 (a + b + 1)), and
    that across is (1 - that - the square of the mean's length) / (d - 1).

    Args:
        mean_direction: unit vectors m, shape (*batch_shape, dim), dim of 2 or more.
        concentration: k, positive; the larger, the closer to m, shape batch_shape.
        validate_args: whether to check arguments and values; None for the setting `validate_distributions_torch`.

    Support: the sphere. TFP has the name and the parameters.

    Raises:
        ParameterError: a parameter violates its constraint.

    Source: N. De Cao and W. Aziz (2020), The power spherical distribution.

    Example:
        >>> d = PowerSpherical(torch.tensor([0.0, 0.0, 1.0]), 1.0)
        >>> d.log_prob(torch.tensor([0.0, 0.0, 1.0])).exp()
        tensor(0.1592)
    """

    arg_constraints = {"mean_direction": constraints.sphere, "concentration": constraints.positive}
    has_rsample = True

    def _size(self) -> int:
        return self.mean_direction.shape[-1] - 1

    def log_prob(self, value: Tensor) -> Tensor:
        """Return the log density by area, (*sample_shape, *batch_shape); -inf opposite to the mean direction."""
        if self._validate_args:
            self._validate_sample(value)
        fall = self._fall(value)
        is_near = fall < 1
        near = torch.log1p(torch.where(is_near, -fall / 2, 0.0))
        rise = (value + self.mean_direction).square().sum(-1) / 4  # half of 1 + cosine
        far = torch.where(is_near, 1.0, rise).log()
        return self.concentration * torch.where(is_near, near, far) - self.log_normalizer()

    def log_normalizer(self) -> Tensor:
        """The log of the integral of ((1 + cosine) / 2)^k over the sphere, shape batch_shape."""
        half = self._size() / 2
        return half * math.log(4 * math.pi) - _log_gamma_ratio(half + self.concentration, self._size())

    def _draw_fall(self, shape: torch.Size) -> Tensor:
        half = torch.full_like(self.concentration, self._size() / 2)
        beta = torch.distributions.Beta(half, half + self.concentration, validate_args=False)
        return 2 * beta.rsample(shape[: len(shape) - len(self._batch_shape)])

    def rsample(self, sample_shape: Size = EMPTY) -> Tensor:
        """Draw directions with gradients, (*sample_shape, *batch_shape, dim)."""
        return self._draw(sample_shape)

    def _cosine_moments(self) -> tuple[Tensor, Tensor]:
        size, k = self._size(), self.concentration
        cosine = k / (k + size)
        # the mean of 1 - cosine^2 is 4 a b / ((a + b) (a + b + 1)), shared by the coordinates across
        return cosine, (2 * k + size) / ((k + size) * (k + size + 1))

    def entropy(self) -> Tensor:
        """Return the entropy, in nats, shape batch_shape: log normalizer - k E[log((1 + cosine) / 2)]."""
        size, k = self._size(), self.concentration
        return self.log_normalizer() - k * (torch.digamma(size / 2 + k) - torch.digamma(size + k))


def _log_scaled_bessel(order: float, k: Tensor) -> Tensor:
    """Log of I_order(k) / k^order less k: finite for all k from 0 on, and without cancellation where k is large."""
    nu = torch.full_like(k, order)
    is_large = nu.square() + k.square() > LARGE**2
    z, x = torch.where(is_large, 1.0, k), torch.where(is_large, k, LARGE)
    small = log_bessel_i_series(nu, z) - order * math.log(2) - math.lgamma(order + 1) - z
    h = torch.hypot(nu, x)
    large = order**2 / (h + x) - order * (order + h).log() + log_bessel_i_remainder(nu, h)
    return torch.where(is_large, large, small)
