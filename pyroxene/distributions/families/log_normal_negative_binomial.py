"""Negative binomial distribution with a log-normal factor on its mean, summed out by quadrature."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch.nn.functional import logsigmoid

from pyroxene.distributions import constraints
from pyroxene.distributions.families.counts import Counts, as_parameters
from pyroxene.distributions.families.negative_binomial import NegativeBinomialLogits
from pyroxene.distributions.tails.registry import log_cdf, log_survival
from pyroxene.distributions.torch_distribution import EMPTY, Size
from pyroxene.ops.counting import log_negative_binomial_probability
from pyroxene.ops.special import get_quad_rule

__all__ = ["LogNormalNegativeBinomial"]

Tensor = torch.Tensor


class LogNormalNegativeBinomial(Counts):
    """Negative binomial counts whose odds bear a log-normal factor: three sources of variance for counts of cells.

    With r = total_count, s = multiplicative_noise_scale, NB(k; r, l) the negative binomial probability with log odds l
    of a success, and Gauss and Hermite's points x_q and weights w_q:

        p(k) = integral of NB(k; r, logits + s x) Normal(x; 0, 1) dx, taken as the sum of w_q NB(k; r, logits + s x_q).

    The sum is a probability mass function itself, whatever the number of points. Mean m = r exp(logits + s^2 / 2),
    variance m + m^2 (exp(s^2) (1 + 1 / r) - 1), both of the integral.

    Args:
        total_count: r, number of failures that ends the trials, positive, shape batch_shape.
        logits: log odds of a success without noise, shape batch_shape.
        multiplicative_noise_scale: s, standard deviation of the noise in the log odds, positive, shape batch_shape.
        num_quad_points: how many points the quadrature has; more for a larger s.
        validate_args: whether to check arguments and values; None for the setting `validate_distributions_torch`.

    Source: M. Zhou, L. Li, D. Dunson and L. Carin (2012), Lognormal and gamma mixed negative binomial regression.

    Example:
        >>> d = LogNormalNegativeBinomial(1.0, 0.0, 0.1)
        >>> d.log_prob(torch.tensor(0.0)).exp()
        tensor(0.5000)
    """

    arg_constraints = {
        "total_count": constraints.greater_than_eq(0),
        "logits": constraints.real,
        "multiplicative_noise_scale": constraints.positive,
    }
    support = constraints.nonnegative_integer
    _tensors = ("total_count", "logits", "multiplicative_noise_scale")

    def __init__(
        self,
        total_count: Tensor | float,
        logits: Tensor | float,
        multiplicative_noise_scale: Tensor | float,
        *,
        num_quad_points: int = 8,
        validate_args: bool | None = None,
    ) -> None:
        self.total_count, self.logits, self.multiplicative_noise_scale = as_parameters(
            total_count, logits, multiplicative_noise_scale
        )
        self.num_quad_points = num_quad_points
        super().__init__(self.logits.shape, validate_args=validate_args)

    def _copy_options(self, new: Any) -> None:
        new.num_quad_points = self.num_quad_points

    def _points(self) -> tuple[Tensor, Tensor]:
        """Log odds at each point, (*batch_shape, num_quad_points), and log weights."""
        points, log_weights = get_quad_rule(self.num_quad_points, self.logits)
        return self.logits.unsqueeze(-1) + self.multiplicative_noise_scale.unsqueeze(-1) * points, log_weights

    def sample(self, sample_shape: Size = EMPTY) -> Tensor:
        """Draw the noise from a normal distribution, then a count."""
        with torch.no_grad():
            shape = self._extended_shape(sample_shape)
            noise = torch.randn(shape, dtype=self.logits.dtype, device=self.logits.device)
            logits = self.logits + self.multiplicative_noise_scale * noise
            return NegativeBinomialLogits(self.total_count, logits, validate_args=False).sample()

    def log_prob(self, value: Tensor) -> Tensor:
        """Return the log probability by quadrature."""
        if self._validate_args:
            self._validate_sample(value)
        is_possible = value >= 0
        k = torch.where(is_possible, value, 0).to(self.logits.dtype).unsqueeze(-1)
        logits, log_weights = self._points()
        r = self.total_count.unsqueeze(-1)
        logs = logsigmoid(logits), logsigmoid(-logits)
        each = log_negative_binomial_probability(k, r, torch.sigmoid(logits), torch.sigmoid(-logits), logs)
        return torch.where(is_possible, (each + log_weights).logsumexp(-1), -math.inf)

    def _mixed(self, tail: Any, k: Tensor) -> Tensor:
        logits, log_weights = self._points()
        each = tail(
            NegativeBinomialLogits(self.total_count.unsqueeze(-1), logits, validate_args=False), k.unsqueeze(-1)
        )
        return (each + log_weights).logsumexp(-1)

    def _log_lower(self, k: Tensor) -> Tensor:
        return self._mixed(log_cdf, k)

    def _log_upper(self, k: Tensor) -> Tensor:
        return self._mixed(log_survival, k)

    @property
    def mean(self) -> Tensor:
        """R exp(logits + s^2 / 2)."""
        return self.total_count * torch.exp(self.logits + 0.5 * self.multiplicative_noise_scale**2)

    @property
    def variance(self) -> Tensor:
        """M + m^2 (exp(s^2) (1 + 1 / r) - 1)."""
        square = self.multiplicative_noise_scale**2
        return self.mean + self.mean**2 * (torch.expm1(square) + square.exp() / self.total_count)
