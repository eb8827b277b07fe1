"""Hurdle distributions: a gate decides whether the value is zero, and every zero is the gate's."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch.nn.functional import logsigmoid

from pyroxene.distributions import constraints
from pyroxene.distributions.families.gated import Gated
from pyroxene.distributions.tails.logarithms import log1mexp
from pyroxene.distributions.tails.registry import icdf, inverse, log_survival, unchecked
from pyroxene.distributions.torch_distribution import EMPTY, Size
from pyroxene.errors import CannotSampleError

__all__ = [
    "HurdleDistribution",
    "HurdleLogits",
    "HurdleProbs",
]

Tensor = torch.Tensor

_ROUNDS = 32
"""How often draws of zero are drawn again before quantiles take over."""


class HurdleDistribution(Gated):
    """Zero with the probability of a gate, else a draw from another distribution that is not zero.

    With the gate g and the base's density f, for a base of non-negative integers

        p(0) = g,    p(k) = (1 - g) f(k) / (1 - f(0)) for k = 1, 2, ...,

    and for a base of positive reals a mass g at 0 beside the density (1 - g) f(x). Its moments about zero are the
    base's, times (1 - g) / (1 - f(0)). PyMC's psi is 1 - gate.

    Args:
        base_dist: a distribution of one non-negative integer, or of one positive real.
        gate: probability of zero, in [0, 1], shape batch_shape.
        gate_logits: its log odds; give one of the two.
        validate_args: whether to check arguments and values; None for the setting `validate_distributions_torch`.

    Raises:
        ParameterError: both or neither of `gate` and `gate_logits` are given, or events are not numbers.

    Source: J. Mullahy (1986), Specification and testing of some modified count data models.

    Example:
        >>> from pyroxene.distributions import Geometric
        >>> HurdleDistribution(Geometric(0.5), gate=0.2).log_prob(torch.arange(3.0)).exp()
        tensor([0.2000, 0.4000, 0.2000])
    """

    @constraints.dependent_property(event_dim=0)
    def support(self) -> constraints.Constraint:
        """The base's support where it is of integers, else the non-negative reals."""
        return self.base_dist.support if self._is_discrete() else constraints.nonnegative

    def _is_discrete(self) -> bool:
        return self.base_dist.support.is_discrete

    def _log_positive(self) -> Tensor | float:
        """Log of the base's probability of not being zero."""
        if not self._is_discrete():
            return 0.0
        zero = torch.zeros((), dtype=self._gate.dtype, device=self._gate.device)
        return log1mexp(unchecked(self.base_dist).log_prob(zero))

    def sample(self, sample_shape: Size = EMPTY) -> Tensor:
        """Draw from the base what is not zero, and zero where the gate is closed.

        Raises:
            CannotSampleError: the base is nearly always zero and has no distribution function.
        """
        with torch.no_grad():
            value = self._draw_positive(torch.Size(sample_shape))
            return torch.where(self._closed(value.shape), torch.zeros_like(value), value)

    def _draw_positive(self, sample_shape: torch.Size) -> Tensor:
        value = self.base_dist.sample(sample_shape)
        if not self._is_discrete():
            return value
        for _ in range(_ROUNDS):
            is_zero = value == 0
            if not bool(is_zero.any()):
                return value
            value = torch.where(is_zero, self.base_dist.sample(sample_shape), value)
        uniform = torch.rand(value.shape, dtype=self._gate.dtype, device=self._gate.device)
        above = torch.log1p(-uniform) + self._log_positive()
        try:
            quantile = inverse(self.base_dist, log1mexp(above), above)
        except NotImplementedError as error:
            raise CannotSampleError(
                f"{type(self.base_dist).__name__} is nearly always zero and has no distribution function",
                hint="raise its mean",
            ) from error
        return torch.where(value == 0, quantile.to(value.dtype).clamp(min=1), value)

    def log_prob(self, value: Tensor) -> Tensor:
        """Return the log density, which at 0 is the log probability of zero."""
        if self._validate_args:
            self._validate_sample(value)
        is_zero = value == 0
        positive = torch.where(is_zero, torch.ones_like(value) if self._is_discrete() else 0.5, value)
        log_prob = unchecked(self.base_dist).log_prob(positive) - self._log_positive() + self._log_open(~is_zero)
        return torch.where(is_zero, self._log_gate(is_zero), log_prob)

    def _log_gate(self, is_used: Tensor | None = None) -> Tensor:
        """Log of the gate; where it is not used, a number without a gradient."""
        if self._has_logits:
            return logsigmoid(self._gate)
        return (self._gate if is_used is None else torch.where(is_used, self._gate, 0.5)).log()

    def log_survival(self, value: Tensor) -> Tensor:
        """Return the log of the probability of a greater value; the base must have a distribution function."""
        is_inside = value >= 0
        above = log_survival(self.base_dist, torch.where(is_inside, value, 0.0))
        return torch.where(is_inside, self._log_open() + above - self._log_positive(), 0.0)

    def log_cdf(self, value: Tensor) -> Tensor:
        """Return the log of the probability of no greater value; the base must have a distribution function."""
        below = torch.where(value < 1, self._log_gate(), log1mexp(self.log_survival(value)))
        if not self._is_discrete():
            below = torch.where(value > 0, log1mexp(self.log_survival(value)), self._log_gate())
        return torch.where(value >= 0, below, -math.inf)

    def cdf(self, value: Tensor) -> Tensor:
        """Return the probability of no greater value."""
        return self.log_cdf(value).exp()

    def icdf(self, value: Tensor) -> Tensor:
        """Return the smallest value with at least this cdf."""
        if self._is_discrete():
            return icdf(self, value)
        gate, value = torch.broadcast_tensors(self.gate, value)
        is_zero = value <= gate
        rest = (1 - value) / torch.where(is_zero, 1.0, self._open())
        above = torch.where(is_zero, 0.5, rest).log()
        return torch.where(is_zero, 0.0, inverse(self.base_dist, log1mexp(above), above))

    @property
    def mean(self) -> Tensor:
        """(1 - g) m / (1 - f(0)), of the base's mean m."""
        return self._weight() * self.base_dist.mean

    @property
    def variance(self) -> Tensor:
        """From the second moment, (1 - g) (v + m^2) / (1 - f(0)), of the base's mean m and variance v."""
        return self._weight() * (self.base_dist.variance + self.base_dist.mean**2) - self.mean**2

    def _weight(self) -> Tensor:
        return (self._log_open() - self._log_positive()).exp()


