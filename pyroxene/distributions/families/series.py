"""Sums of the probabilities of all integers beyond one, where the tail falls as a power."""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np
import torch

from pyroxene.errors import UnsupportedError

__all__ = ["heavy_log_tail"]

Tensor = torch.Tensor

_NUM_NODES = 48
_MOST_TERMS = 2**22


@functools.lru_cache(maxsize=1)
def _legendre() -> tuple[np.ndarray, np.ndarray]:
    """Gauss-Legendre nodes on (0, 1), and the matrix from values there to coefficients of Legendre polynomials."""
    nodes, weights = np.polynomial.legendre.leggauss(_NUM_NODES)
    values = np.polynomial.legendre.legvander(nodes, _NUM_NODES - 1)  # (node, degree)
    return (nodes + 1) / 2, (values * weights[:, None]).T * (2 * np.arange(_NUM_NODES)[:, None] + 1) / 2


def _moments(b: Tensor) -> Tensor:
    """Integrals over (0, 1) of y^(b - 1) P_m(2 y - 1), along a new first dimension."""
    moments = [b.reciprocal()]
    for m in range(1, _NUM_NODES):
        moments.append(moments[-1] * (b - m) / (b + m))
    return torch.stack(moments)


def _slopes(log_term: Callable[[Tensor], Tensor], x: Tensor) -> tuple[Tensor, Tensor]:
    """First and third derivative of the terms, over the terms, by central differences of a step in proportion to x."""
    step = x / 64
    logs = [log_term(x + i * step) - log_term(x) for i in (-3, -2, -1, 1, 2, 3)]
    a, b, c, d, e, f = (each.expm1() for each in logs)
    first = ((d - c) * 45 - (e - b) * 9 + (f - a)) / (60 * step)
    third = ((a - f) + 8 * (e - b) - 13 * (d - c)) / (8 * step**3)
    return first, third


def heavy_log_tail(log_term: Callable[[Tensor], Tensor], start: Tensor, power: Tensor, scale: Tensor) -> Tensor:
    """Return the log of the sum of exp(log_term(k)) over the integers k >= start.

    Some terms are summed; the rest is an integral with Euler and Maclaurin's corrections. The integral from J to
    infinity of f is, with y = J / x, J f(J) times that of y^(power - 1) h(y) over (0, 1), where h is smooth: h is
    expanded in Legendre polynomials, whose moments are closed.

    Args:
        log_term: from a real x to the log of a term, which for large x falls as x^(-power - 1).
        start: the first integer.
        power: exponent of the sum's own fall, positive.
        scale: beyond which x the power law begins to hold.

    Raises:
        NotImplementedError: the power law begins so late that more than four million terms would be summed.

    Source: DLMF 2.10.1.
    """
    start, power, scale = torch.broadcast_tensors(start, power, scale)
    reach = scale + power + 1
    missing = 50 * reach + reach * reach / 40 - start
    count = max(int(missing.max()), 0)
    if count > _MOST_TERMS:
        raise UnsupportedError(
            f"a tail would need {count} terms", expected=f"{_MOST_TERMS} at most", hint="estimate it from samples"
        )
    steps = torch.arange(count, dtype=start.dtype, device=start.device).reshape(-1, *[1] * start.dim())
    first = start + count
    nodes, transform = _legendre()
    y = torch.as_tensor(nodes, dtype=start.dtype, device=start.device).reshape(-1, *[1] * start.dim())
    at_first = log_term(first)
    h = torch.exp(log_term(first / y) - at_first - (power + 1) * y.log())
    coefficients = torch.tensordot(torch.as_tensor(transform, dtype=h.dtype, device=h.device), h, 1)
    integral = first * (coefficients * _moments(power)).sum(0)
    slope, third = _slopes(log_term, first)
    rest = at_first + (integral + 0.5 - slope / 12 + third / 720).log()
    return torch.cat([log_term(start + steps), rest.unsqueeze(0)]).logsumexp(0)
