"""Logarithms of differences and complements of probabilities, without cancellation; all pure torch."""

from __future__ import annotations

import math

import torch

__all__ = ["log1mexp", "log1mexpexp", "log_difference", "log_ndtr", "log_relative_expm1"]

_LOG_HALF = -math.log(2.0)
_NEVER = -1e300
"""Stands for the log of 0 where arithmetic with infinity would give nan; its exponential is 0 in every dtype."""


def log1mexp(x: torch.Tensor) -> torch.Tensor:
    """Return log(1 - exp(x)) for x <= 0: the log of the complement of a probability given by its log.

    -inf at 0, where the gradient is taken to be 0.

    Source: M. Maechler (2012), Accurately computing log(1 - exp(-|a|)).

    Example:
        >>> log1mexp(torch.tensor([-1e-10, -1.0, -50.0], dtype=torch.float64))
        tensor([-2.3026e+01, -4.5868e-01, -1.9287e-22], dtype=torch.float64)
    """
    inside = x < 0
    safe = torch.where(inside, x, -1.0)
    near = safe > _LOG_HALF
    small = (-torch.expm1(torch.where(near, safe, -0.5))).log()
    large = torch.log1p(-torch.exp(torch.where(near, -1.0, safe)))
    return torch.where(inside, torch.where(near, small, large), -math.inf)


def log1mexpexp(t: torch.Tensor) -> torch.Tensor:
    """Return log(1 - exp(-exp(t))), which is t far to the left, where exp(t) vanishes.

    Example:
        >>> log1mexpexp(torch.tensor([-1000.0, 0.0]))
        tensor([-1.0000e+03, -4.5868e-01])
    """
    far = t < -40.0  # exp(t) / 2 is below the precision of t
    return torch.where(far, t, log1mexp(-torch.exp(torch.where(far, 0.0, t))))


def log_difference(larger: torch.Tensor, smaller: torch.Tensor) -> torch.Tensor:
    """Return log(exp(larger) - exp(smaller)); the smaller may be -inf, and -inf comes back where the two are equal."""
    bounded = torch.where(smaller == -math.inf, _never(smaller), smaller)
    return larger + log1mexp(torch.where(larger == -math.inf, 0.0, bounded - larger))


def _never(like: torch.Tensor) -> torch.Tensor:
    """The log of 0 as a number, in a tensor's dtype."""
    return torch.full_like(like, _NEVER if like.dtype == torch.float64 else -1e30)


def log_relative_expm1(u: torch.Tensor) -> torch.Tensor:
    """Return log((exp(u) - 1) / u), 0 at 0.

    Example:
        >>> log_relative_expm1(torch.tensor([0.0, 1.0]))
        tensor([0.0000, 0.5413])
    """
    size = u.abs()
    tiny = size < 1e-4
    safe = torch.where(tiny, 1.0, size)
    exact = (-torch.expm1(-safe)).log() - safe.log() + safe
    positive = torch.where(tiny, size / 2 + size * size / 24, exact)  # next term is u^4 / 2880
    return torch.where(u < 0, positive - size, positive)


def log_ndtr(z: torch.Tensor) -> torch.Tensor:
    """Return the log of the standard normal distribution function, with a right gradient as far out as floats reach.

    torch's function of this name takes the gradient as exp(-z^2 / 2 - value) / sqrt(2 pi), whose relative error is z^2
    times the precision: 4 percent at -1000 in float32. It also has no batching rule for `torch.vmap`.

    Args:
        z: any number; what lies below -1e150 (-1e18 in float32), where the square overflows, counts as that.

    Example:
        >>> log_ndtr(torch.tensor([-100.0, 0.0]))
        tensor([-5.0055e+03, -6.9315e-01])
    """
    far = z < -1
    u = z.clamp(min=-1e150 if z.dtype == torch.float64 else -1e18) * math.sqrt(0.5)
    outer, inner = torch.where(far, u, -1.0), torch.where(far, 0.0, u)
    left = (torch.special.erfcx(-outer) / 2).log() - outer.square()
    return torch.where(far, left, torch.log1p(-torch.special.erfc(inner) / 2))
