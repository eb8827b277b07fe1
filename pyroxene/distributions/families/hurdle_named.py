"""Hurdle distributions of Poisson, negative binomial, Gamma and log-normal variables, by their parameters."""

from __future__ import annotations

import torch
from torch.distributions.utils import lazy_property

from pyroxene.distributions import constraints
from pyroxene.distributions.families.gated import Gated
from pyroxene.distributions.families.hurdle import HurdleDistribution
from pyroxene.distributions.families.negative_binomial import NegativeBinomial2, trials_until_failure
from pyroxene.distributions.torch import Gamma, LogNormal, Poisson

__all__ = ["HurdleGamma", "HurdleLogNormal", "HurdleNegativeBinomial", "HurdleNegativeBinomial2", "HurdlePoisson"]

Tensor = torch.Tensor


class HurdlePoisson(HurdleDistribution):
    """Zero, or a Poisson count that is not zero.

    p(0) = g, p(k) = (1 - g) rate^k / (k! (exp(rate) - 1)) for k = 1, 2, ... Mean (1 - g) rate / (1 - exp(-rate)).
    The variance is the mean times (1 + rate - mean). Arguments in NumPyro's order.

    Args:
        gate: g, probability of zero, in [0, 1], shape batch_shape.
        rate: mean of the Poisson distribution, positive, shape batch_shape.
        validate_args: whether to check arguments and values; None for the setting `validate_distributions_torch`.

    Source: J. Mullahy (1986), Specification and testing of some modified count data models.

    Example:
        >>> HurdlePoisson(0.5, 1e-9).log_prob(torch.tensor([0.0, 1.0])).exp()
        tensor([0.5000, 0.5000])
    """

    arg_constraints = {**Gated.arg_constraints, "rate": constraints.positive}
    support = constraints.nonnegative_integer

    def __init__(self, gate: Tensor | float, rate: Tensor | float = 1.0, *, validate_args: bool | None = None) -> None:
        super().__init__(Poisson(_like(rate, gate), validate_args=False), gate=gate, validate_args=validate_args)

    @property
    def rate(self) -> Tensor:
        """Mean of the Poisson distribution."""
        return self.base_dist.rate


class HurdleNegativeBinomial(HurdleDistribution):
    """Zero, or a negative binomial count that is not zero; probabilities as in `HurdleDistribution`.

    Args:
        gate: probability of zero, in [0, 1], shape batch_shape.
        total_count: number of failures that ends the trials, positive, shape batch_shape.
        probs: probability of a success, in [0, 1), shape batch_shape.
        logits: its log odds; give one of the two.
        validate_args: whether to check arguments and values; None for the setting `validate_distributions_torch`.

    Source: J. Mullahy (1986), Specification and testing of some modified count data models.

    Example:
        >>> HurdleNegativeBinomial(0.2, 1.0, probs=0.5).log_prob(torch.arange(3.0)).exp()
        tensor([0.2000, 0.4000, 0.2000])
    """

    arg_constraints = {
        **Gated.arg_constraints,
        "total_count": constraints.greater_than_eq(0.0),
        "probs": constraints.half_open_interval(0.0, 1.0),
        "logits": constraints.real,
    }
    support = constraints.nonnegative_integer

    def __init__(
        self,
        gate: Tensor | float,
        total_count: Tensor | float,
        probs: Tensor | float | None = None,
        logits: Tensor | float | None = None,
        *,
        validate_args: bool | None = None,
    ) -> None:
        base = trials_until_failure(_like(total_count, gate), probs, logits, "HurdleNegativeBinomial", validate_args)
        super().__init__(base, gate=gate, validate_args=validate_args)

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


