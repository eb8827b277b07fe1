"""Integrals over the half line and the line by one fixed rule, for positive functions given by their logs."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

import numpy as np
import torch
from torch.nn.functional import logsigmoid

__all__ = ["log_integral", "log_scaled_e1", "log_unimodal_integral", "log_unit_integral"]

_STEP = 1 / 24
"""At which integrals of e^{-u}, e^{-u^2} and 1 / (1 + u^2) are right to 1e-13, and to 1e-9 on a scale 100 times off."""
_RANGE = 4.1
"""The nodes reach from 1e-20 to 1e20; those of the unit interval to 1e-40 from its ends."""


@functools.cache
def _rule() -> tuple[torch.Tensor, torch.Tensor]:
    """Nodes u and logs of weights: the trapezoidal rule for u = exp(pi / 2 sinh t)."""
    t = np.arange(-_RANGE, _RANGE + _STEP / 2, _STEP)
    log_u = 0.5 * math.pi * np.sinh(t)
    log_weight = log_u + np.log(0.5 * math.pi * np.cosh(t) * _STEP)
    return torch.from_numpy(np.exp(log_u)), torch.from_numpy(log_weight)


def log_integral(log_function: Callable[[torch.Tensor], torch.Tensor], like: torch.Tensor) -> torch.Tensor:
    """Return the log of the integral of a positive function over the half line, by the exp-sinh rule.

    The rule suits functions that are smooth but for both ends, decay, and vary on a scale of about 1.

    Args:
        log_function: from nodes, shape (num_nodes,), to logs of the function, shape (..., num_nodes).
        like: a tensor of the dtype and device to compute in.

    Returns:
        The log of the integral, shape (...).

    Source: Takahasi and Mori (1974), Double exponential formulas for numerical integration.

    Example:
        >>> zero = torch.zeros((), dtype=torch.float64)
        >>> bool(log_integral(lambda u: -u, zero).abs() < 1e-12)
        True
    """
    nodes, log_weights = (each.to(like) for each in _rule())
    return torch.logsumexp(log_function(nodes) + log_weights, -1)


@functools.cache
def _unit_rule() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Nodes t, their complements 1 - t and logs of weights: the trapezoidal rule for t = sigmoid(pi sinh r)."""
    r = torch.arange(-_RANGE, _RANGE + _STEP / 2, _STEP, dtype=torch.float64)
    logit = math.pi * r.sinh()
    log_weight = logsigmoid(logit) + logsigmoid(-logit) + (math.pi * r.cosh() * _STEP).log()
    return logit.sigmoid(), (-logit).sigmoid(), log_weight


def log_unit_integral(
    log_function: Callable[[torch.Tensor, torch.Tensor], torch.Tensor], like: torch.Tensor
) -> torch.Tensor:
    """Return the log of the integral of a positive function from 0 to 1, by the tanh-sinh rule.

    Args:
        log_function: from nodes t and their complements 1 - t, shape (num_nodes,), to logs of the function, shape
            (..., num_nodes). It may vary fast, or be singular, at the ends.
        like: a tensor of the dtype and device to compute in.

    Returns:
        The log of the integral, shape (...).

    Source: Takahasi and Mori (1974), Double exponential formulas for numerical integration.

    Example:
        >>> bool(log_unit_integral(lambda t, rest: t.log() - rest.log() / 2, torch.zeros(())).exp() < 1.3334)
        True
    """
    nodes, complements, log_weights = (each.to(like) for each in _unit_rule())
    return torch.logsumexp(log_function(nodes, complements) + log_weights, -1)


def log_scaled_e1(x: torch.Tensor) -> torch.Tensor:
    """Return log(e^x E1(x)) with E1 the exponential integral, for x > 0.

    From 1 on it is the integral of e^{-t} / (x + t), below it is summed: DLMF 6.2.2 and 6.6.2.

    Example:
        >>> log_scaled_e1(torch.tensor([1e-30, 1.0], dtype=torch.float64))
        tensor([ 4.2268, -0.5169], dtype=torch.float64)
    """
    is_small = x < 1
    small = torch.where(is_small, x, 0.5)
    total = torch.ones_like(small)
    for n in range(18, 0, -1):  # the sum of -(-x)^n / (n n!), as nested products
        total = 1 - small * total * (n / (n + 1) ** 2)
    series = -0.57721566490153286061 - small.log() + small * total
    shifted = torch.where(is_small, 1.0, x).unsqueeze(-1)
    return torch.where(is_small, small + series.log(), log_integral(lambda t: -t - (shifted + t).log(), x))


def log_unimodal_integral(
    log_function: Callable[[torch.Tensor], torch.Tensor], like: torch.Tensor, reach: float = 80.0
) -> torch.Tensor:
    """Return the log of the integral over the line of a function that rises to one peak and falls from it.

    The peak and the widths at which the function falls to 1 / e on each side are searched for, without gradients; then
    each side is integrated by `log_integral`.

    Args:
        log_function: from points, shape (*like.shape, num_points), to logs of the function there, of the same shape.
        like: a tensor of the shape, dtype and device of the integrals.
        reach: the peak lies between minus and plus this.

    Example:
        >>> zero = torch.zeros((), dtype=torch.float64)
        >>> bool((log_unimodal_integral(lambda s: -0.5e8 * (s - 3).square(), zero) + 8.2914).abs() < 1e-4)
        True
    """
    with torch.no_grad():
        peak = _peak(log_function, like, reach)
        top = log_function(peak)
        widths = [_width(log_function, peak, top, sign) for sign in (-1.0, 1.0)]
    sides = []
    for sign, width in zip((-1.0, 1.0), widths):
        step = sign * width
        sides.append(log_integral(lambda u: log_function(peak + step * u), like) + width.log().squeeze(-1))  # noqa: B023
    return torch.logaddexp(*sides)


def _peak(log_function: Callable[[torch.Tensor], torch.Tensor], like: torch.Tensor, reach: float) -> torch.Tensor:
    """Where a unimodal function is greatest, by golden section; shape (*like.shape, 1)."""
    golden = 0.5 * (math.sqrt(5) - 1)
    low = torch.full_like(like, -reach).unsqueeze(-1)
    high = -low
    for _ in range(75):
        left, right = high - golden * (high - low), low + golden * (high - low)
        rises = log_function(left) < log_function(right)
        low, high = torch.where(rises, left, low), torch.where(rises, high, right)
    return 0.5 * (low + high)


def _width(
    log_function: Callable[[torch.Tensor], torch.Tensor], peak: torch.Tensor, top: torch.Tensor, sign: float
) -> torch.Tensor:
    """How far from the peak the function has fallen to 1 / e of it, by bisection of the log of the distance."""
    low, high = torch.full_like(peak, -36.0), torch.full_like(peak, 6.0)
    for _ in range(16):
        middle = 0.5 * (low + high)
        near = log_function(peak + sign * middle.exp()) > top - 1
        low, high = torch.where(near, middle, low), torch.where(near, high, middle)
    return high.exp()
