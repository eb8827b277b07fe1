"""Probabilities of intervals, in logs."""

from __future__ import annotations

import math
from typing import Any

import torch

from pyroxene.distributions.tails.logarithms import log_difference
from pyroxene.distributions.tails.registry import log_cdf, log_survival

__all__ = ["log_between"]


def log_between(d: Any, low: torch.Tensor | None, high: torch.Tensor | None) -> torch.Tensor:
    """Return the log of the probability of (low, high], by a difference in the tail that both lie in.

    Where the median lies between, it is 1 less the two tails. Digits are lost where the interval is narrow: the error
    is the precision of the tail's log, divided by the part of the tail that the interval is.

    Args:
        d: a distribution of one number.
        low: lower end, excluded; None for none.
        high: upper end, included; None for none, but not both.

    Example:
        >>> from pyroxene.distributions import Normal
        >>> log_between(Normal(0.0, 1.0), torch.tensor(20.0), torch.tensor(21.0))
        tensor(-203.9172)
    """
    if high is None:
        assert low is not None
        return log_survival(d, low)
    if low is None:
        return log_cdf(d, high)
    cut_below, cut_above = log_cdf(d, low), log_survival(d, high)
    upto, beyond = log_cdf(d, high), log_survival(d, low)
    left = upto <= -math.log(2)
    right = ~left & (beyond <= -math.log(2))
    one_side = left | right
    larger = torch.where(left, upto, torch.where(right, beyond, 0.0))
    outside = torch.logaddexp(*(_finite(torch.where(one_side, -1.0, cut)) for cut in (cut_below, cut_above)))
    smaller = torch.where(left, cut_below, torch.where(right, cut_above, outside))
    return log_difference(larger, smaller)


def _finite(log: torch.Tensor) -> torch.Tensor:
    """A log with a great negative number for the log of 0, so that sums have gradients."""
    return torch.where(log == -math.inf, -1e30, log)
