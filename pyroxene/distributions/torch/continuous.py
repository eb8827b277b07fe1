"""Torch's distributions of one real number."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.distributions as torchdist
from torch.distributions import relaxed_bernoulli as torchrelaxed

from pyroxene.distributions import constraints
from pyroxene.distributions.torch.transformed import TransformedMixin
from pyroxene.distributions.torch_distribution import EMPTY, Size, TorchDistributionMixin
from pyroxene.distributions.util import broadcast_shape
from pyroxene.errors import UsageError

__all__ = [
    "Beta",
    "Cauchy",
    "Chi2",
    "ContinuousBernoulli",
    "Exponential",
    "FisherSnedecor",
    "Gamma",
    "Gumbel",
    "HalfCauchy",
    "HalfNormal",
    "InverseGamma",
    "Kumaraswamy",
    "Laplace",
    "LogNormal",
    "LogitRelaxedBernoulli",
    "Normal",
    "Pareto",
    "RelaxedBernoulli",
    "StudentT",
    "Uniform",
    "VonMises",
    "Weibull",
]


def require_same_family(self: Any, other: Any, family: type) -> None:
    """Raise unless `other` is of the family that `self` can be multiplied by."""
    if not isinstance(other, family):
        raise UsageError(
            f"{type(self).__name__} is not conjugate to {type(other).__name__}", expected=family.__name__, got=other
        )


_HALF_LOG_TWO_PI = 0.5 * math.log(2 * math.pi)


class Beta(torchdist.Beta, TorchDistributionMixin):
    """Beta distribution over the unit interval.

    Args:
        concentration1: alpha, the weight towards 1, positive, shape batch_shape.
        concentration0: beta, the weight towards 0, positive, shape batch_shape.
    """

    def conjugate_update(self, other: Any) -> tuple[Beta, torch.Tensor]:
        """Multiply by another Beta density; see `Distribution.conjugate_update`."""
        require_same_family(self, other, torchdist.Beta)
        updated = Beta(
            self.concentration1 + other.concentration1 - 1,
            self.concentration0 + other.concentration0 - 1,
            validate_args=self._validate_args,
        )
        return updated, _log_beta(updated) - _log_beta(self) - _log_beta(other)


def _log_beta(d: Any) -> torch.Tensor:
    """Log normaliser of a Beta distribution: the log of Euler's beta function."""
    a, b = d.concentration1, d.concentration0
    return a.lgamma() + b.lgamma() - (a + b).lgamma()


class Cauchy(torchdist.Cauchy, TorchDistributionMixin):
    """Cauchy distribution; it has neither mean nor variance.

    Args:
        loc: median, shape batch_shape.
        scale: half width at half maximum, positive, shape batch_shape.
    """


class Chi2(torchdist.Chi2, TorchDistributionMixin):
    """Chi-squared distribution.

    Args:
        df: degrees of freedom, positive, shape batch_shape.
    """


class ContinuousBernoulli(torchdist.ContinuousBernoulli, TorchDistributionMixin):
    """Continuous Bernoulli distribution over the unit interval (Loaiza-Ganem and Cunningham, 2019).

    Args:
        probs: shape parameter between 0 and 1, shape batch_shape.
        logits: its log odds; give one of the two.
        lims: the interval around 1/2 within which a Taylor expansion replaces an unstable formula.
    """


class Exponential(torchdist.Exponential, TorchDistributionMixin):
    """Exponential distribution.

    Args:
        rate: inverse of the mean, positive, shape batch_shape.
    """


class FisherSnedecor(torchdist.FisherSnedecor, TorchDistributionMixin):
    """F distribution: a ratio of two scaled chi-squared variables.

    Args:
        df1: degrees of freedom of the numerator, positive, shape batch_shape.
        df2: degrees of freedom of the denominator, positive, shape batch_shape.
    """


