"""Logs of the integrals that functions of normal variables have, and their inverses, without cancellation."""

from __future__ import annotations

import math

import numpy as np
import torch

__all__ = [
    "log_erfcx_difference",
    "log_half_erfcx",
    "log_half_normal_cdf",
    "log_half_normal_quantile",
    "log_half_normal_survival",
    "log_normal_cdf",
    "log_tilted_normal",
    "normal_quantile",
]

_SQRT_HALF = math.sqrt(0.5)
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(12)
_POINTS = [(float(0.5 * (1 + node)), float(0.5 * weight)) for node, weight in zip(_NODES, _WEIGHTS)]
"""Gauss-Legendre points of the interval from 0 to 1, with weights that add to 1."""


def log_half_erfcx(x: torch.Tensor) -> torch.Tensor:
    """Return log(Phi(-x) e^{x^2 / 2}) with Phi the normal cdf, for x >= 0: the log of a Mills ratio, up to a constant.

    Example:
        >>> log_half_erfcx(torch.tensor(0.0))
        tensor(-0.6931)
    """
    return torch.special.erfcx(x * _SQRT_HALF).log() - math.log(2)


def log_normal_cdf(x: torch.Tensor) -> torch.Tensor:
    """Return the log of the standard normal cdf; as `torch.special.log_ndtr`, which vmap does not know.

    Example:
        >>> log_normal_cdf(torch.tensor(-40.0))
        tensor(-804.6085)
    """
    is_left = x < -1
    left = log_half_erfcx(torch.where(is_left, -x, 1.0)) - 0.5 * torch.where(is_left, x, 0.0).square()
    return torch.where(is_left, left, torch.log1p(-0.5 * torch.erfc(torch.where(is_left, 1.0, x) * _SQRT_HALF)))


def log_tilted_normal(u: torch.Tensor, k: torch.Tensor) -> torch.Tensor:
    """Return log(e^{k^2 / 2 - k u} Phi(u - k)), the log of e^{-k u} smoothed by a normal kernel.

    Args:
        u: any number.
        k: positive.

    Example:
        >>> log_tilted_normal(torch.tensor([-40.0, 0.0, 40.0]), torch.tensor(1.0))
        tensor([-804.6331,   -1.3410,  -39.5000])
    """
    is_left = u < k
    left = log_half_erfcx(torch.where(is_left, k - u, 1.0)) - 0.5 * torch.where(is_left, u, 0.0).square()
    right = k * (0.5 * k - u) + log_normal_cdf(torch.where(is_left, 1.0, u - k))
    return torch.where(is_left, left, right)


def log_erfcx_difference(x: torch.Tensor, step: torch.Tensor) -> torch.Tensor:
    """Return log(erfcx(x / sqrt(2)) - erfcx((x + step) / sqrt(2))), for x >= 0 and step > 0.

    erfcx falls, with slope 2 x erfcx(x) - 2 / sqrt(pi); for a small step its slope is integrated rather than the two
    values subtracted. For a large x the slope cancels in turn and is summed from its asymptotic series.

    Args:
        x: not negative.
        step: positive.

    Example:
        >>> log_erfcx_difference(torch.tensor(1.0, dtype=torch.float64), torch.tensor(1e-9, dtype=torch.float64))
        tensor(-22.0152, dtype=torch.float64)
    """
    start, length = x * _SQRT_HALF, step * _SQRT_HALF
    is_small = length < 0.5 + 0.25 * start
    short = torch.where(is_small, length, 0.5)
    mean_slope = sum((weight * _minus_slope(start + node * short) for node, weight in _POINTS), torch.zeros_like(start))
    direct = torch.special.erfcx(start) - torch.special.erfcx(start + torch.where(is_small, 1.0, length))
    return torch.where(is_small, short.log() + mean_slope.log(), torch.where(is_small, 1.0, direct).log())


def _minus_slope(t: torch.Tensor) -> torch.Tensor:
    """2 / sqrt(pi) - 2 t erfcx(t), positive for t >= 0."""
    far = t > 12.0
    near = 2 / math.sqrt(math.pi) - 2 * t * torch.special.erfcx(torch.where(far, 0.0, t))
    r = torch.where(far, t, 12.0).square().reciprocal() / 2
    # DLMF 7.12.1: sqrt(pi) t erfcx(t) = 1 - r + 3 r^2 - 15 r^3 + ...
    series = r * (1 - r * (3 - r * (15 - r * (105 - r * (945 - r * (10395 - r * (135135 - r * 2027025)))))))
    return torch.where(far, 2 / math.sqrt(math.pi) * series, near)


def normal_quantile(log_cdf: torch.Tensor, log_survival: torch.Tensor) -> torch.Tensor:
    """Return the standard normal quantile of a probability given by its log and that of its complement.

    Example:
        >>> normal_quantile(torch.tensor(-5005.5244), torch.tensor(0.0))
        tensor(-100.)
    """
    is_left = log_cdf < log_survival
    log_tail = torch.where(is_left, log_cdf, log_survival)
    far = log_tail < -80.0
    near = torch.special.ndtri(torch.exp(torch.where(far, -1.0, log_tail)))
    log_far = torch.where(far, log_tail, -100.0)
    z = (-2 * log_far).sqrt()
    for _ in range(7):  # log Phi(-z) = log_half_erfcx(z) - z^2 / 2; each round gains a factor 1 / z^2
        z = (2 * (log_half_erfcx(z) - log_far)).sqrt()
    return torch.where(is_left, 1.0, -1.0) * torch.where(far, -z, near)


def log_half_normal_survival(w: torch.Tensor) -> torch.Tensor:
    """Return log P(|N| > w) for a standard normal N and w >= 0."""
    return log_normal_cdf(-w) + math.log(2)


def log_half_normal_cdf(log_w: torch.Tensor) -> torch.Tensor:
    """Return log P(|N| < w) for a standard normal N, given log(w).

    Example:
        >>> log_half_normal_cdf(torch.tensor([-1000.0, 0.0]))
        tensor([-1.0002e+03, -3.8172e-01])
    """
    far, right = log_w < -20.0, log_w > 0.0  # far: erf is linear
    w = torch.exp(torch.where(far, 0.0, log_w))
    near = torch.erf(torch.where(right, 1.0, w) * _SQRT_HALF).log()
    beyond = torch.log1p(-torch.erfc(torch.where(right, w, 1.0) * _SQRT_HALF))
    return torch.where(far, log_w + 0.5 * math.log(2 / math.pi), torch.where(right, beyond, near))


def log_half_normal_quantile(log_cdf: torch.Tensor, log_survival: torch.Tensor) -> torch.Tensor:
    """Return the log of w with P(|N| < w) of the given log, and P(|N| > w) of the other.

    Example:
        >>> log_half_normal_quantile(torch.tensor(-200.0), torch.tensor(0.0))
        tensor(-199.7742)
    """
    is_small, far = log_cdf < -1.0, log_cdf < -20.0
    half = 0.5 * torch.exp(torch.where(is_small & ~far, log_cdf, -1.0))
    small = torch.special.ndtri(0.5 + half).log()
    tail = torch.where(is_small, -1.0, log_survival) - math.log(2)
    large = (-normal_quantile(tail, torch.log1p(-torch.exp(tail)))).log()
    return torch.where(far, log_cdf + 0.5 * math.log(math.pi / 2), torch.where(is_small, small, large))
