"""Binomial distributions of which any integer may be asked: what is impossible has the log probability -inf."""

from __future__ import annotations

import math

import torch
from torch.nn.functional import logsigmoid

from pyroxene.distributions import constraints
from pyroxene.distributions.families.conjugate import BetaBinomial
from pyroxene.distributions.torch import Binomial
from pyroxene.distributions.torch_distribution import EMPTY, Size, validate_sample
from pyroxene.ops.counting import log_binomial_probability

__all__ = ["ExtendedBetaBinomial", "ExtendedBinomial"]

Tensor = torch.Tensor


class ExtendedBinomial(Binomial):
    """Binomial distribution of which any integer may be asked, and whose number of trials may be negative.

    For models in which counts are differences of latent counts, so that a proposal may be impossible. With n =
    total_count and p = probs, p(k) = (n choose k) p^k (1 - p)^(n - k) for 0 <= k <= n, and 0 for any other integers n
    and k; a sample with negative n is 0. Mean n p, variance n p (1 - p).

    Args:
        total_count: number of trials, any integer, shape batch_shape.
        probs: probability of a success, shape batch_shape.
        logits: its log odds; give one of the two.
        validate_args: whether to check arguments and values; None for the setting `validate_distributions_torch`.

    Source: N. L. Johnson, A. W. Kemp and S. Kotz (2005), Univariate discrete distributions, chapter 3.

    Example:
        >>> d = ExtendedBinomial(torch.tensor([1.0, 1.0, -1.0]), torch.tensor(0.5))
        >>> d.log_prob(torch.tensor([0.0, 2.0, 0.0]))
        tensor([-0.6931,    -inf,    -inf])
    """

    arg_constraints = {
        "total_count": constraints.integer,
        "probs": constraints.unit_interval,
        "logits": constraints.real,
    }
    support = constraints.integer

    def expand(self, batch_shape: Size, _instance: object = None) -> Binomial:
        """Return the distribution with a larger batch shape."""
        return super().expand(batch_shape, _instance=self.__new__(type(self)) if _instance is None else _instance)

    _validate_sample = validate_sample

    def _has_probs(self) -> bool:
        """Whether probabilities were given rather than log odds; torch sets the other when it is first read."""
        return self._param is self.__dict__.get("probs")

    def _possible(self) -> Binomial:
        """The distribution with no negative number of trials."""
        parameter = {"probs": self.probs} if self._has_probs() else {"logits": self.logits}
        return Binomial(self.total_count.clamp(min=0), **parameter, validate_args=False)

    def sample(self, sample_shape: Size = EMPTY) -> Tensor:
        """Draw a sample; 0 where the number of trials is negative."""
        return self._possible().sample(sample_shape)

    def log_prob(self, value: Tensor) -> Tensor:
        """Return the log probability, -inf where the value is impossible."""
        if self._validate_args:
            self._validate_sample(value)
        is_possible = (value >= 0) & (value <= self.total_count)
        n = self.total_count.clamp(min=0)
        k = torch.where(is_possible, value, 0).to(self._param.dtype)
        if self._has_probs():
            log_prob = log_binomial_probability(k, n - k, self.probs, 1 - self.probs)
        else:
            p, q = torch.sigmoid(self.logits), torch.sigmoid(-self.logits)
            log_prob = log_binomial_probability(k, n - k, p, q, (logsigmoid(self.logits), logsigmoid(-self.logits)))
        return torch.where(is_possible, log_prob, -math.inf)

    @property
    def mean(self) -> Tensor:
        """N p, 0 where n is negative."""
        return self._possible().mean

    @property
    def variance(self) -> Tensor:
        """N p (1 - p), 0 where n is negative."""
        return self._possible().variance


class ExtendedBetaBinomial(BetaBinomial):
    """Beta-binomial distribution of which any integer may be asked, and whose number of trials may be negative.

    As `BetaBinomial` where the value is possible, with log probability -inf for any other integers; a sample with a
    negative number of trials is 0.

    Args:
        concentration1: the weight towards success, positive, shape batch_shape.
        concentration0: the weight towards failure, positive, shape batch_shape.
        total_count: number of trials, any integer, shape batch_shape.
        validate_args: whether to check arguments and values; None for the setting `validate_distributions_torch`.

    Source: J. G. Skellam (1948), A probability distribution derived from the binomial distribution.

    Example:
        >>> d = ExtendedBetaBinomial(1.0, 1.0, torch.tensor([1.0, 1.0, -1.0]))
        >>> d.log_prob(torch.tensor([0.0, 2.0, 0.0]))
        tensor([-0.6931,    -inf,    -inf])
    """

    arg_constraints = {**BetaBinomial.arg_constraints, "total_count": constraints.integer}
    support = constraints.integer

    def _possible(self) -> BetaBinomial:
        """The distribution with no negative number of trials."""
        count = self.total_count.clamp(min=0)
        return BetaBinomial(self.concentration1, self.concentration0, count, validate_args=False)

    def sample(self, sample_shape: Size = EMPTY) -> Tensor:
        """Draw a sample; 0 where the number of trials is negative."""
        return self._possible().sample(sample_shape)

    @property
    def mean(self) -> Tensor:
        """N a / (a + b), 0 where n is negative."""
        return self._possible().mean

    @property
    def variance(self) -> Tensor:
        """N a b (a + b + n) / ((a + b)^2 (a + b + 1)), 0 where n is negative."""
        return self._possible().variance
