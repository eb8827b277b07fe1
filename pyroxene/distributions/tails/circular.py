"""Tails of the von Mises distribution: an angle from -pi to pi, which does not end where the density is least."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
import torch.distributions as torchdist

from pyroxene.distributions.tails.registry import Tails, register_tails

__all__ = ["mean_length_deficit", "von_mises_entropy"]

Tensor = torch.Tensor

_DROP = 45.0
"""The density is followed until it is exp(-45) = 3e-20 of its largest value on a stretch; the rest is rounding."""

_NODES, _WEIGHTS = (torch.as_tensor(a) for a in np.polynomial.legendre.leggauss(64))
"""Legendre's rule for exp of a quadratic that falls by 45: its error is below 1e-20 with 64 nodes."""

_LARGE = 200.0


def _log_stretch(near: Tensor, far: Tensor, k: Tensor) -> Tensor:
    """Log of the integral of exp(k (cos t - 1)) from near to far, where 0 <= near <= far <= pi; -inf if they are equal.

    Where the density has died out before `far`, the integral ends there.
    """
    is_empty = far <= near
    end = torch.where(is_empty, near + 0.5, far)
    with torch.no_grad():
        squared = torch.sin(near / 2).square() + _DROP / (2 * k)
        reach = 2 * torch.asin(squared.clamp(max=1.0).sqrt())
        reach = torch.where(squared < 1, reach, math.inf)
        cut = reach < end
    end = torch.where(cut, reach, end)
    half = ((end - near) / 2).unsqueeze(-1)
    step = half * (1 + _NODES.to(k))
    start = near.unsqueeze(-1)
    # cos(a + s) - cos(a) = -2 sin(a + s / 2) sin(s / 2)
    fall = -2 * k.unsqueeze(-1) * torch.sin(start + step / 2) * torch.sin(step / 2)
    total = (_WEIGHTS.to(k) * fall.exp()).sum(-1) * half.squeeze(-1)
    return torch.where(is_empty, -math.inf, total.log() - 2 * k * torch.sin(near / 2).square())


def _log_integral(low: Tensor, high: Tensor, k: Tensor) -> Tensor:
    """Log of the integral of exp(k (cos t - 1)) from low to high, where -pi <= low <= high <= low + 2 pi.

    Between multiples of pi the integrand falls or rises; there are four such stretches between -pi and 3 pi.
    """
    parts = []
    for start, mode in ((-math.pi, 0.0), (0.0, 0.0), (math.pi, 2 * math.pi), (2 * math.pi, 2 * math.pi)):
        a, b = low.clamp(start, start + math.pi), high.clamp(start, start + math.pi)
        near, far = (mode - b, mode - a) if start < mode else (a - mode, b - mode)
        parts.append(_log_stretch(near, far, k))
    return torch.logsumexp(torch.stack(parts, -1), -1)


def _von_mises(d: Any, value: Tensor, upper: bool) -> Tensor:
    """Log of the probability of an angle between -pi and the value, or between the value and pi."""
    value, loc, k = torch.broadcast_tensors(value, d.loc, d.concentration)
    is_below, is_above = value <= -math.pi, value >= math.pi
    angle = torch.where(is_below | is_above, 0.0, value)
    start = torch.remainder(-loc, 2 * math.pi) - math.pi  # of the circle, seen from loc: from -pi to pi
    middle = start + (angle + math.pi)
    end = start + 2 * math.pi
    norm = math.log(2 * math.pi) + torch.special.i0e(k).log()
    below, above = _log_integral(start, middle, k) - norm, _log_integral(middle, end, k) - norm
    small, other = (above, below) if upper else (below, above)
    is_small = small < -0.5
    inside = torch.where(is_small, small, torch.log1p(-torch.where(is_small, -1.0, other).exp()))
    nothing, everything = (is_above, is_below) if upper else (is_below, is_above)
    return torch.where(nothing, -math.inf, torch.where(everything, 0.0, inside))


def mean_length_deficit(k: Tensor) -> Tensor:
    """Return k (1 - I_1(k) / I_0(k)), by its asymptotic series (from DLMF 10.40.1) where k is large.

    Example:
        >>> mean_length_deficit(torch.tensor([1.0, 1e8]))
        tensor([0.5536, 0.5000])
    """
    is_large = k > _LARGE
    safe = torch.where(is_large, 1.0, k)
    direct = safe * (1 - torch.special.i1e(safe) / torch.special.i0e(safe))
    r = torch.where(is_large, k, _LARGE).reciprocal()
    series = 1 / 2 + r * (1 / 8 + r * (1 / 8 + r * (25 / 128 + r * (13 / 32 + r * (1073 / 1024)))))
    return torch.where(is_large, series, direct)


def von_mises_entropy(d: Any) -> Tensor:
    """Return log(2 pi I_0(k)) - k I_1(k) / I_0(k) for concentration k, without cancellation.

    Example:
        >>> from pyroxene.distributions import VonMises
        >>> von_mises_entropy(VonMises(0.0, 1e-6))
        tensor(1.8379)
    """
    k = d.concentration
    return math.log(2 * math.pi) + torch.special.i0e(k).log() + mean_length_deficit(k)


register_tails(
    torchdist.VonMises,
    Tails(
        lambda d, value: _von_mises(d, value, upper=False),
        lambda d, value: _von_mises(d, value, upper=True),
        entropy=von_mises_entropy,
    ),
)
