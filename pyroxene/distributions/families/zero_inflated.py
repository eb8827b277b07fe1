"""Zero-inflated distributions: some zeros come from a gate, the others from the distribution of counts itself."""

from __future__ import annotations

from typing import Any

import torch
from torch.distributions.utils import lazy_property

from pyroxene.distributions import constraints
from pyroxene.distributions.families.gated import Gated, log_mixture
from pyroxene.distributions.families.negative_binomial import NegativeBinomial2, trials_until_failure
from pyroxene.distributions.tails.registry import icdf, log_cdf, log_survival
from pyroxene.distributions.torch import Poisson
from pyroxene.distributions.torch_distribution import EMPTY, Size

__all__ = [
    "ZeroInflatedDistribution",
    "ZeroInflatedLogits",
    "ZeroInflatedNegativeBinomial",
    "ZeroInflatedNegativeBinomial2",
    "ZeroInflatedPoisson",
    "ZeroInflatedProbs",
]

Tensor = torch.Tensor


class ZeroInflatedDistribution(Gated):
    """Mixture of a distribution of counts with zero.

    With the gate g and the base's probabilities f:

        p(0) = g + (1 - g) f(0),    p(k) = (1 - g) f(k) for every other k.

    Mean (1 - g) m and variance (1 - g) (v + g m^2), of the base's mean m and variance v. PyMC's psi is 1 - gate.

    Args:
        base_dist: a distribution of one integer.
        gate: probability of a zero beside those of the base, in [0, 1], shape batch_shape.
        gate_logits: its log odds; give one of the two.
        validate_args: whether to check arguments and values; None for the setting `validate_distributions_torch`.

    Raises:
        ParameterError: both or neither of `gate` and `gate_logits` are given, or events are not numbers.

    Source: D. Lambert (1992), Zero-inflated Poisson regression, equation 1.

    Example:
        >>> from pyroxene.distributions import Geometric
        >>> ZeroInflatedDistribution(Geometric(0.5), gate=0.5).log_prob(torch.arange(3.0)).exp()
        tensor([0.7500, 0.1250, 0.0625])
    """

    def sample(self, sample_shape: Size = EMPTY) -> Tensor:
        """Draw from the base, and zero where the gate is closed."""
        with torch.no_grad():
            value = self.base_dist.sample(torch.Size(sample_shape))
            return torch.where(self._closed(value.shape), torch.zeros_like(value), value)

    def log_prob(self, value: Tensor) -> Tensor:
        """Return the log probability."""
        if self._validate_args:
            self._validate_sample(value)
        log_prob = self.base_dist.log_prob(value)
        is_zero = value == 0
        return torch.where(is_zero, log_mixture(self.gate, log_prob), self._log_open(~is_zero) + log_prob)

    def log_cdf(self, value: Tensor) -> Tensor:
        """Return the log of the probability of no greater value; the base must have a distribution function."""
        below = log_cdf(self.base_dist, value)
        return torch.where(value >= 0, log_mixture(self.gate, below), self._log_open() + below)

    def log_survival(self, value: Tensor) -> Tensor:
        """Return the log of the probability of a greater value; the base must have a distribution function."""
        above = log_survival(self.base_dist, value)
        return torch.where(value >= 0, self._log_open() + above, log_mixture(self.gate, above))

    def cdf(self, value: Tensor) -> Tensor:
        """Return the probability of no greater value."""
        return self.log_cdf(value).exp()

    def icdf(self, value: Tensor) -> Tensor:
        """Return the smallest value with at least this cdf."""
        return icdf(self, value)

    @property
    def mean(self) -> Tensor:
        """(1 - g) m."""
        return self._open() * self.base_dist.mean

    @property
    def variance(self) -> Tensor:
        """(1 - g) (v + g m^2)."""
        return self._open() * (self.base_dist.variance + self.gate * self.base_dist.mean**2)


class ZeroInflatedProbs(ZeroInflatedDistribution):
    """`ZeroInflatedDistribution` by the probability of its gate; NumPyro's name.

    Args:
        base_dist: a distribution of one integer.
        gate: probability of a zero beside those of the base, in [0, 1], shape batch_shape.
        validate_args: whether to check arguments and values.

    Example:
        >>> ZeroInflatedProbs(Poisson(2.0), 0.5).mean
        tensor(1.)
    """

    def __init__(self, base_dist: Any, gate: Tensor | float, *, validate_args: bool | None = None) -> None:
        super().__init__(base_dist, gate=gate, validate_args=validate_args)


class ZeroInflatedLogits(ZeroInflatedDistribution):
    """`ZeroInflatedDistribution` by the log odds of its gate; NumPyro's name.

    Args:
        base_dist: a distribution of one integer.
        gate_logits: log odds of a zero beside those of the base, shape batch_shape.
        validate_args: whether to check arguments and values.

    Example:
        >>> ZeroInflatedLogits(Poisson(2.0), 0.0).mean
        tensor(1.)
    """

    def __init__(self, base_dist: Any, gate_logits: Tensor | float, *, validate_args: bool | None = None) -> None:
        super().__init__(base_dist, gate_logits=gate_logits, validate_args=validate_args)


