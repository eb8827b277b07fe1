"""Negative binomial distributions under NumPyro's names, and the one whose probability has a Beta distribution."""

from __future__ import annotations

import math

import torch
from torch.nn.functional import logsigmoid

from pyroxene.distributions import constraints
from pyroxene.distributions.families.conjugate import GammaPoisson
from pyroxene.distributions.families.counts import Counts, as_parameters
from pyroxene.distributions.families.series import heavy_log_tail
from pyroxene.distributions.tails.logarithms import log1mexp
from pyroxene.distributions.tails.registry import unchecked
from pyroxene.distributions.torch import Beta, Gamma
from pyroxene.distributions.torch_distribution import EMPTY, Size
from pyroxene.errors import ParameterError
from pyroxene.ops.counting import deviance, factorial_remainder, log_negative_binomial_probability

__all__ = [
    "BetaNegativeBinomial",
    "NegativeBinomial2",
    "NegativeBinomialLogits",
    "NegativeBinomialProbs",
    "trials_until_failure",
]

Tensor = torch.Tensor


class _Trials(Counts):
    """Abstract: the number of successes before `total_count` failures; subclasses say how probabilities are given."""

    support = constraints.nonnegative_integer
    total_count: Tensor

    def _chances(self) -> tuple[Tensor, Tensor]:
        """Probabilities of a success and of a failure, neither by subtraction where that loses digits."""
        raise NotImplementedError

    def _odds(self) -> Tensor:
        success, failure = self._chances()
        return success / failure

    def sample(self, sample_shape: Size = EMPTY) -> Tensor:
        """Draw a rate from a Gamma distribution, then a Poisson count."""
        with torch.no_grad():
            shape = self._extended_shape(sample_shape)
            unit = Gamma(self.total_count, torch.ones_like(self.total_count), validate_args=False)
            return torch.poisson(unit.sample(torch.Size(sample_shape)) * self._odds().expand(shape))

    def log_prob(self, value: Tensor) -> Tensor:
        """Return the log probability."""
        if self._validate_args:
            self._validate_sample(value)
        is_possible = value >= 0
        k = torch.where(is_possible, value, 0).to(self.total_count.dtype)
        log_prob = log_negative_binomial_probability(k, self.total_count, *self._chances(), self._log_chances())
        return torch.where(is_possible, log_prob, -math.inf)

    def _log_chances(self) -> tuple[Tensor, Tensor] | None:
        """Their logarithms, where they are known when the chances themselves vanish."""
        return None

    _log_lower = GammaPoisson._log_lower
    _log_upper = GammaPoisson._log_upper

    @property
    def concentration(self) -> Tensor:
        """The total count: shape parameter of the Gamma distribution of the rate."""
        return self.total_count

    @property
    def mean(self) -> Tensor:
        """total_count times the odds of a success."""
        return self.total_count * self._odds()

    @property
    def variance(self) -> Tensor:
        """The mean over the probability of a failure."""
        return self.mean / self._chances()[1]

    @property
    def mode(self) -> Tensor:
        """The likeliest value, the greater of two."""
        return ((self.total_count - 1).clamp(min=0) * self._odds()).floor()


class NegativeBinomialProbs(_Trials):
    """Number of successes before a given number of failures, by the probability of a success.

    With r = total_count and p = probs:

        p(k) = Gamma(r + k) / (k! Gamma(r)) (1 - p)^r p^k,    k = 0, 1, ...

    Mean r p / (1 - p), variance r p / (1 - p)^2. `NegativeBinomial`, with either parameter, is torch's; this one keeps
    its digits for large counts and has a distribution function. scipy's nbinom and PyMC's p are 1 - probs.

    Args:
        total_count: r, the number of failures, non-negative, not only whole, shape batch_shape.
        probs: probability of a success, in [0, 1), shape batch_shape.
        validate_args: whether to check arguments and values; None for the setting `validate_distributions_torch`.

    Source: N. L. Johnson, A. W. Kemp and S. Kotz (2005), Univariate discrete distributions, chapter 5.

    Example:
        >>> NegativeBinomialProbs(1.0, 0.5).log_prob(torch.arange(3.0)).exp()
        tensor([0.5000, 0.2500, 0.1250])
    """

    arg_constraints = {
        "total_count": constraints.greater_than_eq(0.0),
        "probs": constraints.half_open_interval(0.0, 1.0),
    }
    _tensors = ("total_count", "probs")

    def __init__(
        self, total_count: Tensor | float, probs: Tensor | float, *, validate_args: bool | None = None
    ) -> None:
        self.total_count, self.probs = as_parameters(total_count, probs)
        super().__init__(self.probs.shape, validate_args=validate_args)

    def _chances(self) -> tuple[Tensor, Tensor]:
        return self.probs, 1 - self.probs

    @property
    def logits(self) -> Tensor:
        """Log odds of a success."""
        return self.probs.log() - torch.log1p(-self.probs)


