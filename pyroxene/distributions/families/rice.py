"""Rice: the distance from the origin of a point scattered normally in a plane."""

from __future__ import annotations

import math

import torch

from pyroxene.distributions import constraints
from pyroxene.distributions.families.univariate import Number, Univariate
from pyroxene.distributions.tails.logarithms import log1mexp
from pyroxene.distributions.torch_distribution import EMPTY, Size
from pyroxene.ops.half_line import log_integral

__all__ = ["Rice"]


class Rice(Univariate):
    r"""Rice distribution: of the length of a vector in the plane whose two parts are normal variables.

    The density is x / scale^2 e^{-(x^2 + nu^2) / (2 scale^2)} I_0(x nu / scale^2), I_0 a modified Bessel function.

    Args:
        nu: distance of the centre of the scatter from the origin, not negative, shape batch_shape; 0 for a Rayleigh
            distribution.
        scale: standard deviation of each part, positive, shape batch_shape.
        validate_args: whether to check arguments and values; None for the setting `validate_distributions_torch`.

    Support: numbers of at least 0. With q = nu^2 / (2 scale^2), mean scale sqrt(pi / 2) e^{-q / 2}
    ((1 + q) I_0(q / 2) + q I_1(q / 2)), variance 2 scale^2 + nu^2 - mean^2. PyMC's `Rice(nu, sigma)` has sigma = scale;
    scipy's `rice` has b = nu / scale.

    Source: Rice (1945), Mathematical analysis of random noise, equation 3.10-11.

    Example:
        >>> Rice(0.0, 1.0).mean
        tensor(1.2533)
    """

    nu: torch.Tensor
    scale: torch.Tensor
    arg_constraints = {"nu": constraints.nonnegative, "scale": constraints.positive}
    support = constraints.nonnegative

    def __init__(self, nu: Number, scale: Number = 1.0, validate_args: bool | None = None) -> None:
        self._set_parameters(validate_args, nu=nu, scale=scale)

    def _log_density(self, value: torch.Tensor) -> torch.Tensor:
        inside = value > 0
        x = torch.where(inside, value, 1.0) / self.scale
        centre = self.nu / self.scale
        density = x.log() - self.scale.log() - 0.5 * (x - centre).square() + torch.special.i0e(x * centre).log()
        return torch.where(inside, density, -math.inf)

    def _tail(self, value: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Whether a value is positive, whether it is below the mean, and the log probability of the tail beyond it."""
        inside = value > 0
        x = (torch.where(inside, value, 1.0) / self.scale).double().unsqueeze(-1)
        centre = (self.nu / self.scale).double().unsqueeze(-1)
        is_left = x < torch.hypot(centre, torch.ones_like(centre))
        distance = (x - centre).detach()
        rate = torch.where(is_left, 2 + x.detach() * (1 - distance.clamp(max=0)), 1 + distance.clamp(min=0))

        def log_function(u: torch.Tensor) -> torch.Tensor:
            """The density at x e^{-u / rate}, or at x + u / rate, with the Jacobian but for the rate."""
            log_left = x.log() - torch.where(is_left, u, 0.0) / rate
            right = x + u / rate
            point = torch.where(is_left, log_left.exp(), right)
            density = torch.special.i0e(point * centre).log() - 0.5 * (point - centre).square()
            return density + torch.where(is_left, 2 * log_left, right.log())

        log_tail = log_integral(log_function, x) - rate.squeeze(-1).log()
        return inside, is_left.squeeze(-1), log_tail.to(torch.result_type(value, self.scale))

    def log_cdf(self, value: torch.Tensor) -> torch.Tensor:
        """Return the log of the probability of no greater value."""
        inside, is_left, log_tail = self._tail(value)
        return torch.where(inside, torch.where(is_left, log_tail, log1mexp(log_tail)), -math.inf)

    def log_survival(self, value: torch.Tensor) -> torch.Tensor:
        """Return the log of the probability of a greater value: of Marcum's Q function of order 1."""
        inside, is_left, log_tail = self._tail(value)
        return torch.where(inside, torch.where(is_left, log1mexp(log_tail), log_tail), 0.0)

    def rsample(self, sample_shape: Size = EMPTY) -> torch.Tensor:
        """Draw a reparameterised sample: the length of a normal vector."""
        first = self.nu + self.scale * self._normal(sample_shape)
        return torch.hypot(first, self.scale * self._normal(sample_shape))

    def _standard_mean(self) -> torch.Tensor:
        half = 0.25 * (self.nu / self.scale).square()
        bessel = (1 + 2 * half) * torch.special.i0e(half) + 2 * half * torch.special.i1e(half)
        return math.sqrt(math.pi / 2) * bessel

    @property
    def mean(self) -> torch.Tensor:
        """The mean, shape batch_shape."""
        return self.scale * self._standard_mean()

    @property
    def variance(self) -> torch.Tensor:
        """The variance, shape batch_shape."""
        ratio = (self.nu / self.scale).square()
        is_far = ratio > 1e4  # there the difference cancels, and its asymptotic series is right to 1e-12
        inverse = torch.where(is_far, ratio, 1e4).reciprocal()
        series = 1 - 0.5 * inverse * (1 + inverse)
        return self.scale.square() * torch.where(is_far, series, 2 + ratio - self._standard_mean().square())
