"""Quantiles by bisection, for distribution functions without a closed inverse."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

__all__ = ["solve_quantile"]

_DOUBLINGS = 1100
"""Enough to bracket every float64 number: 2^1024 overflows."""


def solve_quantile(
    d: Any,
    log_cdf: Callable[[Any, torch.Tensor], torch.Tensor],
    log_survival: Callable[[Any, torch.Tensor], torch.Tensor],
    log_lower: torch.Tensor,
    log_upper: torch.Tensor,
) -> torch.Tensor:
    """Return the smallest value whose cdf is at least the given one, compared in the smaller of the two tails.

    Args:
        d: a distribution of one number.
        log_cdf: its log cdf.
        log_survival: its log survival function.
        log_lower: logs of probabilities.
        log_upper: logs of their complements.
    """
    shape = torch.broadcast_shapes(log_lower.shape, d.batch_shape)
    log_lower, log_upper = log_lower.expand(shape), log_upper.expand(shape)

    def reached(x: torch.Tensor) -> torch.Tensor:
        return torch.where(log_lower <= log_upper, log_cdf(d, x) >= log_lower, log_survival(d, x) <= log_upper)

    support, discrete = d.support, d.support.is_discrete
    low = getattr(support, "lower_bound", -torch.inf)
    high = getattr(support, "upper_bound", torch.inf)
    low, high = (torch.as_tensor(end, dtype=log_lower.dtype).expand(shape) for end in (low, high))
    below, above = _bracket(reached, low, high, discrete)
    for _ in range(_DOUBLINGS):
        edge = torch.where(below.isinf(), above, below)  # no middle where an end is infinite
        middle = torch.where(below.isinf() | above.isinf(), edge, _middle(below, above))
        if discrete:
            middle = middle.floor()
        done = (middle <= below) | (middle >= above)
        if done.all():
            break
        is_reached = reached(middle)
        above = torch.where(~done & is_reached, middle, above)
        below = torch.where(~done & ~is_reached, middle, below)
    return torch.where(reached(below), below, above)


def _middle(below: torch.Tensor, above: torch.Tensor) -> torch.Tensor:
    """The middle: geometric where the ends are of one sign and far apart, so that tiny values are found soon."""
    arithmetic = below + (above - below) / 2
    wide = (below * above > 0) & ((above / below > 4) | (below / above > 4))
    geometric = torch.sign(above) * torch.exp((below.abs().log() + above.abs().log()) / 2)
    tiny = torch.finfo(below.dtype).tiny
    from_zero = (below == 0) & (above > 4 * tiny) & (above < 1e-3)
    to_zero = (above == 0) & (below < -4 * tiny) & (below > -1e-3)
    middle = torch.where(wide, geometric, arithmetic)
    middle = torch.where(from_zero, torch.sqrt(above * tiny).clamp(min=tiny), middle)
    return torch.where(to_zero, -torch.sqrt(-below * tiny).clamp(min=tiny), middle)


def _bracket(
    reached: Callable[[torch.Tensor], torch.Tensor], low: torch.Tensor, high: torch.Tensor, discrete: bool
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return values below and at or above the quantile, finite unless the quantile is not."""
    start = torch.where(low.isfinite(), low, torch.where(high.isfinite(), high, 0.0))
    up, down = start, start - 1.0 if discrete else start
    step = torch.ones_like(start)
    for _ in range(_DOUBLINGS):
        short = ~reached(up) & (up < high)
        far = reached(down) & (down > low)
        if not (short.any() or far.any()):
            break
        down = torch.where(short, up, down)
        up_next = torch.where(short, torch.minimum(up + step, high), up)
        up = torch.where(far & ~short, down, up_next)
        down = torch.where(far & ~short, torch.maximum(down - step, low), down)
        step = step * 2
    return down, up
