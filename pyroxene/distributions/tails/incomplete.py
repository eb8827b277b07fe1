"""Logs of the incomplete gamma and beta functions, right where the functions themselves underflow.

scipy has the functions; torch has one of them, without a gradient for the shape. Derivatives with respect to the
argument are exact; those with respect to shape parameters, which have no closed form, are central differences of sixth
order, right to about nine digits. What is computed here leaves torch, so a model that needs it runs eagerly.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from pyroxene.ops.lazily import Lazily

__all__ = ["log_betainc", "log_gammainc", "log_gammaincc"]

special = Lazily("scipy.special")

Array = Any
_UNDERFLOW = 1e-290
_ITERATIONS = 20000
_STENCIL = ((1, 45.0 / 60.0), (2, -9.0 / 60.0), (3, 1.0 / 60.0))
"""Steps and weights of the central difference of sixth order."""


@dataclass(frozen=True, eq=False)
class _Special:
    """A function of numpy arrays, with its partial derivatives: a torch function, "shape" or "constant" for each."""

    function: Callable[..., Array]
    partials: tuple[Callable[..., torch.Tensor] | str, ...]


class _Evaluate(torch.autograd.Function):
    """Evaluates a special function elementwise, on arguments of one shape."""

    @staticmethod
    def forward(spec: _Special, *args: torch.Tensor) -> torch.Tensor:
        return _on_host(spec.function, args)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.spec = inputs[0]
        ctx.save_for_backward(output, *inputs[1:])

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> Any:
        out, *args = ctx.saved_tensors
        return None, *(
            grad * _partial(ctx.spec, place, out, args) if needed and ctx.spec.partials[place] != "constant" else None
            for place, needed in enumerate(ctx.needs_input_grad[1:])
        )

    @staticmethod
    def vmap(info: Any, in_dims: Any, spec: _Special, *args: torch.Tensor) -> Any:
        moved = [
            a.unsqueeze(0).expand(info.batch_size, *a.shape) if dim is None else a.movedim(dim, 0)
            for a, dim in zip(args, in_dims[1:])
        ]
        return _Evaluate.apply(spec, *moved), 0


def _on_host(function: Callable[..., Array], args: Any) -> torch.Tensor:
    like = args[0]
    with np.errstate(all="ignore"):
        result = function(*(np.atleast_1d(a.detach().to("cpu", torch.float64).numpy()) for a in args))
    return torch.from_numpy(np.asarray(result)).reshape(like.shape).to(like)


def _partial(spec: _Special, place: int, out: torch.Tensor, args: list[torch.Tensor]) -> torch.Tensor:
    rule = spec.partials[place]
    if callable(rule):
        return rule(out, *args)
    shape = args[place].double()
    step = 0.02 * shape / (1 + shape.sqrt())  # the function varies on the scale sqrt(shape) for a large shape

    def at(steps: int) -> torch.Tensor:
        moved: list[torch.Tensor] = [a.double() for a in args]
        moved[place] = shape + steps * step
        return _on_host(spec.function, moved)

    total = sum((weight * (at(k) - at(-k)) for k, weight in _STENCIL), torch.zeros_like(shape))
    return (total / step).to(args[place].dtype)


def _fraction(start: Array, terms: Callable[[int], tuple[Array, Array]]) -> Array:
    """Evaluate start + a_1 / (b_1 + a_2 / (b_2 + ...)) by Lentz's method, modified by Thompson and Barnett (1986)."""
    tiny = 1e-300
    value = np.where(start == 0, tiny, start)
    c, d = value, np.zeros_like(value)
    for k in range(1, _ITERATIONS):
        a, b = terms(k)
        d = b + a * d
        d = 1 / np.where(d == 0, tiny, d)
        c = b + a / c
        c = np.where(c == 0, tiny, c)
        factor = c * d
        value = value * factor
        if np.all(np.abs(factor - 1) < 4e-16):
            break
    return value


def _log_lower(a: Array, x: Array) -> Array:
    """Log P(a, x); DLMF 8.7.1 where P underflows: P = x^a e^-x / Gamma(a + 1) * sum of x^n / ((a + 1) ... (a + n))."""
    lower = special.gammainc(a, x)
    result = np.where(lower > 0.5, np.log1p(-special.gammaincc(a, x)), np.log(lower))
    hard = (lower < _UNDERFLOW) & (x > 0)
    if hard.any():
        a, x = a[hard], x[hard]
        term, total = np.ones_like(x), np.ones_like(x)
        for n in range(1, _ITERATIONS):
            term = term * x / (a + n)
            total = total + term
            if np.all(term < 1e-17 * total):
                break
        result[hard] = a * np.log(x) - x - special.gammaln(a + 1) + np.log(total)
    return result


