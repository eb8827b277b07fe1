"""The Laplace distribution's kin: smooth at the mode, or with tails of two scales, or both."""

from __future__ import annotations

import math

import torch

from pyroxene.distributions import constraints
from pyroxene.distributions.families.normal_tails import (
    log_erfcx_difference,
    log_normal_cdf,
    log_tilted_normal,
)
from pyroxene.distributions.families.univariate import Number, Univariate
from pyroxene.distributions.tails.logarithms import log1mexp
from pyroxene.distributions.torch_distribution import EMPTY, Size

__all__ = ["AsymmetricLaplace", "AsymmetricLaplaceQuantile", "SoftAsymmetricLaplace", "SoftLaplace"]


class SoftLaplace(Univariate):
    r"""Smooth distribution with the tails of a Laplace distribution: the hyperbolic secant distribution.

    With z = (x - loc) / scale, the density is 2 / (pi scale (e^z + e^{-z})) and the cdf 2 / pi arctan(e^z).

    Args:
        loc: mean, median and mode, shape batch_shape.
        scale: scale of the exponential tails, 2 / pi times the standard deviation, positive, shape batch_shape.
        validate_args: whether to check arguments and values; None for the setting `validate_distributions_torch`.

    Support: the real line. Mean loc, variance (pi scale / 2)^2.

    Source: Johnson, Kotz and Balakrishnan (1995), Continuous Univariate Distributions 2, section 23.11.

    Example:
        >>> SoftLaplace(0.0, 1.0).log_prob(torch.tensor(0.0))
        tensor(-1.1447)
    """

    loc: torch.Tensor
    scale: torch.Tensor
    arg_constraints = {"loc": constraints.real, "scale": constraints.positive}
    support = constraints.real

    def __init__(self, loc: Number, scale: Number, validate_args: bool | None = None) -> None:
        self._set_parameters(validate_args, loc=loc, scale=scale)

    def _log_density(self, value: torch.Tensor) -> torch.Tensor:
        distance = ((value - self.loc) / self.scale).abs()
        return math.log(2 / math.pi) - self.scale.log() - distance - torch.log1p(torch.exp(-2 * distance))

    def log_cdf(self, value: torch.Tensor) -> torch.Tensor:
        """Return the log of the probability of no greater value."""
        z = (value - self.loc) / self.scale
        log_tail = _log_arctan(-z.abs()) + math.log(2 / math.pi)
        return torch.where(z < 0, log_tail, torch.log1p(-torch.exp(log_tail)))

    def log_survival(self, value: torch.Tensor) -> torch.Tensor:
        """Return the log of the probability of a greater value."""
        return self.log_cdf(2 * self.loc - value)

    def _inverse_cdf(self, log_cdf: torch.Tensor, log_survival: torch.Tensor) -> torch.Tensor:
        left = log_cdf < log_survival
        log_tail = torch.where(left, log_cdf, log_survival)
        far = log_tail < -20.0  # there tan(w) = w
        angle = 0.5 * math.pi * torch.exp(torch.where(far, -1.0, log_tail))
        distance = torch.where(far, math.log(math.pi / 2) + log_tail, angle.tan().log())
        return self.loc + self.scale * torch.where(left, distance, -distance)

    @property
    def mean(self) -> torch.Tensor:
        """The mean, shape batch_shape."""
        return self.loc

    @property
    def mode(self) -> torch.Tensor:
        """The mode, shape batch_shape."""
        return self.loc

    @property
    def variance(self) -> torch.Tensor:
        """The variance, shape batch_shape."""
        return (self.scale * (math.pi / 2)).square()

    def entropy(self) -> torch.Tensor:
        """Return the entropy, in nats."""
        return self.scale.log() + math.log(2 * math.pi)


def _log_arctan(z: torch.Tensor) -> torch.Tensor:
    """log(arctan(e^z)) for z <= 0."""
    far = z < -20.0  # there arctan(w) = w
    return torch.where(far, z, torch.exp(torch.where(far, 0.0, z)).atan().log())


