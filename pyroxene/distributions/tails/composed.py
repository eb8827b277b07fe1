"""Tails of distributions made of others: monotone functions of a variable, and mixtures."""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.distributions as torchdist

from pyroxene.distributions.tails.registry import Tails, inverse, log_cdf, log_survival, register_tails

__all__: list[str] = []

Tensor = torch.Tensor


def _sign(d: Any) -> Tensor | int:
    """Whether the transforms rise (1) or fall (-1)."""
    sign: Any = 1
    for transform in d.transforms:
        sign = sign * transform.sign  # raises NotImplementedError where a transform is not monotone
    return sign


def _transformed(d: Any, value: Tensor, upper: bool) -> Tensor:
    """A tail of the base at the value's origin: the same tail where the transforms rise, the other where they fall."""
    sign = _sign(d)
    support = d.support
    low = getattr(support, "lower_bound", -math.inf)
    high = getattr(support, "upper_bound", math.inf)
    above_low, below_high = value > low, value < high
    inside = above_low & below_high
    origin = torch.where(inside, value, _somewhere(low, high, value))
    for transform in reversed(d.transforms):
        origin = transform.inv(origin)
    same, other = (log_survival, log_cdf) if upper else (log_cdf, log_survival)
    if isinstance(sign, int):
        tail = (same if sign > 0 else other)(d.base_dist, origin)
    else:
        tail = torch.where(sign > 0, same(d.base_dist, origin), other(d.base_dist, origin))
    nothing, everything = (-math.inf, 0.0) if upper else (0.0, -math.inf)
    return torch.where(inside, tail, torch.where(above_low, torch.full_like(tail, nothing), everything))


def _somewhere(low: Any, high: Any, value: Tensor) -> Tensor:
    """A number between the ends, in the value's dtype and shape."""
    low, high = (torch.as_tensor(end, dtype=value.dtype, device=value.device) for end in (low, high))
    between = torch.where(low.isinf(), high - 1, torch.where(high.isinf(), low + 1, (low + high) / 2))
    return torch.where(between.isinf(), 0.0, between).expand(torch.broadcast_shapes(between.shape, value.shape))


def _transformed_inverse(d: Any, lower: Tensor, upper: Tensor) -> Tensor:
    sign = _sign(d)
    falls = torch.as_tensor(sign) < 0
    value = inverse(d.base_dist, torch.where(falls, upper, lower), torch.where(falls, lower, upper))
    for transform in d.transforms:
        value = transform(value)
    return value


register_tails(
    torchdist.TransformedDistribution,
    Tails(
        lambda d, value: _transformed(d, value, upper=False),
        lambda d, value: _transformed(d, value, upper=True),
        _transformed_inverse,
    ),
)


def _mixture(d: Any, value: Tensor, tail: Any) -> Tensor:
    logits = d.mixture_distribution.logits
    return torch.logsumexp(logits + tail(d.component_distribution, value.unsqueeze(-1)), -1)


register_tails(
    torchdist.MixtureSameFamily,
    Tails(lambda d, value: _mixture(d, value, log_cdf), lambda d, value: _mixture(d, value, log_survival)),
)