class Gamma(torchdist.Gamma, TorchDistributionMixin):
    """Gamma distribution with mean concentration / rate.

    Args:
        concentration: shape parameter, positive, shape batch_shape.
        rate: inverse scale, positive, shape batch_shape.
    """

    def conjugate_update(self, other: Any) -> tuple[Gamma, torch.Tensor]:
        """Multiply by another Gamma density; see `Distribution.conjugate_update`."""
        require_same_family(self, other, torchdist.Gamma)
        updated = Gamma(
            self.concentration + other.concentration - 1, self.rate + other.rate, validate_args=self._validate_args
        )
        return updated, _log_gamma_integral(updated) - _log_gamma_integral(self) - _log_gamma_integral(other)


def _log_gamma_integral(d: Any) -> torch.Tensor:
    """Log normaliser of a Gamma distribution: log of the integral of x^(concentration - 1) e^(-rate x)."""
    return d.concentration.lgamma() - d.concentration * d.rate.log()


class Gumbel(torchdist.Gumbel, TransformedMixin):
    """Gumbel distribution of a maximum.

    Args:
        loc: mode, shape batch_shape.
        scale: scale, positive, shape batch_shape.
    """


class HalfCauchy(torchdist.HalfCauchy, TransformedMixin):
    """Absolute value of a Cauchy variable around 0.

    Args:
        scale: scale of the Cauchy distribution, positive, shape batch_shape.
    """

    def log_prob(self, value: torch.Tensor) -> torch.Tensor:
        """Return the log density, in the wider dtype of value and scale (torch casts to the scale's)."""
        if self._validate_args:
            self._validate_sample(value)
        log_prob = math.log(2 / math.pi) - self.scale.log() - (value / self.scale).square().log1p()
        return torch.where(value >= 0, log_prob, -math.inf)


class HalfNormal(torchdist.HalfNormal, TransformedMixin):
    """Absolute value of a normal variable around 0.

    Args:
        scale: standard deviation of the normal distribution, positive, shape batch_shape.
    """


class InverseGamma(torchdist.InverseGamma, TransformedMixin):
    """Distribution of 1 / x for a Gamma variable x.

    Args:
        concentration: shape parameter, positive, shape batch_shape.
        rate: rate of the Gamma distribution, the scale of this one, positive, shape batch_shape.
    """


class Kumaraswamy(torchdist.Kumaraswamy, TransformedMixin):
    """Kumaraswamy distribution over the unit interval: like Beta with a closed distribution function.

    Args:
        concentration1: first shape parameter, positive, shape batch_shape.
        concentration0: second shape parameter, positive, shape batch_shape.
    """


class Laplace(torchdist.Laplace, TorchDistributionMixin):
    """Laplace (double exponential) distribution.

    Args:
        loc: mean, shape batch_shape.
        scale: mean absolute deviation, positive, shape batch_shape.
    """


class LogNormal(torchdist.LogNormal, TransformedMixin):
    """Exponential of a normal variable.

    Args:
        loc: mean of the logarithm, shape batch_shape.
        scale: standard deviation of the logarithm, positive, shape batch_shape.
    """


class Normal(torchdist.Normal, TorchDistributionMixin):
    """Normal (Gaussian) distribution.

    Args:
        loc: mean, shape batch_shape.
        scale: standard deviation (not variance), positive, shape batch_shape.

    Example:
        >>> Normal(0.0, 2.0).log_prob(torch.tensor(0.0))
        tensor(-1.6121)
    """

    def __init__(
        self, loc: torch.Tensor | float, scale: torch.Tensor | float, validate_args: bool | None = None
    ) -> None:
        # The commonest cases of the commonest distribution: nothing to broadcast, and checks without torch's loop.
        if self.arg_constraints is torchdist.Normal.arg_constraints:
            validate = self._validate_args if validate_args is None else validate_args
            plain = type(loc) is float and type(scale) is float
            if plain and (not validate or (scale > 0 and loc == loc)):
                loc, scale, validate = torch.tensor(loc), torch.tensor(scale), False
            if (
                isinstance(loc, torch.Tensor)
                and isinstance(scale, torch.Tensor)
                and loc.shape == scale.shape
                and (not validate or (bool((scale > 0).all()) and bool((loc == loc).all())))
            ):
                self.loc, self.scale = loc, scale
                self._batch_shape, self._event_shape = loc.shape, EMPTY
                if validate_args is not None:
                    self._validate_args = validate_args
                return
        super().__init__(loc, scale, validate_args=validate_args)

    def expand(self, batch_shape: Size, _instance: Any = None) -> Normal:
        """Return the distribution with a larger batch shape."""
        return super().expand(batch_shape, _instance=self.__new__(type(self)) if _instance is None else _instance)

    def log_prob(self, value: torch.Tensor) -> torch.Tensor:
        """Return the log density; in fewer operations than torch."""
        if self._validate_args:
            self._validate_sample(value)
        standard = (value - self.loc) / self.scale
        return torch.addcmul(-_HALF_LOG_TWO_PI - self.scale.log(), standard, standard, value=-0.5)


