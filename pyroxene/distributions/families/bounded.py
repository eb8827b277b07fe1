"""Simple densities on an interval: Triangular, and LogUniform, which is uniform on a logarithmic scale."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from pyroxene.distributions import constraints
from pyroxene.distributions.families.univariate import Number, Univariate
from pyroxene.distributions.util import broadcast_shape
from pyroxene.errors import ParameterError

__all__ = ["LogUniform", "Triangular"]

_END = constraints.dependent(is_discrete=False, event_dim=0)


class Triangular(Univariate):
    r"""Triangular distribution, whose density rises to a peak and falls from it in straight lines.

    The density is 2 (x - low) / ((high - low) (peak - low)) up to the peak and
    2 (high - x) / ((high - low) (high - peak)) from there.

    Args:
        low: lower end, shape batch_shape.
        high: upper end, greater than low, shape batch_shape.
        peak: mode, between the ends or at one, shape batch_shape.
        validate_args: whether to check arguments and values; None for the setting `validate_distributions_torch`.

    Raises:
        ParameterError: low < high or low <= peak <= high does not hold.

    Support: the interval [low, high]. Mean (low + high + peak) / 3, variance
    (a^2 + b^2 + a b) / 18 with a = peak - low and b = high - peak. PyMC's `Triangular(lower, upper, c)` has
    lower = low, upper = high, c = peak.

    Source: Johnson, Kotz and Balakrishnan (1995), Continuous Univariate Distributions 2, section 26.9.

    Example:
        >>> Triangular(0.0, 2.0, 1.0).log_prob(torch.tensor(1.0))
        tensor(0.)
    """

    low: torch.Tensor
    high: torch.Tensor
    peak: torch.Tensor
    arg_constraints = {"low": _END, "high": _END, "peak": _END}

    def __init__(
        self, low: Number = 0.0, high: Number = 1.0, peak: Number = 0.5, validate_args: bool | None = None
    ) -> None:
        self._set_parameters(validate_args, low=low, high=high, peak=peak)
        ordered = (self.low < self.high) & (self.low <= self.peak) & (self.peak <= self.high)
        if self._validate_args and not ordered.all():
            raise ParameterError(
                "the ends and the peak of a Triangular are out of order",
                expected="low < high and low <= peak <= high",
                got=f"low {self.low}, high {self.high}, peak {self.peak}",
                hint="sort them, for example as fractions of the way from low to high",
            )

    @constraints.dependent_property(is_discrete=False, event_dim=0)
    def support(self) -> constraints.Constraint:
        """The interval from low to high."""
        return constraints.interval(self.low, self.high)

    def _side(self, value: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        """Whether a value lies inside, whether left of the peak; its distance from the end there, the side's width."""
        inside = (value > self.low) & (value < self.high)
        is_left = value < self.peak
        distance = torch.where(is_left, value - self.low, self.high - value)
        width = torch.where(is_left, self.peak - self.low, self.high - self.peak)
        safe = inside & (width > 0)
        return inside, is_left, torch.where(safe, distance, 1.0), torch.where(safe, width, 1.0)

    def _log_density(self, value: torch.Tensor) -> torch.Tensor:
        inside, _, distance, width = self._side(value)
        at_peak = (value == self.peak) & ((value == self.low) | (value == self.high))  # an end that is the peak
        density = math.log(2) - (self.high - self.low).log() + (distance / width).log()
        return torch.where(inside | at_peak, density, -math.inf)

    def _log_tail(self, value: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        inside, is_left, distance, width = self._side(value)
        return inside, is_left, (distance / width).log() + (distance / (self.high - self.low)).log()

    def log_cdf(self, value: torch.Tensor) -> torch.Tensor:
        """Return the log of the probability of no greater value."""
        inside, is_left, log_tail = self._log_tail(value)
        right = torch.log1p(-torch.exp(torch.where(inside & ~is_left, log_tail, -1.0)))
        outside = torch.where(value <= self.low, -math.inf, 0.0)
        return torch.where(inside, torch.where(is_left, log_tail, right), outside)

    def log_survival(self, value: torch.Tensor) -> torch.Tensor:
        """Return the log of the probability of a greater value."""
        inside, is_left, log_tail = self._log_tail(value)
        left = torch.log1p(-torch.exp(torch.where(inside & is_left, log_tail, -1.0)))
        outside = torch.where(value <= self.low, 0.0, -math.inf)
        return torch.where(inside, torch.where(is_left, left, log_tail), outside)

    def _inverse_cdf(self, log_cdf: torch.Tensor, log_survival: torch.Tensor) -> torch.Tensor:
        width = self.high - self.low
        is_left = torch.exp(log_cdf) * width < self.peak - self.low
        area = torch.exp(torch.where(is_left, log_cdf, log_survival)) * width
        inside = area > 0
        distance = (
            torch.where(inside, area, 1.0) * torch.where(is_left, self.peak - self.low, self.high - self.peak)
        ).sqrt()
        distance = torch.where(inside, distance, 0.0)
        return torch.where(is_left, self.low + distance, self.high - distance)

    @property
    def mean(self) -> torch.Tensor:
        """The mean, shape batch_shape."""
        return (self.low + self.high + self.peak) / 3

    @property
    def variance(self) -> torch.Tensor:
        """The variance, shape batch_shape."""
        left, right = self.peak - self.low, self.high - self.peak
        return (left.square() + right.square() + left * right) / 18

    @property
    def mode(self) -> torch.Tensor:
        """The mode, shape batch_shape."""
        return self.peak

    def entropy(self) -> torch.Tensor:
        """Return the entropy, in nats."""
        return 0.5 + (0.5 * (self.high - self.low)).log()


class LogUniform(Univariate):
    r"""Log-uniform (reciprocal) distribution: of a variable whose log is uniform.

    The density is 1 / (x log(high / low)) and the cdf log(x / low) / log(high / low).

    Args:
        low: lower end, positive, shape batch_shape.
        high: upper end, greater than low, shape batch_shape.
        validate_args: whether to check arguments and values; None for the setting `validate_distributions_torch`.

    Raises:
        ParameterError: low < high does not hold.

    Support: the interval [low, high]. With L = log(high / low), mean (high - low) / L, variance
    (high^2 - low^2) / (2 L) - mean^2.

    Source: Hamming (1970), On the distribution of numbers.

    Example:
        >>> LogUniform(1.0, 100.0).cdf(torch.tensor(10.0))
        tensor(0.5000)
    """

    low: torch.Tensor
    high: torch.Tensor
    arg_constraints = {"low": constraints.positive, "high": constraints.positive}

    def __init__(self, low: Number, high: Number, validate_args: bool | None = None) -> None:
        self._set_parameters(validate_args, low=low, high=high)
        if self._validate_args and not (self.low < self.high).all():
            raise ParameterError(
                "the ends of a LogUniform are out of order",
                expected="low < high",
                got=f"low {self.low}, high {self.high}",
                hint="swap them",
            )

    @classmethod
    def infer_shapes(cls, low: Sequence[int] = (), high: Sequence[int] = ()) -> tuple[torch.Size, torch.Size]:
        """Work out batch and event shape; see `TorchDistributionMixin.infer_shapes`."""
        return torch.Size(broadcast_shape(low, high)), torch.Size()

    @constraints.dependent_property(is_discrete=False, event_dim=0)
    def support(self) -> constraints.Constraint:
        """The interval from low to high."""
        return constraints.interval(self.low, self.high)

    @property
    def _log_ratio(self) -> torch.Tensor:
        """log(high / low), exact for ends that are near each other."""
        return torch.log1p((self.high - self.low) / self.low)

    def _log_density(self, value: torch.Tensor) -> torch.Tensor:
        inside = (value >= self.low) & (value <= self.high)
        return torch.where(inside, -torch.where(inside, value, 1.0).log() - self._log_ratio.log(), -math.inf)

    def _between(self, value: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        inside = (value > self.low) & (value < self.high)
        return inside, torch.where(inside, value, (self.low * self.high).sqrt())

    def log_cdf(self, value: torch.Tensor) -> torch.Tensor:
        """Return the log of the probability of no greater value."""
        inside, x = self._between(value)
        log_inside = (torch.log1p((x - self.low) / self.low) / self._log_ratio).log()
        return torch.where(inside, log_inside, torch.where(value <= self.low, -math.inf, 0.0))

    def log_survival(self, value: torch.Tensor) -> torch.Tensor:
        """Return the log of the probability of a greater value."""
        inside, x = self._between(value)
        log_inside = (-torch.log1p((x - self.high) / self.high) / self._log_ratio).log()
        return torch.where(inside, log_inside, torch.where(value <= self.low, 0.0, -math.inf))

    def _inverse_cdf(self, log_cdf: torch.Tensor, log_survival: torch.Tensor) -> torch.Tensor:
        is_left = log_cdf < log_survival
        share = torch.exp(torch.where(is_left, log_cdf, log_survival)) * self._log_ratio
        found = torch.where(is_left, self.low * torch.exp(share), self.high * torch.exp(-share))
        return torch.minimum(torch.maximum(found, self.low), self.high)  # rounding may leave the interval

    @property
    def mean(self) -> torch.Tensor:
        """The mean, shape batch_shape."""
        return (self.high - self.low) / self._log_ratio

    @property
    def variance(self) -> torch.Tensor:
        """The variance, shape batch_shape."""
        middle = 0.5 * (self.high + self.low)
        return self.mean * (middle - self.mean)

    @property
    def mode(self) -> torch.Tensor:
        """The mode, the lower end, shape batch_shape."""
        return self.low

    def entropy(self) -> torch.Tensor:
        """Return the entropy, in nats."""
        return 0.5 * (self.low.log() + self.high.log()) + self._log_ratio.log()
