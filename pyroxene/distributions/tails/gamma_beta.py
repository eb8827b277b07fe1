"""Tails of Gamma, Beta and their kin, by incomplete gamma and beta functions."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
import torch.distributions as torchdist

from pyroxene.distributions.tails.incomplete import log_betainc, log_gammainc, log_gammaincc
from pyroxene.distributions.tails.logarithms import log1mexp
from pyroxene.distributions.tails.registry import Tails, register_tails, tails_of
from pyroxene.distributions.tails.solve import solve_quantile
from pyroxene.distributions.tails.support import on_positive, register_unit, scipy_values, standardised
from pyroxene.ops.lazily import Lazily

__all__: list[str] = []

special = Lazily("scipy.special")

Tensor = torch.Tensor
_LOG_TWO = math.log(2.0)


# Gamma and its kin


def _gamma_inverse(a: Tensor, lower: Tensor, upper: Tensor, from_above: bool = False) -> Tensor:
    """Quantile of the standard Gamma distribution; far in the tails, where scipy has 0 or infinity, by Newton steps."""
    below, above = (upper, lower) if from_above else (lower, upper)
    a = a.expand(torch.broadcast_shapes(a.shape, lower.shape))
    x = torch.where(
        below <= above,
        scipy_values(special.gammaincinv, a, below.exp()),
        scipy_values(special.gammainccinv, a, above.exp()),
    ).double()
    wide = a.double()
    far_below, far_above = below < -600.0, above < -600.0
    # to begin with, x^a / Gamma(a + 1) = p on the left and x^(a - 1) e^-x / Gamma(a) = p on the right
    x = torch.where(far_below, torch.exp((below.double() + torch.lgamma(wide + 1)) / wide), x)
    x = torch.where(far_above, torch.maximum(-above.double(), wide), x)
    for _ in range(60):
        x = torch.where(far_below | far_above, _gamma_newton(wide, x, below.double(), above.double(), far_below), x)
        if not (far_below | far_above).any():
            break
    return x.to(lower.dtype)


def _gamma_newton(a: Tensor, x: Tensor, below: Tensor, above: Tensor, left: Tensor) -> Tensor:
    """One Newton step on the log of the smaller tail, in log x on the left and in x on the right."""
    log_density = (a - 1) * x.log() - x - torch.lgamma(a)
    lower, upper = log_gammainc(a, x), log_gammaincc(a, x)
    on_left = x * torch.exp(((below - lower) * torch.exp(lower - log_density - x.log())).clamp(-2, 2))
    on_right = x - (above - upper) * torch.exp(upper - log_density)
    return torch.where(left, on_left, torch.maximum(on_right, x / 2))


register_tails(
    torchdist.Gamma,
    Tails(
        *on_positive(
            lambda d, value: log_gammainc(d.concentration, d.rate * value),
            lambda d, value: log_gammaincc(d.concentration, d.rate * value),
        ),
        lambda d, lower, upper: _gamma_inverse(d.concentration, lower, upper) / d.rate,
    ),
)


def _inverse_gamma_entropy(d: Any) -> Tensor:
    a = d.concentration
    return a + d.rate.log() + a.lgamma() - (1 + a) * a.digamma()


register_tails(
    torchdist.InverseGamma,
    Tails(
        *on_positive(
            lambda d, value: log_gammaincc(d.concentration, d.rate / value),
            lambda d, value: log_gammainc(d.concentration, d.rate / value),
        ),
        lambda d, lower, upper: d.rate / _gamma_inverse(d.concentration, lower, upper, from_above=True),
        mode=lambda d: d.rate / (d.concentration + 1),
        entropy=_inverse_gamma_entropy,
    ),
)


# Beta and its kin


def _beta_quantile(a: Tensor, b: Tensor, lower: Tensor, upper: Tensor) -> Tensor:
    """Quantile of a Beta distribution, where neither tail underflows."""
    return torch.where(
        lower <= upper,
        scipy_values(special.betaincinv, a, b, lower.exp()),
        scipy_values(special.betainccinv, a, b, upper.exp()),
    )


def _or_solve(
    inverse: Callable[[Any, Tensor, Tensor], Tensor],
) -> Callable[[Any, Tensor, Tensor], Tensor]:
    """Use an inverse unless a tail is out of the range of floats; then solve for the quantile."""

    def guarded(d: Any, lower: Tensor, upper: Tensor) -> Tensor:
        if bool((torch.minimum(lower, upper) < -600.0).any()):
            tails = tails_of(d)
            return solve_quantile(d, tails.log_cdf, tails.log_survival, lower, upper)
        return inverse(d, lower, upper)

    return guarded


register_unit(
    torchdist.Beta,
    lambda d, value: log_betainc(d.concentration1, d.concentration0, value),
    lambda d, value: log_betainc(d.concentration0, d.concentration1, 1 - value, value),
    _or_solve(lambda d, lower, upper: _beta_quantile(d.concentration1, d.concentration0, lower, upper)),
)


def _fisher_parts(d: Any, value: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    ratio = d.df1 * value / d.df2
    return d.df1 / 2, d.df2 / 2, ratio / (1 + ratio), 1 / (1 + ratio)


def _fisher_log_survival(d: Any, value: Tensor) -> Tensor:
    a, b, x, y = _fisher_parts(d, value)
    return log_betainc(b, a, y, x)


def _fisher_entropy(d: Any) -> Tensor:
    a, b = d.df1 / 2, d.df2 / 2
    log_beta = a.lgamma() + b.lgamma() - (a + b).lgamma()
    return log_beta + (b / a).log() + (1 - a) * a.digamma() - (1 + b) * b.digamma() + (a + b) * (a + b).digamma()


def _fisher_inverse(d: Any, lower: Tensor, upper: Tensor) -> Tensor:
    a, b = d.df1 / 2, d.df2 / 2
    return b / a * _beta_quantile(a, b, lower, upper) / _beta_quantile(b, a, upper, lower)


register_tails(
    torchdist.FisherSnedecor,
    Tails(
        *on_positive(lambda d, value: log_betainc(*_fisher_parts(d, value)), _fisher_log_survival),
        _or_solve(_fisher_inverse),
        entropy=_fisher_entropy,
    ),
)


def _log_student(df: Tensor, z: Tensor) -> Tensor:
    """Log cdf of the standard Student distribution, I_x(df/2, 1/2) / 2 with x = df / (df + z^2) on the left."""
    ratio = z.abs() * df.rsqrt()
    far = ratio > 1e8  # x^a / (a B(a, 1/2)) is exact to rounding here, and z^2 might overflow
    square = torch.where(far, 1.0, ratio).square()
    square = square.clamp(min=torch.finfo(square.dtype).tiny)
    a, half = df / 2, torch.full_like(df, 0.5)
    near = log_betainc(a, half, 1 / (1 + square), square / (1 + square))
    log_beta = a.lgamma() + math.lgamma(0.5) - (a + 0.5).lgamma()
    tail = torch.where(far, -df * torch.where(far, ratio, 1.0).log() - a.log() - log_beta, near) - _LOG_TWO
    return torch.where(z < 0, tail, torch.log1p(-tail.exp()))


def _student_inverse(d: Any, lower: Tensor, upper: Tensor) -> Tensor:
    """From I_x(df/2, 1/2) = 2 p for the smaller tail p, where x = df / (df + z^2)."""
    both = torch.minimum(lower, upper).add(_LOG_TWO).clamp(max=0)
    rest = log1mexp(both)
    a, half = d.df / 2, torch.full_like(d.df, 0.5)
    ratio = _beta_quantile(half, a, rest, both) / _beta_quantile(a, half, both, rest)
    size = (d.df * ratio).sqrt()
    return d.loc + d.scale * torch.where(lower < upper, -size, size)


register_tails(
    torchdist.StudentT,
    Tails(
        lambda d, value: _log_student(d.df, standardised(d, value)),
        lambda d, value: _log_student(d.df, -standardised(d, value)),
        _or_solve(_student_inverse),
    ),
)
