"""Tails of torch's distributions of one integer; values between two integers count as the lower one."""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.distributions as torchdist
from torch.nn.functional import logsigmoid

from pyroxene.distributions.tails.incomplete import log_betainc, log_gammainc, log_gammaincc
from pyroxene.distributions.tails.logarithms import log1mexp
from pyroxene.distributions.tails.registry import Function, Tails, register_tails

__all__: list[str] = []

Tensor = torch.Tensor


def _register(cls: type, log_cdf: Function, log_survival: Function, **more: Any) -> None:
    """Register a class over 0, 1, ...: the functions take integers."""

    def extend(function: Function, outside: float) -> Function:
        def extended(d: Any, value: Tensor) -> Tensor:
            inside = value >= 0
            return torch.where(inside, function(d, torch.where(inside, value, 0.0).floor()), outside)

        return extended

    register_tails(cls, Tails(extend(log_cdf, -math.inf), extend(log_survival, 0.0), **more))


def _chances(d: Any) -> tuple[Tensor, Tensor]:
    """Probabilities of a success and of a failure, neither by subtraction where log odds were given."""
    if "probs" in d.__dict__ and not getattr(d, "_has_logits", False):
        return d.probs, 1 - d.probs
    return torch.sigmoid(d.logits), torch.sigmoid(-d.logits)


_register(
    torchdist.Poisson,
    lambda d, k: log_gammaincc(k + 1, d.rate),
    lambda d, k: log_gammainc(k + 1, d.rate),
)


def _binomial(d: Any, k: Tensor, upper: bool) -> Tensor:
    """P(X <= k) = I_(1-p)(n - k, k + 1), and its complement."""
    success, failure = _chances(d)
    all_of_them = k >= d.total_count
    k = torch.where(all_of_them, 0.0, k)
    n = torch.where(all_of_them, 1.0, d.total_count)
    parts = (k + 1, n - k, success, failure) if upper else (n - k, k + 1, failure, success)
    return torch.where(all_of_them, -math.inf if upper else 0.0, log_betainc(*parts))


_register(
    torchdist.Binomial,
    lambda d, k: _binomial(d, k, upper=False),
    lambda d, k: _binomial(d, k, upper=True),
)


def _negative_binomial_log_cdf(d: Any, k: Tensor) -> Tensor:
    success, failure = _chances(d)
    return log_betainc(d.total_count, k + 1, failure, success)


def _negative_binomial_log_survival(d: Any, k: Tensor) -> Tensor:
    success, failure = _chances(d)
    return log_betainc(k + 1, d.total_count, success, failure)


_register(torchdist.NegativeBinomial, _negative_binomial_log_cdf, _negative_binomial_log_survival)


def _geometric_log_survival(d: Any, k: Tensor) -> Tensor:
    """K + 1 failures in a row."""
    if "probs" in d.__dict__ and not getattr(d, "_has_logits", False):
        return (k + 1) * torch.log1p(-d.probs)
    return (k + 1) * logsigmoid(-d.logits)


_register(torchdist.Geometric, lambda d, k: log1mexp(_geometric_log_survival(d, k)), _geometric_log_survival)


def _log_chances(d: Any) -> tuple[Tensor, Tensor]:
    if "probs" in d.__dict__:
        return d.probs.log(), torch.log1p(-d.probs)
    return logsigmoid(d.logits), logsigmoid(-d.logits)


_register(
    torchdist.Bernoulli,
    lambda d, k: torch.where(k >= 1, torch.zeros_like(k), _log_chances(d)[1]),
    lambda d, k: torch.where(k >= 1, torch.full_like(k, -math.inf), _log_chances(d)[0]),
)


def _categorical(d: Any, k: Tensor, upper: bool) -> Tensor:
    """Sums of probabilities up to k, or beyond it, from the nearer end."""
    logits = d.logits
    if upper:
        beyond = logits.flip(-1).logcumsumexp(-1).flip(-1)[..., 1:]
        sums = torch.cat([beyond, torch.full_like(logits[..., :1], -math.inf)], -1)
    else:
        sums = torch.cat([logits[..., :-1].logcumsumexp(-1), torch.zeros_like(logits[..., :1])], -1)
    index = k.clamp(max=logits.shape[-1] - 1).long()
    shape = torch.broadcast_shapes(index.shape, sums.shape[:-1])
    return sums.expand(*shape, sums.shape[-1]).gather(-1, index.expand(shape).unsqueeze(-1)).squeeze(-1)


_register(
    torchdist.Categorical,
    lambda d, k: _categorical(d, k, upper=False),
    lambda d, k: _categorical(d, k, upper=True),
)
