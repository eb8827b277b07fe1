"""Log probabilities of counts without cancellation, by the saddle-point form of binomial and Poisson densities.

With m! = (m/e)^m exp(r(m)), where the remainder r grows only as log m, every large term of such a density is a deviance
x log(x/m) + m - x, which is never negative and is computed from the difference m - x. Nothing large is subtracted from
anything large, so counts of a billion keep their digits, in float32 too.

Source: C. Loader (2000), Fast and accurate computation of binomial probabilities.
"""

from __future__ import annotations

import math

import torch

__all__ = [
    "deviance",
    "factorial_remainder",
    "log_binomial_probability",
    "log_negative_binomial_probability",
    "log_poisson_probability",
]

Tensor = torch.Tensor

_SERIES_FROM = 15.0
"""From here on six terms of Stirling's series reach 2e-16; below, log-gamma is small enough to subtract from."""

_STIRLING = (1 / 12, -1 / 360, 1 / 1260, -1 / 1680, 1 / 1188, -691 / 360360)
"""Coefficients of 1/x, 1/x^3, ... in log x!: B_2j / (2j (2j - 1)); DLMF 5.11.1."""

_ARTANH = tuple(1 / (2 * j + 3) for j in range(7))
"""Coefficients of artanh(v) = v + v^3 (1/3 + v^2/5 + ...); below |v| = 0.1 the eighth is under 1e-16 of the first."""


def _polynomial(coefficients: tuple[float, ...], x: Tensor) -> Tensor:
    """Horner's rule; the constant comes first."""
    result = torch.full_like(x, coefficients[-1])
    for coefficient in coefficients[-2::-1]:
        result = result * x + coefficient
    return result


def factorial_remainder(x: Tensor) -> Tensor:
    """Return r with log x! = x log x - x + r, for x >= 0, whole or not; 0 at 0, near log(2 pi x) / 2 for large x.

    Example:
        >>> factorial_remainder(torch.tensor([0.0, 1.0, 1e30]))
        tensor([ 0.0000,  1.0000, 35.4577])
    """
    is_large = x >= _SERIES_FROM
    large = torch.where(is_large, x, _SERIES_FROM)
    inverse = large.reciprocal()
    series = 0.5 * math.log(2 * math.pi) + 0.5 * large.log() + inverse * _polynomial(_STIRLING, inverse * inverse)
    small = torch.where(is_large, 1.0, x)
    logarithm = torch.where(small > 0, small, 1.0).log()
    return torch.where(is_large, series, (small + 1).lgamma() - small * logarithm + small)


def deviance(x: Tensor, m: Tensor, excess: Tensor, log_ratio: Tensor | None = None) -> Tensor:
    """Return x log(x / m) + m - x, never negative, to full precision also where x is near m.

    Args:
        x: what is observed, non-negative.
        m: what is expected, positive.
        excess: m - x, computed without subtraction where that is possible.
        log_ratio: log(x / m), any number where x is 0; for an m that may vanish. None to compute it.

    Example:
        >>> x, m = torch.tensor([0.0, 1e6]), torch.tensor([2.0, 1e6 + 1])
        >>> deviance(x, m, m - x)
        tensor([2.0000e+00, 5.0000e-07])
    """
    total = x + m
    v = excess / torch.where(total > 0, total, 1.0)
    is_near = v.abs() < 0.1
    v = torch.where(is_near, v, 0.0)
    square = v * v
    near = v * (excess - 2 * x * square * _polynomial(_ARTANH, square))
    uses_logarithm = ~is_near & (x > 0)
    if log_ratio is None:
        log_ratio = (torch.where(uses_logarithm, x, 1.0) / torch.where(uses_logarithm, m, 1.0)).log()
    return torch.where(is_near, near, x * log_ratio + excess)


def log_poisson_probability(k: Tensor, rate: Tensor) -> Tensor:
    """Return k log(rate) - rate - log k!.

    Example:
        >>> log_poisson_probability(torch.tensor(2.0), torch.tensor(1.0))
        tensor(-1.6931)
    """
    return -factorial_remainder(k) - deviance(k, rate, rate - k)


def log_binomial_probability(
    k: Tensor, rest: Tensor, p: Tensor, q: Tensor, logs: tuple[Tensor, Tensor] | None = None
) -> Tensor:
    """Return the log of (k + rest)! / (k! rest!) p^k q^rest; neither count need be whole.

    Args:
        k: successes, non-negative.
        rest: failures, non-negative.
        p: probability of a success.
        q: 1 - p, known as well as p is.
        logs: logarithms of p and q, finite where the two themselves may vanish; None where they do not.

    Example:
        >>> half = torch.tensor(0.5)
        >>> log_binomial_probability(torch.tensor(1.0), torch.tensor(1.0), half, half).exp()
        tensor(0.5000)
    """
    n = k + rest
    excess = rest * p - k * q
    remainder = factorial_remainder(n) - factorial_remainder(k) - factorial_remainder(rest)
    if logs is None:
        return remainder - deviance(k, n * p, excess) - deviance(rest, n * q, -excess)
    log_k, log_rest = _log_share(k, n) - logs[0], _log_share(rest, n) - logs[1]
    return remainder - deviance(k, n * p, excess, log_k) - deviance(rest, n * q, -excess, log_rest)


def _log_share(k: Tensor, n: Tensor) -> Tensor:
    """log(k / n), 0 where k is 0."""
    positive = k > 0
    return (torch.where(positive, k, 1.0) / torch.where(positive, n, 1.0)).log()


def log_negative_binomial_probability(
    k: Tensor, r: Tensor, p: Tensor, q: Tensor, logs: tuple[Tensor, Tensor] | None = None
) -> Tensor:
    """Return the log of Gamma(r + k) / (k! Gamma(r)) p^k q^r, for r >= 0.

    Args:
        k: the count, non-negative.
        r: how many of the other outcome end the trials, non-negative, not only whole; 0 counts nothing.
        p: probability of one more count.
        q: 1 - p, known as well as p is.
        logs: logarithms of p and q, finite where the two themselves may vanish; None where they do not.

    Example:
        >>> half = torch.tensor(0.5)
        >>> log_negative_binomial_probability(torch.tensor(1.0), torch.tensor(1.0), half, half).exp()
        tensor(0.2500)
    """
    total = r + k
    has_any = total > 0  # no trial at all has no count: r = k = 0
    share = torch.where(has_any, r / torch.where(has_any, total, 1.0), 1.0)
    return log_binomial_probability(k, r, p, q, logs) + share.log()