class HurdleNegativeBinomial2(HurdleDistribution):
    """Zero, or a count of `NegativeBinomial2` that is not zero; probabilities as in `HurdleDistribution`.

    Args:
        gate: probability of zero, in [0, 1], shape batch_shape.
        mean: mean of the negative binomial distribution, positive, shape batch_shape.
        concentration: inverse of its overdispersion, positive, shape batch_shape.
        validate_args: whether to check arguments and values; None for the setting `validate_distributions_torch`.

    Source: J. Mullahy (1986), Specification and testing of some modified count data models.

    Example:
        >>> HurdleNegativeBinomial2(0.2, 1.0, 1.0).log_prob(torch.arange(3.0)).exp()
        tensor([0.2000, 0.4000, 0.2000])
    """

    support = constraints.nonnegative_integer

    def __init__(
        self,
        gate: Tensor | float,
        mean: Tensor | float,
        concentration: Tensor | float,
        *,
        validate_args: bool | None = None,
    ) -> None:
        base = NegativeBinomial2(_like(mean, gate), concentration, validate_args=validate_args)
        super().__init__(base, gate=gate, validate_args=validate_args)

    @property
    def concentration(self) -> Tensor:
        """Inverse of the overdispersion."""
        return self.base_dist.total_count


class HurdleGamma(HurdleDistribution):
    """Zero, or a Gamma variable: a mass g at 0 beside the density (1 - g) Gamma(x; concentration, rate).

    Mean (1 - g) concentration / rate, variance (1 - g) concentration (1 + g concentration) / rate^2.

    Args:
        gate: g, probability of zero, in [0, 1], shape batch_shape.
        concentration: shape parameter, positive, shape batch_shape.
        rate: inverse scale, positive, shape batch_shape.
        validate_args: whether to check arguments and values; None for the setting `validate_distributions_torch`.

    Source: J. Mullahy (1986), Specification and testing of some modified count data models.

    Example:
        >>> HurdleGamma(0.5, 1.0, 2.0).log_prob(torch.tensor([0.0, 1e-9])).exp()
        tensor([0.5000, 1.0000])
    """

    arg_constraints = {
        **Gated.arg_constraints,
        "concentration": constraints.positive,
        "rate": constraints.positive,
    }
    support = constraints.nonnegative

    def __init__(
        self,
        gate: Tensor | float,
        concentration: Tensor | float,
        rate: Tensor | float = 1.0,
        *,
        validate_args: bool | None = None,
    ) -> None:
        base = Gamma(_like(concentration, gate), rate, validate_args=False)
        super().__init__(base, gate=gate, validate_args=validate_args)

    @property
    def concentration(self) -> Tensor:
        """Shape parameter of the Gamma distribution."""
        return self.base_dist.concentration

    @property
    def rate(self) -> Tensor:
        """Its inverse scale."""
        return self.base_dist.rate


class HurdleLogNormal(HurdleDistribution):
    """Zero, or a log-normal variable: a mass g at 0 beside the density (1 - g) LogNormal(x; loc, scale).

    Mean (1 - g) exp(loc + scale^2 / 2), second moment (1 - g) exp(2 loc + 2 scale^2).

    Args:
        gate: g, probability of zero, in [0, 1], shape batch_shape.
        loc: mean of the logarithm, shape batch_shape.
        scale: standard deviation of the logarithm, positive, shape batch_shape.
        validate_args: whether to check arguments and values; None for the setting `validate_distributions_torch`.

    Source: J. Aitchison (1955), On the distribution of a positive random variable having a discrete probability mass at
    the origin.

    Example:
        >>> HurdleLogNormal(0.5, 0.0, 1.0).log_prob(torch.tensor([0.0, 1.0])).exp()
        tensor([0.5000, 0.1995])
    """

    arg_constraints = {**Gated.arg_constraints, "loc": constraints.real, "scale": constraints.positive}
    support = constraints.nonnegative

    def __init__(
        self,
        gate: Tensor | float,
        loc: Tensor | float = 0.0,
        scale: Tensor | float = 1.0,
        *,
        validate_args: bool | None = None,
    ) -> None:
        base = LogNormal(_like(loc, gate), scale, validate_args=False)
        super().__init__(base, gate=gate, validate_args=validate_args)

    @property
    def loc(self) -> Tensor:
        """Mean of the logarithm."""
        return self.base_dist.loc

    @property
    def scale(self) -> Tensor:
        """Standard deviation of the logarithm."""
        return self.base_dist.scale


def _like(parameter: Tensor | float, gate: Tensor | float) -> Tensor | float:
    """A number as a tensor of the gate's dtype, where the gate is a tensor."""
    if isinstance(parameter, torch.Tensor) or not isinstance(gate, torch.Tensor):
        return parameter
    return torch.as_tensor(parameter, dtype=gate.dtype, device=gate.device)
