"""Special functions under Pyro's names: safe logarithm, beta, binomial, Bessel, Gauss-Hermite, sparse multinomial."""

from __future__ import annotations

import functools
import math

import numpy as np
import torch

from pyroxene.ops.bessel import log_bessel_i
from pyroxene.ops.counting import factorial_remainder

__all__ = ["get_quad_rule", "log_I1", "log_beta", "log_binomial", "safe_log", "sparse_multinomial_likelihood"]

_STIRLING_ERROR = 0.01
"""Bound on the error of the approximations: three of log-gamma at 1 or more, each off by 0.0023 at most."""


def safe_log(x: torch.Tensor) -> torch.Tensor:
    """Return log(x) with a gradient that is bounded at 0 by the inverse of the dtype's precision.

    Args:
        x: non-negative.

    Example:
        >>> x = torch.tensor([0.0, 2.0], requires_grad=True)
        >>> safe_log(x)[1].backward()
        >>> x.grad
        tensor([0.0000, 0.5000])
    """
    smallest = torch.finfo(x.dtype).eps
    is_small = x < smallest
    at_small = x.detach().log() + (x - x.detach()) / smallest
    return torch.where(is_small, at_small, torch.where(is_small, 1.0, x).log())


def _stirling(x: torch.Tensor) -> torch.Tensor:
    """Log-gamma of x >= 1 to 0.0023."""
    return (x - 0.5) * x.log() - x + (12 * x).reciprocal() + 0.5 * math.log(2 * math.pi)


def _share(x: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """X log(x / (x + other)), where x may be much smaller or much larger."""
    total = x + other
    is_most = x > other
    share = torch.where(is_most, 0.5, x / total)
    rest = torch.where(is_most, other / total, 0.5)
    return x * torch.where(is_most, torch.log1p(-rest), share.log())


def log_beta(x: torch.Tensor, y: torch.Tensor, tol: float = 0.0) -> torch.Tensor:
    """Return the log of Euler's beta function, Gamma(x) Gamma(y) / Gamma(x + y).

    Args:
        x: positive.
        y: positive.
        tol: the error allowed; from 0.01 on log-gamma gives way to two terms of Stirling's series. 0 for full
            precision, also where the log-gammas are so large that their difference would have none.

    Example:
        >>> log_beta(torch.tensor(1e9), torch.tensor(1.0))  # 1 / x
        tensor(-20.7233)
    """
    if tol >= _STIRLING_ERROR:
        return ((x + y) / (x * y)).log() + (_stirling(x + 1) + _stirling(y + 1) - _stirling(x + y + 1))
    powers = _share(x, y) + _share(y, x)
    remainder = factorial_remainder(x) + factorial_remainder(y) - factorial_remainder(x + y)
    smaller, larger = torch.minimum(x, y), torch.maximum(x, y)
    return powers + remainder + torch.log1p(smaller / larger) - smaller.log()


def log_binomial(n: torch.Tensor, k: torch.Tensor, tol: float = 0.0) -> torch.Tensor:
    """Return the log of the binomial coefficient, n over k.

    Args:
        n: non-negative.
        k: between 0 and n.
        tol: the error allowed; see `log_beta`.

    Example:
        >>> log_binomial(torch.tensor(5.0), torch.tensor(2.0))  # log 10
        tensor(2.3026)
    """
    rest = n - k
    if tol >= _STIRLING_ERROR:
        return _stirling(n + 1) - _stirling(k + 1) - _stirling(rest + 1)
    remainder = factorial_remainder(n) - factorial_remainder(k) - factorial_remainder(rest)
    inside = (k > 0) & (rest > 0)
    chosen, left = torch.where(inside, k, 1.0), torch.where(inside, rest, 1.0)
    return remainder - torch.where(inside, _share(chosen, left) + _share(left, chosen), 0.0)


def log_I1(orders: int, value: torch.Tensor, terms: int = 250) -> torch.Tensor:
    """Return logs of the modified Bessel functions of the first kind I_0, ..., I_orders at a value.

    Args:
        orders: the highest order.
        value: the argument, non-negative.
        terms: has no effect; Pyro cut a power series there. These are exact for every argument.

    Returns:
        Shape (orders + 1, *value.shape), with value's shape () taken for (1,).

    Example:
        >>> log_I1(1, torch.tensor([0.5, 1000.0])).shape
        torch.Size([2, 2])
    """
    value = torch.atleast_1d(value)
    order = torch.arange(orders + 1, dtype=value.dtype, device=value.device)
    return log_bessel_i(order.reshape(-1, *[1] * value.dim()), value)


@functools.lru_cache(maxsize=64)
def _hermite(num_quad: int) -> tuple[np.ndarray, np.ndarray]:
    points, weights = np.polynomial.hermite_e.hermegauss(num_quad)
    return points, np.log(weights) - 0.5 * math.log(2 * math.pi)


def get_quad_rule(num_quad: int, prototype_tensor: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return points and log weights of Gauss-Hermite quadrature for the standard normal distribution.

    Args:
        num_quad: how many points.
        prototype_tensor: a tensor of the dtype and on the device wanted.

    Returns:
        (points, log_weights), each of shape (num_quad,): the mean of f(x) is the sum of exp(log_weights) f(points).

    Example:
        >>> points, log_weights = get_quad_rule(3, torch.zeros(()))
        >>> (log_weights.exp() * points**4).sum()  # the fourth moment
        tensor(3.0000)
    """
    points, log_weights = _hermite(num_quad)
    like = {"dtype": prototype_tensor.dtype, "device": prototype_tensor.device}
    return torch.tensor(points, **like), torch.tensor(log_weights, **like)  # type: ignore[arg-type]


def sparse_multinomial_likelihood(
    total_count: torch.Tensor, nonzero_logits: torch.Tensor, nonzero_value: torch.Tensor
) -> torch.Tensor:
    """Return the summed log likelihood of multinomial data of which only the counts above 0 are given.

    Args:
        total_count: the sum of each row of counts, any shape.
        nonzero_logits: normalised log probabilities of the entries that are not 0, shape (num_nonzero,).
        nonzero_value: the counts in these entries, shape (num_nonzero,).

    Returns:
        A tensor of shape ().

    Example:
        >>> from pyroxene.distributions import Multinomial
        >>> probs, counts = torch.tensor([0.5, 0.5, 0.0]), torch.tensor([2.0, 1.0, 0.0])
        >>> sparse_multinomial_likelihood(torch.tensor(3.0), probs[:2].log(), counts[:2])
        tensor(-0.9808)
        >>> Multinomial(3, probs).log_prob(counts)
        tensor(-0.9808)
    """
    ways = (total_count + 1).lgamma().sum() - (nonzero_value + 1).lgamma().sum()
    return ways + (nonzero_value * nonzero_logits).sum()
