"""Log of the modified Bessel function of the first kind, of any order, in pure torch and without cancellation."""

from __future__ import annotations

import math

import torch

__all__ = ["LARGE", "log_bessel_i", "log_bessel_i_remainder", "log_bessel_i_series"]

Tensor = torch.Tensor

LARGE = 32.0
"""Where the hypotenuse of order and argument is larger, twelve terms of Debye's expansion are right to 1e-14."""

_NUM_TERMS = 46
"""Terms of the power series for an argument of 32: the next is 3e-17 of the sum."""


def _next_debye(u: list[float]) -> list[float]:
    """U_(k+1)(p) = p^2 (1 - p^2) U_k'(p) / 2 + 1/8 of the integral of (1 - 5 t^2) U_k(t) from 0 to p; DLMF 10.41.9."""
    following = [0.0] * (len(u) + 3)
    for power, coefficient in enumerate(u):
        following[power + 1] += coefficient * (power / 2 + 1 / (8 * (power + 1)))
        following[power + 3] -= coefficient * (power / 2 + 5 / (8 * (power + 3)))
    return following


def _debye(count: int) -> list[list[float]]:
    """U_k(p) / p^k for k = 0, ..., count - 1, as coefficients of powers of p^2."""
    polynomials = [[1.0]]
    while len(polynomials) < count:
        polynomials.append(_next_debye(polynomials[-1]))
    return [u[k::2] for k, u in enumerate(polynomials)]


_DEBYE = _debye(12)


def log_bessel_i_series(order: Tensor, x: Tensor) -> Tensor:
    """Return log of I_order(x) Gamma(order + 1) / (x / 2)^order, the power series, for 0 <= x <= 32; DLMF 10.25.2.

    Example:
        >>> log_bessel_i_series(torch.tensor(0.0), torch.tensor(0.0))
        tensor(0.)
    """
    quarter = x * x / 4
    total = torch.ones_like(quarter + order)
    for k in range(_NUM_TERMS, 0, -1):
        total = 1 + total * (quarter / (k * (order + k)))
    return total.log()


def log_bessel_i_remainder(order: Tensor, hypotenuse: Tensor) -> Tensor:
    """Return log of I_order(x) less h - order arsinh(order / x), where h^2 = order^2 + x^2; DLMF 10.41.3.

    Args:
        order: non-negative.
        hypotenuse: h, at least 32.

    Example:
        >>> log_bessel_i_remainder(torch.tensor(0.0), torch.tensor(100.0))
        tensor(-3.2203)
    """
    inverse = hypotenuse.reciprocal()
    square = (order * inverse) ** 2
    total = torch.zeros_like(square)
    for polynomial in reversed(_DEBYE):
        u = torch.full_like(square, polynomial[-1])
        for coefficient in polynomial[-2::-1]:
            u = u * square + coefficient
        total = total * inverse + u
    return total.log() - 0.5 * hypotenuse.log() - 0.5 * math.log(2 * math.pi)


def log_bessel_i(order: Tensor, x: Tensor) -> Tensor:
    """Return the log of the modified Bessel function of the first kind, exact to 1e-13.

    Args:
        order: non-negative; it broadcasts with x.
        x: the argument, non-negative.

    Returns:
        A tensor of the broadcast shape; -inf at 0 where the order is positive.

    Example:
        >>> log_bessel_i(torch.tensor([0.0, 1.0, 20.0]), torch.tensor(2.0))
        tensor([  0.8240,   0.4641, -42.2880])
    """
    order, x = torch.broadcast_tensors(order, x)
    hypotenuse = torch.hypot(order, x)
    is_large = hypotenuse > LARGE
    nu, z = torch.where(is_large, 0.0, order), torch.where(is_large, 1.0, x)
    small = torch.xlogy(nu, z / 2) - (nu + 1).lgamma() + log_bessel_i_series(nu, z)
    nu, z = torch.where(is_large, order, 0.0), torch.where(is_large, x, LARGE)
    h = torch.where(is_large, hypotenuse, LARGE)
    large = h - torch.where(nu > 0, nu * torch.asinh(nu / z), 0.0) + log_bessel_i_remainder(nu, h)
    return torch.where(is_large, large, small)