class ZeroInflatedPoisson(ZeroInflatedDistribution):
    """Poisson distribution with more zeros.

    p(0) = g + (1 - g) exp(-rate), p(k) = (1 - g) rate^k exp(-rate) / k! for k = 1, 2, ... Mean (1 - g) rate, variance
    (1 - g) rate (1 + g rate).

    Args:
        rate: mean of the Poisson distribution, positive, shape batch_shape.
        gate: probability of a zero beside those of the Poisson distribution, in [0, 1], shape batch_shape.
        gate_logits: its log odds; give one of the two.
        validate_args: whether to check arguments and values; None for the setting `validate_distributions_torch`.

    Source: D. Lambert (1992), Zero-inflated Poisson regression, equation 1.

    Example:
        >>> ZeroInflatedPoisson(2.0, gate=0.5).log_prob(torch.arange(2.0)).exp()
        tensor([0.5677, 0.1353])
    """

    arg_constraints = {"rate": constraints.positive, **Gated.arg_constraints}
    support = constraints.nonnegative_integer

    def __init__(
        self,
        rate: Tensor | float,
        *,
        gate: Tensor | float | None = None,
        gate_logits: Tensor | float | None = None,
        validate_args: bool | None = None,
    ) -> None:
        base = Poisson(rate, validate_args=False)
        super().__init__(base, gate=gate, gate_logits=gate_logits, validate_args=validate_args)

    @property
    def rate(self) -> Tensor:
        """Mean of the Poisson distribution."""
        return self.base_dist.rate


class ZeroInflatedNegativeBinomial(ZeroInflatedDistribution):
    """Negative binomial distribution with more zeros; probabilities as in `ZeroInflatedDistribution`.

    Mean (1 - g) r p / (1 - p), variance as there, with the base's variance r p / (1 - p)^2.

    Args:
        total_count: r, number of failures that ends the trials, non-negative real, shape batch_shape.
        probs: p, probability of a success, in [0, 1), shape batch_shape.
        logits: its log odds; give one of the two.
        gate: probability of a zero beside those of the negative binomial distribution, in [0, 1], shape batch_shape.
        gate_logits: its log odds; give one of the two.
        validate_args: whether to check arguments and values; None for the setting `validate_distributions_torch`.

    Source: W. H. Greene (1994), Accounting for excess zeros and sample selection in Poisson and negative binomial
    models.

    Example:
        >>> ZeroInflatedNegativeBinomial(1.0, probs=0.5, gate=0.5).log_prob(torch.arange(2.0)).exp()
        tensor([0.7500, 0.1250])
    """

    arg_constraints = {
        "total_count": constraints.greater_than_eq(0),
        "probs": constraints.half_open_interval(0.0, 1.0),
        "logits": constraints.real,
        **Gated.arg_constraints,
    }
    support = constraints.nonnegative_integer

    def __init__(
        self,
        total_count: Tensor | float,
        *,
        probs: Tensor | float | None = None,
        logits: Tensor | float | None = None,
        gate: Tensor | float | None = None,
        gate_logits: Tensor | float | None = None,
        validate_args: bool | None = None,
    ) -> None:
        base = trials_until_failure(total_count, probs, logits, "ZeroInflatedNegativeBinomial", validate_args)
        super().__init__(base, gate=gate, gate_logits=gate_logits, validate_args=validate_args)

    @property
    def total_count(self) -> Tensor:
        """Number of failures that ends the trials."""
        return self.base_dist.total_count

    @lazy_property
    def probs(self) -> Tensor:
        """Probability of a success."""
        return self.base_dist.probs

    @lazy_property
    def logits(self) -> Tensor:
        """Log odds of a success."""
        return self.base_dist.logits


class ZeroInflatedNegativeBinomial2(ZeroInflatedDistribution):
    """`NegativeBinomial2`, by mean and concentration, with more zeros; probabilities as in `ZeroInflatedDistribution`.

    Mean (1 - g) m, variance (1 - g) (m + m^2 / c + g m^2).

    Args:
        mean: m, mean of the negative binomial distribution, non-negative, shape batch_shape.
        concentration: c, inverse of the overdispersion, positive, shape batch_shape.
        gate: probability of a zero beside those of the negative binomial distribution, in [0, 1], shape batch_shape.
        gate_logits: its log odds; give one of the two.
        validate_args: whether to check arguments and values; None for the setting `validate_distributions_torch`.

    Source: W. H. Greene (1994), Accounting for excess zeros and sample selection in Poisson and negative binomial
    models.

    Example:
        >>> ZeroInflatedNegativeBinomial2(1.0, 1.0, gate=0.5).log_prob(torch.arange(2.0)).exp()
        tensor([0.7500, 0.1250])
    """

    support = constraints.nonnegative_integer

    def __init__(
        self,
        mean: Tensor | float,
        concentration: Tensor | float,
        *,
        gate: Tensor | float | None = None,
        gate_logits: Tensor | float | None = None,
        validate_args: bool | None = None,
    ) -> None:
        base = NegativeBinomial2(mean, concentration, validate_args=validate_args)
        super().__init__(base, gate=gate, gate_logits=gate_logits, validate_args=validate_args)

    @property
    def concentration(self) -> Tensor:
        """Inverse of the overdispersion."""
        return self.base_dist.total_count