def _log_upper(a: Array, x: Array) -> Array:
    """Log Q(a, x); Legendre's fraction where Q underflows, DLMF 8.9.2 in its even form."""
    upper = special.gammaincc(a, x)
    result = np.where(upper > 0.5, np.log1p(-special.gammainc(a, x)), np.log(upper))
    hard = (upper < _UNDERFLOW) & (x < np.inf)
    if hard.any():
        a, x = a[hard], x[hard]
        fraction = _fraction(x + 1 - a, lambda k: (-k * (k - a), x + 2 * k + 1 - a))
        result[hard] = a * np.log(x) - x - special.gammaln(a) - np.log(fraction)
    return result


def _beta_terms(a: Array, b: Array, x: Array) -> Callable[[int], tuple[Array, Array]]:
    """Terms of the fraction of the incomplete beta function, DLMF 8.17.22."""

    def terms(k: int) -> tuple[Array, Array]:
        m = k // 2
        if k % 2 == 0:
            return m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)), np.ones_like(x)
        return -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)), np.ones_like(x)

    return terms


def _log_beta_lower(a: Array, b: Array, x: Array, y: Array) -> Array:
    """Log I_x(a, b), with y = 1 - x."""
    left = x <= y
    lower = np.where(left, special.betainc(a, b, x), special.betaincc(b, a, y))
    upper = np.where(left, special.betaincc(a, b, x), special.betainc(b, a, y))
    result = np.where(lower > 0.5, np.log1p(-upper), np.log(lower))
    hard = (lower < _UNDERFLOW) & (x > 0)
    if hard.any():
        a, b, x, y, left = a[hard], b[hard], x[hard], y[hard], left[hard]
        log_x = np.where(left, np.log(x), np.log1p(-y))
        log_y = np.where(left, np.log1p(-x), np.log(y))
        fraction = _fraction(np.ones_like(x), _beta_terms(a, b, x))
        result[hard] = a * log_x + b * log_y - np.log(a) - special.betaln(a, b) - np.log(fraction)
    return result


def _gamma_slope(sign: float) -> Callable[..., torch.Tensor]:
    def partial(out: torch.Tensor, a: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        return sign * torch.exp((a - 1) * x.log() - x - a.lgamma() - out)

    return partial


def _beta_slope(out: torch.Tensor, a: torch.Tensor, b: torch.Tensor, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    log_beta = a.lgamma() + b.lgamma() - (a + b).lgamma()
    return torch.exp((a - 1) * x.log() + (b - 1) * y.log() - log_beta - out)


_LOG_LOWER = _Special(_log_lower, ("shape", _gamma_slope(1.0)))
_LOG_UPPER = _Special(_log_upper, ("shape", _gamma_slope(-1.0)))
_LOG_BETA = _Special(_log_beta_lower, ("shape", "shape", _beta_slope, "constant"))


def _evaluate(spec: _Special, *args: torch.Tensor) -> torch.Tensor:
    result: torch.Tensor = _Evaluate.apply(spec, *torch.broadcast_tensors(*args))
    return result


def log_gammainc(a: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """Return the log of the regularised lower incomplete gamma function P(a, x), for a > 0 and x > 0.

    Example:
        >>> log_gammainc(torch.tensor(200.0, dtype=torch.float64), torch.tensor(0.1, dtype=torch.float64))
        tensor(-1323.8485, dtype=torch.float64)
    """
    return _evaluate(_LOG_LOWER, a, x)


def log_gammaincc(a: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """Return the log of the regularised upper incomplete gamma function Q(a, x), for a > 0 and x > 0.

    Example:
        >>> log_gammaincc(torch.tensor(2.0, dtype=torch.float64), torch.tensor(2000.0, dtype=torch.float64))
        tensor(-1992.3986, dtype=torch.float64)
    """
    return _evaluate(_LOG_UPPER, a, x)


def log_betainc(
    a: torch.Tensor, b: torch.Tensor, x: torch.Tensor, complement: torch.Tensor | None = None
) -> torch.Tensor:
    """Return the log of the regularised incomplete beta function I_x(a, b), for a, b > 0 and 0 < x < 1.

    Args:
        a: first parameter.
        b: second parameter.
        x: the argument.
        complement: 1 - x, where it is known better than by subtraction; no gradient passes through it.

    Example:
        >>> two = torch.tensor(2.0, dtype=torch.float64)
        >>> log_betainc(two, two, torch.tensor(1e-200, dtype=torch.float64))
        tensor(-919.9354, dtype=torch.float64)
    """
    return _evaluate(_LOG_BETA, a, b, x, 1 - x if complement is None else complement)
