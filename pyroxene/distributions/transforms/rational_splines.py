"""Increasing splines of rational functions, the identity outside of a box; elementwise, with their inverses.

Sources: C. Durkan, A. Bekasov, I. Murray, G. Papamakarios (2019), Neural spline flows, section 3.1 and appendix A.1
(rational quadratic); H. M. Dolatabadi, S. Erfani, C. Leckie (2020), Invertible generative modeling using linear
rational splines, section 3 and algorithm 1 (rational linear).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad

__all__ = ["MIN_DERIVATIVE", "Knots", "knots", "spline"]

MIN_BIN = 1e-3
MIN_DERIVATIVE = 1e-3
MIN_LAMBDA = 0.025


class Knots(NamedTuple):
    """A spline: the corners of its K bins, and what is between them.

    `lambdas` is where a rational linear bin has its inner knot, relative to its width; None for a rational quadratic
    spline.
    """

    x: Tensor  # (..., K + 1), increasing from -bound to bound
    y: Tensor  # (..., K + 1), likewise
    slopes: Tensor  # (..., K + 1), positive, 1 at the ends
    lambdas: Tensor | None  # (..., K), between 0 and 1
    bound: float


def _corners(shares: Tensor, bound: float) -> Tensor:
    """Return the ends of bins whose shares of the box are given, none below MIN_BIN."""
    widths = MIN_BIN + (1 - MIN_BIN * shares.size(-1)) * shares
    inner = 2 * bound * widths.cumsum(-1)[..., :-1] - bound
    return pad(pad(inner, (1, 0), value=-bound), (0, 1), value=bound)


def knots(widths: Tensor, heights: Tensor, slopes: Tensor, lambdas: Tensor | None, bound: float) -> Knots:
    """Return the knots of a spline.

    Args:
        widths: shares of the bins in the box, positive, sum 1, shape (..., K).
        heights: shares of the bins in the box, positive, sum 1, shape (..., K).
        slopes: derivatives at the inner knots, positive, shape (..., K - 1).
        lambdas: for a rational linear spline, shape (..., K), between 0 and 1.
        bound: half the width of the box.
    """
    slopes = pad(MIN_DERIVATIVE + slopes, (1, 1), value=1.0)
    if lambdas is not None:
        lambdas = MIN_LAMBDA + (1 - 2 * MIN_LAMBDA) * lambdas
    return Knots(_corners(widths, bound), _corners(heights, bound), slopes, lambdas, bound)


class _Bin(NamedTuple):
    x: Tensor
    width: Tensor
    y: Tensor
    height: Tensor
    slope: Tensor
    next_slope: Tensor
    middle: Tensor | None


def _bin_of(value: Tensor, corners: Tensor, own: Knots) -> _Bin:
    """Return the bin in which each value lies, the edges of a tensor of corners being given."""
    place = (value[..., None] >= corners[..., 1:-1]).sum(-1, keepdim=True)

    def at(tensor: Tensor, shift: int = 0) -> Tensor:
        return tensor.expand(value.shape + tensor.shape[-1:]).gather(-1, place + shift).squeeze(-1)

    x, y = at(own.x), at(own.y)
    middle = None if own.lambdas is None else at(own.lambdas)
    return _Bin(x, at(own.x, 1) - x, y, at(own.y, 1) - y, at(own.slopes), at(own.slopes, 1), middle)


def _linear(value: Tensor, own: _Bin, inverse: bool) -> tuple[Tensor, Tensor]:
    """Return the rational linear spline of values in their bins, or its inverse; and log dy/dx."""
    assert own.middle is not None
    lam, height = own.middle, own.height
    # weights of the left, the inner and the right knot; heights are relative to the left one
    left = torch.ones_like(lam)
    right = (own.slope / own.next_slope).sqrt()
    inner = (lam * own.slope + (1 - lam) * right * own.next_slope) * own.width / height
    inner_height = lam * right * height / ((1 - lam) * left + lam * right)
    rest = (1 - lam) * left * height / ((1 - lam) * left + lam * right)  # height - inner_height
    if inverse:
        rise = value - own.y
        first = rise <= inner_height
        # each half with arguments that suit it, so that gradients of the half not taken are finite
        low = torch.where(first, rise, 0.5 * inner_height)
        theta_low = lam * left * low / (inner * (inner_height - low) + left * low)
        high = torch.where(first, 0.5 * rest, height - rise)  # what is missing to the right knot
        gamma_high = (1 - lam) * right * high / (inner * (rest - high) + right * high)
    else:
        theta = (value - own.x) / own.width
        first = theta <= lam
        theta_low = torch.where(first, theta, 0.5 * lam)
        gamma_high = torch.where(first, 0.5 * (1 - lam), 1 - theta)  # 1 - θ
    below = left * (lam - theta_low) + inner * theta_low
    above = inner * gamma_high + right * (1 - lam - gamma_high)
    log_slope_low = (lam * left * inner * inner_height).log() - 2 * below.log()
    log_slope_high = ((1 - lam) * inner * right * rest).log() - 2 * above.log()
    log_slope = torch.where(first, log_slope_low, log_slope_high) - own.width.log()
    if inverse:
        return own.x + own.width * torch.where(first, theta_low, 1 - gamma_high), log_slope
    rise_low = inner * inner_height * theta_low / below
    drop_high = inner * rest * gamma_high / above
    return own.y + torch.where(first, rise_low, height - drop_high), log_slope


def _quadratic(value: Tensor, own: _Bin, inverse: bool) -> tuple[Tensor, Tensor]:
    """Return the rational quadratic spline of values in their bins, or its inverse; and log dy/dx."""
    steep = own.height / own.width
    curve = own.slope + own.next_slope - 2 * steep
    if inverse:
        rise = value - own.y
        a = own.height * (steep - own.slope) + rise * curve
        b = own.height * own.slope - rise * curve
        c = -steep * rise
        root = (b.square() - 4 * a * c).clamp(min=torch.finfo(value.dtype).tiny).sqrt()
        theta = 2 * c / (-b - root)
    else:
        theta = (value - own.x) / own.width
    both = theta * (1 - theta)
    below = steep + curve * both
    slope = own.next_slope * theta.square() + 2 * steep * both + own.slope * (1 - theta).square()
    log_slope = 2 * steep.log() + slope.log() - 2 * below.log()
    if inverse:
        return own.x + own.width * theta, log_slope
    return own.y + own.height * (steep * theta.square() + own.slope * both) / below, log_slope


def spline(value: Tensor, own: Knots, inverse: bool = False) -> tuple[Tensor, Tensor]:
    """Return an increasing spline of each value, or its inverse, and log dy/dx.

    Args:
        value: x, or y where `inverse`; any shape that broadcasts with the knots' (...).
        own: the knots.
        inverse: whether to invert.

    Returns:
        y, or x, and log dy/dx of the spline from x to y, both of the broadcast shape.
    """
    shape = torch.broadcast_shapes(value.shape, own.x.shape[:-1])
    value = value.expand(shape)
    inside = (value > -own.bound) & (value < own.bound)
    within = torch.where(inside, value, torch.zeros_like(value))
    formula = _quadratic if own.lambdas is None else _linear
    result, log_slope = formula(within, _bin_of(within, own.y if inverse else own.x, own), inverse)
    return torch.where(inside, result, value), torch.where(inside, log_slope, torch.zeros_like(log_slope))