class Pareto(torchdist.Pareto, TransformedMixin):
    """Pareto distribution of the first type.

    Args:
        scale: smallest value, positive, shape batch_shape.
        alpha: exponent of the tail, positive, shape batch_shape.
    """


class RelaxedBernoulli(torchdist.RelaxedBernoulli, TransformedMixin):
    """Differentiable relaxation of a Bernoulli variable to the unit interval (Maddison et al. 2017).

    Args:
        temperature: positive; samples tend to 0 and 1 as it tends to 0.
        probs: probability of 1, shape batch_shape.
        logits: its log odds; give one of the two.
    """


class LogitRelaxedBernoulli(torchrelaxed.LogitRelaxedBernoulli, TorchDistributionMixin):
    """Log odds of a relaxed Bernoulli variable, the base of `RelaxedBernoulli`.

    Args:
        temperature: positive.
        probs: probability of 1, shape batch_shape.
        logits: its log odds; give one of the two.
    """


class StudentT(torchdist.StudentT, TorchDistributionMixin):
    """Student's t distribution.

    Args:
        df: degrees of freedom, positive, shape batch_shape.
        loc: median, shape batch_shape.
        scale: scale (not standard deviation), positive, shape batch_shape.
    """


class Uniform(torchdist.Uniform, TorchDistributionMixin):
    """Uniform distribution over [low, high).

    Args:
        low: lower end, shape batch_shape.
        high: upper end, greater than low, shape batch_shape.
    """

    _ends: tuple[Any, Any] | None = None  # of an adopted one

    def __init__(
        self, low: torch.Tensor | float, high: torch.Tensor | float, validate_args: bool | None = None
    ) -> None:
        self._ends = low, high  # as given, so that the support of an expanded Uniform is no larger than it must be
        super().__init__(low, high, validate_args=validate_args)

    def expand(self, batch_shape: Size, _instance: Any = None) -> Uniform:
        """Return the distribution with a larger batch shape."""
        new = self.__new__(type(self)) if _instance is None else _instance
        new._ends = self._ends
        return super().expand(batch_shape, _instance=new)

    @constraints.dependent_property(is_discrete=False, event_dim=0)
    def support(self) -> constraints.Constraint:
        """The interval with its ends as they were given, numbers or tensors."""
        return constraints.interval(*(self._ends or (self.low, self.high)))

    @classmethod
    def infer_shapes(cls, low: Sequence[int] = (), high: Sequence[int] = ()) -> tuple[torch.Size, torch.Size]:
        """Work out batch and event shape; see `TorchDistributionMixin.infer_shapes`."""
        return torch.Size(broadcast_shape(low, high)), torch.Size()


class VonMises(torchdist.VonMises, TorchDistributionMixin):
    """Von Mises distribution of an angle in radians.

    Args:
        loc: mean direction, shape batch_shape.
        concentration: inverse of a squared spread, positive, shape batch_shape.
    """

    def log_prob(self, value: torch.Tensor) -> torch.Tensor:
        """Return the log density, to full precision: torch's Bessel function has seven digits."""
        if self._validate_args:
            self._validate_sample(value)
        near = -2 * self.concentration * torch.sin((value - self.loc) / 2).square()
        return near - math.log(2 * math.pi) - torch.special.i0e(self.concentration).log()


class Weibull(torchdist.Weibull, TransformedMixin):
    """Weibull distribution.

    Args:
        scale: scale, positive, shape batch_shape.
        concentration: shape parameter, positive, shape batch_shape.
    """