class _TwoScales(Univariate):
    """Abstract: exponential tails of two scales around `loc`; the weight of a side is in proportion to its scale.

    Implementing such a distribution: set `loc`, and define `left_scale` and `right_scale`.
    """

    support = constraints.real
    loc: torch.Tensor

    @property
    def left_scale(self) -> torch.Tensor:
        """The mean distance below `loc` of the values below it, shape batch_shape."""
        raise NotImplementedError

    @property
    def right_scale(self) -> torch.Tensor:
        """The mean distance above `loc` of the values above it, shape batch_shape."""
        raise NotImplementedError

    def _log_tail(self, value: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Whether a value is left of `loc`, and the log probability of what lies beyond it."""
        left, right = self.left_scale, self.right_scale
        distance = value - self.loc
        is_left = distance < 0
        scale = torch.where(is_left, left, right)
        return is_left, (scale / (left + right)).log() - distance.abs() / scale

    def _log_density(self, value: torch.Tensor) -> torch.Tensor:
        left, right = self.left_scale, self.right_scale
        distance = value - self.loc
        return -distance.abs() / torch.where(distance < 0, left, right) - (left + right).log()

    def log_cdf(self, value: torch.Tensor) -> torch.Tensor:
        """Return the log of the probability of no greater value."""
        is_left, log_tail = self._log_tail(value)
        return torch.where(is_left, log_tail, torch.log1p(-torch.exp(log_tail)))

    def log_survival(self, value: torch.Tensor) -> torch.Tensor:
        """Return the log of the probability of a greater value."""
        is_left, log_tail = self._log_tail(value)
        return torch.where(is_left, torch.log1p(-torch.exp(log_tail)), log_tail)

    def _inverse_cdf(self, log_cdf: torch.Tensor, log_survival: torch.Tensor) -> torch.Tensor:
        left, right = self.left_scale, self.right_scale
        log_left, log_right = (left / (left + right)).log(), (right / (left + right)).log()
        is_left = log_cdf < log_left
        return self.loc + torch.where(is_left, left * (log_cdf - log_left), right * (log_right - log_survival))

    def rsample(self, sample_shape: Size = EMPTY) -> torch.Tensor:
        """Draw a reparameterised sample: a difference of exponential variables of the two scales."""
        right, left = self._exponential(sample_shape), self._exponential(sample_shape)
        return self.loc + self.right_scale * right - self.left_scale * left

    @property
    def mean(self) -> torch.Tensor:
        """The mean, shape batch_shape."""
        return self.loc + self.right_scale - self.left_scale

    @property
    def mode(self) -> torch.Tensor:
        """The mode, shape batch_shape."""
        return self.loc

    @property
    def variance(self) -> torch.Tensor:
        """The variance, shape batch_shape."""
        return self.left_scale.square() + self.right_scale.square()

    def entropy(self) -> torch.Tensor:
        """Return the entropy, in nats."""
        return 1 + (self.left_scale + self.right_scale).log()


class AsymmetricLaplace(_TwoScales):
    r"""Laplace distribution with a scale for each side.

    With l = scale * asymmetry and r = scale / asymmetry, the density is e^{-|x - loc| / l} / (l + r) for x < loc and
    e^{-|x - loc| / r} / (l + r) for x >= loc.

    Args:
        loc: mode, shape batch_shape.
        scale: geometric mean of the two scales, positive, shape batch_shape.
        asymmetry: square root of the ratio of left to right scale, positive, shape batch_shape; more than 1 puts more
            weight to the left.
        validate_args: whether to check arguments and values; None for the setting `validate_distributions_torch`.

    Support: the real line. Mean loc + r - l, variance l^2 + r^2. PyMC's `AsymmetricLaplace(kappa, mu, b)` has
    kappa = asymmetry, mu = loc, b = 1 / scale.

    Source: Kozubowski and Podgórski (2000), A multivariate and asymmetric generalization of Laplace distribution.

    Example:
        >>> AsymmetricLaplace(0.0, 1.0, 2.0).cdf(torch.tensor(0.0))
        tensor(0.8000)
    """

    loc: torch.Tensor
    scale: torch.Tensor
    asymmetry: torch.Tensor
    arg_constraints = {"loc": constraints.real, "scale": constraints.positive, "asymmetry": constraints.positive}

    def __init__(self, loc: Number, scale: Number, asymmetry: Number, validate_args: bool | None = None) -> None:
        self._set_parameters(validate_args, loc=loc, scale=scale, asymmetry=asymmetry)

    @property
    def left_scale(self) -> torch.Tensor:
        """The scale of the left tail, shape batch_shape."""
        return self.scale * self.asymmetry

    @property
    def right_scale(self) -> torch.Tensor:
        """The scale of the right tail, shape batch_shape."""
        return self.scale / self.asymmetry


class AsymmetricLaplaceQuantile(_TwoScales):
    r"""Laplace distribution with a scale for each side, given by the quantile at its mode: for quantile regression.

    With z = (x - loc) / scale, the density is quantile (1 - quantile) / scale e^{-z (quantile - 1[z < 0])}; its log is
    minus the check loss of quantile regression, so the `loc` of most density is the quantile of the data.

    Args:
        loc: mode, of which the cdf is `quantile`, shape batch_shape.
        scale: scale, positive, shape batch_shape; the tails have scales scale / (1 - quantile) on the left and
            scale / quantile on the right.
        quantile: cdf at loc, between 0 and 1, shape batch_shape.
        validate_args: whether to check arguments and values; None for the setting `validate_distributions_torch`.

    Support: the real line. Mean loc + r - l, variance l^2 + r^2, with l and r the scales of the tails.

    Source: Yu and Moyeed (2001), Bayesian quantile regression.

    Example:
        >>> AsymmetricLaplaceQuantile(1.0, 2.0, 0.3).cdf(torch.tensor(1.0))
        tensor(0.3000)
    """

    loc: torch.Tensor
    scale: torch.Tensor
    quantile: torch.Tensor
    arg_constraints = {"loc": constraints.real, "scale": constraints.positive, "quantile": constraints.unit_interval}

    def __init__(
        self, loc: Number = 0.0, scale: Number = 1.0, quantile: Number = 0.5, validate_args: bool | None = None
    ) -> None:
        self._set_parameters(validate_args, loc=loc, scale=scale, quantile=quantile)

    @property
    def left_scale(self) -> torch.Tensor:
        """The scale of the left tail, shape batch_shape."""
        return self.scale / (1 - self.quantile)

    @property
    def right_scale(self) -> torch.Tensor:
        """The scale of the right tail, shape batch_shape."""
        return self.scale / self.quantile


class SoftAsymmetricLaplace(Univariate):
    r"""Sum of an asymmetric Laplace and a normal variable: smooth, with exponential tails of two scales.

    With l = scale * asymmetry, r = scale / asymmetry, s = scale * softness, u = (x - loc) / s and Phi the normal cdf,
    the density is (A + B) / (l + r) with A = e^{s^2 / (2 l^2) + s u / l} Phi(-u - s / l) and
    B = e^{s^2 / (2 r^2) - s u / r} Phi(u - s / r).

    Args:
        loc: where the Laplace variable has its mode, shape batch_shape.
        scale: geometric mean of the scales of the tails, positive, shape batch_shape.
        asymmetry: square root of the ratio of left to right scale, positive, shape batch_shape.
        softness: standard deviation of the normal variable in units of scale, positive, shape batch_shape.
        validate_args: whether to check arguments and values; None for the setting `validate_distributions_torch`.

    Support: the real line. Mean loc + r - l, variance l^2 + r^2 + s^2.

    Source: Reed (2006), The normal-Laplace distribution and its relatives.

    Example:
        >>> SoftAsymmetricLaplace(0.0, 1.0).log_prob(torch.tensor(0.0))
        tensor(-1.3410)
    """

    loc: torch.Tensor
    scale: torch.Tensor
    asymmetry: torch.Tensor
    softness: torch.Tensor
    arg_constraints = {
        "loc": constraints.real,
        "scale": constraints.positive,
        "asymmetry": constraints.positive,
        "softness": constraints.positive,
    }
    support = constraints.real

    def __init__(
        self,
        loc: Number,
        scale: Number,
        asymmetry: Number = 1.0,
        softness: Number = 1.0,
        validate_args: bool | None = None,
    ) -> None:
        self._set_parameters(validate_args, loc=loc, scale=scale, asymmetry=asymmetry, softness=softness)

    @property
    def left_scale(self) -> torch.Tensor:
        """The scale of the left tail, shape batch_shape."""
        return self.scale * self.asymmetry

    @property
    def right_scale(self) -> torch.Tensor:
        """The scale of the right tail, shape batch_shape."""
        return self.scale / self.asymmetry

    @property
    def soft_scale(self) -> torch.Tensor:
        """The standard deviation of the normal variable, shape batch_shape."""
        return self.scale * self.softness

    def _log_density(self, value: torch.Tensor) -> torch.Tensor:
        u = (value - self.loc) / self.soft_scale
        left = log_tilted_normal(-u, self.softness / self.asymmetry)
        right = log_tilted_normal(u, self.softness * self.asymmetry)
        return torch.logaddexp(left, right) - (self.left_scale + self.right_scale).log()

    def _log_tail(self, value: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Whether a value is left of `loc`, and the log probability of what lies beyond it.

        On the left side, F = Phi(u) + (l A - r B) / (l + r), written as a sum of what is positive.
        """
        u = (value - self.loc) / self.soft_scale
        is_left = u < 0
        u = -u.abs()
        left, right = self.left_scale, self.right_scale
        near, far = torch.where(is_left, left, right), torch.where(is_left, right, left)
        log_near, log_far = (near / (left + right)).log(), (far / (left + right)).log()
        exponential = log_near + log_tilted_normal(-u, self.soft_scale / near)
        gaussian = log_near + log_normal_cdf(u)
        excess = log_far - 0.5 * u.square() - math.log(2) + log_erfcx_difference(-u, self.soft_scale / far)
        return is_left, torch.logaddexp(torch.logaddexp(exponential, gaussian), excess)

    def log_cdf(self, value: torch.Tensor) -> torch.Tensor:
        """Return the log of the probability of no greater value."""
        is_left, log_tail = self._log_tail(value)
        return torch.where(is_left, log_tail, log1mexp(log_tail))

    def log_survival(self, value: torch.Tensor) -> torch.Tensor:
        """Return the log of the probability of a greater value."""
        is_left, log_tail = self._log_tail(value)
        return torch.where(is_left, log1mexp(log_tail), log_tail)

    def rsample(self, sample_shape: Size = EMPTY) -> torch.Tensor:
        """Draw a reparameterised sample: the sum of a normal and two exponential variables."""
        right, left = self._exponential(sample_shape), self._exponential(sample_shape)
        hard = self.loc + self.right_scale * right - self.left_scale * left
        return hard + self.soft_scale * self._normal(sample_shape)

    @property
    def mean(self) -> torch.Tensor:
        """The mean, shape batch_shape."""
        return self.loc + self.right_scale - self.left_scale

    @property
    def variance(self) -> torch.Tensor:
        """The variance, shape batch_shape."""
        return self.left_scale.square() + self.right_scale.square() + self.soft_scale.square()
