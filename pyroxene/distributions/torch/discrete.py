"""Torch's distributions of one integer."""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.distributions as torchdist
from torch.distributions.utils import broadcast_all
from torch.nn.functional import logsigmoid

from pyroxene.distributions.torch_distribution import EMPTY, Size, TorchDistributionMixin
from pyroxene.settings import value_of

__all__ = ["Bernoulli", "Binomial", "Categorical", "Geometric", "NegativeBinomial", "Poisson"]


_STIRLING_ERROR = 0.005
"""Bound on the error of `_log_binomial_by_stirling`: log-gamma at 1 is off by 0.0023, twice where k = 0."""


def _log_binomial(n: torch.Tensor, k: torch.Tensor) -> torch.Tensor:
    """Log of n over k."""
    return (n + 1).lgamma() - (k + 1).lgamma() - (n - k + 1).lgamma()


def _log_binomial_by_stirling(n: torch.Tensor, k: torch.Tensor) -> torch.Tensor:
    """Log of n over k by Stirling's series to the term 1/(12x), logarithms of ratios so that large terms do not cancel.

    With m = n - k: log Gamma(x) = (x - 1/2) log x - x + 1/2 log(2 pi) + 1/(12x) at x = n+1, k+1 and m+1.
    """
    x, y, z = n + 1, k + 1, n - k + 1
    entropy = (y - 0.5) * (y / x).log() + (z - 0.5) * (z / x).log()
    series = (x.reciprocal() - y.reciprocal() - z.reciprocal()) / 12
    return series - entropy - 0.5 * x.log() + (1 - 0.5 * math.log(2 * math.pi))


class Bernoulli(torchdist.Bernoulli, TorchDistributionMixin):
    """Distribution of 0.0 and 1.0.

    Args:
        probs: probability of 1, shape batch_shape.
        logits: its log odds; give one of the two.
    """


class Binomial(torchdist.Binomial, TorchDistributionMixin):
    """Number of successes in independent trials.

    Two settings trade accuracy for speed: above a total count of `binomial_approx_sample_thresh` samples come from a
    shifted Poisson distribution with the right mean and variance, and with `binomial_approx_log_prob_tol` above 0 the
    binomial coefficient is approximated to that tolerance.

    Args:
        total_count: number of trials, shape batch_shape.
        probs: probability of a success, shape batch_shape.
        logits: its log odds; give one of the two.
    """

    def sample(self, sample_shape: Size = EMPTY) -> torch.Tensor:
        """Draw a sample, exact up to the setting `binomial_approx_sample_thresh`."""
        threshold = value_of("binomial_approx_sample_thresh")
        if threshold == float("inf"):
            return super().sample(sample_shape)
        with torch.no_grad():
            shape = self._extended_shape(sample_shape)
            exact = self.total_count <= threshold
            if exact.all():
                return super().sample(sample_shape)
            sample = self._sample_shifted_poisson(shape)
            if exact.any():
                small = torch.where(exact, self.total_count, 0.0)
                sample = torch.where(exact, torch.binomial(small.expand(shape), self.probs.expand(shape)), sample)
            return sample

    def _sample_shifted_poisson(self, shape: torch.Size) -> torch.Tensor:
        """Draw from a Poisson variable plus an integer, so chosen that mean and variance are the binomial's."""
        n, p = self.total_count, self.probs
        rarer = torch.min(p, 1 - p)  # count the rarer outcome: its distribution leans the way a Poisson's does
        variance = n * p * (1 - p)
        shift = (n * rarer - variance).round()
        count = torch.min(torch.poisson(variance.expand(shape)) + shift, n)
        return torch.where(p < 0.5, count, n - count)

    def log_prob(self, value: torch.Tensor) -> torch.Tensor:
        """Return the log probability; the setting `binomial_approx_log_prob_tol` says how nearly."""
        if self._validate_args:
            self._validate_sample(value)
        n, logits = self.total_count, self.logits
        is_possible = (0 <= value) & (value <= n)
        k = torch.where(is_possible, value, 0.0)
        is_exact = value_of("binomial_approx_log_prob_tol") < _STIRLING_ERROR
        count = _log_binomial(n, k) if is_exact else _log_binomial_by_stirling(n, k)
        log_prob = count + k * logsigmoid(logits) + (n - k) * logsigmoid(-logits)
        return torch.where(is_possible, log_prob, -torch.inf)