class NegativeBinomialLogits(_Trials):
    """Number of successes before a given number of failures, by the log odds of a success.

    As `NegativeBinomialProbs` with p = 1 / (1 + exp(-logits)). Mean r exp(logits), variance r exp(logits) (1 +
    exp(logits)).

    Args:
        total_count: r, the number of failures, non-negative, not only whole, shape batch_shape.
        logits: log odds of a success, shape batch_shape.
        validate_args: whether to check arguments and values; None for the setting `validate_distributions_torch`.

    Source: N. L. Johnson, A. W. Kemp and S. Kotz (2005), Univariate discrete distributions, chapter 5.

    Example:
        >>> NegativeBinomialLogits(1.0, 0.0).log_prob(torch.arange(3.0)).exp()
        tensor([0.5000, 0.2500, 0.1250])
    """

    arg_constraints = {"total_count": constraints.greater_than_eq(0.0), "logits": constraints.real}
    _tensors = ("total_count", "logits")

    def __init__(
        self, total_count: Tensor | float, logits: Tensor | float, *, validate_args: bool | None = None
    ) -> None:
        self.total_count, self.logits = as_parameters(total_count, logits)
        super().__init__(self.logits.shape, validate_args=validate_args)

    def _chances(self) -> tuple[Tensor, Tensor]:
        return torch.sigmoid(self.logits), torch.sigmoid(-self.logits)

    def _log_chances(self) -> tuple[Tensor, Tensor]:
        return logsigmoid(self.logits), logsigmoid(-self.logits)

    def _odds(self) -> Tensor:
        return self.logits.exp()

    @property
    def probs(self) -> Tensor:
        """Probability of a success."""
        return torch.sigmoid(self.logits)


def trials_until_failure(
    total_count: Tensor | float,
    probs: Tensor | float | None,
    logits: Tensor | float | None,
    name: str,
    validate_args: bool | None = None,
) -> NegativeBinomialProbs | NegativeBinomialLogits:
    """Return the negative binomial distribution of whichever of probs and logits is given.

    Args:
        total_count: number of failures.
        probs: probability of a success, or None.
        logits: its log odds, or None.
        name: who asks, for the error.
        validate_args: whether to check the arguments.

    Raises:
        ParameterError: both or neither are given.

    Example:
        >>> trials_until_failure(1.0, 0.5, None, "Trials").mean
        tensor(1.)
    """
    if probs is not None and logits is None:
        return NegativeBinomialProbs(total_count, probs, validate_args=validate_args)
    if logits is not None and probs is None:
        return NegativeBinomialLogits(total_count, logits, validate_args=validate_args)
    raise ParameterError(
        f"Either `probs` or `logits` must be specified for {name}, but not both.",
        got="neither" if probs is None else "both",
        hint="probs is the probability of a success, logits its log odds",
    )


class NegativeBinomial2(_Trials):
    """Negative binomial distribution by its mean and its concentration, as in regression.

    With m = mean and c = concentration:

        p(k) = Gamma(c + k) / (k! Gamma(c)) (c / (c + m))^c (m / (c + m))^k,    k = 0, 1, ...

    Mean m, variance m + m^2 / c: Poisson as c grows. PyMC's NegativeBinomial(mu, alpha) and Stan's neg_binomial_2.

    Args:
        mean: m, non-negative, shape batch_shape.
        concentration: c, inverse of the overdispersion, positive, shape batch_shape.
        validate_args: whether to check arguments and values; None for the setting `validate_distributions_torch`.

    Source: J. M. Hilbe (2011), Negative binomial regression, equation 8.7.

    Example:
        >>> d = NegativeBinomial2(torch.tensor([1.0, 100.0]), 10.0)
        >>> d.variance
        tensor([   1.1000, 1100.0000])
    """

    arg_constraints = {"mean": constraints.nonnegative, "concentration": constraints.positive}
    _tensors = ("_mean", "total_count")

    def __init__(
        self, mean: Tensor | float, concentration: Tensor | float, *, validate_args: bool | None = None
    ) -> None:
        self._mean, self.total_count = as_parameters(mean, concentration)
        super().__init__(self._mean.shape, validate_args=validate_args)

    def _chances(self) -> tuple[Tensor, Tensor]:
        total = self._mean + self.total_count
        return self._mean / total, self.total_count / total

    def _odds(self) -> Tensor:
        return self._mean / self.total_count

    @property
    def mean(self) -> Tensor:
        """The parameter."""
        return self._mean

    @property
    def variance(self) -> Tensor:
        """M + m^2 / c."""
        return self._mean * (1 + self._odds())


