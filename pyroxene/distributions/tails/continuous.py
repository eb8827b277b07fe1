"""Tails of torch's continuous distributions whose distribution functions are elementary or the error function."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
import torch.distributions as torchdist
from torch.distributions.relaxed_bernoulli import LogitRelaxedBernoulli
from torch.nn.functional import logsigmoid

from pyroxene.distributions.tails.logarithms import log1mexp, log1mexpexp, log_ndtr, log_relative_expm1
from pyroxene.distributions.tails.registry import Function, Tails, register_tails
from pyroxene.distributions.tails.support import on_positive, register_unit, scipy_values, standardised
from pyroxene.ops.lazily import Lazily

__all__: list[str] = []

special = Lazily("scipy.special")

Tensor = torch.Tensor
_LOG_TWO = math.log(2.0)
_ROOT_HALF = math.sqrt(0.5)


# Normal, and what is made of it


def _standard_normal_inverse(log_tail: Tensor) -> Tensor:
    """The negative number beyond which a standard normal variable lies with a probability of 1/2 or less.

    A Newton step makes up for the digits that scipy's function lacks far out.
    """
    left = scipy_values(special.ndtri_exp, log_tail)
    mills = math.sqrt(math.pi / 2) * torch.special.erfcx(-left * _ROOT_HALF)  # tail / density
    step = (log_ndtr(left) - log_tail) * mills
    return torch.where(step.isfinite(), left - step, left)


def _normal_inverse(d: Any, lower: Tensor, upper: Tensor) -> Tensor:
    left = _standard_normal_inverse(torch.minimum(lower, upper))
    return d.loc + d.scale * torch.where(lower <= upper, left, -left)


register_tails(
    torchdist.Normal,
    Tails(
        lambda d, value: log_ndtr(standardised(d, value)),
        lambda d, value: log_ndtr(-standardised(d, value)),
        _normal_inverse,
    ),
)


def _half_normal(d: Any, value: Tensor, upper: bool) -> Tensor:
    """Log of erf(z) or of 1 - erf(z), from the smaller of the two."""
    z = value / d.scale * _ROOT_HALF
    small = z < 0.5
    near, far = torch.where(small, z, 0.1), torch.where(small, 1.0, z)
    if upper:
        return torch.where(small, torch.log1p(-torch.erf(near)), _LOG_TWO + log_ndtr(-far / _ROOT_HALF))
    return torch.where(small, torch.erf(near).log(), torch.log1p(-torch.erfc(far)))


register_tails(
    torchdist.HalfNormal,
    Tails(
        *on_positive(lambda d, value: _half_normal(d, value, False), lambda d, value: _half_normal(d, value, True)),
        lambda d, lower, upper: (
            d.scale
            * torch.where(
                lower < -1.0,
                scipy_values(special.erfinv, lower.exp()) / _ROOT_HALF,
                -_standard_normal_inverse(upper - _LOG_TWO),
            )
        ),
    ),
)


# Cauchy, Laplace, Uniform


def _log_cauchy(z: Tensor) -> Tensor:
    """Log cdf of the standard Cauchy distribution."""
    far = z.abs() > 1
    inverse = torch.where(far, z, 1.0).reciprocal().abs()
    tail = torch.where(far, torch.atan(inverse), math.pi / 2 - torch.atan(torch.where(far, 0.0, z).abs())) / math.pi
    return torch.where(z < 0, tail.log(), torch.log1p(-tail))


def _cauchy_inverse(d: Any, lower: Tensor, upper: Tensor) -> Tensor:
    tail = torch.tan(math.pi * torch.minimum(lower, upper).exp()).reciprocal()
    return d.loc + d.scale * torch.where(lower < upper, -tail, tail)


register_tails(
    torchdist.Cauchy,
    Tails(
        lambda d, value: _log_cauchy(standardised(d, value)),
        lambda d, value: _log_cauchy(-standardised(d, value)),
        _cauchy_inverse,
    ),
)


def _half_cauchy(d: Any, value: Tensor) -> tuple[Tensor, Tensor]:
    z = value / d.scale
    far = z > 1
    small = torch.atan(torch.where(far, torch.where(far, z, 1.0).reciprocal(), z)) * (2 / math.pi)
    return torch.where(far, torch.log1p(-small), small.log()), torch.where(far, small.log(), torch.log1p(-small))


register_tails(
    torchdist.HalfCauchy,
    Tails(
        *on_positive(lambda d, value: _half_cauchy(d, value)[0], lambda d, value: _half_cauchy(d, value)[1]),
        lambda d, lower, upper: (
            d.scale
            * torch.where(
                lower < upper,
                torch.tan(lower.exp() * math.pi / 2),
                torch.tan(upper.exp() * math.pi / 2).reciprocal(),
            )
        ),
    ),
)


def _log_laplace(z: Tensor) -> Tensor:
    return torch.where(z < 0, z - _LOG_TWO, torch.log1p(-0.5 * torch.exp(-z.abs())))


def _laplace_inverse(d: Any, lower: Tensor, upper: Tensor) -> Tensor:
    tail = _LOG_TWO + torch.minimum(lower, upper)
    return d.loc + d.scale * torch.where(lower < upper, tail, -tail)


register_tails(
    torchdist.Laplace,
    Tails(
        lambda d, value: _log_laplace(standardised(d, value)),
        lambda d, value: _log_laplace(-standardised(d, value)),
        _laplace_inverse,
    ),
)


def _log_share(part: Tensor, whole: Tensor) -> Tensor:
    """Log of part / whole, where part is 0 or less -inf, where it is all or more 0."""
    inside = (part > 0) & (part < whole)
    share = torch.where(inside, part, 1.0) / torch.where(inside, whole, 1.0)
    return torch.where(inside, share.log(), torch.where(part <= 0, -math.inf, torch.zeros_like(share)))


register_tails(
    torchdist.Uniform,
    Tails(
        lambda d, value: _log_share(value - d.low, d.high - d.low),
        lambda d, value: _log_share(d.high - value, d.high - d.low),
        lambda d, lower, upper: torch.where(
            lower < upper, d.low + lower.exp() * (d.high - d.low), d.high - upper.exp() * (d.high - d.low)
        ),
        mode=lambda d: (d.low + d.high) / 2,
    ),
)


# Powers and exponentials of an exponential variable: log survival is -exp(t), so log cdf is log1mexpexp(t)


def _register_exponential(
    cls: type,
    exponent: Function,
    inverse: Callable[[Any, Tensor], Tensor],
    end: Callable[[Any], Any] = lambda d: 0.0,
    **more: Any,
) -> None:
    """Register a class whose log survival is -exp(exponent); `inverse` takes the log of minus the log survival."""
    tails = on_positive(
        lambda d, value: log1mexpexp(exponent(d, value)), lambda d, value: -exponent(d, value).exp(), end
    )

    def from_logs(d: Any, lower: Tensor, upper: Tensor) -> Tensor:
        return inverse(d, _log_minus_log(lower, upper))

    register_tails(cls, Tails(*tails, from_logs, **more))


def _log_minus_log(log_p: Tensor, log_complement: Tensor) -> Tensor:
    """Log of -log(1 - p), of which p and its complement are given in logs."""
    small = log_p < -40.0
    return torch.where(small, log_p, (-torch.where(small, -1.0, log_complement)).log())


_register_exponential(torchdist.Exponential, lambda d, value: (d.rate * value).log(), lambda d, t: t.exp() / d.rate)
_register_exponential(
    torchdist.Weibull,
    lambda d, value: d.concentration * (value / d.scale).log(),
    lambda d, t: d.scale * torch.exp(t / d.concentration),
)
_register_exponential(
    torchdist.Pareto,
    lambda d, value: d.alpha.log() + torch.log1p((value - d.scale) / d.scale).log(),
    lambda d, t: d.scale + d.scale * torch.expm1(t.exp() / d.alpha),
    end=lambda d: d.scale,
)

register_tails(
    torchdist.Gumbel,
    Tails(
        lambda d, value: -torch.exp(-standardised(d, value)),
        lambda d, value: log1mexpexp(-standardised(d, value)),
        lambda d, lower, upper: d.loc - d.scale * _log_minus_log(upper, lower),
    ),
)


def _kumaraswamy_exponent(d: Any, value: Tensor) -> Tensor:
    """log(-log survival), where survival = (1 - x^a)^b."""
    s = d.concentration1 * value.log()
    small = s < -40.0
    return d.concentration0.log() + torch.where(small, s, (-log1mexp(torch.where(small, -1.0, s))).log())


register_unit(
    torchdist.Kumaraswamy,
    lambda d, value: log1mexpexp(_kumaraswamy_exponent(d, value)),
    lambda d, value: -_kumaraswamy_exponent(d, value).exp(),
    lambda d, lower, upper: torch.exp(
        log1mexpexp(_log_minus_log(lower, upper) - d.concentration0.log()) / d.concentration1
    ),
)


# Others over the unit interval, and angles


def _continuous_bernoulli(d: Any, value: Tensor, sign: float) -> Tensor:
    """log((e^(n x) - 1) / (e^n - 1)) for natural parameter n, its sign turned for the other tail."""
    natural = sign * d.logits
    return value.log() + log_relative_expm1(natural * value) - log_relative_expm1(natural)


register_unit(
    torchdist.ContinuousBernoulli,
    lambda d, value: _continuous_bernoulli(d, value, 1.0),
    lambda d, value: _continuous_bernoulli(d, 1 - value, -1.0),
    mode=lambda d: torch.where(d.logits > 0, torch.ones_like(d.logits), 0.0),
)

if hasattr(torchdist, "GeneralizedPareto"):  # not every supported torch has it

    def _pareto_exponent(d: Any, value: Tensor) -> Tensor:
        """log(-log survival), where survival = (1 + c z)^(-1 / c), or exp(-z) for c = 0."""
        z, c = standardised(d, value), d.concentration
        is_zero = c.abs() < 1e-8
        safe = torch.where(is_zero, 1.0, c)
        ends = ~is_zero & (safe * z <= -1)  # beyond the upper end of a short-tailed one
        share = torch.log1p(torch.where(ends, 1.0, safe * z)) / safe
        return torch.where(is_zero, z, torch.where(ends, math.inf, share)).log()

    def _pareto_inverse(d: Any, t: Tensor) -> Tensor:
        c = d.concentration
        is_zero = c.abs() < 1e-8
        safe = torch.where(is_zero, 1.0, c)
        return d.loc + d.scale * torch.where(is_zero, t.exp(), torch.expm1(safe * t.exp()) / safe)

    _register_exponential(torchdist.GeneralizedPareto, _pareto_exponent, _pareto_inverse, end=lambda d: d.loc)

register_tails(
    LogitRelaxedBernoulli,
    Tails(
        lambda d, value: logsigmoid(d.temperature * value - d.logits),
        lambda d, value: logsigmoid(d.logits - d.temperature * value),
        lambda d, lower, upper: (lower - upper + d.logits) / d.temperature,
        entropy=lambda d: (2 - d.temperature.log()).expand(d.batch_shape),
    ),
)