class HurdleProbs(HurdleDistribution):
    """`HurdleDistribution` by the probability of its gate; NumPyro's name.

    Args:
        base_dist: a distribution of one non-negative integer, or of one positive real.
        gate: probability of zero, in [0, 1], shape batch_shape.
        validate_args: whether to check arguments and values.

    Example:
        >>> from pyroxene.distributions import Gamma
        >>> HurdleProbs(Gamma(2.0, 1.0), 0.5).mean
        tensor(1.)
    """

    def __init__(self, base_dist: Any, gate: Tensor | float, *, validate_args: bool | None = None) -> None:
        super().__init__(base_dist, gate=gate, validate_args=validate_args)


class HurdleLogits(HurdleDistribution):
    """`HurdleDistribution` by the log odds of its gate; NumPyro's name.

    Args:
        base_dist: a distribution of one non-negative integer, or of one positive real.
        gate_logits: log odds of zero, shape batch_shape.
        validate_args: whether to check arguments and values.

    Example:
        >>> from pyroxene.distributions import Gamma
        >>> HurdleLogits(Gamma(2.0, 1.0), 0.0).mean
        tensor(1.)
    """

    def __init__(self, base_dist: Any, gate_logits: Tensor | float, *, validate_args: bool | None = None) -> None:
        super().__init__(base_dist, gate_logits=gate_logits, validate_args=validate_args)