class BetaNegativeBinomial(Counts):
    """Number of successes before n failures, where the probability of a success has a Beta distribution.

    With a = concentration1, b = concentration0 and the beta function B:

        p(k) = Gamma(n + k) / (k! Gamma(n)) B(a + k, b + n) / B(a, b),    k = 0, 1, ...

    The tail falls as k^(-b - 1). Mean n a / (b - 1) where b > 1, else infinite; variance
    n a (n + b - 1) (a + b - 1) / ((b - 2) (b - 1)^2) where b > 2, else infinite.
    scipy's betanbinom(n, a, b) counts failures: exchange a and b.

    Args:
        concentration1: a, the weight towards success, positive, shape batch_shape.
        concentration0: b, the weight towards failure, positive, shape batch_shape.
        n: the number of failures, positive, not only whole, shape batch_shape.
        validate_args: whether to check arguments and values; None for the setting `validate_distributions_torch`.

    Source: N. L. Johnson, A. W. Kemp and S. Kotz (2005), Univariate discrete distributions, section 6.2.3.

    Example:
        >>> BetaNegativeBinomial(1.0, 1.0, 1.0).log_prob(torch.arange(3.0)).exp()  # 1 / ((k + 1) (k + 2))
        tensor([0.5000, 0.1667, 0.0833])
    """

    arg_constraints = {
        "concentration1": constraints.positive,
        "concentration0": constraints.positive,
        "n": constraints.positive,
    }
    support = constraints.nonnegative_integer
    _tensors = ("concentration1", "concentration0", "n")

    def __init__(
        self,
        concentration1: Tensor | float,
        concentration0: Tensor | float,
        n: Tensor | float,
        *,
        validate_args: bool | None = None,
    ) -> None:
        self.concentration1, self.concentration0, self.n = as_parameters(concentration1, concentration0, n)
        super().__init__(self.n.shape, validate_args=validate_args)

    def sample(self, sample_shape: Size = EMPTY) -> Tensor:
        """Draw odds from a Beta distribution, a rate from a Gamma distribution, then a Poisson count."""
        with torch.no_grad():
            shape = torch.Size(sample_shape)
            one = torch.ones_like(self.n)
            failure = Beta(self.concentration0, self.concentration1, validate_args=False).sample(shape)
            rate = Gamma(self.n, one, validate_args=False).sample(shape) * (1 - failure) / failure
            return torch.poisson(rate.clamp(max=_LARGEST_RATE))

    def log_prob(self, value: Tensor) -> Tensor:
        """Return the log probability."""
        if self._validate_args:
            self._validate_sample(value)
        is_possible = value >= 0
        k = torch.where(is_possible, value, 0).to(self.n.dtype)
        return torch.where(is_possible, self._log_probability(k), -math.inf)

    def _log_probability(self, k: Tensor) -> Tensor:
        """Every large term is a deviance from the pooled share of successes, (a + k) / (a + b + n + k)."""
        a, b, n = self.concentration1, self.concentration0, self.n
        trials, s = n + k, a + b
        total = trials + s
        p, q = (a + k) / total, (b + n) / total
        excess = (a * n - k * b) / total
        data = deviance(k, trials * p, excess) + deviance(n, trials * q, -excess)
        prior = deviance(a, s * p, -excess) + deviance(b, s * q, excess)
        r = factorial_remainder
        remainder = r(trials) - r(k) - r(n) + (r(a + k) - r(a)) + (r(b + n) - r(b)) - (r(total) - r(s))
        ends = (a / (a + k)).log() + (b / (b + n)).log() - (s / total).log() + (n / trials).log()
        return remainder + ends - data - prior

    def _log_lower(self, k: Tensor) -> Tensor:
        """A sum of k + 1 probabilities where they are few, else the complement of the upper tail."""
        k = k.expand(torch.broadcast_shapes(k.shape, self._batch_shape))
        is_short = k < _SHORT_SUM
        steps = torch.arange(int(torch.where(is_short, k, 0.0).max()) + 1, dtype=k.dtype, device=k.device)
        steps = steps.reshape(-1, *[1] * k.dim())
        short = torch.where(steps <= k, unchecked(self).log_prob(steps), -math.inf).logsumexp(0)
        if bool(is_short.all()):
            return short
        return torch.where(is_short, short, log1mexp(self._log_upper(torch.where(is_short, _SHORT_SUM, k))))

    def _log_upper(self, k: Tensor) -> Tensor:
        return heavy_log_tail(self._log_probability, k + 1, self.concentration0, self.n + self.concentration1)

    @property
    def mean(self) -> Tensor:
        """N a / (b - 1), infinite where b <= 1."""
        excess = self.concentration0 - 1
        has_mean = excess > 0
        return torch.where(has_mean, self.n * self.concentration1 / torch.where(has_mean, excess, 1.0), math.inf)

    @property
    def variance(self) -> Tensor:
        """N a (n + b - 1) (a + b - 1) / ((b - 2) (b - 1)^2), infinite where b <= 2."""
        a, n = self.concentration1, self.n
        has_variance = self.concentration0 > 2
        b = torch.where(has_variance, self.concentration0, 3.0)
        variance = n * a * (n + b - 1) * (a + b - 1) / ((b - 2) * (b - 1) ** 2)
        return torch.where(has_variance, variance, math.inf)

    @property
    def mode(self) -> Tensor:
        """The likeliest value, the greater of two."""
        a, b, n = self.concentration1, self.concentration0, self.n
        return ((n - 1) * (a - 1) / (b + 1)).clamp(min=0).floor()


_SHORT_SUM = 10_000.0

_LARGEST_RATE = 2.0**62
"""torch's Poisson sampler counts in 64 bits."""