class Categorical(torchdist.Categorical, TorchDistributionMixin):
    """Distribution of an index into the last dimension of its parameter.

    Args:
        probs: non-negative weights, normalised to sum to 1, shape (*batch_shape, K).
        logits: unnormalised log probabilities, shape (*batch_shape, K); give one of the two.

    Example:
        >>> d = Categorical(torch.tensor([0.25, 0.75]))
        >>> d.log_prob(d.enumerate_support()).exp()
        tensor([0.2500, 0.7500])
    """

    def enumerate_support(self, expand: bool = True) -> torch.Tensor:
        """Return 0, ..., K - 1 along a new first dimension.

        Values that are not expanded bear the mark `_pyro_categorical_support`, their number; whoever reshapes them to
        (K, 1, ..., 1) may hand it on. `log_prob` then has nothing to look up.
        """
        values = super().enumerate_support(expand=expand)
        if not expand:
            values._pyro_categorical_support = self._num_events
        return values

    def log_prob(self, value: torch.Tensor) -> torch.Tensor:
        """Return the log probability of each index, broadcast with the batch shape."""
        if getattr(value, "_pyro_categorical_support", None) == self._num_events:
            missing = value.dim() - 1 - len(self._batch_shape)
            if missing >= 0:  # every value at once: move K from the last place to the first
                logits = self.logits
                return logits.reshape((1,) * missing + logits.shape).movedim(-1, 0)
        return super().log_prob(value)


class Geometric(torchdist.Geometric, TorchDistributionMixin):
    """Number of failures before the first success.

    Args:
        probs: probability of a success, positive, shape batch_shape.
        logits: its log odds; give one of the two.
    """

    _has_logits = False  # of an adopted one

    def __init__(self, probs: Any = None, logits: Any = None, validate_args: bool | None = None) -> None:
        self._has_logits = probs is None  # torch sets the other parameter as well when it is first read
        super().__init__(probs, logits, validate_args=validate_args)

    def expand(self, batch_shape: Size, _instance: Any = None) -> Geometric:
        """Return the distribution with a larger batch shape."""
        new = self.__new__(type(self)) if _instance is None else _instance
        new._has_logits = self._has_logits
        return super().expand(batch_shape, _instance=new)

    def log_prob(self, value: torch.Tensor) -> torch.Tensor:
        """Return the log probability, right up to a success probability of 1."""
        if self._validate_args:
            self._validate_sample(value)
        if self._has_logits:
            return value * logsigmoid(-self.logits) + logsigmoid(self.logits)
        value, probs = broadcast_all(value, self.probs)
        failures = value * (-torch.where(value == 0, 0.0, probs)).log1p()  # no failure has no factor, also where p is 1
        return failures + probs.log()


class NegativeBinomial(torchdist.NegativeBinomial, TorchDistributionMixin):
    """Number of successes before a given number of failures.

    Args:
        total_count: number of failures that ends the trials, non-negative real, shape batch_shape.
        probs: probability of a success, in [0, 1), shape batch_shape.
        logits: its log odds; give one of the two.
    """


class Poisson(torchdist.Poisson, TorchDistributionMixin):
    """Poisson distribution.

    Args:
        rate: mean, non-negative, shape batch_shape.
        is_sparse: assume that most values are zero: `log_prob` then evaluates the logarithms of the others alone. It
            pays from some thousands of values on; it cannot be vectorised by `vmap`.
    """

    is_sparse = False

    def __init__(self, rate: Any, *, is_sparse: bool = False, validate_args: bool | None = None) -> None:
        self.is_sparse = is_sparse
        super().__init__(rate, validate_args=validate_args)

    def expand(self, batch_shape: Size, _instance: Any = None) -> Poisson:
        """Return the distribution with a larger batch shape."""
        new = self.__new__(type(self)) if _instance is None else _instance
        new.is_sparse = self.is_sparse
        return super().expand(batch_shape, _instance=new)

    def log_prob(self, value: torch.Tensor) -> torch.Tensor:
        """Return the log probability."""
        if not self.is_sparse:
            return super().log_prob(value)
        if self._validate_args:
            self._validate_sample(value)
        rate, value = broadcast_all(self.rate, value)
        counted = value != 0
        some, its_rate = value[counted], rate[counted]
        terms = some.xlogy(its_rate) - (some + 1).lgamma()
        return torch.zeros_like(rate).masked_scatter(counted, terms) - rate
